//! Phantoms: captures of wounds that never were, whose true figures are known.
//!
//! [`generate`] makes, from a [`PhantomSpec`], what a phone would capture of a limb with a wound
//! on it: a colour picture, a LiDAR-like depth map with confidence, the intrinsics; and, beside
//! the capture, the truth: outline, mask and figures. The same spec gives the same bytes.

mod paint;
mod scene;
mod shape;

use image::{GrayImage, RgbImage};
use nalgebra::Vector3;

use self::shape::{Pose, WoundShape};
use crate::capture::{Frame, FrameParts, Intrinsics};
use crate::error::CaptureError;
use crate::random::Random;

/// Points of a phantom's true outline.
const OUTLINE_POINTS: usize = 256;

/// The wound on a phantom.
#[derive(Debug, Clone, PartialEq)]
pub struct WoundSpec {
    /// Area on the skin inside the boundary, mm².
    pub area_mm2: f64,
    /// Greatest depth below the undamaged skin, mm.
    pub depth_mm: f64,
    /// Longer over shorter axis of the underlying ellipse.
    pub aspect: f64,
    /// 0 for an ellipse, up to 0.3 for a ragged star shape.
    pub irregularity: f64,
    /// How the wound is turned on the skin.
    pub rotation_deg: f64,
    /// Steepness of the wall: depth falls as 1 − s^wall from centre to boundary; 2 is a bowl.
    pub wall: f64,
    /// Share of the bed that is slough (yellow), 0 to 1.
    pub slough: f64,
    /// Share of the bed that is necrosis (black), 0 to 1.
    pub necrosis: f64,
}

/// Everything that makes a phantom; the same spec gives the same capture.
#[derive(Debug, Clone, PartialEq)]
pub struct PhantomSpec {
    /// Seed of shape details, colours and noise.
    pub seed: u64,
    /// Radius of the limb; none is flat skin.
    pub limb_radius_mm: Option<f64>,
    /// Whether the skin curves along the limb as much as around it, as on a heel: a sphere of
    /// `limb_radius_mm` instead of a cylinder.
    pub domed: bool,
    /// The wound; none is healthy skin.
    pub wound: Option<WoundSpec>,
    /// From the camera to the wound's centre along the optical axis.
    pub distance_mm: f64,
    /// Between the line of sight and the skin's normal at the wound's centre.
    pub tilt_deg: f64,
    /// Towards which side the skin is tilted.
    pub tilt_azimuth_deg: f64,
    /// Direction of the limb in the image: 0 is to the right, 90 downwards.
    pub roll_deg: f64,
    /// Where the wound's centre lies, as shares of image width and height from the middle.
    pub offset: [f64; 2],
    /// Size of the colour image.
    pub image_size: [u32; 2],
    /// Size of the depth map.
    pub depth_size: [u32; 2],
    /// Strength of the depth noise; 1 is like a phone's LiDAR, 0 an ideal sensor.
    pub noise: f64,
    /// 0 is very light skin, 1 very dark.
    pub skin_tone: f64,
    /// Seed of colours, where it must differ from `seed` (visits of one patient share shapes).
    pub look: u64,
}

impl Default for PhantomSpec {
    /// A wound of 6 cm² and 4 mm on a leg of 5 cm radius, seen from 35 cm.
    fn default() -> Self {
        Self {
            seed: 1,
            limb_radius_mm: Some(50.0),
            domed: false,
            wound: Some(WoundSpec {
                area_mm2: 600.0,
                depth_mm: 4.0,
                aspect: 1.4,
                irregularity: 0.1,
                rotation_deg: 70.0,
                wall: 3.0,
                slough: 0.25,
                necrosis: 0.0,
            }),
            distance_mm: 350.0,
            tilt_deg: 10.0,
            tilt_azimuth_deg: 30.0,
            roll_deg: 80.0,
            offset: [0.0, 0.0],
            image_size: [960, 720],
            depth_size: [256, 192],
            noise: 1.0,
            skin_tone: 0.3,
            look: 1,
        }
    }
}

impl PhantomSpec {
    /// A phantom from the whole range that the accuracy figures are stated for: limb radius
    /// 3–10 cm or flat, 0.25–0.6 m, tilt to 40°, area 0.5–60 cm² as far as the limb holds it,
    /// depth 0–20 mm as far as the wound's width holds it.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let limb_radius_mm =
            if random.unit() < 0.2 { None } else { Some(random.range(30.0, 100.0)) };
        // Wounds are small more often than large: the logarithm is uniform. On a limb the wound
        // spans at most about a third of the way around, as more cannot be seen from one side.
        let area_limit = limb_radius_mm.map_or(6000.0, |radius| radius.powi(2).min(6000.0));
        let area_mm2 = (random.range(50_f64.ln(), area_limit.ln())).exp();
        let aspect = random.range(1.0, 2.2);
        let narrow = (area_mm2 / aspect / std::f64::consts::PI).sqrt();
        let depth_limit =
            (0.7 * narrow).min(20.0).min(limb_radius_mm.map_or(20.0, |radius| 0.3 * radius));
        let depth_mm = depth_limit * random.unit().powf(1.3);
        let (slough, necrosis) = match random.index(4) {
            0 => (random.range(0.0, 0.15), 0.0),
            1 => (random.range(0.2, 0.6), 0.0),
            2 => (random.range(0.1, 0.9), random.range(0.0, 0.1)),
            _ => (random.range(0.1, 0.4), random.range(0.0, 0.5)),
        };
        let rotation_deg = if limb_radius_mm.is_some() {
            // Long axis roughly along the limb.
            random.range(60.0, 120.0)
        } else {
            random.range(0.0, 180.0)
        };
        // The wound's far edge must still face the camera, or no sensor sees it.
        let half_angle = limb_radius_mm.map_or(0.0, |radius| (1.25 * narrow / radius).to_degrees());
        let tilt_limit = (62.0 - half_angle).clamp(5.0, 40.0);
        // Close captures of large wounds would be cut by the frame.
        let reach = 2.6 * (area_mm2 * aspect / std::f64::consts::PI).sqrt();
        let nearest = (reach / 0.42).clamp(250.0, 550.0);
        Self {
            seed,
            limb_radius_mm,
            wound: Some(WoundSpec {
                area_mm2,
                depth_mm,
                aspect,
                irregularity: random.range(0.0, 0.25),
                rotation_deg,
                wall: random.range(2.0, 5.0),
                slough,
                necrosis,
            }),
            distance_mm: random.range(nearest, 600.0),
            tilt_deg: random.range(0.0, tilt_limit),
            tilt_azimuth_deg: random.range(0.0, 360.0),
            roll_deg: random.range(0.0, 360.0),
            offset: [random.range(-0.08, 0.08), random.range(-0.08, 0.08)],
            skin_tone: random.unit(),
            look: random.next_u64(),
            ..Self::default()
        }
    }

    /// The same with no wound: what a network must not find one in.
    #[must_use]
    pub fn healthy(seed: u64) -> Self {
        Self { wound: None, ..Self::random(seed) }
    }
}

/// The true figures of a phantom's wound, on the undamaged skin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// Area of the undamaged skin's surface inside the boundary.
    pub area_mm2: f64,
    /// Length of the boundary along the skin.
    pub perimeter_mm: f64,
    /// Greatest extent along the limb, on the skin.
    pub length_mm: f64,
    /// Greatest extent around the limb, on the skin.
    pub width_mm: f64,
    /// Greatest depth of the bed below the undamaged skin.
    pub max_depth_mm: f64,
    /// Between the undamaged skin and the bed.
    pub volume_mm3: f64,
}

/// A capture with its truth.
#[derive(Debug, Clone)]
pub struct Phantom {
    /// What the phone delivers.
    pub capture: Frame,
    /// The true figures; none for healthy skin.
    pub truth: Option<Truth>,
    /// The true boundary in pixels of the image; empty for healthy skin.
    pub outline: Vec<[f64; 2]>,
    /// 255 where the image shows the wound, 0 elsewhere.
    pub mask: GrayImage,
}

/// Makes the capture and its truth.
///
/// # Errors
/// When the spec asks for sizes that no capture may have.
pub fn generate(spec: &PhantomSpec) -> Result<Phantom, CaptureError> {
    generated(spec, true)
}

/// The same capture with a black picture and mask, for measuring inside the true outline: painting
/// takes most of the time.
///
/// # Errors
/// When the spec asks for sizes that no capture may have.
pub fn generate_unpainted(spec: &PhantomSpec) -> Result<Phantom, CaptureError> {
    generated(spec, false)
}

fn generated(spec: &PhantomSpec, painted: bool) -> Result<Phantom, CaptureError> {
    let [width, height] = spec.image_size;
    // The field of view of a phone's main camera.
    let focal = 0.757 * f64::from(width);
    let mut random = Random::new(spec.seed ^ 0xCA3E);
    let intrinsics = Intrinsics {
        fx: focal,
        fy: focal,
        cx: f64::from(width) * (0.5 + random.range(-0.01, 0.01)),
        cy: f64::from(height) * (0.5 + random.range(-0.01, 0.01)),
    };
    let pose = pose(spec, &intrinsics);
    let shape = spec.wound.as_ref().map(|wound| WoundShape::new(wound, spec.seed));
    let scene = scene::Scene { pose: &pose, shape: shape.as_ref(), intrinsics: &intrinsics };

    let (image, mask) = if painted {
        paint::picture(spec, &scene)
    } else {
        (RgbImage::new(width, height), GrayImage::new(width, height))
    };
    let (depth, confidence) = scene::sense(spec, &scene)?;
    let outline = shape.as_ref().map_or_else(Vec::new, |shape| {
        let on_skin = shape.boundary(OUTLINE_POINTS);
        on_skin.iter().map(|[u, v]| intrinsics.project(&pose.on_skin(*u, *v))).collect()
    });
    let head = intrinsics.project(&pose.on_skin(0.0, -1.0));
    let toe = intrinsics.project(&pose.on_skin(0.0, 1.0));
    let capture = Frame::try_new(FrameParts {
        image,
        depth,
        confidence: Some(confidence),
        intrinsics,
        captured_at: None,
        body_axis: Some([toe[0] - head[0], toe[1] - head[1]]),
    })?;
    Ok(Phantom { capture, truth: shape.map(|shape| shape.truth(&pose)), outline, mask })
}

/// One wound over `visits` visits: the same limb and shape, shrinking and filling up, seen each
/// time from a slightly different place.
#[must_use]
pub fn healing_series(seed: u64, visits: u32) -> Vec<PhantomSpec> {
    let base = PhantomSpec::random(seed);
    let mut random = Random::new(seed ^ 0x4EA1);
    let radius = random.range(40.0, 65.0);
    let area_mm2 = random.range(700.0, 1400.0);
    let depth_mm = random.range(3.0, 6.0);
    let rate = random.range(0.22, 0.34);
    (0..visits)
        .map(|visit| {
            let healed = (-rate * f64::from(visit)).exp() * random.range(0.97, 1.03);
            let wound = WoundSpec {
                area_mm2: area_mm2 * healed,
                depth_mm: depth_mm * healed.sqrt(),
                aspect: 1.0 + 0.5 * (seed % 3) as f64 / 2.0,
                irregularity: 0.14,
                rotation_deg: 80.0,
                wall: 3.0,
                slough: (0.45 * healed).clamp(0.05, 0.5),
                necrosis: 0.0,
            };
            PhantomSpec {
                limb_radius_mm: Some(radius),
                wound: Some(wound),
                distance_mm: random.range(280.0, 380.0),
                tilt_deg: random.range(0.0, 18.0),
                tilt_azimuth_deg: random.range(0.0, 360.0),
                roll_deg: random.range(70.0, 110.0),
                offset: [random.range(-0.04, 0.04), random.range(-0.04, 0.04)],
                ..base.clone()
            }
        })
        .collect()
}

fn pose(spec: &PhantomSpec, intrinsics: &Intrinsics) -> Pose {
    let pixel_x = intrinsics.cx + spec.offset[0] * f64::from(spec.image_size[0]);
    let pixel_y = intrinsics.cy + spec.offset[1] * f64::from(spec.image_size[1]);
    let sight = intrinsics.ray(pixel_x, pixel_y);
    let centre = sight * spec.distance_mm;
    let back = -sight.normalize();
    // Tilt: turn the direction to the camera away from itself, towards the azimuth.
    let azimuth = spec.tilt_azimuth_deg.to_radians();
    let side = Vector3::new(azimuth.cos(), azimuth.sin(), 0.0);
    let side = (side - back * side.dot(&back)).normalize();
    let tilt = spec.tilt_deg.to_radians();
    let normal = back * tilt.cos() + side * tilt.sin();
    let roll = spec.roll_deg.to_radians();
    let along = Vector3::new(roll.cos(), roll.sin(), 0.0);
    let along = (along - normal * along.dot(&normal)).normalize();
    let across = along.cross(&normal);
    let curvature = spec.limb_radius_mm.map_or(0.0, |radius| 1.0 / radius);
    Pose { centre, across, along, normal, curvature, domed: spec.domed && curvature > 0.0 }
}
