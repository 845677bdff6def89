//! How good a network is on what it never learned from, and how sure of a wound it may be.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use serde::Serialize;

use super::{
    card::wound_threshold,
    dataset::{self, Example},
    evaluate::{Evaluation, Tally, compare},
    material::HeldOut,
    model::Network,
    segment::{Segmentation, Segmenter, score},
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
/// of wound: Newton's method on the penalised likelihood.
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

/// One cell in so many is enough to calibrate the cells by.
const CELL_STEP: usize = 7;

fn log_odds(probability: f32) -> f32 {
    let p = probability.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

/// Fits slope and intercept that turn a cell's logit into calibrated odds of wound.
fn calibrate_cells(groups: &[(&[Example], Vec<Segmentation>)]) -> [f32; 2] {
    let mut cells = Vec::new();
    for (example, segmentation) in groups.iter().flat_map(|(e, s)| e.iter().zip(s)) {
        let (mask, width) = (&example.mask, segmentation.width as usize);
        let place = |cell: usize, cells: u32, pixels: u32| {
            ((cell as f32 + 0.5) * pixels as f32 / cells as f32) as u32
        };
        for (index, p) in segmentation.probability.iter().enumerate().step_by(CELL_STEP) {
            let x = place(index % width, segmentation.width, mask.width());
            let y = place(index / width, segmentation.height, mask.height());
            cells.push((log_odds(*p), dataset::is_wound(mask.get_pixel(x, y).0[0])));
        }
    }
    calibrate(&cells)
}

/// Looks at everything held out, calibrates on it and gives the figures.
pub(super) fn judge(network: Network, held_out: &HeldOut, device: &Device) -> (Network, Figures) {
    let groups: [&[Example]; 3] = [&held_out.photographs, &held_out.phantoms, &held_out.woundless];
    let segmenter = Segmenter::new(network.valid(), [0; 32], device.clone());
    let mut seen: [(&[Example], Vec<Segmentation>); 3] = groups.map(|examples| {
        let seen = examples.iter().map(|example| segmenter.segment(&example.image)).collect();
        (examples, seen)
    });
    let [slope, intercept] = calibrate_cells(&seen);
    let mut network = network.rescale(slope, intercept);
    // Asked once more: where it looks closer depends on what the first look gives.
    let segmenter = Segmenter::new(network.valid(), [0; 32], device.clone());
    for (examples, segmentations) in &mut seen {
        *segmentations = examples.iter().map(|it| segmenter.segment(&it.image)).collect();
    }
    let scores: Vec<_> = seen
        .iter()
        .flat_map(|(examples, segmentations)| examples.iter().zip(segmentations))
        .map(|(example, segmentation)| {
            let wound = example.mask.pixels().any(|p| dataset::is_wound(p.0[0]));
            (score(&segmentation.probability), wound)
        })
        .collect();
    let calibrated = Tensor::<1>::from_floats(calibrate(&scores), device);
    network.calibration = Param::initialized(network.calibration.id, calibrated);
    let segmenter = Segmenter::new(network.valid(), [0; 32], device.clone());
    let [photographs, phantoms, woundless] = seen.each_mut().map(|(examples, segmentations)| {
        let mut tally = Tally::default();
        for (example, segmentation) in examples.iter().zip(segmentations) {
            segmentation.wound_probability = segmenter.calibrated(score(&segmentation.probability));
            tally.add(compare(segmentation, &example.mask, wound_threshold()));
        }
        tally.evaluation()
    });
    (network, Figures { photographs, phantoms, woundless })
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
