//! `ledger model`: scoring and packing the wound segmentation network. What makes networks is in `training.rs`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use wound::evaluation::{EvaluateConfig, ReferenceConfig, Split, evaluate, reference};
use wound::network::{ModelPackage, Segmenter, embedded_card, wound_threshold};

use super::output::{Output, read_text};
use super::verdict::Verdict;

#[derive(Debug, Subcommand)]
pub(super) enum Model {
    /// Score weights against masks that people drew
    Evaluate(Evaluate),
    /// Count what weights see in pictures: the reference on a model's card
    Reference(Reference),
    /// Print the card of the weights in the program; with --json as a card is handed in
    Card,
    /// Put weights and their card into one file, as `POST /v1/models` takes it
    Pack(Pack),
    #[cfg(feature = "training")]
    #[command(flatten)]
    Training(super::training::Training),
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
            Model::Evaluate(asked) => asked.run(output),
            Model::Reference(asked) => asked.run(output),
            Model::Card => card(output),
            Model::Pack(asked) => asked.run(output),
            #[cfg(feature = "training")]
            Model::Training(asked) => asked.run(output),
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
