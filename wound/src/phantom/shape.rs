//! The shape of a phantom: a limb that is a cylinder (or flat skin, or a sphere, as a heel is), and
//! a wound on it whose boundary and depth are formulas, so that its true figures are known.
//!
//! The skin is unrolled into a plane: `u` runs around the limb, `v` along it, both in millimetres
//! on the skin. Unrolling a cylinder keeps lengths and areas, so area, perimeter, length and width
//! on the skin are those of the plane figure. A sphere is unrolled by distance and direction from
//! the wound's centre, which keeps lengths through the centre; there the figures are integrals on
//! the sphere.

use std::f64::consts::TAU;

use nalgebra::Vector3;

use super::{Truth, WoundSpec};
use crate::random::Random;

/// Points of the quadrature along the boundary; the integrands are smooth and periodic, so the
/// trapezoid rule is exact to rounding here.
const QUADRATURE: usize = 4096;
const HARMONICS: usize = 4;

/// The boundary as a distance from the wound's centre by direction, and the depth inside it.
#[derive(Debug, Clone)]
pub(crate) struct WoundShape {
    scale: f64,
    aspect: f64,
    rotation: f64,
    /// Amplitude and phase of the harmonics 2, 3, 4, 5.
    harmonics: [(f64, f64); HARMONICS],
    depth_mm: f64,
    wall: f64,
}

impl WoundShape {
    pub(crate) fn new(spec: &WoundSpec, seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x57A6);
        let mut harmonics = [(0.0, 0.0); HARMONICS];
        for (index, harmonic) in harmonics.iter_mut().enumerate() {
            let strength = spec.irregularity * random.range(0.3, 1.0) / (index as f64 + 1.5);
            *harmonic = (strength, random.range(0.0, TAU));
        }
        let mut shape = Self {
            scale: 1.0,
            aspect: spec.aspect,
            rotation: spec.rotation_deg.to_radians(),
            harmonics,
            depth_mm: spec.depth_mm,
            wall: spec.wall,
        };
        shape.scale = (spec.area_mm2 / shape.area()).sqrt();
        shape
    }

    /// Distance of the boundary from the centre in direction `angle`.
    pub(crate) fn radius(&self, angle: f64) -> f64 {
        let turned = angle - self.rotation;
        let ellipse = 1.0
            / ((turned.cos() / self.aspect.sqrt()).powi(2)
                + (turned.sin() * self.aspect.sqrt()).powi(2))
            .sqrt();
        let wobble: f64 = self
            .harmonics
            .iter()
            .enumerate()
            .map(|(index, (strength, phase))| {
                strength * ((index as f64 + 2.0) * turned + phase).cos()
            })
            .sum();
        self.scale * ellipse * (1.0 + wobble)
    }

    /// 0 at the centre, 1 on the boundary.
    pub(crate) fn relative(&self, u: f64, v: f64) -> f64 {
        let distance = u.hypot(v);
        if distance < 1e-9 { 0.0 } else { distance / self.radius(v.atan2(u)) }
    }

    /// Depth below the skin at a relative distance from the centre.
    pub(crate) fn depth(&self, relative: f64) -> f64 {
        if relative >= 1.0 { 0.0 } else { self.depth_mm * (1.0 - relative.powf(self.wall)) }
    }

    pub(crate) fn depth_max(&self) -> f64 {
        self.depth_mm
    }

    fn area(&self) -> f64 {
        let step = TAU / QUADRATURE as f64;
        (0..QUADRATURE).map(|i| 0.5 * self.radius(i as f64 * step).powi(2) * step).sum()
    }

    /// The boundary as a polygon on the skin.
    pub(crate) fn boundary(&self, points: usize) -> Vec<[f64; 2]> {
        (0..points)
            .map(|i| {
                let angle = TAU * i as f64 / points as f64;
                let radius = self.radius(angle);
                [radius * angle.cos(), radius * angle.sin()]
            })
            .collect()
    }

    /// The true figures on the skin of this pose.
    pub(crate) fn truth(&self, pose: &Pose) -> Truth {
        let boundary = self.boundary(QUADRATURE);
        let perimeter_mm = (0..QUADRATURE)
            .map(|i| {
                let (a, b) = (boundary[i], boundary[(i + 1) % QUADRATURE]);
                (pose.on_skin(b[0], b[1]) - pose.on_skin(a[0], a[1])).norm()
            })
            .sum();
        let extent = |axis: usize| {
            let values = boundary.iter().map(|point| point[axis]);
            values.clone().fold(f64::MIN, f64::max) - values.fold(f64::MAX, f64::min)
        };
        let (area_mm2, volume_mm3) = if pose.domed {
            self.on_sphere(pose.curvature)
        } else {
            self.on_cylinder(pose.curvature)
        };
        Truth {
            area_mm2,
            perimeter_mm,
            length_mm: extent(1),
            width_mm: extent(0),
            max_depth_mm: self.depth_mm,
            volume_mm3,
        }
    }

    /// Area and volume on a cylinder of curvature `1 / radius`, or on flat skin.
    fn on_cylinder(&self, curvature: f64) -> (f64, f64) {
        let area_mm2 = self.area();
        // Integrals of depth and depth² over the unit disc, for the profile 1 - s^wall.
        let k = self.wall;
        let first = 0.5 - 1.0 / (k + 2.0);
        let second = 0.5 - 2.0 / (k + 2.0) + 1.0 / (2.0 * k + 2.0);
        // Towards the limb's axis the layers shrink, so a curved wound holds a little less.
        let volume_mm3 = 2.0
            * area_mm2
            * (self.depth_mm * first - self.depth_mm.powi(2) * curvature / 2.0 * second);
        (area_mm2, volume_mm3)
    }

    /// Area and volume on a sphere, as sums over rings by direction and distance.
    fn on_sphere(&self, curvature: f64) -> (f64, f64) {
        const RINGS: u32 = 256;
        let turn = TAU / QUADRATURE as f64;
        let (mut area, mut volume) = (0.0, 0.0);
        for i in 0..QUADRATURE {
            let radius = self.radius(i as f64 * turn);
            area += turn * (1.0 - (radius * curvature).cos()) / curvature.powi(2);
            for ring in 0..RINGS {
                let relative = (f64::from(ring) + 0.5) / f64::from(RINGS);
                let width = (relative * radius * curvature).sin() / curvature;
                // The layers shrink with the square of their distance from the sphere's centre.
                let below = 1.0 - self.depth(relative) * curvature;
                let column = (1.0 - below.powi(3)) / (3.0 * curvature);
                volume += turn * width * column * radius / f64::from(RINGS);
            }
        }
        (area, volume)
    }
}

/// Where the limb is, seen from the camera: millimetres, x right, y down, z away.
#[derive(Debug, Clone)]
pub(crate) struct Pose {
    /// The wound's centre on the skin.
    pub(crate) centre: Vector3<f64>,
    /// Around the limb.
    pub(crate) across: Vector3<f64>,
    /// Along the limb, from head to toe.
    pub(crate) along: Vector3<f64>,
    /// Out of the skin.
    pub(crate) normal: Vector3<f64>,
    /// 1 / radius; 0 is flat.
    pub(crate) curvature: f64,
    /// A sphere instead of a cylinder.
    pub(crate) domed: bool,
}

/// Where a ray met the skin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    /// Ray parameter: depth along the optical axis, since rays have z = 1.
    pub(crate) depth: f64,
    pub(crate) u: f64,
    pub(crate) v: f64,
}

impl Pose {
    fn local(&self, vector: &Vector3<f64>) -> Vector3<f64> {
        Vector3::new(vector.dot(&self.across), vector.dot(&self.along), vector.dot(&self.normal))
    }

    /// The point at `(u, v)` on the skin, in camera coordinates.
    pub(crate) fn on_skin(&self, u: f64, v: f64) -> Vector3<f64> {
        let k = self.curvature;
        let (x, y, z) = if k == 0.0 {
            (u, v, 0.0)
        } else if self.domed {
            let (angle, stretch) = polar(u, v, k);
            (u * stretch, v * stretch, (angle.cos() - 1.0) / k)
        } else {
            let angle = u * k;
            (angle.sin() / k, v, (angle.cos() - 1.0) / k)
        };
        self.centre + self.across * x + self.along * y + self.normal * z
    }

    /// The outward normal at `(u, v)`, in camera coordinates.
    pub(crate) fn skin_normal(&self, u: f64, v: f64) -> Vector3<f64> {
        let k = self.curvature;
        if self.domed {
            let (angle, stretch) = polar(u, v, k);
            let side = self.across * (u * stretch * k) + self.along * (v * stretch * k);
            return side + self.normal * angle.cos();
        }
        let angle = u * k;
        self.across * angle.sin() + self.normal * angle.cos()
    }

    /// Directions on the skin at `(u, v)`: around the limb and along it.
    pub(crate) fn tangents(&self, u: f64, v: f64) -> (Vector3<f64>, Vector3<f64>) {
        let normal = self.skin_normal(u, v);
        let around = (self.across - normal * self.across.dot(&normal)).normalize();
        (around, normal.cross(&around) * self.handedness())
    }

    /// Whether around, along and out are a left-handed or a right-handed system.
    fn handedness(&self) -> f64 {
        self.normal.cross(&self.across).dot(&self.along).signum()
    }

    /// Height above the undamaged skin, and where on it.
    fn height(&self, local: &Vector3<f64>) -> (f64, f64, f64) {
        let k = self.curvature;
        if k == 0.0 {
            return (local.z, local.x, local.y);
        }
        if self.domed {
            let side = local.x.hypot(local.y);
            let distance = (k * side).hypot(1.0 + k * local.z);
            let along_arc = (k * side).atan2(1.0 + k * local.z) / k;
            let stretch = if side > 1e-9 { along_arc / side } else { 1.0 };
            return ((distance - 1.0) / k, local.x * stretch, local.y * stretch);
        }
        let distance = (k * local.x).hypot(1.0 + k * local.z);
        ((distance - 1.0) / k, (k * local.x).atan2(1.0 + k * local.z) / k, local.y)
    }

    /// First meeting of the ray from the camera with the undamaged skin.
    pub(crate) fn meet_skin(&self, ray: &Vector3<f64>) -> Option<Hit> {
        let origin = self.local(&(-self.centre));
        let direction = self.local(ray);
        let k = self.curvature;
        let dome = if self.domed { 1.0 } else { 0.0 };
        let a = k * (direction.x.powi(2) + direction.z.powi(2) + dome * direction.y.powi(2));
        let along = dome * origin.y * direction.y;
        let b = direction.z + k * (origin.x * direction.x + origin.z * direction.z + along);
        let around = origin.x.powi(2) + origin.z.powi(2) + dome * origin.y.powi(2);
        let c = 2.0 * origin.z + k * around;
        let discriminant = b * b - a * c;
        if discriminant <= 0.0 || b >= 0.0 {
            return None;
        }
        let depth = c / (-b + discriminant.sqrt());
        let (_, u, v) = self.height(&(origin + direction * depth));
        Some(Hit { depth, u, v })
    }

    /// First meeting with the skin or the wound bed.
    pub(crate) fn meet_bed(&self, ray: &Vector3<f64>, skin: Hit, shape: &WoundShape) -> Hit {
        if shape.relative(skin.u, skin.v) >= 1.0 {
            return skin;
        }
        let origin = self.local(&(-self.centre));
        let direction = self.local(ray);
        let above = |depth: f64| {
            let (height, u, v) = self.height(&(origin + direction * depth));
            (height + shape.depth(shape.relative(u, v)), u, v)
        };
        let step = 0.2 / direction.norm();
        let limit = skin.depth + 8.0 * shape.depth_max() + 1.0;
        let (mut near, mut far) = (skin.depth, skin.depth);
        while far < limit {
            far += step;
            if above(far).0 <= 0.0 {
                break;
            }
            near = far;
        }
        for _ in 0..30 {
            let middle = 0.5 * (near + far);
            if above(middle).0 > 0.0 {
                near = middle;
            } else {
                far = middle;
            }
        }
        let (_, u, v) = above(near);
        Hit { depth: near, u, v }
    }
}

/// The angle from the sphere's top to `(u, v)`, and the factor from there to the distance sideways.
fn polar(u: f64, v: f64, curvature: f64) -> (f64, f64) {
    let angle = u.hypot(v) * curvature;
    (angle, if angle > 1e-9 { angle.sin() / angle } else { 1.0 })
}
