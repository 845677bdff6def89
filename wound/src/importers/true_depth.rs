//! TrueDepth recordings of the Standard Cyborg app: a PLY file with the colour and depth of each
//! pixel of the front camera, and its calibration.

use image::{Rgb, RgbImage};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::capture::{DepthMap, Frame, FrameParts, Intrinsics, check_image_size};
use crate::error::CaptureError;
use crate::ply::recording::{self, Recording};

use super::record3d::column_major;

const ENTRY: &str = "metadata";
/// Colours are written to this power, so that they are proportional to light.
const GAMMA: f32 = 2.2;
/// Neighbours farther apart than this lie on different things, and are not averaged, metres.
const STEP_METRES: f64 = 0.01;
/// The most values of a table of distortion.
const TABLE_MAX: usize = 1024;
/// A lens of a phone bends by less than this share of the radius.
const DISTORTION_MAX: f64 = 0.2;
/// 2001-01-01T00:00:00Z, from where the phone's clock counts, in seconds of Unix time.
const CLOCK_START: i64 = 978_307_200;

/// What we read of the metadata; its other keys are left where they are.
#[derive(Deserialize)]
struct Metadata {
    width: u32,
    height: u32,
    /// Seconds since 2001.
    absolute_timestamp: Option<f64>,
    camera_intrinsics: Option<Calibration>,
}

/// `AVCameraCalibrationData`, as far as it is needed.
#[derive(Deserialize)]
struct Calibration {
    /// Column-major 3 × 3, at the reference size.
    intrinsic_matrix: Option<[f64; 9]>,
    #[serde(rename = "intrinsic_matrix_reference_dimensions_width")]
    reference_width: f64,
    #[serde(rename = "intrinsic_matrix_reference_dimensions_height")]
    reference_height: f64,
    #[serde(default)]
    lens_distortion_center_x: f64,
    #[serde(default)]
    lens_distortion_center_y: f64,
    /// By how much of it a radius grows, from a straight picture to the lens's, at radii that
    /// are evenly spaced up to the farthest corner.
    #[serde(default)]
    lens_distortion_lookup_table: Vec<f64>,
}

/// Reads a recorded frame. Its lens bends straight lines, so picture and depth are straightened
/// by the calibration that comes with them.
///
/// # Errors
/// Whatever is wrong with the file, or that it says nothing of the camera.
pub fn true_depth(bytes: &[u8]) -> Result<Frame, CaptureError> {
    let Recording { metadata, colours, depths } =
        recording::read(bytes).map_err(CaptureError::Ply)?;
    if metadata.is_empty() {
        return Err(CaptureError::Missing { entry: ENTRY });
    }
    let metadata: Metadata = serde_json::from_slice(&metadata)
        .map_err(|source| CaptureError::Document { entry: ENTRY, source })?;
    let missing = CaptureError::Intrinsics { reason: "missing" };
    let calibration = metadata.camera_intrinsics.ok_or(missing)?;

    let (width, height) = (metadata.width, metadata.height);
    check_image_size("color", width, height)?;
    let depth = DepthMap::try_new(width, height, depths)?;
    let pixels = width as usize * height as usize;
    if colours.len() != pixels {
        return Err(CaptureError::Length {
            entry: "color",
            expected: pixels,
            found: colours.len(),
        });
    }
    let lens = Lens::try_new(&calibration, width, height)?;
    let (image, depth) = lens.straightened(&colours, &depth)?;
    Frame::try_new(FrameParts {
        image,
        depth,
        confidence: None,
        intrinsics: lens.intrinsics,
        captured_at: metadata.absolute_timestamp.and_then(time),
        body_axis: None,
    })
}

fn time(seconds: f64) -> Option<Timestamp> {
    let since = SignedDuration::try_from_secs_f64(seconds).ok().filter(|it| it.is_positive())?;
    Timestamp::from_second(CLOCK_START).ok()?.checked_add(since).ok()
}

/// The camera at the frame's size, and how its lens bends.
struct Lens {
    intrinsics: Intrinsics,
    centre: [f64; 2],
    radius_max: f64,
    table: Vec<f64>,
}

impl Lens {
    fn try_new(calibration: &Calibration, width: u32, height: u32) -> Result<Self, CaptureError> {
        let matrix = calibration.intrinsic_matrix.as_ref();
        let matrix = matrix.ok_or(CaptureError::Intrinsics { reason: "missing" })?;
        let at_reference = column_major(matrix)?;
        let scale_x = f64::from(width) / calibration.reference_width;
        let scale_y = f64::from(height) / calibration.reference_height;
        let sane = [scale_x, scale_y].iter().all(|scale| scale.is_finite() && *scale > 0.0);
        if !sane || (scale_x / scale_y - 1.0).abs() > 0.02 {
            return Err(CaptureError::Intrinsics { reason: "the reference has another aspect" });
        }
        let table = &calibration.lens_distortion_lookup_table;
        let bends = |value: &f64| value.is_finite() && value.abs() < DISTORTION_MAX;
        if table.len() > TABLE_MAX || !table.iter().all(bends) {
            return Err(CaptureError::Intrinsics { reason: "the lens's table makes no sense" });
        }
        // A pixel's centre has whole coordinates, at either size.
        let x = |x: f64| (x + 0.5) * scale_x - 0.5;
        let y = |y: f64| (y + 0.5) * scale_y - 0.5;
        let centre =
            [x(calibration.lens_distortion_center_x), y(calibration.lens_distortion_center_y)];
        let far = |at: f64, side: u32| at.max(f64::from(side) - at);
        Ok(Self {
            intrinsics: Intrinsics {
                fx: at_reference.fx * scale_x,
                fy: at_reference.fy * scale_y,
                cx: x(at_reference.cx),
                cy: y(at_reference.cy),
            },
            centre,
            radius_max: far(centre[0], width).hypot(far(centre[1], height)),
            table: table.clone(),
        })
    }

    /// Where the lens shows what a straight picture has at a pixel.
    fn bent(&self, at: [f64; 2]) -> [f64; 2] {
        let Some(last) = self.table.len().checked_sub(1) else { return at };
        let [x, y] = [at[0] - self.centre[0], at[1] - self.centre[1]];
        let place = (x.hypot(y) / self.radius_max * last as f64).clamp(0.0, last as f64);
        let (below, share) = (place.floor() as usize, place.fract());
        let above = (below + 1).min(last);
        let growth = (1.0 - share) * self.table[below] + share * self.table[above];
        [at[0] + growth * x, at[1] + growth * y]
    }

    fn straightened(
        &self,
        colours: &[[f32; 3]],
        depth: &DepthMap,
    ) -> Result<(RgbImage, DepthMap), CaptureError> {
        let (width, height) = (depth.width(), depth.height());
        let mut metres = Vec::with_capacity(colours.len());
        let mut image = RgbImage::new(width, height);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let at = self.bent([f64::from(x), f64::from(y)]);
            let corners = corners(at, width, height);
            let colour = [0, 1, 2].map(|channel| {
                let mix = |(x, y, share): &(u32, u32, f64)| {
                    share * f64::from(colours[(y * width + x) as usize][channel])
                };
                let light = corners.iter().map(mix).sum::<f64>() as f32;
                // What is no number becomes black.
                (light.max(0.0).powf(1.0 / GAMMA) * 255.0).round().clamp(0.0, 255.0) as u8
            });
            *pixel = Rgb(colour);
            metres.push(depth_between(depth, at, &corners).unwrap_or(0.0) as f32);
        }
        Ok((image, DepthMap::try_new(width, height, metres)?))
    }
}

/// The four pixels around a point, and each one's share; at the picture's edge the edge's own.
fn corners(at: [f64; 2], width: u32, height: u32) -> [(u32, u32, f64); 4] {
    let along = |at: f64, side: u32| {
        let at = at.clamp(0.0, f64::from(side - 1));
        let low = at.floor() as u32;
        (low, (low + 1).min(side - 1), at.fract())
    };
    let (left, right, x) = along(at[0], width);
    let (top, bottom, y) = along(at[1], height);
    [
        (left, top, (1.0 - x) * (1.0 - y)),
        (right, top, x * (1.0 - y)),
        (left, bottom, (1.0 - x) * y),
        (right, bottom, x * y),
    ]
}

/// The depth at a point between pixels: averaged where all around lie on one thing, else the
/// nearest pixel's, none outside the picture.
fn depth_between(depth: &DepthMap, at: [f64; 2], corners: &[(u32, u32, f64); 4]) -> Option<f64> {
    let inside = |at: f64, side: u32| (-0.5..=f64::from(side) - 0.5).contains(&at);
    if !inside(at[0], depth.width()) || !inside(at[1], depth.height()) {
        return None;
    }
    let around = corners.map(|(x, y, share)| (depth.at(x, y), share));
    let [Some(a), Some(b), Some(c), Some(d)] = around.map(|(depth, _)| depth) else {
        return nearest(&around);
    };
    let (low, high) = (a.min(b).min(c).min(d), a.max(b).max(c).max(d));
    if high - low > STEP_METRES {
        return nearest(&around);
    }
    Some(around.iter().map(|(depth, share)| depth.unwrap_or(low) * share).sum())
}

fn nearest(around: &[(Option<f64>, f64); 4]) -> Option<f64> {
    around.iter().max_by(|a, b| a.1.total_cmp(&b.1)).and_then(|(depth, _)| *depth)
}
