//! One frame and one boundary in, all figures with their standard deviations out.

use super::alignment;
use super::bed::{self, Sample};
use super::cloud::{self, Cloud, Point};
use super::polygon::Polygon;
use super::rejection::ScanRejection;
use super::skin::{self, Fit, Skin};
use super::uncertainty;
use crate::capture::Frame;

/// Nearest and farthest that a phone's depth camera measures skin from, mm.
const DISTANCE_MM: (f64, f64) = (150.0, 1000.0);
/// Fewer depth pixels than this inside the boundary are no wound but a dot.
const INSIDE_PIXELS_MIN: usize = 3;
/// A wound nearer to the picture's edge than this is cut off, colour pixels.
const EDGE_PIXELS: f64 = 2.0;
/// Skin seen flatter than this (mean and worst, degrees from straight above) is not measured.
const OBLIQUE_MEAN_DEG: f64 = 62.0;
const OBLIQUE_WORST_DEG: f64 = 82.0;
/// Between boundary and ring, in depth pixels: as far as the sensor smears the wound.
const GAP_DEPTH_PIXELS: f64 = 1.8;
/// Width of the ring of skin, as a share of the wound's equivalent radius, and its limits in mm.
const RING_SHARE: f64 = 1.0;
const RING_MM: (f64, f64) = (30.0, 42.0);
/// Of twelve directions around the wound, so many must have skin.
const SECTORS: usize = 12;
const SECTORS_MIN: usize = 8;
const SKIN_POINTS_MIN: usize = 40;
/// Points that scatter more than this are not taken for skin, mm at any distance.
const SCATTER_MAX_MM: f64 = 5.0;
/// So much of the ring must lie on the skin, within two deviations.
const CARRIED_MIN: f64 = 0.5;
/// The share of the wound that may lack depth or confidence.
const LACKING_MAX: f64 = 0.5;
/// What the smooth model of the bed and the choice of its deepest part leave open: mm, and share.
const BED_MODEL_SD: (f64, f64) = (0.15, 0.02);
/// How far out or in the wall of the modelled bed may stand, all around, mm: the sensor's smoothing
/// hides how it falls. On phantoms without noise the volume is off by this much of its wall.
const WALL_MODEL_SD_MM: f64 = 0.1;
/// How deep a strip along the outline is, as a share of the mean depth: half in a bowl with walls.
const STRIP_DEPTH: f64 = 0.5;
/// Points per outline; enough for any curve the sensor can see.
const OUTLINE_POINTS: usize = 400;
const OUTLINE_POINTS_MAX: usize = 4096;

/// A value with one standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The value.
    pub value: f64,
    /// One standard deviation.
    pub sd: f64,
}

/// What is measured of a wound.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Area of the skin surface inside the boundary.
    pub area_mm2: Figure,
    /// Length of the boundary on the skin.
    pub perimeter_mm: Figure,
    /// Greatest extent along the axis, on the skin.
    pub length_mm: Figure,
    /// Greatest extent across it.
    pub width_mm: Figure,
    /// Greatest depth below the fitted skin.
    pub max_depth_mm: Figure,
    /// Between the fitted skin and the bed.
    pub volume_mm3: Figure,
    /// Whether the axis is the body's, head to toe; otherwise it is that of the greatest extent.
    pub head_to_toe: bool,
    /// The boundary in pixels of the colour image.
    pub outline: Vec<[f64; 2]>,
}

/// How far a boundary may be off, in pixels of the colour image, as standard deviations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundaryError {
    /// All around in or out.
    pub offset: f64,
    /// Here in, there out.
    pub ragged: f64,
}

/// Measures the wound inside `boundary`, in pixels of the colour image.
///
/// # Errors
/// A capture or boundary that no trustworthy figure follows from.
pub fn measure_frame(
    frame: &Frame,
    boundary: &Polygon,
    error: BoundaryError,
) -> Result<Figures, ScanRejection> {
    check_boundary(frame, boundary)?;
    let distance = distance(frame, boundary)?;
    let focal = frame.intrinsics().fx;
    let [depth_pixel, _] = cloud::pixel_scale(frame);
    let gap = GAP_DEPTH_PIXELS * depth_pixel;
    let radius: f64 = (boundary.area() / std::f64::consts::PI).sqrt() * distance / focal;
    let ring = (RING_SHARE * radius).clamp(RING_MM.0, RING_MM.1) * focal / distance;

    let mut cloud = cloud::collect(frame, boundary, gap + ring);
    check_cloud(&cloud, distance)?;
    check_ring(boundary, &around(&cloud, gap))?;
    let middle = boundary.centroid();
    let sight = frame.intrinsics().ray(middle[0], middle[1]);
    let ring = |cloud: &Cloud| {
        let points = around(cloud, gap).into_iter().map(|point| (point.position, point.beyond));
        skin::Ring::new(points.collect())
    };
    let found = skin::find(&ring(&cloud), &sight).ok_or(ScanRejection::Inconsistent)?;
    cloud::sharpen(frame, &mut cloud.points, &found.skin);
    let fit = skin::fit(&ring(&cloud), found).ok_or(ScanRejection::Inconsistent)?;
    if fit.sigma > SCATTER_MAX_MM || fit.carried < CARRIED_MIN {
        return Err(ScanRejection::Inconsistent);
    }
    let traced = boundary.resampled(OUTLINE_POINTS);
    check_angle(frame, &traced, &fit)?;
    // A drawn polygon keeps its corners; resampling is for the error propagation alone.
    let exact = boundary.densified(0.5 * depth_pixel);
    let lifted = uncertainty::on_skin(frame, &exact, &fit.skin);
    let (flat, head_to_toe) = lifted.ok_or(ScanRejection::TooOblique { degrees: 90 })?;
    let related = uncertainty::relation(&around(&cloud, gap), &fit);
    let doubts = fit.doubts(related);
    let (spread, outline_sd) = uncertainty::spread(frame, &traced, &fit.skin, &doubts, error)
        .ok_or(ScanRejection::TooOblique { degrees: 90 })?;

    let samples = samples(frame, &cloud, &fit.skin, gap);
    let outline = in_depth_pixels(frame, &traced).ok_or(ScanRejection::Outline)?;
    let sigma = fit.sigma * related.sqrt();
    alignment::check(frame, boundary, &cloud, &fit.skin, sigma, distance)?;
    let pixel_mm2 = flat.area / outline.area();
    let bed = bed::fit(&samples, &outline, sigma, pixel_mm2, radius)
        .ok_or(ScanRejection::Inconsistent)?;
    let skin_error = uncertainty::depth_error(frame, &cloud, &fit.skin, &doubts, &bed);
    let depth = bed.depth.max(0.0);
    let depth_sd = bed.depth_sd.hypot(skin_error.depth);
    let depth_sd = depth_sd.hypot(BED_MODEL_SD.0).hypot(BED_MODEL_SD.1 * depth);
    let volume_sd = bed.volume_sd.hypot(skin_error.volume);
    let volume_sd = volume_sd.hypot(3.0 * uncertainty::SCALE_SD * bed.volume);
    let volume_sd = volume_sd.hypot(WALL_MODEL_SD_MM * flat.perimeter * depth);
    let volume_sd = volume_sd.hypot(STRIP_DEPTH * bed.volume * outline_sd / flat.area);

    Ok(Figures {
        area_mm2: Figure { value: flat.area, sd: spread.area },
        perimeter_mm: Figure { value: flat.perimeter, sd: spread.perimeter },
        length_mm: Figure { value: flat.length, sd: spread.length },
        width_mm: Figure { value: flat.width, sd: spread.width },
        max_depth_mm: Figure { value: depth, sd: depth_sd },
        volume_mm3: Figure { value: bed.volume.max(0.0), sd: volume_sd },
        head_to_toe,
        outline: boundary.points().to_vec(),
    })
}

/// The points of skin around the wound, beyond what the sensor smears.
fn around(cloud: &Cloud, gap: f64) -> Vec<&Point> {
    cloud.points.iter().filter(|point| point.sound && point.beyond >= gap).collect()
}

fn check_boundary(frame: &Frame, boundary: &Polygon) -> Result<(), ScanRejection> {
    if boundary.points().len() > OUTLINE_POINTS_MAX {
        return Err(ScanRejection::Outline);
    }
    let (width, height) = frame.image().dimensions();
    let (low, high) = boundary.bounds();
    let inside = low.iter().all(|value| *value >= EDGE_PIXELS)
        && high[0] <= f64::from(width) - 1.0 - EDGE_PIXELS
        && high[1] <= f64::from(height) - 1.0 - EDGE_PIXELS;
    if !inside {
        return Err(ScanRejection::CutOff);
    }
    if boundary.resampled(OUTLINE_POINTS.min(boundary.points().len())).crosses_itself() {
        return Err(ScanRejection::Outline);
    }
    Ok(())
}

/// Median depth of the pixels in and near the wound, mm.
fn distance(frame: &Frame, boundary: &Polygon) -> Result<f64, ScanRejection> {
    let depth = frame.depth();
    let reach = 2.0 * cloud::pixel_scale(frame)[0];
    let (low, high) = boundary.bounds();
    let mut values = Vec::new();
    for row in 0..depth.height() {
        for column in 0..depth.width() {
            let pixel = frame.depth_to_image(f64::from(column), f64::from(row));
            let near =
                (0..2).all(|axis| (low[axis] - reach..=high[axis] + reach).contains(&pixel[axis]));
            if near && let Some(metres) = depth.at(column, row) {
                values.push(metres * 1000.0);
            }
        }
    }
    if values.is_empty() {
        return Err(ScanRejection::DepthMissing { percent: 100 });
    }
    let middle = values.len() / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let distance_mm = median.round() as u32;
    if *median < DISTANCE_MM.0 {
        return Err(ScanRejection::TooClose { distance_mm });
    }
    if *median > DISTANCE_MM.1 {
        return Err(ScanRejection::TooFar { distance_mm });
    }
    Ok(*median)
}

fn check_cloud(cloud: &Cloud, distance: f64) -> Result<(), ScanRejection> {
    if cloud.inside < INSIDE_PIXELS_MIN {
        return Err(ScanRejection::TooFar { distance_mm: distance.round() as u32 });
    }
    let lacking = |have: usize| 1.0 - have as f64 / cloud.inside as f64;
    let percent = |share: f64| (100.0 * share).round() as u32;
    let missing = lacking(cloud.inside_measured);
    if missing > LACKING_MAX {
        return Err(ScanRejection::DepthMissing { percent: percent(missing) });
    }
    let doubtful = lacking(cloud.inside_confident);
    if doubtful > LACKING_MAX {
        return Err(ScanRejection::LowConfidence { percent: percent(doubtful) });
    }
    Ok(())
}

fn check_ring(boundary: &Polygon, around: &[&Point]) -> Result<(), ScanRejection> {
    let middle = boundary.centroid();
    let mut sectors = [0_usize; SECTORS];
    for point in around {
        let angle = (point.pixel[1] - middle[1]).atan2(point.pixel[0] - middle[0]);
        let turn = angle / std::f64::consts::TAU + 0.5;
        sectors[((turn * SECTORS as f64) as usize).min(SECTORS - 1)] += 1;
    }
    let covered = sectors.iter().filter(|count| **count >= 2).count();
    if around.len() < SKIN_POINTS_MIN || covered < SECTORS_MIN {
        return Err(ScanRejection::SkinMissing);
    }
    Ok(())
}

fn check_angle(frame: &Frame, traced: &Polygon, fit: &Fit) -> Result<(), ScanRejection> {
    let angles: Vec<f64> = traced
        .points()
        .iter()
        .filter_map(|[x, y]| {
            let ray = frame.intrinsics().ray(*x, *y);
            let (_, u, v) = fit.skin.meet(&ray)?;
            Some(
                (-ray.dot(&fit.skin.normal(u, v)) / ray.norm())
                    .clamp(-1.0, 1.0)
                    .acos()
                    .to_degrees(),
            )
        })
        .collect();
    let mean = angles.iter().sum::<f64>() / angles.len().max(1) as f64;
    let worst = angles.iter().copied().fold(0.0, f64::max);
    if mean > OBLIQUE_MEAN_DEG || worst > OBLIQUE_WORST_DEG {
        return Err(ScanRejection::TooOblique { degrees: mean.max(OBLIQUE_MEAN_DEG) as u32 });
    }
    Ok(())
}

/// What lies below the skin at the depth pixels that see the wound or are smeared by it.
fn samples(frame: &Frame, cloud: &Cloud, skin: &Skin, gap: f64) -> Vec<Sample> {
    let opening = cloud::opening(frame);
    let near = cloud.points.iter().filter(|point| point.confidence > 0 && point.beyond < gap);
    near.filter_map(|point| {
        let bed = point.position.z;
        let (surface, ..) = skin.meet(&(point.position / bed))?;
        // A depth pixel is a thin pyramid from the camera.
        let missing = (bed.powi(3) - surface.powi(3)) / 3.0 * opening;
        let at = [f64::from(point.column), f64::from(point.row)];
        Some(Sample { at, below: -skin.place(&point.position).height, missing })
    })
    .collect()
}

/// The boundary in depth pixels.
fn in_depth_pixels(frame: &Frame, boundary: &Polygon) -> Option<Polygon> {
    let scale = cloud::pixel_scale(frame);
    let points = boundary.points().iter();
    let moved = points.map(|[x, y]| [(x + 0.5) / scale[0] - 0.5, (y + 0.5) / scale[1] - 0.5]);
    Polygon::new(moved.collect())
}
