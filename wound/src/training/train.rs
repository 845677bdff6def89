//! Making weights: an encoder that has seen a million everyday photographs learns, with a fresh
//! decoder, what wounds look like.
//!
//! The run is seeded and can be resumed: after each epoch everything needed to go on lies in the
//! checkpoint folder, and every epoch draws its chances from the seed and its own number.

use std::path::{Path, PathBuf};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    optim::{AdamWConfig, GradientsParams, ModuleOptimizer},
    store::{BurnpackStore, HalfPrecisionAdapter, ModuleSnapshot, ModuleStore, PytorchStore},
    tensor::{Device, Tensor, TensorData, activation},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    augment::Sample,
    judge::{Figures, judge},
    material::{HeldOut, Material},
};
use crate::error::CaptureError;
use crate::evaluation::dataset::DatasetError;
use crate::network::{
    ensemble::Ensemble,
    model::{Network, Size, normalise},
};

/// The network learns from parts of this many cells; in use it sees whole pictures.
const SIDE: usize = 192;

/// Steps over which the learning rate rises at the start.
const WARM_UP_STEPS: usize = 60;

/// The encoder learns this much more slowly than the decoder.
const ENCODER_SHARE: f64 = 0.15;

/// How much of the averaged weights stays at each step.
const AVERAGE_DECAY: f64 = 0.992;

/// What a run begins with.
#[derive(Debug, Clone)]
pub enum Start {
    /// The published weights of EfficientNet-Lite0 or Lite2 (a `PyTorch` file), under a fresh decoder.
    Encoder(PathBuf),
    /// Weights of this network, as [`train`] and [`super::import`] write them; of two networks the first.
    Weights(PathBuf),
}

/// What to train on, and how.
#[derive(Debug, Clone)]
pub struct TrainConfig {
    /// Folder of photographs.
    pub images: PathBuf,
    /// Folder of their masks, paired by stem.
    pub masks: PathBuf,
    /// What a fresh run begins with.
    pub start: Start,
    /// Where the weights go.
    pub output: PathBuf,
    /// Where an interrupted run finds what it needs to go on.
    pub checkpoints: PathBuf,
    /// Passes over the photographs.
    pub epochs: usize,
    /// The first epochs leave the encoder as it is.
    pub frozen_epochs: usize,
    /// Pictures in each step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// Phantoms with a wound to learn from; a third as many healthy ones come with them.
    pub phantoms: usize,
    /// Drawings without a wound to learn from.
    pub drawings: usize,
    /// At most so many photographs on either side of the split, for a quick try.
    pub limit: Option<usize>,
}

impl TrainConfig {
    /// A short run for a machine without an accelerator.
    #[must_use]
    pub fn new(images: PathBuf, masks: PathBuf, start: Start, output: PathBuf) -> Self {
        let checkpoints = output.with_extension("checkpoints");
        Self {
            images,
            masks,
            start,
            output,
            checkpoints,
            epochs: 4,
            frozen_epochs: 0,
            batch: 6,
            learning_rate: 2e-3,
            seed: 1,
            phantoms: 120,
            drawings: 160,
            limit: None,
        }
    }
}

/// How far the run is. Said after each step and, with figures, after each epoch.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Steps in each epoch.
    pub steps: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// The figures on what the network never learns from, once the epoch is over.
    pub figures: Option<Figures>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainReport {
    /// Epochs done, earlier runs included.
    pub epochs: usize,
    /// The last epoch's figures.
    pub figures: Figures,
    /// The weights.
    pub weights: PathBuf,
    /// Their SHA-256 in hexadecimal.
    pub digest: String,
}

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The photographs or masks could not be had.
    #[error("the photographs and masks could not be read")]
    Dataset(#[source] DatasetError),
    /// There is nothing to learn from.
    #[error("no photograph on the training side of the split, or none held out")]
    Empty,
    /// A phantom could not be made.
    #[error("a phantom could not be made")]
    Phantom(#[from] CaptureError),
    /// What the run is to begin with could not be had.
    #[error("no weights to begin with could be taken from {}: {reason}", path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// A checkpoint or the weights could not be written or read.
    #[error("{} could not be written or read: {reason}", path.display())]
    Store {
        /// Which file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// The loss is no longer a number.
    #[error("training diverged in epoch {epoch}: start again with a lower learning rate")]
    Diverged {
        /// In which epoch.
        epoch: usize,
    },
}

fn batch(samples: &[Sample], device: &Device) -> (Tensor<4>, Tensor<4>) {
    let plane = SIDE * SIDE;
    let mut pixels = vec![0.0_f32; samples.len() * 3 * plane];
    let mut masks = Vec::with_capacity(samples.len() * plane);
    for (sample, planes) in samples.iter().zip(pixels.chunks_mut(3 * plane)) {
        for (place, pixel) in sample.pixels.iter().enumerate() {
            for (channel, value) in pixel.iter().enumerate() {
                planes[channel * plane + place] = normalise(*value);
            }
        }
        masks.extend_from_slice(&sample.mask);
    }
    let n = samples.len();
    (
        Tensor::from_data(TensorData::new(pixels, [n, 3, SIDE, SIDE]), device),
        Tensor::from_data(TensorData::new(masks, [n, 1, SIDE, SIDE]), device),
    )
}

/// Cross entropy of each pixel plus one minus the batch's soft Dice.
fn loss(logits: Tensor<4>, truth: Tensor<4>) -> Tensor<1> {
    let soft_plus = activation::relu(logits.clone()) + logits.clone().abs().neg().exp().log1p();
    let entropy = (soft_plus - logits.clone() * truth.clone()).mean();
    let probability = activation::sigmoid(logits);
    let both = (probability.clone() * truth.clone()).sum();
    let all = probability.sum() + truth.sum();
    let dice = (both * 2.0 + 1.0) / (all + 1.0);
    entropy * 2.0 - dice + 1.0
}

/// Collects a network's numbers by the parameters' names.
struct Collect(GradientsParams);

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.val());
    }
}

/// Moves a network's numbers towards the collected ones.
struct Blend {
    towards: GradientsParams,
    decay: f64,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let value = match self.towards.remove::<D>(id) {
            Some(new) => value * self.decay + new * (1.0 - self.decay),
            None => value,
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

/// Averages a network over the steps.
fn blend(average: Network, network: &Network, step: usize) -> Network {
    let mut collect = Collect(GradientsParams::new());
    network.valid().visit(&mut collect);
    // Early on the average must not remember the random start.
    let decay = AVERAGE_DECAY.min((1 + step) as f64 / (10 + step) as f64);
    average.map(&mut Blend { towards: collect.0, decay })
}

/// The learning rate: a short rise, then half a cosine down to nearly nothing.
fn rate(config: &TrainConfig, step: usize, steps: usize) -> f64 {
    if step < WARM_UP_STEPS {
        return config.learning_rate * (step + 1) as f64 / WARM_UP_STEPS as f64;
    }
    let whole = (steps.max(WARM_UP_STEPS + 1) - WARM_UP_STEPS) as f64;
    let done = ((step - WARM_UP_STEPS) as f64 / whole).min(1.0);
    config.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()))
}

/// What lies in the checkpoint folder beside the networks.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    epoch: usize,
    step: usize,
    seed: u64,
}

struct Run {
    network: Network,
    average: Network,
    decoder: ModuleOptimizer,
    encoder: ModuleOptimizer,
    state: State,
}

fn store_error<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> TrainError {
    let path = path.to_owned();
    move |e| TrainError::Store { path, reason: e.to_string() }
}

fn start_error<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> TrainError {
    let path = path.to_owned();
    move |e| TrainError::Start { path, reason: e.to_string() }
}

/// The network that a fresh run begins with: of the size that its start is of.
fn begin(start: &Start, device: &Device) -> Result<Network, TrainError> {
    match start {
        Start::Encoder(path) => {
            let mut store = PytorchStore::from_file(path)
                .with_key_remapping(r"(^|\.)_", "${1}")
                .map_indices_contiguous(false);
            let names = store.keys().map_err(start_error(path))?;
            let size = Size::of(names.iter().map(String::as_str)).map_err(start_error(path))?;
            let mut network = Network::new(size, device);
            network.encoder.load_from(&mut store).map_err(start_error(path))?;
            Ok(network)
        }
        Start::Weights(path) => {
            let store = BurnpackStore::from_file(path).auto_extension(false);
            let networks = Ensemble::load(store, device).map_err(start_error(path))?;
            Ok(networks.member(0).clone())
        }
    }
}

impl Run {
    fn start(config: &TrainConfig, device: &Device) -> Result<Self, TrainError> {
        device.seed(config.seed);
        let network = begin(&config.start, device)?;
        let optimizer = || AdamWConfig::new().with_weight_decay(1e-4).init();
        let state_file = config.checkpoints.join("state.json");
        if state_file.exists() {
            let text = std::fs::read(&state_file).map_err(store_error(&state_file))?;
            let state: State = serde_json::from_slice(&text).map_err(store_error(&state_file))?;
            let folder = config.checkpoints.join(format!("epoch-{}", state.epoch));
            let load = |network: Network, name: &str| {
                let path = folder.join(name);
                network.try_load_file(&path).map_err(store_error(&path))
            };
            let optimizer_from = |name: &str| {
                let path = folder.join(name);
                optimizer().load(&path).map_err(store_error(&path))
            };
            return Ok(Self {
                average: load(network.valid(), "average.bpk")?.valid(),
                network: load(network, "network.bpk")?,
                decoder: optimizer_from("decoder.bpk")?,
                encoder: optimizer_from("encoder.bpk")?,
                state,
            });
        }
        Ok(Self {
            average: network.valid(),
            network,
            decoder: optimizer(),
            encoder: optimizer(),
            state: State { epoch: 0, step: 0, seed: config.seed },
        })
    }

    fn save(&self, config: &TrainConfig) -> Result<(), TrainError> {
        let folder = config.checkpoints.join(format!("epoch-{}", self.state.epoch));
        std::fs::create_dir_all(&folder).map_err(store_error(&folder))?;
        let network = folder.join("network.bpk");
        self.network.valid().save_file(&network).map_err(store_error(&network))?;
        let average = folder.join("average.bpk");
        self.average.valid().save_file(&average).map_err(store_error(&average))?;
        for (optimizer, name) in [(&self.decoder, "decoder.bpk"), (&self.encoder, "encoder.bpk")] {
            let path = folder.join(name);
            optimizer.save(&path).map_err(store_error(&path))?;
        }
        // Last, and at once: until it names this epoch the former one counts.
        let state = config.checkpoints.join("state.json");
        let draft = state.with_extension("draft");
        let text = serde_json::to_vec(&self.state).map_err(store_error(&state))?;
        std::fs::write(&draft, text).map_err(store_error(&draft))?;
        std::fs::rename(&draft, &state).map_err(store_error(&state))?;
        let former = config.checkpoints.join(format!("epoch-{}", self.state.epoch.wrapping_sub(1)));
        if former.exists() {
            std::fs::remove_dir_all(&former).map_err(store_error(&former))?;
        }
        Ok(())
    }

    /// Writes the weights as they are now; returns their digest and how good they are.
    fn judge(
        &self,
        config: &TrainConfig,
        held_out: &HeldOut,
        device: &Device,
    ) -> Result<(String, Figures), TrainError> {
        let networks = Ensemble::new(vec![self.average.valid()], device);
        let (networks, figures) = judge(networks, held_out, device);
        Ok((write_weights(&networks, &config.output)?, figures))
    }

    /// One step; returns the loss.
    fn step(&mut self, samples: &[Sample], rate: f64, device: &Device) -> f64 {
        let (pixels, masks) = batch(samples, device);
        let loss = loss(self.network.forward(pixels), masks);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let mut gradients = loss.backward();
        let of = |gradients: &mut _, ids: &[_], network: &Network| {
            GradientsParams::from_params(gradients, network, ids)
        };
        let decoder = of(&mut gradients, &self.network.decoder_ids(), &self.network);
        let encoder = of(&mut gradients, &self.network.encoder_ids(), &self.network);
        let mut network = self.decoder.step(rate, self.network.clone(), decoder);
        if !encoder.is_empty() {
            network = self.encoder.step(rate * ENCODER_SHARE, network, encoder);
        }
        self.network = network;
        self.state.step += 1;
        value
    }
}

/// Writes the weights in half precision; returns their digest.
pub(super) fn write_weights(networks: &Ensemble, path: &Path) -> Result<String, TrainError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(store_error(folder))?;
    }
    let mut store = BurnpackStore::from_file(path)
        .auto_extension(false)
        .overwrite(true)
        .with_to_adapter(HalfPrecisionAdapter::new());
    networks.save_into(&mut store).map_err(store_error(path))?;
    let bytes = std::fs::read(path).map_err(store_error(path))?;
    Ok(hex::encode(Sha256::digest(&bytes)))
}

/// Trains, or goes on with a run whose checkpoints are there. `progress` hears of each step.
///
/// # Errors
///
/// What is needed is not there or damaged, nothing can be written, or the loss diverges.
pub fn train(
    config: &TrainConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<TrainReport, TrainError> {
    let device = Device::flex().autodiff();
    let plain = device.clone().inner();
    let material = Material::gather(config)?;
    let mut run = Run::start(config, &device)?;
    let mut last = None;
    while run.state.epoch < config.epochs {
        let epoch = run.state.epoch;
        run.network = if epoch < config.frozen_epochs {
            run.network.freeze_encoder()
        } else {
            run.network.tune_deep_encoder()
        };
        let mut rng = StdRng::seed_from_u64(config.seed ^ ((epoch as u64 + 1) << 40));
        let items = material.epoch(&mut rng);
        let steps = items.len().div_ceil(config.batch);
        let mut sum = 0.0;
        for (step, items) in items.chunks(config.batch).enumerate() {
            let seeds: Vec<u64> = items.iter().map(|_| rng.random()).collect();
            let samples: Vec<_> = items
                .par_iter()
                .zip(seeds)
                .map(|(item, seed)| item.sample(SIDE, &mut StdRng::seed_from_u64(seed)))
                .collect();
            let rate = rate(config, run.state.step, steps * config.epochs);
            sum += run.step(&samples, rate, &device);
            if !sum.is_finite() {
                return Err(TrainError::Diverged { epoch: epoch + 1 });
            }
            run.average = blend(run.average, &run.network, run.state.step);
            progress(Progress {
                epoch: epoch + 1,
                epochs: config.epochs,
                step: step + 1,
                steps,
                loss: sum / (step + 1) as f64,
                figures: None,
            });
        }
        run.state.epoch += 1;
        run.save(config)?;
        let (digest, figures) = run.judge(config, &material.held_out, &plain)?;
        last = Some((digest, figures));
        progress(Progress {
            epoch: epoch + 1,
            epochs: config.epochs,
            step: steps,
            steps,
            loss: sum / steps as f64,
            figures: Some(figures),
        });
    }
    let (digest, figures) = match last {
        Some(last) => last,
        // The run was already complete: judge and write what it left.
        None => run.judge(config, &material.held_out, &plain)?,
    };
    Ok(TrainReport { epochs: run.state.epoch, figures, weights: config.output.clone(), digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let config =
            TrainConfig::new("i".into(), "m".into(), Start::Encoder("e".into()), "o".into());
        let rates: Vec<_> = (0..1000).map(|step| rate(&config, step, 1000)).collect();
        assert!(rates[0] < rates[30] && rates[30] < rates[60]);
        assert!((rates[60] - config.learning_rate).abs() < 1e-6);
        assert!(rates[999] < 0.02 * config.learning_rate);
    }

    #[test]
    fn the_loss_prefers_the_truth() {
        let device = Device::flex();
        let truth = Tensor::<4>::from_floats([[[[1.0, 0.0], [0.0, 0.0]]]], &device);
        let at = |logits: [[[[f32; 2]; 2]; 1]; 1]| {
            let logits = Tensor::<4>::from_floats(logits, &device);
            loss(logits, truth.clone()).into_scalar::<f32>()
        };
        let right = at([[[[9.0, -9.0], [-9.0, -9.0]]]]);
        let unsure = at([[[[0.0, 0.0], [0.0, 0.0]]]]);
        let wrong = at([[[[-9.0, 9.0], [9.0, 9.0]]]]);
        assert!(right < 0.05 && right < unsure && unsure < wrong, "{right} {unsure} {wrong}");
    }

    #[test]
    fn training_without_photographs_says_so() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().to_owned();
        let start = Start::Encoder(path.clone());
        let config = TrainConfig::new(path.clone(), path.clone(), start, path.join("out"));
        assert!(matches!(train(&config, &mut |_| {}), Err(TrainError::Empty)));
    }
}
