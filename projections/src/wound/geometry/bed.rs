//! The wound's bed: how deep it lies below the skin, and how much is missing.
//!
//! A phone's depth map smooths over about a pixel and is noisy, so the deepest value in it is no
//! good estimate of the deepest place. The bed is instead the smooth surface that, seen through
//! the sensor's smoothing, explains the values best; how smooth follows from the values
//! themselves (the evidence of a Gaussian model), and with it how sure the depth is.

use nalgebra::{DMatrix, DVector};

use super::polygon::Polygon;

/// The sensor's smoothing as standard deviation, in depth pixels.
pub(crate) const SENSOR_BLUR_PIXELS: f64 = 0.85;
/// Fine cells per depth pixel and axis on which the smoothing is summed.
const FINE: usize = 4;
/// The most nodes of the bed; more would cost time and tell nothing.
const NODES_MAX: f64 = 260.0;
/// Narrowest and widest spacing of nodes, in depth pixels.
const SPACING: (f64, f64) = (0.5, 6.0);
/// How deep wounds are before anything is known, as a share of their equivalent radius.
const PRIOR_SHARE: f64 = 0.16;
/// The bed is taken from nodes with at least this share of the deepest ones.
const DEEPEST_SHARE: f64 = 0.05;

/// A depth value relative to the skin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Position in depth pixels.
    pub(crate) at: [f64; 2],
    /// Below the skin, mm.
    pub(crate) below: f64,
}

/// The deepest place, mm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deepest {
    pub(crate) depth: f64,
    pub(crate) sd: f64,
}

/// Fits the bed inside `boundary` (in depth pixels) to the samples and finds its deepest place.
/// `sigma` is the scatter of a value, already widened for the relation between neighbours, and
/// `radius_mm` the wound's equivalent radius.
pub(crate) fn deepest(
    samples: &[Sample],
    boundary: &Polygon,
    sigma: f64,
    radius_mm: f64,
) -> Option<Deepest> {
    let spacing = (boundary.area() / NODES_MAX).sqrt().clamp(SPACING.0, SPACING.1);
    let lattice = Lattice::new(boundary, spacing);
    if lattice.nodes.is_empty() || samples.is_empty() {
        return None;
    }
    let count = lattice.nodes.len();
    // Normal equations of the smoothed bed against the samples.
    let mut fit = DMatrix::<f64>::zeros(count, count);
    let mut right = DVector::<f64>::zeros(count);
    let mut power = 0.0;
    let mut row = vec![0.0; count];
    for sample in samples {
        row.fill(0.0);
        if !lattice.smooth_onto(sample.at, &mut row) {
            continue;
        }
        let touched: Vec<usize> = (0..count).filter(|i| row[*i] > 1e-9).collect();
        for &i in &touched {
            right[i] += row[i] * sample.below;
            for &j in &touched {
                fit[(i, j)] += row[i] * row[j];
            }
        }
        power += sample.below.powi(2);
    }
    let precision = 1.0 / sigma.powi(2);
    // Shared among the nodes, so that it speaks about the bed and not about each node.
    let shallow = 1.0 / ((PRIOR_SHARE * radius_mm).powi(2) * count as f64);
    let rough = lattice.roughness();
    let mut best: Option<(f64, DVector<f64>, DMatrix<f64>)> = None;
    for exponent in -6..=8 {
        let strength = 10_f64.powf(f64::from(exponent) / 2.0);
        let prior = &rough * strength + DMatrix::<f64>::identity(count, count) * shallow;
        let posterior = &prior + &fit * precision;
        let (Some(prior), Some(posterior)) = (prior.cholesky(), posterior.cholesky()) else {
            continue;
        };
        let bed = posterior.solve(&(&right * precision));
        let misfit = power * precision - bed.dot(&right) * precision;
        let log_det =
            |matrix: &DMatrix<f64>| 2.0 * (0..count).map(|i| matrix[(i, i)].ln()).sum::<f64>();
        let root = posterior.l();
        let evidence = log_det(&prior.l()) - log_det(&root) - misfit;
        if best.as_ref().is_none_or(|(score, ..)| evidence > *score) {
            best = Some((evidence, bed, root));
        }
    }
    let (_, bed, root) = best?;
    // The mean of the deepest few nodes: less drawn up by noise than the deepest alone.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| bed[*b].total_cmp(&bed[*a]));
    let taken = ((count as f64 * DEEPEST_SHARE).round() as usize).max(1);
    let mut pick = DVector::<f64>::zeros(count);
    for &index in &order[..taken] {
        pick[index] = 1.0 / taken as f64;
    }
    let sd = root.solve_lower_triangular(&pick).map_or(f64::NAN, |half| half.norm());
    Some(Deepest { depth: bed.dot(&pick), sd })
}

/// Nodes of the bed on a square lattice, with the cells of the wound on a finer one.
struct Lattice {
    low: [f64; 2],
    spacing: f64,
    columns: usize,
    /// Lattice place to node.
    index: Vec<Option<usize>>,
    nodes: Vec<(usize, usize)>,
    fine_columns: usize,
    fine_rows: usize,
    fine_inside: Vec<bool>,
}

impl Lattice {
    fn new(boundary: &Polygon, spacing: f64) -> Self {
        let (low, high) = boundary.bounds();
        let low = [low[0] - spacing, low[1] - spacing];
        let columns = ((high[0] - low[0]) / spacing).ceil() as usize + 2;
        let rows = ((high[1] - low[1]) / spacing).ceil() as usize + 2;
        let mut index = vec![None; columns * rows];
        let mut nodes = Vec::new();
        for row in 0..rows {
            for column in 0..columns {
                let place = [low[0] + column as f64 * spacing, low[1] + row as f64 * spacing];
                if boundary.contains(place) {
                    index[row * columns + column] = Some(nodes.len());
                    nodes.push((column, row));
                }
            }
        }
        let fine_columns = ((high[0] - low[0]) * FINE as f64).ceil() as usize + 1;
        let fine_rows = ((high[1] - low[1]) * FINE as f64).ceil() as usize + 1;
        let fine_inside = (0..fine_columns * fine_rows)
            .map(|i| {
                let x = low[0] + ((i % fine_columns) as f64 + 0.5) / FINE as f64;
                let y = low[1] + ((i / fine_columns) as f64 + 0.5) / FINE as f64;
                boundary.contains([x, y])
            })
            .collect();
        Self { low, spacing, columns, index, nodes, fine_columns, fine_rows, fine_inside }
    }

    /// Adds to `row` how much each node counts in the value the sensor gives at `at`. False if
    /// none does.
    fn smooth_onto(&self, at: [f64; 2], row: &mut [f64]) -> bool {
        let fine = FINE as f64;
        let reach = 2.6 * SENSOR_BLUR_PIXELS;
        let centre = [(at[0] - self.low[0]) * fine, (at[1] - self.low[1]) * fine];
        let window = |middle: f64, limit: usize| {
            let from = (middle - reach * fine).floor().max(0.0) as usize;
            let to = ((middle + reach * fine).ceil().max(0.0) as usize).min(limit);
            from.min(to)..to
        };
        // The whole kernel's weight, also where it lies outside the wound.
        let total = std::f64::consts::TAU * (SENSOR_BLUR_PIXELS * fine).powi(2);
        let mut any = false;
        for fine_row in window(centre[1], self.fine_rows) {
            for fine_column in window(centre[0], self.fine_columns) {
                if !self.fine_inside[fine_row * self.fine_columns + fine_column] {
                    continue;
                }
                let dx = (fine_column as f64 + 0.5 - centre[0]) / (SENSOR_BLUR_PIXELS * fine);
                let dy = (fine_row as f64 + 0.5 - centre[1]) / (SENSOR_BLUR_PIXELS * fine);
                let weight = (-0.5 * (dx * dx + dy * dy)).exp() / total;
                let x = (fine_column as f64 + 0.5) / (fine * self.spacing);
                let y = (fine_row as f64 + 0.5) / (fine * self.spacing);
                any |= self.interpolate(x, y, weight, row);
            }
        }
        any
    }

    fn interpolate(&self, x: f64, y: f64, weight: f64, row: &mut [f64]) -> bool {
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let mut any = false;
        for (dx, dy, share) in [
            (0, 0, (1.0 - fx) * (1.0 - fy)),
            (1, 0, fx * (1.0 - fy)),
            (0, 1, (1.0 - fx) * fy),
            (1, 1, fx * fy),
        ] {
            let place = (top as usize + dy) * self.columns + left as usize + dx;
            if let Some(node) = self.index.get(place).copied().flatten() {
                row[node] += weight * share;
                any = true;
            }
        }
        any
    }

    fn node(&self, column: i64, row: i64) -> Option<usize> {
        if column < 0 || row < 0 || column >= self.columns as i64 {
            return None;
        }
        self.index.get(row as usize * self.columns + column as usize).copied().flatten()
    }

    /// Squared second differences between nodes, per mm² and independent of the spacing. They
    /// end at the boundary, where a wall may be steep.
    fn roughness(&self) -> DMatrix<f64> {
        let count = self.nodes.len();
        let mut matrix = DMatrix::<f64>::zeros(count, count);
        let scale = 1.0 / self.spacing.powi(2);
        for &(column, row) in &self.nodes {
            let (x, y) = (column as i64, row as i64);
            let stencils: [&[(i64, i64, f64)]; 3] = [
                &[(-1, 0, 1.0), (0, 0, -2.0), (1, 0, 1.0)],
                &[(0, -1, 1.0), (0, 0, -2.0), (0, 1, 1.0)],
                &[(0, 0, 1.4), (1, 1, 1.4), (1, 0, -1.4), (0, 1, -1.4)],
            ];
            for stencil in stencils {
                let nodes: Option<Vec<(usize, f64)>> = stencil
                    .iter()
                    .map(|(dx, dy, factor)| self.node(x + dx, y + dy).map(|n| (n, *factor)))
                    .collect();
                let Some(nodes) = nodes else { continue };
                for &(i, a) in &nodes {
                    for &(j, b) in &nodes {
                        matrix[(i, j)] += a * b * scale;
                    }
                }
            }
        }
        matrix
    }
}
