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
    evidence::{calibrate, evidence, log_odds},
    material::HeldOut,
    model::Network,
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

/// Fits slope and intercept that turn a cell's logit into calibrated odds of wound.
fn calibrate_cells(groups: &[(&[Example], Vec<Segmentation>)]) -> Vec<f32> {
    let mut cells = Vec::new();
    for (example, segmentation) in groups.iter().flat_map(|(e, s)| e.iter().zip(s)) {
        let (mask, width) = (&example.mask, segmentation.width as usize);
        let place = |cell: usize, cells: u32, pixels: u32| {
            ((cell as f32 + 0.5) * pixels as f32 / cells as f32) as u32
        };
        for (index, p) in segmentation.probability.iter().enumerate().step_by(CELL_STEP) {
            let x = place(index % width, segmentation.width, mask.width());
            let y = place(index / width, segmentation.height, mask.height());
            cells.push(([log_odds(*p, 1e-6)], dataset::is_wound(mask.get_pixel(x, y).0[0])));
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
    let calibrated = calibrate_cells(&seen);
    let mut network = network.rescale(calibrated[0], calibrated[1]);
    // Asked once more: where it looks closer depends on what the first look gives.
    let segmenter = Segmenter::new(network.valid(), [0; 32], device.clone());
    for (examples, segmentations) in &mut seen {
        *segmentations = examples.iter().map(|it| segmenter.segment(&it.image)).collect();
    }
    let evident: Vec<_> = seen
        .iter()
        .flat_map(|(examples, segmentations)| examples.iter().zip(segmentations))
        .map(|(example, segmentation)| {
            let wound = example.mask.pixels().any(|p| dataset::is_wound(p.0[0]));
            (evidence(&segmentation.probability), wound)
        })
        .collect();
    let calibrated = Tensor::<1>::from_floats(calibrate(&evident).as_slice(), device);
    network.calibration = Param::initialized(network.calibration.id, calibrated);
    let segmenter = Segmenter::new(network.valid(), [0; 32], device.clone());
    let [photographs, phantoms, woundless] = seen.each_mut().map(|(examples, segmentations)| {
        let mut tally = Tally::default();
        for (example, segmentation) in examples.iter().zip(segmentations) {
            segmentation.wound_probability = segmenter.wound_probability(&segmentation.probability);
            tally.add(compare(segmentation, &example.mask, wound_threshold()));
        }
        tally.evaluation()
    });
    (network, Figures { photographs, phantoms, woundless })
}
