//! How good a network is on what it never learned from, and how sure of a wound it may be.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use serde::Serialize;

use super::{
    dataset::{self, Example},
    evaluate::{Evaluation, Tally, compare},
    material::Material,
    model::Network,
    segment::{Segmenter, WOUND_THRESHOLD, score},
};

/// How good the weights are on what they never learned from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// The held-out photographs.
    pub photographs: Evaluation,
    /// Phantoms of seeds of their own.
    pub phantoms: Evaluation,
    /// Healthy phantoms and drawings of seeds of their own.
    pub woundless: Evaluation,
}

/// Fits slope and intercept so that the sigmoid of `slope · score + intercept` is the probability
/// of a wound: Newton's method on the penalised likelihood.
fn calibrate(scores: &[(f32, bool)]) -> [f32; 2] {
    let (mut slope, mut intercept) = (1.0_f64, 0.0_f64);
    for _ in 0..50 {
        // A weak prior around slope 1 keeps perfectly separated classes from a cliff.
        let prior = 0.5;
        let (mut g0, mut g1) = (prior * (slope - 1.0), 0.02 * intercept);
        let (mut h00, mut h01, mut h11) = (prior, 0.0, 0.02);
        for (score, wound) in scores {
            let x = f64::from(*score);
            let p = 1.0 / (1.0 + (-(slope * x + intercept)).exp());
            let error = p - f64::from(u8::from(*wound));
            let weight = (p * (1.0 - p)).max(1e-9);
            g0 += error * x;
            g1 += error;
            h00 += weight * x * x;
            h01 += weight * x;
            h11 += weight;
        }
        let determinant = h00 * h11 - h01 * h01;
        let (d0, d1) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        slope -= d0.clamp(-1.0, 1.0);
        intercept -= d1.clamp(-2.0, 2.0);
    }
    [slope.max(0.05) as f32, intercept as f32]
}

/// Looks at everything held out, calibrates on it and gives the figures.
pub(super) fn judge(network: Network, material: &Material, device: &Device) -> (Network, Figures) {
    let mut network = network;
    let segmenter = Segmenter::new(network.valid(), [0; 32], device.clone());
    let look = |examples: &[Example]| -> Vec<_> {
        examples.iter().map(|example| segmenter.segment(&example.image)).collect()
    };
    let groups = [&material.held_out, &material.held_out_phantoms, &material.held_out_woundless];
    let mut seen = groups.map(|examples| look(examples));
    let mut scores = Vec::new();
    for (examples, segmentations) in groups.iter().zip(&seen) {
        for (example, segmentation) in examples.iter().zip(segmentations) {
            let wound = example.mask.pixels().any(|p| dataset::is_wound(p.0[0]));
            scores.push((score(&segmentation.probability), wound));
        }
    }
    let calibration = calibrate(&scores);
    let calibrated = Tensor::<1>::from_floats(calibration, device);
    network.calibration = Param::initialized(network.calibration.id, calibrated);
    let segmenter = Segmenter::new(network.valid(), [0; 32], device.clone());
    let mut scores = scores.into_iter();
    let mut evaluations = groups.iter().zip(&mut seen).map(|(examples, segmentations)| {
        let mut tally = Tally::default();
        for (example, segmentation) in examples.iter().zip(segmentations) {
            let score = scores.next().map_or(-9.0, |(score, _)| score);
            segmentation.wound_probability = segmenter.calibrated(score);
            tally.add(compare(segmentation, &example.mask, WOUND_THRESHOLD));
        }
        tally.evaluation()
    });
    let mut next = || evaluations.next().expect("three groups");
    let figures = Figures { photographs: next(), phantoms: next(), woundless: next() };
    (network, figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_separates_what_can_be_separated() {
        let scores: Vec<_> = (-20..20).map(|s| (s as f32 / 4.0, s >= 4)).collect();
        let [slope, intercept] = calibrate(&scores);
        let probability = |s: f32| 1.0 / (1.0 + (-(slope * s + intercept)).exp());
        assert!(slope > 1.0);
        assert!(probability(-3.0) < 0.05 && probability(4.0) > 0.95);
        assert!((probability(0.9) - 0.5).abs() < 0.2);
    }

    #[test]
    fn calibration_of_one_class_stays_finite() {
        let [slope, intercept] = calibrate(&[(2.0, true), (3.0, true)]);
        assert!(slope.is_finite() && intercept.is_finite());
    }
}
