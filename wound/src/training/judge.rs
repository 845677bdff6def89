//! How good a network is on what it never learned from, and how sure of a wound it may be.

use burn::{module::Module, tensor::Device};
use serde::Serialize;

use super::{
    calibration::calibrate,
    logistic::{self, Seen},
    material::HeldOut,
};
use crate::evaluation::{
    dataset::{self, Example},
    evaluate::{Evaluation, Tally, compare},
};
use crate::network::{
    card::wound_threshold,
    ensemble::Ensemble,
    evidence::{evidence, log_odds, sigmoid, wound_probability},
    segment::{Segmentation, Segmenter},
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

/// One cell in so many is enough to calibrate the cells by.
const CELL_STEP: usize = 7;

/// A probability in single precision is no nearer to certain.
const UNCERTAIN: f32 = 1e-6;

/// What to multiply a cell's logit by so that it tells the odds of wound (temperature scaling: Guo et al., "On
/// Calibration of Modern Neural Networks", 2017). There is no intercept: it would move the boundary away from where
/// the network learned to put it, and make every wound smaller.
fn temperature(examples: &[Example], segmentations: &[Segmentation]) -> f32 {
    let mut cells = Vec::new();
    for (example, segmentation) in examples.iter().zip(segmentations) {
        let (mask, width) = (&example.mask, segmentation.width as usize);
        let place = |cell: usize, cells: u32, pixels: u32| {
            ((cell as f32 + 0.5) * pixels as f32 / cells as f32) as u32
        };
        for (index, p) in segmentation.probability.iter().enumerate().step_by(CELL_STEP) {
            let x = place(index % width, segmentation.width, mask.width());
            let y = place(index / width, segmentation.height, mask.height());
            let wound = dataset::is_wound(mask.get_pixel(x, y).0[0]);
            cells.push(([f64::from(log_odds(*p, UNCERTAIN))], f64::from(u8::from(wound))));
        }
    }
    let seen = cells.iter().map(|(odds, share)| Seen { numbers: odds, share: *share, weight: 1.0 });
    // The prior alone determines the one factor.
    let fitted = logistic::fit(seen, &[1.0], &[0.5]).unwrap_or_else(|| vec![1.0]);
    (fitted[0] as f32).max(0.05)
}

/// Looks at everything held out, calibrates on it and gives the figures.
pub(super) fn judge(
    networks: Ensemble,
    held_out: &HeldOut,
    device: &Device,
) -> (Ensemble, Figures) {
    let groups: [&[Example]; 3] = [&held_out.photographs, &held_out.phantoms, &held_out.woundless];
    let segmenter = Segmenter::new(networks.valid(), [0; 32], device.clone());
    let mut seen: [(&[Example], Vec<Segmentation>); 3] = groups.map(|examples| {
        let seen = examples.iter().map(|example| segmenter.segment(&example.image)).collect();
        (examples, seen)
    });
    // By photographs alone: on drawings the answer is easy, and would make it too sure of itself on photographs.
    let temperature = temperature(seen[0].0, &seen[0].1);
    let networks = networks.rescale(temperature);
    // The same logits times a factor: where the closer look goes does not change.
    for p in seen.iter_mut().flat_map(|(_, it)| it).flat_map(|it| &mut it.probability) {
        *p = sigmoid(temperature * log_odds(*p, UNCERTAIN));
    }
    let evident: Vec<_> = seen
        .iter()
        .flat_map(|(examples, segmentations)| examples.iter().zip(segmentations))
        .map(|(example, segmentation)| {
            let wound = example.mask.pixels().any(|p| dataset::is_wound(p.0[0]));
            (evidence(&segmentation.probability), wound)
        })
        .collect();
    let factors = calibrate(&evident);
    let segmentations = seen.iter_mut().flat_map(|(_, it)| it);
    for (segmentation, (numbers, _)) in segmentations.zip(&evident) {
        segmentation.wound_probability = wound_probability(numbers, &factors);
    }
    let [photographs, phantoms, woundless] = seen.map(|(examples, segmentations)| {
        let mut tally = Tally::default();
        for (example, segmentation) in examples.iter().zip(&segmentations) {
            tally.add(compare(segmentation, &example.mask, wound_threshold()));
        }
        tally.evaluation()
    });
    (networks.calibrated(&factors, device), Figures { photographs, phantoms, woundless })
}
