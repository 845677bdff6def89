//! The wound's bed: how deep it lies below the skin, and how much is missing.
//!
//! A phone's depth map smooths over about a pixel and is noisy, so the deepest value in it is no
//! good estimate of the deepest place, and the sum of its values no good estimate of the volume of
//! a small wound. The bed is instead the smooth surface that, seen through the sensor's smoothing,
//! explains the values best; how smooth follows from the values themselves (the evidence of a
//! Gaussian model), and with it how sure depth and volume are.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::polygon::Polygon;
use crate::random::Random;

/// The sensor's smoothing as standard deviation, in depth pixels.
pub(crate) const SENSOR_BLUR_PIXELS: f64 = 0.85;
/// Beyond this many of its deviations the smoothing is nothing.
const BLUR_REACH: f64 = 3.2;
/// Fine cells per depth pixel and axis on which the smoothing is summed, for wounds up to and from
/// [`LARGE_PIXELS`].
const FINE: [usize; 2] = [4, 2];
const LARGE_PIXELS: f64 = 300.0;
/// The most nodes of the bed; more would cost time and tell nothing.
const NODES_MAX: f64 = 150.0;
/// Narrowest and widest spacing of nodes, in depth pixels.
const SPACING: (f64, f64) = (0.5, 8.0);
/// How deep wounds are before anything is known, as a share of their equivalent radius.
const PRIOR_SHARE: f64 = 0.16;
/// The bed is taken from nodes with at least this share of the deepest ones.
const DEEPEST_SHARE: f64 = 0.05;
/// Draws of noise that show how much the choice of the deepest nodes gains by it.
const SELECTION_DRAWS: u32 = 24;
/// Strengths of the roughness prior that are tried, as exponents of the root of ten: every fourth
/// first, then those next to the best.
const STRENGTHS: [i32; 4] = [-6, -2, 2, 6];

/// A depth value relative to the skin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Position in depth pixels.
    pub(crate) at: [f64; 2],
    /// Below the skin, mm.
    pub(crate) below: f64,
    /// Between skin and value within the pixel, mm³.
    pub(crate) missing: f64,
}

/// The bed's figures, each with what the sensor's noise leaves open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bed {
    /// Depth of the deepest place, mm.
    pub(crate) depth: f64,
    pub(crate) depth_sd: f64,
    /// The deepest place, in depth pixels.
    pub(crate) deepest: [f64; 2],
    /// Missing below the skin, mm³.
    pub(crate) volume: f64,
    pub(crate) volume_sd: f64,
}

/// Fits the bed inside `boundary` (in depth pixels) to the samples.
///
/// `sigma` is the scatter of a value, already widened for the relation between neighbours,
/// `pixel_mm2` what a depth pixel covers of the skin, and `radius_mm` the wound's equivalent radius.
pub(crate) fn fit(
    samples: &[Sample],
    boundary: &Polygon,
    sigma: f64,
    pixel_mm2: f64,
    radius_mm: f64,
) -> Option<Bed> {
    let spacing = (boundary.area() / NODES_MAX).sqrt().clamp(SPACING.0, SPACING.1);
    let lattice = Lattice::new(boundary, spacing);
    if lattice.nodes.is_empty() || samples.is_empty() {
        return None;
    }
    let equations = Equations::new(&lattice, samples, sigma);
    let count = lattice.nodes.len();
    let rough = lattice.roughness();
    let roughness = rough.clone().symmetric_eigenvalues();
    // Shared among the nodes, so that it speaks about the bed and not about each node.
    let shallow = 1.0 / ((PRIOR_SHARE * radius_mm).powi(2) * count as f64);
    let solve = |exponent: i32| {
        let strength = 10_f64.powf(f64::from(exponent) / 2.0);
        let posterior =
            &equations.fit + &rough * strength + DMatrix::<f64>::identity(count, count) * shallow;
        let prior = roughness.iter().map(|value| (value.max(0.0) * strength + shallow).ln());
        equations.solve(posterior, prior.sum()).map(|solved| (exponent, solved))
    };
    let better =
        |a: (i32, Solved), b: (i32, Solved)| if b.1.evidence > a.1.evidence { b } else { a };
    let mut best = STRENGTHS.into_iter().filter_map(solve).reduce(better)?;
    for step in [2, 1] {
        let around = [best.0 - step, best.0 + step];
        best = around.into_iter().filter_map(solve).fold(best, better);
    }
    let (_, Solved { root, bed, .. }) = best;

    let top = deepest_nodes(&bed);
    let share = 1.0 / top.len() as f64;
    let mut pick = DVector::<f64>::zeros(count);
    let mut deepest = [0.0; 2];
    for &index in &top {
        pick[index] = share;
        let place = lattice.place(index);
        deepest = [deepest[0] + share * place[0], deepest[1] + share * place[1]];
    }
    let depth = bed.dot(&pick);
    let drawn_out = selection(&equations, &root, &bed, depth);
    let weights = lattice.pixels();
    let sd = |of: &DVector<f64>| {
        root.l_dirty().solve_lower_triangular(of).map_or(f64::NAN, |half| half.norm())
    };
    Some(Bed {
        depth: depth - drawn_out,
        depth_sd: sd(&pick),
        deepest,
        volume: root.solve(&equations.missing).dot(&weights),
        volume_sd: sd(&weights) * pixel_mm2,
    })
}

/// The deepest few nodes; their mean is less drawn out by noise than the deepest alone.
fn deepest_nodes(bed: &DVector<f64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..bed.len()).collect();
    order.sort_by(|a, b| bed[*b].total_cmp(&bed[*a]));
    order.truncate(((bed.len() as f64 * DEEPEST_SHARE).round() as usize).max(1));
    order
}

/// How much too deep the deepest nodes are because noise had a say in which they are: what the
/// same choice gains when noise like the sensor's is added to the bed once more.
fn selection(
    equations: &Equations,
    root: &Cholesky<f64, Dyn>,
    bed: &DVector<f64>,
    depth: f64,
) -> f64 {
    let count = bed.len();
    let ridge = 1e-9 * equations.fit.trace() / count as f64;
    let noise = &equations.fit + DMatrix::<f64>::identity(count, count) * ridge;
    let Some(noise) = noise.cholesky() else { return 0.0 };
    let mut random = Random::new(0x5E1E);
    let gains = (0..SELECTION_DRAWS).map(|_| {
        let drawn = DVector::from_fn(count, |_, _| random.normal());
        let again = bed + root.solve(&(noise.l_dirty().lower_triangle() * drawn));
        let top = deepest_nodes(&again);
        top.iter().map(|index| again[*index]).sum::<f64>() / top.len() as f64 - depth
    });
    (gains.sum::<f64>() / f64::from(SELECTION_DRAWS)).max(0.0)
}

/// Normal equations of the smoothed bed against the samples, in units of the noise.
struct Equations {
    fit: DMatrix<f64>,
    below: DVector<f64>,
    missing: DVector<f64>,
    power: f64,
}

/// A bed with how well it explains the values.
struct Solved {
    evidence: f64,
    root: Cholesky<f64, Dyn>,
    bed: DVector<f64>,
}

impl Equations {
    fn new(lattice: &Lattice, samples: &[Sample], sigma: f64) -> Self {
        let count = lattice.nodes.len();
        let mut fit = DMatrix::<f64>::zeros(count, count);
        let mut below = DVector::<f64>::zeros(count);
        let mut missing = DVector::<f64>::zeros(count);
        let mut power = 0.0;
        let mut row = vec![0.0; count];
        for sample in samples {
            row.fill(0.0);
            if !lattice.smooth_onto(sample.at, &mut row) {
                continue;
            }
            let touched: Vec<usize> = (0..count).filter(|i| row[*i] > 1e-9).collect();
            for &i in &touched {
                below[i] += row[i] * sample.below;
                missing[i] += row[i] * sample.missing;
                for &j in &touched {
                    fit[(i, j)] += row[i] * row[j];
                }
            }
            power += sample.below.powi(2);
        }
        let precision = 1.0 / sigma.powi(2);
        Self {
            fit: fit * precision,
            below: below * precision,
            missing: missing * precision,
            power: power * precision,
        }
    }

    fn solve(&self, posterior: DMatrix<f64>, log_det_prior: f64) -> Option<Solved> {
        let root = posterior.cholesky()?;
        let bed = root.solve(&self.below);
        let misfit = self.power - bed.dot(&self.below);
        let evidence = log_det_prior - root.ln_determinant() - misfit;
        Some(Solved { evidence, root, bed })
    }
}

/// Nodes of the bed on a square lattice, with the cells of the wound on a finer one.
struct Lattice {
    low: [f64; 2],
    spacing: f64,
    columns: usize,
    /// Lattice place to node.
    index: Vec<Option<usize>>,
    nodes: Vec<(usize, usize)>,
    fine: usize,
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
        let fine = FINE[usize::from(boundary.area() > LARGE_PIXELS)];
        let fine_columns = ((high[0] - low[0]) * fine as f64).ceil() as usize + 1;
        let fine_rows = ((high[1] - low[1]) * fine as f64).ceil() as usize + 1;
        let mut fine_inside = vec![false; fine_columns * fine_rows];
        for (row, cells) in fine_inside.chunks_mut(fine_columns).enumerate() {
            let y = low[1] + (row as f64 + 0.5) / fine as f64;
            for pair in boundary.crossings(y).chunks_exact(2) {
                let cell = |x: f64| ((x - low[0]) * fine as f64 - 0.5).ceil().max(0.0) as usize;
                let end = cell(pair[1]).min(fine_columns);
                cells[cell(pair[0]).min(end)..end].fill(true);
            }
        }
        Self { low, spacing, columns, index, nodes, fine, fine_columns, fine_rows, fine_inside }
    }

    /// A node's place in depth pixels.
    fn place(&self, node: usize) -> [f64; 2] {
        let (column, row) = self.nodes[node];
        [self.low[0] + column as f64 * self.spacing, self.low[1] + row as f64 * self.spacing]
    }

    /// How many depth pixels each node stands for.
    fn pixels(&self) -> DVector<f64> {
        let mut pixels = vec![0.0; self.nodes.len()];
        let fine = self.fine as f64;
        for (cell, _) in self.fine_inside.iter().enumerate().filter(|(_, inside)| **inside) {
            let (column, row) = (cell % self.fine_columns, cell / self.fine_columns);
            let x = (column as f64 + 0.5) / (fine * self.spacing);
            let y = (row as f64 + 0.5) / (fine * self.spacing);
            self.interpolate(x, y, 1.0 / (fine * fine), &mut pixels);
        }
        DVector::from_vec(pixels)
    }

    /// Adds to `row` how much each node counts in the value the sensor gives at `at`. False if
    /// none does.
    fn smooth_onto(&self, at: [f64; 2], row: &mut [f64]) -> bool {
        let fine = self.fine as f64;
        let width = SENSOR_BLUR_PIXELS * fine;
        let centre = [(at[0] - self.low[0]) * fine, (at[1] - self.low[1]) * fine];
        // Cells within reach of one axis, with their weights; the whole kernel's weight is one,
        // also where it lies outside the wound.
        let window = |middle: f64, limit: usize| {
            let from = (middle - BLUR_REACH * width).floor().max(0.0) as usize;
            let to = ((middle + BLUR_REACH * width).ceil().max(0.0) as usize).min(limit);
            let weight = move |cell: usize| {
                let off = (cell as f64 + 0.5 - middle) / width;
                (cell, (-0.5 * off * off).exp() / (std::f64::consts::TAU.sqrt() * width))
            };
            (from.min(to)..to).map(weight).collect::<Vec<(usize, f64)>>()
        };
        let across = window(centre[0], self.fine_columns);
        let mut any = false;
        for (fine_row, down) in window(centre[1], self.fine_rows) {
            let y = (fine_row as f64 + 0.5) / (fine * self.spacing);
            for &(fine_column, weight) in &across {
                if self.fine_inside[fine_row * self.fine_columns + fine_column] {
                    let x = (fine_column as f64 + 0.5) / (fine * self.spacing);
                    any |= self.interpolate(x, y, weight * down, row);
                }
            }
        }
        any
    }

    /// Adds `weight` to the nodes around a place, in units of the spacing. A place at the boundary
    /// is as deep as the nodes it has: a wall may be steep there. False if it has none.
    fn interpolate(&self, x: f64, y: f64, weight: f64, row: &mut [f64]) -> bool {
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let first = top as usize * self.columns + left as usize;
        let shares = [
            (first, (1.0 - fx) * (1.0 - fy)),
            (first + 1, fx * (1.0 - fy)),
            (first + self.columns, (1.0 - fx) * fy),
            (first + self.columns + 1, fx * fy),
        ];
        let nodes = shares.map(|(place, share)| {
            self.index.get(place).copied().flatten().map(|node| (node, share))
        });
        let total: f64 = nodes.iter().flatten().map(|(_, share)| share).sum();
        if total <= 0.0 {
            return false;
        }
        for (node, share) in nodes.into_iter().flatten() {
            row[node] += weight * share / total;
        }
        true
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
