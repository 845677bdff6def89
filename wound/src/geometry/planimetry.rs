//! What is measured in the unrolled skin: area, perimeter, length and width.

use nalgebra::Vector3;

use super::polygon::Polygon;
use super::skin::Skin;

/// Directions tried for the greatest extent: one each degree.
const DIRECTIONS: u32 = 180;
/// Radial quadrature points and weights for triangles from the centre, ∫ f(s) s ds on [0, 1].
const RADIAL: [(f64, f64); 3] = [
    (0.212_340_538_2, 0.069_826_979_9),
    (0.590_533_135_6, 0.229_241_106_4),
    (0.911_412_040_5, 0.200_931_913_7),
];

/// Lengths and area on the skin, mm and mm².
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planimetry {
    pub(crate) area: f64,
    pub(crate) perimeter: f64,
    pub(crate) length: f64,
    pub(crate) width: f64,
}

/// Lifts a boundary in image pixels onto the skin, as a polygon in unrolled coordinates. None
/// where a ray passes the skin by.
pub(crate) fn lift(rays: &[Vector3<f64>], skin: &Skin) -> Option<Polygon> {
    let points: Option<Vec<[f64; 2]>> =
        rays.iter().map(|ray| skin.meet(ray).map(|(_, u, v)| [u, v])).collect();
    Polygon::new(points?)
}

/// Measures a boundary on the skin. `axis` is the body's direction in unrolled coordinates; with
/// none the length is the greatest extent in any direction.
pub(crate) fn measure(boundary: &Polygon, skin: &Skin, axis: Option<[f64; 2]>) -> Planimetry {
    let axis = axis.unwrap_or_else(|| longest(boundary));
    let side = [-axis[1], axis[0]];
    Planimetry {
        area: area(boundary, skin),
        perimeter: boundary.edges().map(|(a, b)| distance(skin, a, b)).sum(),
        length: extent(boundary, skin, axis),
        width: extent(boundary, skin, side),
    }
}

fn longest(boundary: &Polygon) -> [f64; 2] {
    let mut best = ([1.0, 0.0], 0.0);
    for step in 0..DIRECTIONS {
        let angle = std::f64::consts::PI * f64::from(step) / f64::from(DIRECTIONS);
        let direction = [angle.cos(), angle.sin()];
        let (low, high) = boundary.extent(direction);
        if high - low > best.1 {
            best = (direction, high - low);
        }
    }
    best.0
}

/// Area as the sum of signed triangles from the centre, each weighted with the skin's own
/// stretching.
fn area(boundary: &Polygon, skin: &Skin) -> f64 {
    let centre = boundary.centroid();
    let sum: f64 = boundary
        .edges()
        .map(|(a, b)| {
            let (ax, ay) = (a[0] - centre[0], a[1] - centre[1]);
            let (bx, by) = (b[0] - centre[0], b[1] - centre[1]);
            let (mx, my) = (0.5 * (ax + bx), 0.5 * (ay + by));
            let mean: f64 = RADIAL
                .iter()
                .map(|(s, weight)| {
                    weight * skin.metric(centre[0] + s * mx, centre[1] + s * my, [1.0, 0.0]).1
                })
                .sum();
            (ax * by - ay * bx) * mean
        })
        .sum();
    sum.abs()
}

/// Length on the skin of a short straight line of the unrolled plane.
fn distance(skin: &Skin, a: [f64; 2], b: [f64; 2]) -> f64 {
    let step = [b[0] - a[0], b[1] - a[1]];
    skin.metric(0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1]), step).0.sqrt()
}

/// Extent in a direction, along the skin as a tape would lie through the middle.
fn extent(boundary: &Polygon, skin: &Skin, direction: [f64; 2]) -> f64 {
    const PIECES: u32 = 16;
    let (low, high) = boundary.extent(direction);
    let centre = boundary.centroid();
    let offset = centre[0] * direction[0] + centre[1] * direction[1];
    let at = |t: f64| {
        let along = low + t * (high - low) - offset;
        [centre[0] + along * direction[0], centre[1] + along * direction[1]]
    };
    (0..PIECES)
        .map(|i| {
            let (a, b) = (f64::from(i), f64::from(i + 1));
            distance(skin, at(a / f64::from(PIECES)), at(b / f64::from(PIECES)))
        })
        .sum()
}
