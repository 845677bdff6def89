//! `ledger model tissue`: what tells granulation from slough.

use std::path::PathBuf;

use clap::Args;
use projections::wound::tissue::fit;

use super::Verdict;
use super::output::Output;

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
