//! Weights that were trained elsewhere: checked against what they gave there, calibrated, and
//! written as the program reads them.

use std::path::PathBuf;

use burn::{
    module::{Module, Param},
    store::{ModuleSnapshot, PytorchStore},
    tensor::{Device, Tensor, activation},
};
use serde::Serialize;

use super::{
    judge::{Figures, judge},
    material::HeldOut,
    model::{Network, STRIDE},
    segment::{Segmenter, SegmenterError},
    train::{TrainError, write_weights},
};

/// Logits of the same weights and pictures may differ by this much: sums in another order.
const LOGIT_TOLERANCE: f32 = 5e-3;

/// Pictures, height and width of the reference.
const REFERENCE: [usize; 3] = [2, 6 * STRIDE, 9 * STRIDE];

/// Probabilities may differ by this much once the weights are in half precision.
const HALF_TOLERANCE: f32 = 0.05;

/// What to import.
#[derive(Debug, Clone)]
pub struct ImportConfig {
    /// A `PyTorch` file as `training/train.py` writes it: `network`, the weights by name, and
    /// `reference`, an `input` and the `output` they gave for it.
    pub file: PathBuf,
    /// Folder of photographs, to calibrate on those held out.
    pub images: PathBuf,
    /// Folder of their masks, paired by stem.
    pub masks: PathBuf,
    /// Where the weights go.
    pub output: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportReport {
    /// Greatest difference of a logit from the reference, weights in single precision.
    pub logit_difference: f32,
    /// Greatest difference of a probability, once they are in half precision.
    pub half_difference: f32,
    /// How good they are on what they never learned from.
    pub figures: Figures,
    /// The weights.
    pub weights: PathBuf,
    /// Their SHA-256 in hexadecimal.
    pub digest: String,
}

/// Why weights were not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not one of this network's.
    #[error("{} holds no weights of the wound network: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// The weights give something else here than where they were trained.
    #[error(
        "the imported network differs from its reference by {difference}, allowed is {allowed}"
    )]
    Differs {
        /// By how much, at the worst place.
        difference: f32,
        /// How much is allowed.
        allowed: f32,
    },
    /// What it is calibrated on could not be had, or the weights not be written.
    #[error("the weights could not be calibrated or written")]
    Calibrate(#[source] TrainError),
    /// The weights as written cannot be read.
    #[error("the weights as written cannot be read")]
    Written(#[source] SegmenterError),
}

/// What the weights gave where they were trained. Both are `[n, channels, height, width]`.
#[derive(Module, Debug)]
struct Reference {
    input: Param<Tensor<4>>,
    output: Param<Tensor<4>>,
}

fn furthest(a: Tensor<4>, b: Tensor<4>) -> f32 {
    (a - b).abs().max().into_scalar::<f32>()
}

impl ImportConfig {
    fn fail(&self, reason: impl ToString) -> ImportError {
        ImportError::File { path: self.file.clone(), reason: reason.to_string() }
    }

    /// Fills all of `module` but what `absent` names from a part of the file.
    fn fill<M: ModuleSnapshot>(
        &self,
        module: &mut M,
        part: &str,
        absent: &[&str],
    ) -> Result<(), ImportError> {
        let mut store = PytorchStore::from_file(&self.file)
            .with_top_level_key(part)
            .map_indices_contiguous(false)
            .allow_partial(true);
        let result = module.load_from(&mut store).map_err(|e| self.fail(e))?;
        let missing: Vec<_> = result
            .missing
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !absent.contains(name))
            .collect();
        match (missing.is_empty(), result.errors.is_empty(), result.unused.is_empty()) {
            (true, true, true) => Ok(()),
            _ => Err(self.fail(format!(
                "missing {missing:?}, wrong {:?}, unknown {:?}",
                result.errors, result.unused
            ))),
        }
    }
}

/// Imports weights.
///
/// # Errors
///
/// The file lacks a tensor, has one too many or of another shape; the network gives something
/// else than the reference; the photographs cannot be read or the weights not be written.
pub fn import(config: &ImportConfig) -> Result<ImportReport, ImportError> {
    let device = Device::flex();
    let mut network = Network::new(&device).valid();
    config.fill(&mut network, "network", &["calibration"])?;
    let [n, height, width] = REFERENCE;
    let empty = |channels| Param::from_tensor(Tensor::zeros([n, channels, height, width], &device));
    let mut reference = Reference { input: empty(3), output: empty(1) };
    config.fill(&mut reference, "reference", &[])?;
    let (input, wanted) = (reference.input.val(), reference.output.val());
    let logit_difference = furthest(network.clone().folded().forward(input.clone()), wanted);
    check(logit_difference, LOGIT_TOLERANCE)?;

    let held_out = HeldOut::gather(&config.images, &config.masks, None);
    let held_out = held_out.map_err(ImportError::Calibrate)?;
    let (network, figures) = judge(network, &held_out, &device);
    let digest = write_weights(&network, &config.output).map_err(ImportError::Calibrate)?;
    let written = Segmenter::from_file(&config.output).map_err(ImportError::Written)?;
    let half_difference = furthest(
        activation::sigmoid(network.forward(input.clone())),
        activation::sigmoid(written.logits(input)),
    );
    check(half_difference, HALF_TOLERANCE)?;
    Ok(ImportReport {
        logit_difference,
        half_difference,
        figures,
        weights: config.output.clone(),
        digest,
    })
}

fn check(difference: f32, allowed: f32) -> Result<(), ImportError> {
    // Not a number is not within the tolerance either.
    if difference <= allowed { Ok(()) } else { Err(ImportError::Differs { difference, allowed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_none_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let file = folder.path().join("network.pt");
        std::fs::write(&file, b"no weights").expect("a file");
        let config = ImportConfig {
            file: file.clone(),
            images: folder.path().to_owned(),
            masks: folder.path().to_owned(),
            output: folder.path().join("wound.bpk"),
        };
        let error = import(&config).expect_err("refused");
        assert!(matches!(&error, ImportError::File { path, .. } if *path == file), "{error}");
    }

    #[test]
    fn a_difference_beyond_the_tolerance_is_refused() {
        assert!(check(0.001, 0.002).is_ok());
        assert!(matches!(check(0.003, 0.002), Err(ImportError::Differs { .. })));
        assert!(check(f32::NAN, 1.0).is_err());
    }
}
