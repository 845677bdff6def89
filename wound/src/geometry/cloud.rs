//! The depth map around a wound as points in space: aligned with the picture through the
//! intrinsics, freed of what the sensor itself doubts and of points that no surface carries.

use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;
use rstar::RTree;
use rstar::primitives::GeomWithData;

use super::bed::SENSOR_BLUR_PIXELS;
use super::polygon::Polygon;
use super::skin::Skin;
use crate::capture::Frame;

/// Neighbours that decide whether a point belongs to a surface.
const NEIGHBOURS: usize = 9;
/// Neighbours that give the normal.
const NEIGHBOURS_NORMAL: usize = 28;
/// A point whose neighbours are this many times farther off than usual flies.
const FLYING: f64 = 2.5;
/// More than this the smoothing does to no skin that is seen well enough.
const SHARPEN_MAX_MM: f64 = 1.5;
/// Points at which the surface is seen under less than this (cosine) are not trusted.
const FACING_MIN: f64 = 0.25;

/// A depth pixel in space.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) column: u32,
    pub(crate) row: u32,
    /// In the colour image.
    pub(crate) pixel: [f64; 2],
    /// Camera coordinates, mm.
    pub(crate) position: Vector3<f64>,
    /// 0 to 2; 2 where the sensor does not say.
    pub(crate) confidence: u8,
    /// To the wound's boundary in colour pixels, negative inside.
    pub(crate) beyond: f64,
    /// On a surface that faces the camera, and not flying.
    pub(crate) sound: bool,
}

/// The points around a wound, and what the map lacks there.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) points: Vec<Point>,
    /// Depth pixels inside the boundary, measured or not.
    pub(crate) inside: usize,
    /// Those of them with a value.
    pub(crate) inside_measured: usize,
    /// Those of them with a value and medium or high confidence.
    pub(crate) inside_confident: usize,
}

/// Colour pixels per depth pixel, across and down.
pub(crate) fn pixel_scale(frame: &Frame) -> [f64; 2] {
    let (width, height) = frame.image().dimensions();
    let depth = frame.depth();
    [f64::from(width) / f64::from(depth.width()), f64::from(height) / f64::from(depth.height())]
}

/// The solid angle of a depth pixel, as the area it covers on a plane across at distance one.
pub(crate) fn opening(frame: &Frame) -> f64 {
    let [across, down] = pixel_scale(frame);
    across * down / (frame.intrinsics().fx * frame.intrinsics().fy)
}

/// Collects the points inside the boundary and up to `reach` colour pixels around it.
pub(crate) fn collect(frame: &Frame, boundary: &Polygon, reach: f64) -> Cloud {
    let depth = frame.depth();
    let (low, high) = boundary.bounds();
    let mut cloud =
        Cloud { points: Vec::new(), inside: 0, inside_measured: 0, inside_confident: 0 };
    for row in 0..depth.height() {
        for column in 0..depth.width() {
            let pixel = frame.depth_to_image(f64::from(column), f64::from(row));
            let near =
                (0..2).all(|axis| (low[axis] - reach..=high[axis] + reach).contains(&pixel[axis]));
            if !near {
                continue;
            }
            let beyond = boundary.signed_distance(pixel);
            if beyond > reach {
                continue;
            }
            let inside = beyond < 0.0;
            cloud.inside += usize::from(inside);
            let Some(metres) = depth.at(column, row) else { continue };
            cloud.inside_measured += usize::from(inside);
            let index = (row * depth.width() + column) as usize;
            let confidence = frame.confidence().map_or(2, |values| values[index]);
            cloud.inside_confident += usize::from(inside && confidence > 0);
            let position = frame.intrinsics().ray(pixel[0], pixel[1]) * (metres * 1000.0);
            cloud.points.push(Point {
                column,
                row,
                pixel,
                position,
                confidence,
                beyond,
                sound: confidence > 0,
            });
        }
    }
    mark_unsound(&mut cloud.points);
    cloud
}

/// Takes back what the sensor's smoothing does to a curved skin: it deepens a limb the more the
/// flatter it is seen, which would make the limb too round. By the skin as it was found without.
pub(crate) fn sharpen(frame: &Frame, points: &mut [Point], skin: &Skin) {
    let [across, down] = pixel_scale(frame);
    let seen = |pixel: [f64; 2], dx: f64, dy: f64| {
        let ray = frame.intrinsics().ray(pixel[0] + dx * across, pixel[1] + dy * down);
        skin.meet(&ray).map(|(depth, ..)| depth)
    };
    points.par_iter_mut().for_each(|point| {
        let around = [(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)];
        let around: Option<Vec<f64>> =
            around.iter().map(|(dx, dy)| seen(point.pixel, *dx, *dy)).collect();
        if let (Some(around), Some(here)) = (around, seen(point.pixel, 0.0, 0.0)) {
            let bend = around.iter().sum::<f64>() - 4.0 * here;
            let deepened = 0.5 * SENSOR_BLUR_PIXELS.powi(2) * bend;
            point.position *= 1.0 - deepened.clamp(0.0, SHARPEN_MAX_MM) / point.position.z;
        }
    });
}

type Entry = GeomWithData<[f64; 3], usize>;

/// Marks points that fly between surfaces, and points on surfaces that turn away.
fn mark_unsound(points: &mut [Point]) {
    let entries: Vec<Entry> = points
        .iter()
        .enumerate()
        .filter(|(_, point)| point.confidence > 0)
        .map(|(index, point)| Entry::new(point.position.into(), index))
        .collect();
    if entries.len() <= NEIGHBOURS_NORMAL {
        return;
    }
    let tree = RTree::bulk_load(entries.clone());
    let known = &*points;
    let looked_at: Vec<(usize, f64, f64)> = entries
        .par_iter()
        .map(|entry| {
            let position = known[entry.data].position;
            let around: Vec<Vector3<f64>> = tree
                .nearest_neighbor_iter([position.x, position.y, position.z])
                .take(NEIGHBOURS_NORMAL)
                .map(|neighbour| known[neighbour.data].position)
                .collect();
            // The nearest is the point itself. Points spread with distance, so the spacing is
            // compared as an angle.
            let near = &around[1..=NEIGHBOURS];
            let mean =
                near.iter().map(|other| (other - position).norm()).sum::<f64>() / NEIGHBOURS as f64;
            let facing = normal(&around).dot(&position.normalize()).abs();
            (entry.data, mean / position.z, facing)
        })
        .collect();
    let mut sorted: Vec<f64> = looked_at.iter().map(|(_, mean, _)| *mean).collect();
    let middle = sorted.len() / 2;
    let (_, median, _) = sorted.select_nth_unstable_by(middle, f64::total_cmp);
    let limit = FLYING * *median;
    for (index, mean, facing) in looked_at {
        points[index].sound &= mean <= limit && facing >= FACING_MIN;
    }
}

/// The direction in which points spread least.
pub(crate) fn normal(points: &[Vector3<f64>]) -> Vector3<f64> {
    let count = points.len() as f64;
    let mean = points.iter().sum::<Vector3<f64>>() / count;
    let mut spread = Matrix3::zeros();
    for point in points {
        let offset = point - mean;
        spread += offset * offset.transpose();
    }
    let eigen = spread.symmetric_eigen();
    let least = eigen.eigenvalues.imin();
    eigen.eigenvectors.column(least).into_owned()
}
