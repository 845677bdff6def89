//! The volume between skin and bed, as the camera sees it.
//!
//! Each depth pixel is a thin pyramid from the camera; between the skin and the bed it holds a
//! third of its opening times the difference of the cubed depths. The sum over the wound and a
//! margin is the volume, and since the sensor's smoothing only moves depth between neighbours, it
//! hardly changes it.

use super::cloud::Point;
use super::skin::Skin;
use crate::wound::capture::Frame;

/// How far the sensor's smoothing carries depth out of the wound, in depth pixels.
pub(crate) const MARGIN_PIXELS: f64 = 1.8;

/// The volume in mm³, and the area of a plane across the summed pyramids at the wound, which is
/// what an error of the skin's height is multiplied with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Volume {
    pub(crate) mm3: f64,
    pub(crate) footprint_mm2: f64,
    pub(crate) pixels: usize,
}

/// Sums over the points inside the boundary and `margin` colour pixels around it.
pub(crate) fn volume(frame: &Frame, points: &[Point], skin: &Skin, margin: f64) -> Volume {
    let intrinsics = frame.intrinsics();
    let (width, height) = frame.image().dimensions();
    let depth = frame.depth();
    let opening = (f64::from(width) / f64::from(depth.width()) / intrinsics.fx)
        * (f64::from(height) / f64::from(depth.height()) / intrinsics.fy);
    let mut sum = 0.0;
    let mut footprint = 0.0;
    let mut used = 0_usize;
    let mut lacking = 0_usize;
    for point in points.iter().filter(|point| point.beyond <= margin) {
        let ray = point.position / point.position.z;
        let met = if point.confidence > 0 { skin.meet(&ray) } else { None };
        let Some((skin_depth, u, _)) = met else {
            lacking += 1;
            continue;
        };
        let bed_depth = point.position.z;
        sum += (bed_depth.powi(3) - skin_depth.powi(3)) / 3.0 * opening;
        footprint += skin_depth.powi(2) * opening * -ray.dot(&skin.normal(u));
        used += 1;
    }
    // Values that are lacking are taken to be like the rest.
    let fill = if used > 0 { (used + lacking) as f64 / used as f64 } else { 1.0 };
    Volume { mm3: sum * fill, footprint_mm2: footprint * fill, pixels: used + lacking }
}
