//! What the depth sensor sees of a phantom, with the faults of a phone's LiDAR: low resolution,
//! smoothing, noise that grows with distance and at grazing angles, whole millimetres, and
//! confidence that falls at edges.

use nalgebra::Vector3;

use super::PhantomSpec;
use super::shape::{Hit, Pose, WoundShape};
use crate::capture::{DepthMap, Intrinsics};
use crate::error::CaptureError;
use crate::random::Random;

/// The support behind the limb is this much farther than the limb's far side, mm.
const SUPPORT_GAP_MM: f64 = 8.0;
/// Where no surface is near, the room ends.
const ROOM_MM: f64 = 2500.0;
/// Rays per depth pixel and axis: a sensor integrates over its pixel.
const RAYS_PER_SIDE: u32 = 2;
/// The sensor's smoothing, as standard deviation in depth pixels.
const BLUR_PIXELS: f64 = 0.8;
/// Noise of neighbouring values is related; this is over how many depth pixels.
const NOISE_BLUR_PIXELS: f64 = 0.9;
/// Noise at no distance, and what each metre adds, mm. A phone's frames of a printed board show
/// 0.37 mm about a plane at half a metre, whole millimetres included; skin is a worse target.
const NOISE_MM: f64 = 0.2;
const NOISE_MM_PER_METRE: f64 = 0.8;
/// The whole map is too long or too short by about this share, differently in each capture.
const SCALE_SD: f64 = 0.005;

/// Limb, wound and camera.
pub(crate) struct Scene<'a> {
    pub(crate) pose: &'a Pose,
    pub(crate) shape: Option<&'a WoundShape>,
    pub(crate) intrinsics: &'a Intrinsics,
}

/// What a ray meets first.
pub(crate) enum Seen {
    /// Skin: where the ray enters the undamaged skin, and where it really ends.
    Limb { skin: Hit, surface: Hit },
    /// The support behind the limb, with plane coordinates in mm.
    Support { depth: f64, u: f64, v: f64 },
}

impl Seen {
    fn depth(&self) -> f64 {
        match self {
            Self::Limb { surface, .. } => surface.depth,
            Self::Support { depth, .. } => *depth,
        }
    }
}

impl Scene<'_> {
    pub(crate) fn see(&self, ray: &Vector3<f64>) -> Seen {
        if let Some(skin) = self.pose.meet_skin(ray) {
            let surface = match self.shape {
                Some(shape) => self.pose.meet_bed(ray, skin, shape),
                None => skin,
            };
            return Seen::Limb { skin, surface };
        }
        let pose = self.pose;
        let radius = if pose.curvature > 0.0 { 1.0 / pose.curvature } else { 0.0 };
        let plane = pose.centre - pose.normal * (2.0 * radius + SUPPORT_GAP_MM);
        let towards = ray.dot(&pose.normal);
        let depth = if towards.abs() > 1e-6 { plane.dot(&pose.normal) / towards } else { ROOM_MM };
        let depth = if depth > 0.0 { depth.min(ROOM_MM) } else { ROOM_MM };
        let point = ray * depth - plane;
        Seen::Support { depth, u: point.dot(&pose.across), v: point.dot(&pose.along) }
    }
}

/// Depth in metres and confidence, as the sensor would deliver them.
pub(crate) fn sense(
    spec: &PhantomSpec,
    scene: &Scene<'_>,
) -> Result<(DepthMap, Vec<u8>), CaptureError> {
    let [columns, rows] = spec.depth_size;
    let (width, height) = (columns as usize, rows as usize);
    let scale_x = f64::from(spec.image_size[0]) / f64::from(columns);
    let scale_y = f64::from(spec.image_size[1]) / f64::from(rows);
    let mut depth = vec![0.0; width * height];
    let mut facing = vec![1.0; width * height];
    for row in 0..rows {
        for column in 0..columns {
            let index = (row * columns + column) as usize;
            let mut sum = 0.0;
            for sub in 0..RAYS_PER_SIDE * RAYS_PER_SIDE {
                let side = f64::from(RAYS_PER_SIDE);
                let dx = (f64::from(sub % RAYS_PER_SIDE) + 0.5) / side;
                let dy = (f64::from(sub / RAYS_PER_SIDE) + 0.5) / side;
                let x = (f64::from(column) + dx) * scale_x - 0.5;
                let y = (f64::from(row) + dy) * scale_y - 0.5;
                let ray = scene.intrinsics.ray(x, y);
                let seen = scene.see(&ray);
                sum += seen.depth();
                if let Seen::Limb { skin, .. } = seen {
                    facing[index] = -scene.pose.skin_normal(skin.u, skin.v).dot(&ray) / ray.norm();
                }
            }
            depth[index] = sum / f64::from(RAYS_PER_SIDE * RAYS_PER_SIDE);
        }
    }
    let sharp = depth.clone();
    if spec.noise > 0.0 {
        blur(&mut depth, width, height, BLUR_PIXELS);
    }

    // Visits of one phantom share the seed but not the noise.
    let mut random = Random::new(spec.seed ^ spec.distance_mm.to_bits());
    let scale = 1.0 + SCALE_SD * spec.noise * random.normal();
    let mut noise: Vec<f64> = (0..depth.len()).map(|_| random.normal()).collect();
    blur(&mut noise, width, height, NOISE_BLUR_PIXELS);
    let power = noise.iter().map(|value| value * value).sum::<f64>() / noise.len() as f64;
    let gain = spec.noise / power.sqrt();

    let mut confidence = vec![2_u8; depth.len()];
    let mut metres = vec![0.0_f32; depth.len()];
    for row in 0..height {
        for column in 0..width {
            let index = row * width + column;
            let sigma = NOISE_MM + NOISE_MM_PER_METRE * depth[index] / 1000.0;
            let value =
                scale * depth[index] + gain * noise[index] * sigma / facing[index].max(0.25);
            metres[index] = if spec.noise > 0.0 {
                (value.round() / 1000.0) as f32
            } else {
                (value / 1000.0) as f32
            };
            let step = largest_step(&sharp, width, height, column, row);
            confidence[index] = if step > 25.0 || facing[index] < 0.25 {
                0
            } else if step > 10.0 || facing[index] < 0.45 || random.unit() < 0.01 * spec.noise {
                1
            } else {
                2
            };
        }
    }
    Ok((DepthMap::try_new(columns, rows, metres)?, confidence))
}

/// The largest difference to one of the eight neighbours, mm.
fn largest_step(depth: &[f64], width: usize, height: usize, column: usize, row: usize) -> f64 {
    let here = depth[row * width + column];
    let mut step: f64 = 0.0;
    for y in row.saturating_sub(1)..=(row + 1).min(height - 1) {
        for x in column.saturating_sub(1)..=(column + 1).min(width - 1) {
            step = step.max((depth[y * width + x] - here).abs());
        }
    }
    step
}

/// Gaussian smoothing, separable, with the border repeated.
fn blur(values: &mut [f64], width: usize, height: usize, sigma: f64) {
    let reach = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f64> =
        (-reach..=reach).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let smooth = |source: &[f64], count: usize, at: &dyn Fn(usize) -> usize, out: &mut [f64]| {
        for (i, target) in out.iter_mut().enumerate().take(count) {
            *target = weights
                .iter()
                .enumerate()
                .map(|(k, weight)| {
                    let j = (i as i64 + k as i64 - reach).clamp(0, count as i64 - 1) as usize;
                    weight * source[at(j)]
                })
                .sum::<f64>()
                / total;
        }
    };
    let mut line = vec![0.0; width.max(height)];
    for row in 0..height {
        smooth(values, width, &|j| row * width + j, &mut line);
        values[row * width..(row + 1) * width].copy_from_slice(&line[..width]);
    }
    for column in 0..width {
        smooth(values, height, &|j| j * width + column, &mut line);
        for row in 0..height {
            values[row * width + column] = line[row];
        }
    }
}
