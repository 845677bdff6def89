//! The wound's boundary as a sub-pixel contour of a probability map.

use std::collections::HashMap;

use super::polygon::Polygon;

/// A cell belongs to the wound from this probability on.
const LEVEL: f64 = 0.5;

/// Every closed contour at one half, largest first, in pixels of the image that the map covers.
///
/// The map's border counts as outside, so a wound that leaves the picture still closes; that it
/// touches the border is for the caller to see. Holes are not contours of their own: a spot of
/// doubt inside a wound is wound.
#[must_use]
pub fn contours(map: &[f32], width: usize, height: usize, image_size: (u32, u32)) -> Vec<Polygon> {
    if width == 0 || height == 0 || map.len() != width * height {
        return Vec::new();
    }
    let rings = trace(map, width, height);
    let scale_x = f64::from(image_size.0) / width as f64;
    let scale_y = f64::from(image_size.1) / height as f64;
    let mut polygons: Vec<Polygon> = rings
        .into_iter()
        .filter_map(|ring| {
            let to_image = |point: [f64; 2]| {
                [(point[0] + 0.5) * scale_x - 0.5, (point[1] + 0.5) * scale_y - 0.5]
            };
            Polygon::new(ring.into_iter().map(to_image).collect())
        })
        .collect();
    polygons.sort_by(|a, b| b.area().total_cmp(&a.area()));
    // What lies inside a larger contour is a hole in it, or an island in such a hole.
    let mut outer: Vec<Polygon> = Vec::new();
    for polygon in polygons {
        let point = polygon.points()[0];
        if !outer.iter().any(|larger| larger.contains(point)) {
            outer.push(polygon);
        }
    }
    outer
}

/// A crossing of the level, between a grid point and its right (0) or lower (1) neighbour.
type Crossing = (i64, i64, u8);

/// Marching squares over the map with a border of zeros, joined to rings.
fn trace(map: &[f32], width: usize, height: usize) -> Vec<Vec<[f64; 2]>> {
    let (columns, rows) = (width as i64, height as i64);
    let at = |x: i64, y: i64| {
        if (0..columns).contains(&x) && (0..rows).contains(&y) {
            f64::from(map[y as usize * width + x as usize])
        } else {
            0.0
        }
    };
    // Each crossing is entered once and left once, so following the links closes every ring.
    let mut next: HashMap<Crossing, Crossing> = HashMap::new();
    for y in -1..rows {
        for x in -1..columns {
            let corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
            let inside = corners.map(|value| value >= LEVEL);
            let edges: [Crossing; 4] = [(x, y, 0), (x + 1, y, 1), (x, y + 1, 0), (x, y, 1)];
            let code = inside.iter().enumerate().map(|(i, on)| u8::from(*on) << i).sum::<u8>();
            let joined = corners.iter().sum::<f64>() / 4.0 >= LEVEL;
            // Inside lies to the right of the way from the first edge to the second.
            let links: &[(usize, usize)] = match code {
                1 => &[(0, 3)],
                2 => &[(1, 0)],
                3 => &[(1, 3)],
                4 => &[(2, 1)],
                5 if joined => &[(0, 1), (2, 3)],
                5 => &[(0, 3), (2, 1)],
                6 => &[(2, 0)],
                7 => &[(2, 3)],
                8 => &[(3, 2)],
                9 => &[(0, 2)],
                10 if joined => &[(1, 2), (3, 0)],
                10 => &[(1, 0), (3, 2)],
                11 => &[(1, 2)],
                12 => &[(3, 1)],
                13 => &[(0, 1)],
                14 => &[(3, 0)],
                _ => &[],
            };
            for (from, to) in links {
                next.insert(edges[*from], edges[*to]);
            }
        }
    }
    let place = |(x, y, side): Crossing| {
        let (to_x, to_y) = if side == 0 { (x + 1, y) } else { (x, y + 1) };
        let (a, b) = (at(x, y), at(to_x, to_y));
        let t = if (b - a).abs() > 1e-12 { ((LEVEL - a) / (b - a)).clamp(0.0, 1.0) } else { 0.5 };
        [x as f64 + t * (to_x - x) as f64, y as f64 + t * (to_y - y) as f64]
    };
    // The order of a hash map is random; a wound's figures must not be.
    let mut starts: Vec<Crossing> = next.keys().copied().collect();
    starts.sort_unstable();
    let mut rings = Vec::new();
    for start in starts {
        let mut ring = Vec::new();
        let mut here = start;
        while let Some(following) = next.remove(&here) {
            ring.push(place(here));
            here = following;
        }
        if ring.len() >= 3 {
            rings.push(ring);
        }
    }
    rings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disc(width: usize, height: usize, discs: &[(f64, f64, f64)]) -> Vec<f32> {
        let value = |x: f64, y: f64| {
            discs
                .iter()
                .map(|(cx, cy, r)| 0.5 + 0.25 * (r - (x - cx).hypot(y - cy)))
                .fold(0.0, f64::max)
                .clamp(0.0, 1.0) as f32
        };
        (0..width * height).map(|i| value((i % width) as f64, (i / width) as f64)).collect()
    }

    #[test]
    fn a_disc_comes_back_with_its_area_to_a_part_in_a_hundred() {
        let map = disc(64, 48, &[(30.3, 22.8, 10.0)]);
        let found = contours(&map, 64, 48, (640, 480));
        assert_eq!(found.len(), 1);
        let area = std::f64::consts::PI * 100.0 * 100.0;
        assert!((found[0].area() / area - 1.0).abs() < 0.01, "{}", found[0].area());
        let centre = found[0].centroid();
        assert!((centre[0] - 307.5).abs() < 0.5 && (centre[1] - 232.5).abs() < 0.5, "{centre:?}");
    }

    #[test]
    fn a_hole_is_filled_and_a_second_wound_is_told_apart() {
        let mut map = disc(64, 48, &[(20.0, 22.0, 10.0), (50.0, 30.0, 5.0)]);
        map[22 * 64 + 20] = 0.0;
        let found = contours(&map, 64, 48, (64, 48));
        assert_eq!(found.len(), 2);
        assert!((found[0].area() - std::f64::consts::PI * 100.0).abs() < 5.0);
    }

    #[test]
    fn a_wound_that_leaves_the_picture_still_closes() {
        let map = disc(32, 32, &[(0.0, 16.0, 8.0)]);
        let found = contours(&map, 32, 32, (32, 32));
        assert_eq!(found.len(), 1);
        assert!(found[0].bounds().0[0] < 0.0);
    }

    #[test]
    fn nothing_has_no_contour() {
        assert!(contours(&vec![0.49; 64], 8, 8, (8, 8)).is_empty());
        assert!(contours(&[], 0, 0, (8, 8)).is_empty());
    }
}
