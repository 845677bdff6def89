//! What speaks for a wound in a picture, from the probabilities of its cells, and the fit that makes a
//! probability of it.

/// How many numbers speak for a wound.
pub(crate) const EVIDENCE: usize = 2;

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
pub(crate) fn evidence(probability: &[f32]) -> [f32; EVIDENCE] {
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
pub(crate) fn wound_probability(numbers: &[f32; EVIDENCE], factors: &[f32]) -> f32 {
    let numbers = numbers.iter().chain(&[1.0]);
    sigmoid(numbers.zip(factors).map(|(number, factor)| number * factor).sum())
}

/// The probability behind log odds.
pub(crate) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The log odds of a probability, kept this far from certain.
pub(crate) fn log_odds(probability: f32, uncertain: f32) -> f32 {
    let p = probability.clamp(uncertain, 1.0 - uncertain);
    (p / (1.0 - p)).ln()
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
}
