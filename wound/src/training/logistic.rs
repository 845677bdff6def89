//! Logistic regression, for the few numbers that calibrate the network and tell tissue apart.

use nalgebra::{DMatrix, DVector};

use crate::tissue::probability;

const STEPS: usize = 100;
/// A longer step from far away might not come back.
const STEP_MAX: f64 = 2.0;

/// One thing seen.
pub(super) struct Seen<'a> {
    /// The numbers, the constant of the intercept among them.
    pub(super) numbers: &'a [f64],
    /// How much of it is so: from 0 to 1.
    pub(super) share: f64,
    /// How much it counts.
    pub(super) weight: f64,
}

/// A factor for each number, by Newton's method on the penalised likelihood. The penalty draws each factor to its
/// `middle` with its `strength`, and keeps classes that part perfectly from a cliff. None if the numbers do not
/// determine the factors.
pub(super) fn fit<'a>(
    seen: impl Iterator<Item = Seen<'a>> + Clone,
    middle: &[f64],
    strength: &[f64],
) -> Option<Vec<f64>> {
    let middle = DVector::from_row_slice(middle);
    let strength = DVector::from_row_slice(strength);
    let mut fitted = middle.clone();
    for _ in 0..STEPS {
        let mut gradient = strength.component_mul(&(&fitted - &middle));
        let mut curvature = DMatrix::from_diagonal(&strength);
        for Seen { numbers, share, weight } in seen.clone() {
            let p = probability(fitted.as_slice(), numbers);
            let (slope, bend) = (weight * (p - share), weight * (p * (1.0 - p)).max(1e-9));
            // The numbers are few: by hand this takes no memory for each thing seen.
            for (row, number) in numbers.iter().enumerate() {
                gradient[row] += slope * number;
                for (column, other) in numbers.iter().enumerate() {
                    curvature[(row, column)] += bend * number * other;
                }
            }
        }
        let step = curvature.cholesky()?.solve(&gradient);
        let step = &step * (STEP_MAX / step.norm()).min(1.0);
        fitted -= &step;
        if step.norm() < 1e-9 {
            break;
        }
    }
    Some(fitted.as_slice().to_vec())
}
