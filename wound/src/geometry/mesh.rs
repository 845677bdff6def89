//! Surfaces that come with the wound already marked: the faces of one colour are the wound.

use nalgebra::Vector3;

use super::measure::{Figure, Figures};
use super::rejection::ScanRejection;
use crate::capture::Surface;

/// Pure yellow, the colour with which annotation programs mark the wound's faces.
pub const WOUND_YELLOW: [u8; 3] = [255, 255, 0];

/// How well a scanner's vertices are known, as a share of lengths.
const LENGTH_SD: f64 = 0.004;
/// A mesh's vertices scatter by about this, mm.
const VERTEX_SD_MM: f64 = 0.3;

/// Measures the faces of a colour: area, perimeter, length and width. Depth and volume are not
/// known from the marked faces alone, as they are the bed's and not the skin's; they are those
/// below the flat that best fits the marked patch's edge.
///
/// # Errors
/// No faces, or none of that colour.
pub fn measure_marked_faces(surface: &Surface, colour: [u8; 3]) -> Result<Figures, ScanRejection> {
    let Some(colours) = surface.face_colours.as_ref().filter(|it| !it.is_empty()) else {
        return Err(if surface.faces.is_empty() {
            ScanRejection::SurfaceEmpty
        } else {
            ScanRejection::SurfaceUnmarked
        });
    };
    let marked: Vec<[u32; 3]> = surface
        .faces
        .iter()
        .zip(colours)
        .filter(|(_, found)| **found == colour)
        .map(|(face, _)| *face)
        .collect();
    if marked.is_empty() {
        return Err(ScanRejection::SurfaceUnmarked);
    }
    let at = |index: u32| Vector3::from(surface.vertices[index as usize]) * 1000.0;
    let mut area = 0.0;
    let mut weighted = Vector3::zeros();
    let mut edges: std::collections::BTreeMap<(u32, u32), usize> =
        std::collections::BTreeMap::new();
    for [a, b, c] in &marked {
        let cross = (at(*b) - at(*a)).cross(&(at(*c) - at(*a)));
        area += 0.5 * cross.norm();
        weighted += cross;
        for (from, to) in [(a, b), (b, c), (c, a)] {
            *edges.entry((*from.min(to), *from.max(to))).or_default() += 1;
        }
    }
    if area <= 0.0 || weighted.norm() <= 0.0 {
        return Err(ScanRejection::SurfaceEmpty);
    }
    let normal = weighted.normalize();
    let border: Vec<(u32, u32)> =
        edges.into_iter().filter(|(_, count)| *count == 1).map(|(edge, _)| edge).collect();
    let perimeter: f64 = border.iter().map(|(a, b)| (at(*b) - at(*a)).norm()).sum();

    let rim: Vec<Vector3<f64>> = border.iter().map(|(a, _)| at(*a)).collect();
    let centre = rim.iter().sum::<Vector3<f64>>() / rim.len().max(1) as f64;
    let helper = if normal.x.abs() < 0.8 { Vector3::x() } else { Vector3::y() };
    let first = normal.cross(&helper).normalize();
    let second = normal.cross(&first);
    let flat: Vec<[f64; 2]> = rim
        .iter()
        .map(|point| [(point - centre).dot(&first), (point - centre).dot(&second)])
        .collect();
    let (length, width) = caliper(&flat);
    let length_sd = |value: f64| (LENGTH_SD * value).hypot(VERTEX_SD_MM);
    let figure = |value: f64| Figure { value, sd: length_sd(value) };

    let below = |point: &Vector3<f64>| -(point - centre).dot(&normal);
    let mut max_depth: f64 = 0.0;
    let mut volume = 0.0;
    for face in &marked {
        let [a, b, c] = face.map(at);
        let flat_area = 0.5 * (b - a).cross(&(c - a)).dot(&normal);
        let mean = (below(&a) + below(&b) + below(&c)) / 3.0;
        volume += flat_area * mean;
        max_depth = max_depth.max(below(&a)).max(below(&b)).max(below(&c));
    }
    Ok(Figures {
        area_mm2: Figure {
            value: area,
            sd: (2.0 * LENGTH_SD * area)
                .hypot(VERTEX_SD_MM * perimeter / (rim.len() as f64).sqrt()),
        },
        perimeter_mm: figure(perimeter),
        length_mm: figure(length),
        width_mm: figure(width),
        max_depth_mm: Figure { value: max_depth, sd: length_sd(max_depth) },
        volume_mm3: Figure { value: volume.max(0.0), sd: VERTEX_SD_MM * area },
        head_to_toe: false,
        outline: Vec::new(),
    })
}

/// The greatest extent in any direction, and the extent across it.
fn caliper(points: &[[f64; 2]]) -> (f64, f64) {
    let extent = |angle: f64| {
        let project = |point: &[f64; 2]| point[0] * angle.cos() + point[1] * angle.sin();
        let values = points.iter().map(project);
        values.clone().fold(f64::MIN, f64::max) - values.fold(f64::MAX, f64::min)
    };
    let angles = (0..180).map(|degree| f64::from(degree).to_radians());
    let best = angles.max_by(|a, b| extent(*a).total_cmp(&extent(*b))).unwrap_or_default();
    (extent(best), extent(best + std::f64::consts::FRAC_PI_2))
}
