//! `ledger model train` and what else makes networks: only in a binary built with the feature `training`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wound::training::{
    ImportConfig, Start, TrainConfig, import, tissue::fit, train, write_material,
};

use super::output::Output;
use super::verdict::Verdict;

#[derive(Debug, Subcommand)]
pub(super) enum Training {
    /// Train the network; an interrupted run goes on where it was
    Train(Train),
    /// Take over weights that were trained elsewhere, checked against what they gave there
    Import(Import),
    /// Write the made pictures that training uses beside the photographs
    Material(Material),
    /// Fit what tells tissue apart to crops that people labelled, and say how far it is to be trusted
    Tissue(Tissue),
}

impl Training {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Training::Train(asked) => asked.run(output),
            Training::Import(asked) => asked.run(output),
            Training::Material(asked) => asked.run(output),
            Training::Tissue(asked) => asked.run(output),
        }
    }
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

#[derive(Debug, Args)]
pub(super) struct Tissue {
    /// Crops of wounds
    #[arg(long, value_name = "FOLDER")]
    images: PathBuf,
    /// Their labels, paired by stem: 1 fibrin, 2 granulation
    #[arg(long, value_name = "FOLDER")]
    labels: PathBuf,
}

impl Tissue {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let fit = fit(&self.images, &self.labels)?;
        output.result(&fit, |output| {
            output.line(format!("crops                     {}", fit.crops));
            output.line(format!("coefficients              {:.4?}", fit.coefficients));
            output.line(format!("range of L*, a*, b*       {:.1?}", fit.range));
            output.line("on crops that were not fitted to:");
            output.line(format!("error of a share, mean    {:.3}", fit.mean_absolute_error));
            output.line(format!(
                "  of always the median    {:.3}",
                fit.mean_absolute_error_of_median
            ));
            output.line(format!("  standard deviation      {:.3}", fit.standard_deviation));
            output.line(format!("  bias                    {:.3}", fit.bias));
            output.line(format!("cells told rightly        {:.3}", fit.accuracy));
        })?;
        Ok(Verdict::InOrder)
    }
}
