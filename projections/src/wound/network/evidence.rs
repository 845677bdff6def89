//! What speaks for a wound in a picture, from the probabilities of its cells, and the fit that makes a
//! probability of it.

use crate::wound::logistic::{self, Seen};

/// How many numbers speak for a wound.
pub(super) const EVIDENCE: usize = 2;

/// So many of the most wound-like cells speak first: about 0.01 % of the grid, less than the smallest
/// wound that could be measured.
const CELLS: usize = 16;

/// A find has so much probability inside ...
const INSIDE: f32 = 0.5;
/// ... and its surroundings less than this, if it is crisp.
const AROUND: f32 = 0.05;

/// Two numbers: the log odds of the mean of the most wound-like cells; and how crisp the find is, the
/// logarithm of the share that its inside has of all that is not surely something else. What is no
/// wound is seldom found with a sharp edge.
pub(super) fn evidence(probability: &[f32]) -> [f32; EVIDENCE] {
    let count = CELLS.min(probability.len());
    if count == 0 {
        return [-9.0, 0.0];
    }
    let mut sorted = probability.to_vec();
    sorted.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    let mean = sorted[..count].iter().sum::<f32>() / count as f32;
    let cells = |from: f32| probability.iter().filter(|p| **p > from).count() as f32;
    [log_odds(mean, 1e-4), cells(INSIDE).ln_1p() - cells(AROUND).ln_1p()]
}

/// The probability that there is a wound: the factors of the calibration, the intercept last, over the numbers.
pub(super) fn wound_probability(numbers: &[f32; EVIDENCE], factors: &[f32]) -> f32 {
    let numbers = numbers.iter().chain(&[1.0]);
    sigmoid(numbers.zip(factors).map(|(number, factor)| number * factor).sum())
}

/// The probability behind log odds.
pub(super) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The log odds of a probability, kept this far from certain.
pub(super) fn log_odds(probability: f32, uncertain: f32) -> f32 {
    let p = probability.clamp(uncertain, 1.0 - uncertain);
    (p / (1.0 - p)).ln()
}

/// Fits slopes and an intercept, last, so that the sigmoid of their sum over the numbers is the
/// probability (Platt), with a weak prior around slope 1 of the first number.
pub(super) fn calibrate(seen: &[([f32; EVIDENCE], bool)]) -> Vec<f32> {
    let (mut middle, mut strength) = (vec![0.0; EVIDENCE + 1], vec![0.5; EVIDENCE + 1]);
    middle[0] = 1.0;
    strength[EVIDENCE] = 0.02;
    let rows: Vec<(Vec<f64>, f64)> = seen
        .iter()
        .map(|(numbers, wound)| {
            let numbers = numbers.iter().map(|number| f64::from(*number)).chain([1.0]);
            (numbers.collect(), f64::from(u8::from(*wound)))
        })
        .collect();
    let rows = rows.iter().map(|(numbers, share)| Seen { numbers, share: *share, weight: 1.0 });
    // The prior alone determines every factor.
    let mut fitted = logistic::fit(rows, &middle, &strength).unwrap_or(middle);
    fitted[0] = fitted[0].max(0.05);
    fitted.into_iter().map(|value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_woundlike_cells_and_their_edge_speak() {
        let mut probability = vec![0.001; 1000];
        assert!(evidence(&probability)[0] < -6.0);
        probability[..16].fill(0.9);
        let [odds, crisp] = evidence(&probability);
        assert!((odds - 9.0_f32.ln()).abs() < 1e-4);
        assert!(crisp.abs() < 1e-6, "nothing lies between");
        probability[16..64].fill(0.2);
        let [same, blurred] = evidence(&probability);
        assert!((odds - same).abs() < 1e-6);
        assert!((blurred - (17.0_f32 / 65.0).ln()).abs() < 1e-5);
        assert!(evidence(&[])[0] < -8.0);
    }

    #[test]
    fn calibration_separates_what_can_be_separated() {
        let seen: Vec<_> = (-20..20).map(|s| ([s as f32 / 4.0, 0.0], s >= 4)).collect();
        let fitted = calibrate(&seen);
        let probability = |s: f32| wound_probability(&[s, 0.0], &fitted);
        assert!(fitted[0] > 1.0);
        assert!(probability(-3.0) < 0.05 && probability(4.0) > 0.95);
        assert!((probability(0.9) - 0.5).abs() < 0.2);
    }

    #[test]
    fn calibration_of_one_class_or_of_nothing_stays_finite() {
        let one_class = calibrate(&[([2.0, 0.0], true), ([3.0, -1.0], true)]);
        assert!(one_class.iter().all(|value| value.is_finite()));
        assert_eq!(calibrate(&[]), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_second_number_helps_where_it_tells_more() {
        let seen: Vec<_> = (0..200)
            .map(|n| {
                let wound = n % 2 == 0;
                ([(n % 10) as f32 / 10.0, if wound { 0.0 } else { -1.0 }], wound)
            })
            .collect();
        let fitted = calibrate(&seen);
        let told = seen.iter().filter(|(x, wound)| (wound_probability(x, &fitted) > 0.5) == *wound);
        assert_eq!(told.count(), seen.len());
    }
}
