//! What is not known of a figure, from its causes: the noise of the depth values, related among
//! neighbours, that the skin's fit rests on; the error of the boundary; the scale of the map. Each
//! figure is computed again with each cause one standard deviation off, and the differences are summed
//! as squares.

use nalgebra::Vector3;

use super::bed::Bed;
use super::cloud::{self, Cloud, Point};
use super::measure::BoundaryError;
use super::planimetry::{self, Planimetry};
use super::polygon::Polygon;
use super::skin::{Fit, Skin};
use crate::capture::Frame;

/// How well a phone's depth scale is known, as a share.
pub(crate) const SCALE_SD: f64 = 0.005;
/// Waves along the outline that its raggedness consists of.
const WAVES: u32 = 6;
/// Neighbours in depth pixels over which values are related.
const RELATED_REACH: usize = 3;
/// Residuals beyond this many sigmas are no noise.
const STRANGE_SIGMAS: f64 = 4.0;
/// Pixels of the wound on which the skin's error is summed.
const PIXELS_MAX: usize = 300;

/// How many values carry as much as one independent value, because neighbours are related: the
/// sum of the residuals' correlation over near neighbours.
pub(crate) fn relation(around: &[&Point], fit: &Fit) -> f64 {
    let columns = around.iter().map(|point| point.column as usize);
    let rows = around.iter().map(|point| point.row as usize);
    let (Some(left), Some(right), Some(top), Some(bottom)) =
        (columns.clone().min(), columns.max(), rows.clone().min(), rows.max())
    else {
        return 1.0;
    };
    // A margin, so that no neighbour lies outside.
    let width = right - left + 1 + 2 * RELATED_REACH;
    let mut residuals = vec![f64::NAN; width * (bottom - top + 1 + RELATED_REACH)];
    let mut places = Vec::with_capacity(around.len());
    for point in around {
        let height = fit.skin.place(&point.position).height;
        if height.abs() < STRANGE_SIGMAS * fit.sigma {
            let column = point.column as usize - left + RELATED_REACH;
            let place = (point.row as usize - top) * width + column;
            residuals[place] = height;
            places.push(place);
        }
    }
    let mean = |offset: usize| {
        let products = places.iter().map(|place| residuals[*place] * residuals[*place + offset]);
        let known = products.filter(|product| !product.is_nan());
        let (count, total) = known.fold((0_usize, 0.0), |(n, t), product| (n + 1, t + product));
        if count > 8 { total / count as f64 } else { 0.0 }
    };
    let power = mean(0);
    if power <= 0.0 {
        return 1.0;
    }
    // Each neighbour has its opposite, so half of them are asked.
    let reach = RELATED_REACH;
    let beside = (1..=reach).map(mean).sum::<f64>();
    let below =
        (1..=reach).flat_map(|row| (0..=2 * reach).map(move |column| row * width + column - reach));
    let sum = 1.0 + 2.0 * (beside + below.map(mean).sum::<f64>()) / power;
    sum.clamp(1.0, RELATED_MAX)
}

/// A phone's depth map is smoothed over few pixels; more than this is the skin's own shape.
const RELATED_MAX: f64 = 14.0;

/// The figures on the skin of an outline in image pixels, and whether their axis is the body's.
/// None where a ray passes the skin by.
pub(crate) fn on_skin(frame: &Frame, outline: &Polygon, skin: &Skin) -> Option<(Planimetry, bool)> {
    let points = outline.points().iter();
    let rays: Vec<Vector3<f64>> = points.map(|[x, y]| frame.intrinsics().ray(*x, *y)).collect();
    let lifted = planimetry::lift(&rays, skin)?;
    let axis = body_axis(frame, outline.centroid(), skin);
    Some((planimetry::measure(&lifted, skin, axis), axis.is_some()))
}

/// The body's direction in unrolled coordinates at the middle of the wound.
fn body_axis(frame: &Frame, middle: [f64; 2], skin: &Skin) -> Option<[f64; 2]> {
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

/// Standard deviations of the lengths and the area, and the part of the area's that the outline
/// alone is the cause of.
pub(crate) fn spread(
    frame: &Frame,
    outline: &Polygon,
    skin: &Skin,
    doubts: &[Skin],
    error: BoundaryError,
) -> Option<(Planimetry, f64)> {
    let list = |of: Planimetry| [of.area, of.perimeter, of.length, of.width];
    let base = list(on_skin(frame, outline, skin)?.0);
    let mut squares = [2.0, 1.0, 1.0, 1.0];
    for (square, value) in squares.iter_mut().zip(base) {
        *square = (*square * SCALE_SD * value).powi(2);
    }
    let mut add = |other: Planimetry| {
        for ((square, value), reference) in squares.iter_mut().zip(list(other)).zip(base) {
            *square += (value - reference).powi(2);
        }
        (other.area - base[0]).powi(2)
    };
    for (other, _) in doubts.iter().filter_map(|doubt| on_skin(frame, outline, doubt)) {
        add(other);
    }
    let other_outlines = wavered(outline, error);
    let by_outline: f64 = other_outlines
        .iter()
        .filter_map(|other| on_skin(frame, other, skin))
        .map(|(other, _)| add(other))
        .sum();
    let [area, perimeter, length, width] = squares.map(f64::sqrt);
    Some((Planimetry { area, perimeter, length, width }, by_outline.sqrt()))
}

/// The outline moved as its error might have moved it: in or out as a whole, and in waves.
fn wavered(outline: &Polygon, error: BoundaryError) -> Vec<Polygon> {
    let points = outline.points();
    let count = points.len();
    let turn = if outline.is_clockwise() { -1.0 } else { 1.0 };
    let moved = |by: &dyn Fn(f64) -> f64| {
        let moved = (0..count).map(|i| {
            let (before, after) = (points[(i + count - 1) % count], points[(i + 1) % count]);
            let (dx, dy) = (after[0] - before[0], after[1] - before[1]);
            let length = dx.hypot(dy).max(1e-9);
            let by = turn * by(std::f64::consts::TAU * i as f64 / count as f64);
            [points[i][0] + by * dy / length, points[i][1] - by * dx / length]
        });
        Polygon::new(moved.collect())
    };
    let strength = error.ragged / f64::from(WAVES).sqrt();
    let offset = (error.offset > 0.0).then(|| moved(&|_| error.offset));
    let waves = (1..=WAVES).filter(|_| strength > 0.0).flat_map(|wave| {
        let k = f64::from(wave);
        [moved(&|phase| strength * (k * phase).cos()), moved(&|phase| strength * (k * phase).sin())]
    });
    offset.into_iter().chain(waves).flatten().collect()
}

/// What the skin's error does to the deepest place and to the volume, as standard deviations.
pub(crate) struct DepthError {
    pub(crate) depth: f64,
    pub(crate) volume: f64,
}

/// The error of depth and volume from that of the skin above the wound.
pub(crate) fn depth_error(
    frame: &Frame,
    cloud: &Cloud,
    skin: &Skin,
    doubts: &[Skin],
    bed: &Bed,
) -> DepthError {
    let opening = cloud::opening(frame);
    let inside: Vec<Vector3<f64>> = cloud
        .points
        .iter()
        .filter(|point| point.beyond < 0.0)
        .map(|point| point.position / point.position.z)
        .collect();
    let stride = inside.len().div_ceil(PIXELS_MAX).max(1);
    let asked: Vec<(Vector3<f64>, f64)> = inside
        .iter()
        .step_by(stride)
        .filter_map(|ray| skin.meet(ray).map(|(depth, ..)| (*ray, depth)))
        .collect();
    let per_pixel = cloud.inside as f64 / asked.len().max(1) as f64;
    let [x, y] = frame.depth_to_image(bed.deepest[0], bed.deepest[1]);
    let sight = frame.intrinsics().ray(x, y);
    let deepest = skin.meet(&sight).map(|(depth, ..)| sight * depth);
    let (mut depth, mut volume) = (0.0, 0.0);
    for doubt in doubts {
        depth += deepest.map_or(0.0, |place| doubt.place(&place).height.powi(2));
        let columns = asked.iter().filter_map(|(ray, here)| {
            doubt.meet(ray).map(|(there, ..)| (there.powi(3) - here.powi(3)) / 3.0)
        });
        volume += (columns.sum::<f64>() * opening * per_pixel).powi(2);
    }
    DepthError { depth: depth.sqrt(), volume: volume.sqrt() }
}
