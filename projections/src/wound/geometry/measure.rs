//! One frame and one boundary in, all figures with their standard deviations out.

use nalgebra::{SVector, Vector3};

use super::bed::{self, Sample};
use super::cloud::{self, Cloud, Point};
use super::planimetry::{self, Planimetry};
use super::polygon::Polygon;
use super::rejection::ScanRejection;
use super::skin::{self, Fit, PARAMETERS};
use super::volume::{self, MARGIN_PIXELS};
use crate::wound::capture::Frame;
use crate::wound::random::Random;

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
/// Skin whose points scatter more than this is none, mm at any distance.
const SCATTER_MAX_MM: f64 = 5.0;
/// The share of the wound that may lack depth or confidence.
const LACKING_MAX: f64 = 0.5;
/// How well a phone's depth scale is known, as a share.
const SCALE_SD: f64 = 0.005;
/// What the smooth model of the bed and the choice of its deepest part leave open: mm, and share.
const BED_MODEL_SD: (f64, f64) = (0.25, 0.02);
/// Draws of the error propagation. The sample's own error of a deviation is then about a tenth.
const DRAWS: usize = 40;
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
    let (width, _) = frame.image().dimensions();
    let depth_pixel = f64::from(width) / f64::from(frame.depth().width());
    let gap = GAP_DEPTH_PIXELS * depth_pixel;
    let radius: f64 = (boundary.area() / std::f64::consts::PI).sqrt() * distance / focal;
    let ring = (RING_SHARE * radius).clamp(RING_MM.0, RING_MM.1) * focal / distance;

    let cloud = cloud::collect(frame, boundary, gap + ring);
    check_cloud(&cloud, distance)?;
    let around: Vec<&Point> =
        cloud.points.iter().filter(|point| point.sound && point.beyond >= gap).collect();
    check_ring(boundary, &around)?;
    let middle = boundary.centroid();
    let sight = frame.intrinsics().ray(middle[0], middle[1]);
    let skin_points: Vec<(Vector3<f64>, f64)> =
        around.iter().map(|point| (point.position, point.beyond)).collect();
    let fit = skin::fit(&skin_points, &sight).ok_or(ScanRejection::Inconsistent)?;
    if fit.sigma > SCATTER_MAX_MM {
        return Err(ScanRejection::Inconsistent);
    }
    let related = relation(&around, &fit);

    let traced = boundary.resampled(OUTLINE_POINTS);
    let plain =
        unrolled(frame, &traced, &fit.skin).ok_or(ScanRejection::TooOblique { degrees: 90 })?;
    check_angle(frame, &traced, &fit)?;
    let axis = body_axis(frame, middle, &fit.skin);
    // A drawn polygon keeps its corners; resampling is for the error propagation alone.
    let exact = boundary.densified(0.5 * depth_pixel);
    let exact = unrolled(frame, &exact, &fit.skin).ok_or(ScanRejection::Inconsistent)?;
    let flat = planimetry::measure(&exact, &fit.skin, axis);
    let spread = propagate(frame, &traced, &plain, &fit, related, axis, error);

    let offset_sd = related.sqrt() * fit.root.row(0).norm();
    let depth = deepest(frame, boundary, &cloud, &fit, related, gap, radius)?;
    let deepest_mm = depth.depth.max(0.0);
    let model_sd = BED_MODEL_SD.0.hypot(BED_MODEL_SD.1 * deepest_mm);
    let depth_sd = depth.sd.hypot(offset_sd).hypot(model_sd);
    let volume = volume::volume(frame, &cloud.points, &fit.skin, MARGIN_PIXELS * depth_pixel);
    let per_pixel = volume.footprint_mm2 / (volume.pixels.max(1)) as f64;
    let noise = fit.sigma * (related * volume.pixels as f64).sqrt() * per_pixel;
    let volume_sd = (offset_sd * volume.footprint_mm2)
        .hypot(noise)
        .hypot(3.0 * SCALE_SD * volume.mm3)
        .hypot(volume.mm3 * spread.area / flat.area);

    Ok(Figures {
        area_mm2: Figure { value: flat.area, sd: spread.area },
        perimeter_mm: Figure { value: flat.perimeter, sd: spread.perimeter },
        length_mm: Figure { value: flat.length, sd: spread.length },
        width_mm: Figure { value: flat.width, sd: spread.width },
        max_depth_mm: Figure { value: deepest_mm, sd: depth_sd },
        volume_mm3: Figure { value: volume.mm3.max(0.0), sd: volume_sd },
        head_to_toe: axis.is_some(),
        outline: boundary.points().to_vec(),
    })
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
    let (width, _) = frame.image().dimensions();
    let reach = 2.0 * f64::from(width) / f64::from(depth.width());
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
            let (_, u, _) = fit.skin.meet(&ray)?;
            Some((-ray.dot(&fit.skin.normal(u)) / ray.norm()).clamp(-1.0, 1.0).acos().to_degrees())
        })
        .collect();
    let mean = angles.iter().sum::<f64>() / angles.len().max(1) as f64;
    let worst = angles.iter().copied().fold(0.0, f64::max);
    if mean > OBLIQUE_MEAN_DEG || worst > OBLIQUE_WORST_DEG {
        return Err(ScanRejection::TooOblique { degrees: mean.max(OBLIQUE_MEAN_DEG) as u32 });
    }
    Ok(())
}

fn unrolled(frame: &Frame, outline: &Polygon, skin: &skin::Skin) -> Option<Polygon> {
    let rays: Vec<Vector3<f64>> =
        outline.points().iter().map(|[x, y]| frame.intrinsics().ray(*x, *y)).collect();
    planimetry::lift(&rays, skin)
}

/// The body's direction in unrolled coordinates at the middle of the wound.
fn body_axis(frame: &Frame, middle: [f64; 2], skin: &skin::Skin) -> Option<[f64; 2]> {
    const STEP: f64 = 4.0;
    let axis = frame.body_axis()?;
    let at = |step: f64| {
        let ray = frame.intrinsics().ray(middle[0] + step * axis[0], middle[1] + step * axis[1]);
        skin.meet(&ray)
    };
    let ((_, u0, v0), (_, u1, v1)) = (at(-STEP)?, at(STEP)?);
    let length = (u1 - u0).hypot(v1 - v0);
    (length > 0.0).then(|| [(u1 - u0) / length, (v1 - v0) / length])
}

/// How many values carry as much as one independent value, because neighbours are related: the
/// sum of the residuals' correlation over near neighbours.
fn relation(around: &[&Point], fit: &Fit) -> f64 {
    const REACH: i64 = 2;
    let residuals: std::collections::HashMap<(i64, i64), f64> = around
        .iter()
        .map(|point| {
            let height = fit.skin.place(&point.position).height;
            ((i64::from(point.column), i64::from(point.row)), height)
        })
        .filter(|(_, height)| height.abs() < 4.0 * fit.sigma)
        .collect();
    let power = residuals.values().map(|height| height * height).sum::<f64>()
        / residuals.len().max(1) as f64;
    if power <= 0.0 {
        return 1.0;
    }
    let mut sum = 0.0;
    for dx in -REACH..=REACH {
        for dy in -REACH..=REACH {
            let products = residuals.iter().filter_map(|((column, row), height)| {
                residuals.get(&(column + dx, row + dy)).map(|other| height * other)
            });
            let (count, total) = products.fold((0_usize, 0.0), |(n, t), p| (n + 1, t + p));
            if count > 8 {
                sum += total / count as f64 / power;
            }
        }
    }
    sum.clamp(1.0, 14.0)
}

/// Standard deviations of the lengths and the area: the figures are taken anew from skins and
/// boundaries that might as well be the true ones.
fn propagate(
    frame: &Frame,
    traced: &Polygon,
    plain: &Polygon,
    fit: &Fit,
    related: f64,
    axis: Option<[f64; 2]>,
    error: BoundaryError,
) -> Planimetry {
    let mut random = Random::new(0x0051_6D41);
    let base = planimetry::measure(plain, &fit.skin, axis);
    let mut squares = [0.0; 4];
    let mut drawn = 0_usize;
    for _ in 0..DRAWS {
        let normal = SVector::<f64, PARAMETERS>::from_fn(|_, _| random.normal());
        let skin = fit.skin.shifted(&(fit.root * normal * related.sqrt()));
        let moved = wavered(traced, error, &mut random);
        let scale = 1.0 + SCALE_SD * random.normal();
        let Some(moved) = moved.and_then(|moved| unrolled(frame, &moved, &skin)) else { continue };
        let figures = planimetry::measure(&moved, &skin, axis);
        for (square, (value, reference)) in squares.iter_mut().zip([
            (figures.area * scale * scale, base.area),
            (figures.perimeter * scale, base.perimeter),
            (figures.length * scale, base.length),
            (figures.width * scale, base.width),
        ]) {
            *square += (value - reference).powi(2);
        }
        drawn += 1;
    }
    let [area, perimeter, length, width] =
        squares.map(|square| (square / drawn.max(1) as f64).sqrt());
    Planimetry { area, perimeter, length, width }
}

/// The outline moved as its error might have moved it: in or out as a whole, and in waves.
fn wavered(outline: &Polygon, error: BoundaryError, random: &mut Random) -> Option<Polygon> {
    const WAVES: usize = 6;
    let offset = error.offset * random.normal();
    let waves: Vec<(f64, f64)> = (0..WAVES).map(|_| (random.normal(), random.normal())).collect();
    let strength = error.ragged / (WAVES as f64).sqrt();
    let points = outline.points();
    let count = points.len();
    let turn = if outline.is_clockwise() { -1.0 } else { 1.0 };
    let moved = (0..count)
        .map(|i| {
            let (before, after) = (points[(i + count - 1) % count], points[(i + 1) % count]);
            let (dx, dy) = (after[0] - before[0], after[1] - before[1]);
            let length = dx.hypot(dy).max(1e-9);
            let phase = std::f64::consts::TAU * i as f64 / count as f64;
            let wave: f64 = waves
                .iter()
                .zip(1..)
                .map(|((a, b), k)| {
                    let angle = f64::from(k) * phase;
                    a * angle.cos() + b * angle.sin()
                })
                .sum();
            let by = turn * (offset + strength * wave);
            [points[i][0] + by * dy / length, points[i][1] - by * dx / length]
        })
        .collect();
    Polygon::new(moved)
}

fn deepest(
    frame: &Frame,
    boundary: &Polygon,
    cloud: &Cloud,
    fit: &Fit,
    related: f64,
    gap: f64,
    radius_mm: f64,
) -> Result<bed::Deepest, ScanRejection> {
    let (width, height) = frame.image().dimensions();
    let scale = [
        f64::from(frame.depth().width()) / f64::from(width),
        f64::from(frame.depth().height()) / f64::from(height),
    ];
    let in_depth_pixels = boundary
        .resampled(OUTLINE_POINTS)
        .points()
        .iter()
        .map(|[x, y]| [(x + 0.5) * scale[0] - 0.5, (y + 0.5) * scale[1] - 0.5])
        .collect();
    let boundary = Polygon::new(in_depth_pixels).ok_or(ScanRejection::NoWound)?;
    let samples: Vec<Sample> = cloud
        .points
        .iter()
        .filter(|point| point.confidence > 0 && point.beyond < gap)
        .map(|point| Sample {
            at: [f64::from(point.column), f64::from(point.row)],
            below: -fit.skin.place(&point.position).height,
        })
        .collect();
    let sigma = fit.sigma * related.sqrt();
    bed::deepest(&samples, &boundary, sigma, radius_mm).ok_or(ScanRejection::Inconsistent)
}
