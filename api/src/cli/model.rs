//! `ledger model`: training, scoring and packing the wound segmentation network.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use projections::wound::network::{
    EvaluateConfig, ImportConfig, ModelPackage, ReferenceConfig, Segmenter, Split, Start,
    TrainConfig, embedded_card, evaluate, import, reference, train, wound_threshold,
    write_material,
};
use serde::Serialize;

use super::Verdict;
use super::output::{Output, read_text};
use super::tissue::Tissue;

#[derive(Debug, Subcommand)]
pub(super) enum Model {
    /// Train the network; an interrupted run goes on where it was
    Train(Train),
    /// Take over weights that were trained elsewhere, checked against what they gave there
    Import(Import),
    /// Write the made pictures that training uses beside the photographs
    Material(Material),
    /// Score weights against masks that people drew
    Evaluate(Evaluate),
    /// Fit what tells tissue apart to crops that people labelled, and say how far it is to be trusted
    Tissue(Tissue),
    /// Count what weights see in pictures: the reference on a model's card
    Reference(Reference),
    /// Print the card of the weights in the program; with --json as a card is handed in
    Card,
    /// Put weights and their card into one file, as `POST /v1/models` takes it
    Pack(Pack),
}

/// Weights, and pictures that people outlined to look at with them.
#[derive(Debug, Args)]
struct Judged {
    /// Photographs
    #[arg(long, value_name = "FOLDER")]
    images: PathBuf,
    /// Their masks, paired by stem: what has none does not count
    #[arg(long, value_name = "FOLDER")]
    masks: PathBuf,
    /// Weights to look with instead of those in the program
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Only one side of the fixed split that training keeps to
    #[arg(long, value_enum, value_name = "SIDE")]
    split: Option<Side>,
}

#[derive(Debug, Args)]
pub(super) struct Reference {
    #[command(flatten)]
    judged: Judged,
}

#[derive(Debug, Args)]
pub(super) struct Pack {
    /// Weights, as `ledger model import` or `ledger model train` wrote them
    #[arg(value_name = "WEIGHTS")]
    weights: PathBuf,
    /// The card that belongs to them, as JSON
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// Where the package goes
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// What a package holds.
#[derive(Serialize)]
struct Packed {
    package: PathBuf,
    weights_sha256: String,
    bytes: usize,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// What one or two runs of `training/train.py` wrote: weights, an input and their output for it
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Photographs, to calibrate on those held out
    #[arg(long, value_name = "FOLDER")]
    images: PathBuf,
    /// Their masks, paired by stem
    #[arg(long, value_name = "FOLDER")]
    masks: PathBuf,
    /// Where the weights go
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Material {
    /// Where the folders `images` and `labels` go
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Phantoms with a wound; a third as many healthy ones come with them
    #[arg(long, value_name = "N", default_value_t = 360)]
    phantoms: usize,
    /// Drawings without a wound
    #[arg(long, value_name = "N", default_value_t = 360)]
    drawings: usize,
    /// Everything that is left to chance follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct Train {
    /// Photographs
    #[arg(long, value_name = "FOLDER")]
    images: PathBuf,
    /// Their masks, paired by stem
    #[arg(long, value_name = "FOLDER")]
    masks: PathBuf,
    /// Begin with the `ImageNet` weights of `EfficientNet-Lite0` or `Lite2` (`.pth`)
    #[arg(long, value_name = "FILE", required_unless_present = "start")]
    encoder: Option<PathBuf>,
    /// Go on from weights of this network (`.bpk`)
    #[arg(long, value_name = "FILE", conflicts_with = "encoder")]
    start: Option<PathBuf>,
    /// Where the weights go
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Passes over the photographs
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// How many of them leave the encoder as it is
    #[arg(long, value_name = "N")]
    frozen_epochs: Option<usize>,
    /// Everything that is left to chance follows from it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Phantoms with a wound to learn from; a third as many healthy ones come with them
    #[arg(long, value_name = "N")]
    phantoms: Option<usize>,
    /// Drawings without a wound to learn from
    #[arg(long, value_name = "N")]
    drawings: Option<usize>,
    /// At most so many photographs, for a quick try
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct Evaluate {
    #[command(flatten)]
    judged: Judged,
    /// From which probability on a picture is said to show a wound
    #[arg(long, default_value_t = wound_threshold(), value_name = "P")]
    threshold: f32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Side {
    Training,
    HeldOut,
}

impl Model {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Model::Train(asked) => asked.run(output),
            Model::Import(asked) => asked.run(output),
            Model::Material(asked) => asked.run(output),
            Model::Evaluate(asked) => asked.run(output),
            Model::Tissue(asked) => asked.run(output),
            Model::Reference(asked) => asked.run(output),
            Model::Card => card(output),
            Model::Pack(asked) => asked.run(output),
        }
    }
}

impl Side {
    fn split(self) -> Split {
        match self {
            Side::Training => Split::Training,
            Side::HeldOut => Split::HeldOut,
        }
    }
}

impl Judged {
    /// A network with the weights of the file, or with those in the program.
    fn segmenter(&self) -> anyhow::Result<Segmenter> {
        Ok(match &self.weights {
            None => Segmenter::embedded()?,
            Some(file) => Segmenter::from_file(file)?,
        })
    }
}

fn card(output: &Output) -> anyhow::Result<Verdict> {
    let card = embedded_card();
    output.result(card, |output| {
        let share = |permille: u16| f64::from(permille) / 1000.0;
        output.line(format!("name       {}, version {}", &*card.name, &*card.version));
        output.line(format!("for        {}", &*card.intended_use));
        output.line(format!("made of    {}", &*card.training_data));
        output.line(format!("licence    {}", &*card.licence));
        output.line(format!(
            "Dice       {:.3} pooled, {:.3} mean, on {} pictures held out",
            share(card.metrics.dice_pooled_permille),
            share(card.metrics.dice_mean_permille),
            card.metrics.n
        ));
        output.line(format!("threshold  {}", card.wound_threshold()));
        for limit in &card.limits {
            output.line(format!("limit      {}", &**limit));
        }
    })?;
    Ok(Verdict::InOrder)
}

impl Reference {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let segmenter = self.judged.segmenter()?;
        let Judged { images, masks, split, .. } = self.judged;
        let config = ReferenceConfig { images, masks, split: split.map(Side::split) };
        let bar = output.progress("Counting", 0);
        let counted = reference(&segmenter, &config, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        output.result(&counted, |output| {
            output.line(format!("model               {}", segmenter.digest_hex()));
            output.line(format!("wound probability   {:?}", counted.wound_probability));
            output.line(format!("picture brightness  {:?}", counted.picture_brightness));
        })?;
        Ok(Verdict::InOrder)
    }
}

impl Pack {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let card = ModelPackage::read_card(read_text(&self.card)?.as_bytes())
            .with_context(|| format!("cannot use {}", self.card.display()))?;
        let weights = std::fs::read(&self.weights)
            .with_context(|| format!("cannot read {}", self.weights.display()))?;
        // What would be refused is better refused here.
        let segmenter = Segmenter::from_bytes(weights.clone())?;
        let package = ModelPackage { card, weights }.write()?;
        std::fs::write(&self.output, &package)
            .with_context(|| format!("cannot write {}", self.output.display()))?;
        let packed = Packed {
            package: self.output,
            weights_sha256: segmenter.digest_hex(),
            bytes: package.len(),
        };
        output.result(&packed, |output| {
            output.line(format!("package  {} ({} bytes)", packed.package.display(), packed.bytes));
            output.line(format!("weights  {}", packed.weights_sha256));
        })?;
        Ok(Verdict::InOrder)
    }
}

impl Import {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let report = import(&ImportConfig {
            files: self.files,
            images: self.images,
            masks: self.masks,
            output: self.output,
        })?;
        output.result(&report, |output| {
            output.line(format!("weights     {}", report.weights.display()));
            output.line(format!("digest      {}", report.digest));
            output.line(format!(
                "difference  {:.6} of a logit from the reference, {:.4} of a probability in half precision",
                report.logit_difference, report.half_difference
            ));
            output.line(format!(
                "Dice        {:.4} pooled, {:.4} mean, on what was held out",
                report.figures.photographs.dice_pooled, report.figures.photographs.dice_mean
            ));
        })?;
        Ok(Verdict::InOrder)
    }
}

impl Material {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let count = write_material(&self.folder, self.seed, self.phantoms, self.drawings)?;
        output.result(&count, |output| {
            output.line(format!("pictures  {count} in {}", self.folder.display()));
        })?;
        Ok(Verdict::InOrder)
    }
}

impl Train {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let start = match (self.start, self.encoder) {
            (Some(weights), _) => Start::Weights(weights),
            (None, Some(encoder)) => Start::Encoder(encoder),
            (None, None) => anyhow::bail!("give --encoder, or --start to go on from weights"),
        };
        let mut config = TrainConfig::new(self.images, self.masks, start, self.output);
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.frozen_epochs = self.frozen_epochs.unwrap_or(config.frozen_epochs);
        config.seed = self.seed.unwrap_or(config.seed);
        config.phantoms = self.phantoms.unwrap_or(config.phantoms);
        config.drawings = self.drawings.unwrap_or(config.drawings);
        config.limit = self.limit.or(config.limit);
        let bar = output.progress("Training", 0);
        let report = train(&config, &mut |progress| {
            bar.set_length((progress.epochs * progress.steps) as u64);
            bar.set_position(((progress.epoch - 1) * progress.steps + progress.step) as u64);
            bar.set_message(format!(
                "epoch {}/{} loss {:.4}",
                progress.epoch, progress.epochs, progress.loss
            ));
            if let Some(figures) = progress.figures {
                bar.suspend(|| {
                    output.line(format!(
                        "epoch {}: loss {:.4}, Dice pooled {:.4}, mean {:.4}",
                        progress.epoch,
                        progress.loss,
                        figures.photographs.dice_pooled,
                        figures.photographs.dice_mean
                    ));
                });
            }
        })?;
        bar.finish_and_clear();
        output.result(&report, |output| {
            output.line(format!("weights  {}", report.weights.display()));
            output.line(format!("digest   {}", report.digest));
            output.line(format!(
                "Dice     {:.4} pooled, {:.4} mean, on what was held out",
                report.figures.photographs.dice_pooled, report.figures.photographs.dice_mean
            ));
        })?;
        Ok(Verdict::InOrder)
    }
}

impl Evaluate {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let segmenter = self.judged.segmenter()?;
        let Judged { images, masks, split, .. } = self.judged;
        let split = split.map(Side::split);
        let config = EvaluateConfig { images, masks, split, wound_threshold: self.threshold };
        let bar = output.progress("Scoring", 0);
        let scored = evaluate(&segmenter, &config, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        output.result(&scored, |output| {
            output.line(format!("model                    {}", segmenter.digest_hex()));
            output.line(format!(
                "pictures                 {} ({} without a wound)",
                scored.n, scored.n_empty
            ));
            output.line(format!("Dice, pooled             {:.4}", scored.dice_pooled));
            output.line(format!("Dice, mean               {:.4}", scored.dice_mean));
            output.line(format!("Dice, mean of nonempty   {:.4}", scored.dice_mean_nonempty));
            output.line(format!(
                "found where there is none {:.4}",
                scored.false_positive_rate_on_empty
            ));
        })?;
        Ok(Verdict::InOrder)
    }
}
