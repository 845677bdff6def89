//! Whether picture and depth show the same moment. A frame says nothing of the motion between its
//! two exposures, but a wound with some depth does: its hollow must lie inside its outline.

use super::cloud::{self, Cloud};
use super::polygon::Polygon;
use super::rejection::ScanRejection;
use super::skin::Skin;
use crate::capture::Frame;

/// Shifts that are tried, in depth pixels, each in so many directions.
const SHIFTS: [f64; 2] = [3.0, 5.0];
const DIRECTIONS: u32 = 8;
/// The hollow must be this many times its error, and fit a shifted outline this much better, before
/// the shift is believed: beds are uneven, and skin has hollows of its own.
const CERTAIN: f64 = 6.0;
const BETTER: f64 = 1.3;
/// Corners of the outline while it is shifted.
const CORNERS: usize = 64;

/// Refuses a frame whose hollow fits the outline clearly better some pixels to the side. `sigma` is the
/// scatter of a depth value, widened for the relation between neighbours.
///
/// # Errors
/// [`ScanRejection::Moved`], with how far.
pub(crate) fn check(
    frame: &Frame,
    boundary: &Polygon,
    cloud: &Cloud,
    skin: &Skin,
    sigma: f64,
    distance: f64,
) -> Result<(), ScanRejection> {
    let [pixel, _] = cloud::pixel_scale(frame);
    let reach = (SHIFTS[1] + 1.0) * pixel;
    let outline = boundary.resampled(CORNERS);
    let near: Vec<([f64; 2], f64)> = cloud
        .points
        .iter()
        .filter(|point| point.confidence > 0 && point.beyond < reach)
        .map(|point| (point.pixel, -skin.place(&point.position).height))
        .collect();
    let hollow = |shift: [f64; 2]| {
        let inside = near.iter().filter(|(at, _)| {
            outline.contains([at[0] - shift[0] * pixel, at[1] - shift[1] * pixel])
        });
        inside.fold((0.0, 0_u32), |(sum, count), (_, below)| (sum + below, count + 1))
    };
    let (here, count) = hollow([0.0; 2]);
    let error = sigma * f64::from(count.max(1)).sqrt();
    for shift in SHIFTS {
        for direction in 0..DIRECTIONS {
            let angle = std::f64::consts::TAU * f64::from(direction) / f64::from(DIRECTIONS);
            let (there, _) = hollow([shift * angle.cos(), shift * angle.sin()]);
            if there > BETTER * here.max(0.0) && there - here.max(0.0) > CERTAIN * error {
                let mm = shift * pixel * distance / frame.intrinsics().fx;
                return Err(ScanRejection::Moved { mm: mm.round() as u32 });
            }
        }
    }
    Ok(())
}
