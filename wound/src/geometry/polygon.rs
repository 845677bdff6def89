//! Closed polygons in a plane: area, extent, nearness and shape.

/// A closed polygon; the last point joins the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Polygon {
    points: Vec<[f64; 2]>,
}

impl Polygon {
    /// A polygon of these points; none with fewer than three, or without area.
    #[must_use]
    pub fn new(points: Vec<[f64; 2]>) -> Option<Self> {
        let polygon = Self { points };
        let sound = polygon.points.len() >= 3
            && polygon.points.iter().flatten().all(|value| value.is_finite())
            && polygon.signed_area().abs() > 1e-9;
        sound.then_some(polygon)
    }

    /// The corners.
    #[must_use]
    pub fn points(&self) -> &[[f64; 2]] {
        &self.points
    }

    /// Every edge with its two ends.
    pub fn edges(&self) -> impl Iterator<Item = ([f64; 2], [f64; 2])> + '_ {
        let next = self.points.iter().cycle().skip(1);
        self.points.iter().zip(next).map(|(a, b)| (*a, *b))
    }

    fn signed_area(&self) -> f64 {
        self.edges().map(|(a, b)| 0.5 * (a[0] * b[1] - b[0] * a[1])).sum()
    }

    /// Whether the points go round with the inside on their right, y pointing down being up.
    pub(crate) fn is_clockwise(&self) -> bool {
        self.signed_area() < 0.0
    }

    /// The area inside.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.signed_area().abs()
    }

    /// The centre of the area.
    #[must_use]
    pub fn centroid(&self) -> [f64; 2] {
        let area = self.signed_area();
        let (mut x, mut y) = (0.0, 0.0);
        for (a, b) in self.edges() {
            let cross = a[0] * b[1] - b[0] * a[1];
            x += (a[0] + b[0]) * cross;
            y += (a[1] + b[1]) * cross;
        }
        [x / (6.0 * area), y / (6.0 * area)]
    }

    /// Lowest and highest coordinates.
    #[must_use]
    pub fn bounds(&self) -> ([f64; 2], [f64; 2]) {
        let fold = |pick: fn(f64, f64) -> f64, start: f64, axis: usize| {
            self.points.iter().map(|point| point[axis]).fold(start, pick)
        };
        (
            [fold(f64::min, f64::MAX, 0), fold(f64::min, f64::MAX, 1)],
            [fold(f64::max, f64::MIN, 0), fold(f64::max, f64::MIN, 1)],
        )
    }

    /// Whether a point lies inside, by the even-odd rule.
    #[must_use]
    pub fn contains(&self, point: [f64; 2]) -> bool {
        let mut inside = false;
        for (a, b) in self.edges() {
            if (a[1] > point[1]) != (b[1] > point[1]) {
                let x = a[0] + (point[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
                inside ^= point[0] < x;
            }
        }
        inside
    }

    /// Where the horizontal line at `y` crosses the boundary, from left to right; between the
    /// first and the second it is inside, and so on.
    pub(crate) fn crossings(&self, y: f64) -> Vec<f64> {
        let mut crossings: Vec<f64> = self
            .edges()
            .filter(|(a, b)| (a[1] > y) != (b[1] > y))
            .map(|(a, b)| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
            .collect();
        crossings.sort_by(f64::total_cmp);
        crossings
    }

    /// Distance to the boundary, negative inside.
    #[must_use]
    pub fn signed_distance(&self, point: [f64; 2]) -> f64 {
        let nearest = self
            .edges()
            .map(|(a, b)| {
                let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                let length = dx * dx + dy * dy;
                let (px, py) = (point[0] - a[0], point[1] - a[1]);
                let t =
                    if length > 0.0 { ((px * dx + py * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
                (px - t * dx).powi(2) + (py - t * dy).powi(2)
            })
            .fold(f64::MAX, f64::min)
            .sqrt();
        if self.contains(point) { -nearest } else { nearest }
    }

    /// Extent in a direction (a unit vector): the least and the greatest projection.
    #[must_use]
    pub fn extent(&self, direction: [f64; 2]) -> (f64, f64) {
        let project = |point: &[f64; 2]| point[0] * direction[0] + point[1] * direction[1];
        self.points
            .iter()
            .map(project)
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    }

    /// The same shape with corners no farther apart than `step`, the given corners kept.
    #[must_use]
    pub fn densified(&self, step: f64) -> Self {
        let mut points = Vec::new();
        for (a, b) in self.edges() {
            let pieces = ((b[0] - a[0]).hypot(b[1] - a[1]) / step).ceil().clamp(1.0, 1e4) as usize;
            points.extend((0..pieces).map(|i| {
                let t = i as f64 / pieces as f64;
                [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
            }));
        }
        Self { points }
    }

    /// `count` points at equal distances along the boundary.
    #[must_use]
    pub fn resampled(&self, count: usize) -> Self {
        let lengths: Vec<f64> =
            self.edges().map(|(a, b)| (b[0] - a[0]).hypot(b[1] - a[1])).collect();
        let step = lengths.iter().sum::<f64>() / count as f64;
        let mut points = Vec::with_capacity(count);
        let mut travelled = 0.0;
        for ((a, b), length) in self.edges().zip(&lengths) {
            while points.len() < count && points.len() as f64 * step <= travelled + length {
                let t = if *length > 0.0 {
                    (points.len() as f64 * step - travelled) / length
                } else {
                    0.0
                };
                points.push([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
            }
            travelled += length;
        }
        Self { points }
    }

    /// Smoothed along the boundary with a Gaussian of `sigma` points, area kept.
    ///
    /// A contour traced on a grid has steps that the wound has not, and they would lengthen it.
    #[must_use]
    pub fn smoothed(&self, sigma: f64) -> Self {
        let count = self.points.len() as i64;
        let reach = (3.0 * sigma).ceil() as i64;
        let weights: Vec<f64> =
            (-reach..=reach).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut points: Vec<[f64; 2]> = (0..count)
            .map(|i| {
                let mut sum = [0.0; 2];
                for (offset, weight) in (-reach..=reach).zip(&weights) {
                    let point = self.points[(i + offset).rem_euclid(count) as usize];
                    sum[0] += weight * point[0];
                    sum[1] += weight * point[1];
                }
                [sum[0] / total, sum[1] / total]
            })
            .collect();
        let smooth = Self { points: points.clone() };
        let centre = smooth.centroid();
        let scale = (self.area() / smooth.area()).sqrt();
        for point in &mut points {
            for axis in 0..2 {
                point[axis] = centre[axis] + scale * (point[axis] - centre[axis]);
            }
        }
        Self { points }
    }

    /// Whether the boundary crosses itself.
    #[must_use]
    pub fn crosses_itself(&self) -> bool {
        let edges: Vec<_> = self.edges().collect();
        let side = |a: [f64; 2], b: [f64; 2], c: [f64; 2]| {
            (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        };
        let count = edges.len();
        (0..count).any(|i| {
            (i + 2..count).any(|j| {
                if i == 0 && j == count - 1 {
                    return false;
                }
                let ((a, b), (c, d)) = (edges[i], edges[j]);
                side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
            })
        })
    }
}
