//! Weights that were trained elsewhere: checked against what they gave there, calibrated, and
//! written as the program reads them.

use std::path::{Path, PathBuf};

use burn::{
    module::{Module, Param},
    store::{ModuleSnapshot, ModuleStore, PytorchStore},
    tensor::{Device, Tensor, activation},
};
use serde::Serialize;

use super::{
    judge::{Figures, judge},
    material::HeldOut,
    train::{TrainError, write_weights},
};
use crate::network::{
    ensemble::{Ensemble, MEMBERS_MAX},
    model::{Network, STRIDE, Size},
    segment::{Segmenter, SegmenterError},
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
    /// One or two `PyTorch` files as `training/train.py` writes them: `network`, the weights by name, and
    /// `reference`, an `input` and the `output` they gave for it. Of two, the first looks at a picture and
    /// the second at its mirror image.
    pub files: Vec<PathBuf>,
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
    /// No file, or more than there are looks at a picture.
    #[error("{count} files of weights were given: give 1 to {MEMBERS_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
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

/// A part of a file.
fn part(path: &Path, name: &str) -> PytorchStore {
    PytorchStore::from_file(path)
        .with_top_level_key(name)
        .map_indices_contiguous(false)
        .allow_partial(true)
}

/// Fills all of `module` from a part of a file.
fn fill<M: ModuleSnapshot>(module: &mut M, path: &Path, name: &str) -> Result<(), ImportError> {
    let fail = |reason| ImportError::File { path: path.to_owned(), reason };
    let mut store = part(path, name);
    let result = module.load_from(&mut store).map_err(|error| fail(error.to_string()))?;
    let missing: Vec<_> = result.missing.iter().map(|(name, _)| name.as_str()).collect();
    match (missing.is_empty(), result.errors.is_empty(), result.unused.is_empty()) {
        (true, true, true) => Ok(()),
        _ => Err(fail(format!(
            "missing {missing:?}, wrong {:?}, unknown {:?}",
            result.errors, result.unused
        ))),
    }
}

/// A network with the weights of a file, what it was given where it was trained, and how far a logit is from what
/// it gave there.
fn member(path: &Path, device: &Device) -> Result<(Network, Tensor<4>, f32), ImportError> {
    let size = part(path, "network")
        .keys()
        .map_err(|error| error.to_string())
        .and_then(|names| Size::of(names.iter().map(String::as_str)));
    let size = size.map_err(|reason| ImportError::File { path: path.to_owned(), reason })?;
    let mut network = Network::new(size, device).valid();
    fill(&mut network, path, "network")?;
    let [n, height, width] = REFERENCE;
    let empty = |channels| Param::from_tensor(Tensor::zeros([n, channels, height, width], device));
    let mut reference = Reference { input: empty(3), output: empty(1) };
    fill(&mut reference, path, "reference")?;
    let input = reference.input.val();
    let difference =
        furthest(network.clone().folded().forward(input.clone()), reference.output.val());
    check(difference, LOGIT_TOLERANCE)?;
    Ok((network, input, difference))
}

/// Imports weights.
///
/// # Errors
///
/// The file lacks a tensor, has one too many or of another shape; the network gives something
/// else than the reference; the photographs cannot be read or the weights not be written.
pub fn import(config: &ImportConfig) -> Result<ImportReport, ImportError> {
    let device = Device::flex();
    if !(1..=MEMBERS_MAX).contains(&config.files.len()) {
        return Err(ImportError::Count { count: config.files.len() });
    }
    let members = config.files.iter().map(|path| member(path, &device));
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let logit_difference = members.iter().map(|(_, _, difference)| *difference).fold(0.0, f32::max);
    let (networks, inputs): (Vec<_>, Vec<_>) =
        members.into_iter().map(|(network, input, _)| (network, input)).unzip();

    let held_out = HeldOut::gather(&config.images, &config.masks, None);
    let held_out = held_out.map_err(ImportError::Calibrate)?;
    let (networks, figures) = judge(Ensemble::new(networks, &device), &held_out, &device);
    let digest = write_weights(&networks, &config.output).map_err(ImportError::Calibrate)?;
    let written = Segmenter::from_file(&config.output).map_err(ImportError::Written)?;
    let mut half_difference = 0.0_f32;
    for (turn, input) in inputs.into_iter().enumerate() {
        let seen =
            |networks: &Ensemble, input| activation::sigmoid(networks.member(turn).forward(input));
        let difference = furthest(seen(&networks, input.clone()), seen(written.networks(), input));
        check(difference, HALF_TOLERANCE)?;
        half_difference = half_difference.max(difference);
    }
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
            files: vec![file.clone()],
            images: folder.path().to_owned(),
            masks: folder.path().to_owned(),
            output: folder.path().join("wound.bpk"),
        };
        let error = import(&config).expect_err("refused");
        assert!(matches!(&error, ImportError::File { path, .. } if *path == file), "{error}");
    }

    #[test]
    fn more_networks_than_looks_are_refused() {
        let here = PathBuf::from("here");
        for count in [0, MEMBERS_MAX + 1] {
            let config = ImportConfig {
                files: vec![here.clone(); count],
                images: here.clone(),
                masks: here.clone(),
                output: here.clone(),
            };
            let error = import(&config).expect_err("refused");
            assert!(matches!(error, ImportError::Count { count: it } if it == count), "{error}");
        }
    }

    #[test]
    fn a_difference_beyond_the_tolerance_is_refused() {
        assert!(check(0.001, 0.002).is_ok());
        assert!(matches!(check(0.003, 0.002), Err(ImportError::Differs { .. })));
        assert!(check(f32::NAN, 1.0).is_err());
    }
}
