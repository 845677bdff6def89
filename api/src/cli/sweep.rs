//! `ledger scan sweep`: captures that were stored and never recorded.

use clap::Args;
use jiff::SignedDuration;
use serde::Serialize;

use super::output::Output;
use super::setup::Log;
use super::verdict::Verdict;
use crate::config::Captures;

/// Removes captures that no scan in the log names: a capture is stored before its scan is recorded, so a crash in
/// between, or a store that failed to remove a refused one, leaves it behind. It cannot be reached through the
/// record, but it is a patient's picture, encrypted, and no event refers to it. A person decides when, and not
/// the worker, because beside a log that was restored from an old backup captures look as if no event named them.
#[derive(Debug, Args)]
pub(super) struct Sweep {
    #[command(flatten)]
    log: Log,
    #[command(flatten)]
    captures: Captures,
    /// Only those stored so many hours ago or longer
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=87_600))]
    older_than: u32,
    /// Count them and leave them
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct SweepOutput {
    unnamed: u64,
    removed: bool,
}

impl Sweep {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let blobs = self.captures.open()?;
        let ledger = self.log.open().await?;
        let age = SignedDuration::from_hours(self.older_than.into());
        let swept = ledger.sweep_captures(&blobs, age, !self.dry_run).await;
        ledger.close().await;
        let said = SweepOutput { unnamed: swept?, removed: !self.dry_run };
        output.result(&said, |output| {
            let done = if said.removed { "removed" } else { "left" };
            let hours = self.older_than;
            output.line(format!(
                "Captures that no scan names and that are older than {hours} h: {}, {done}.",
                said.unnamed
            ));
        })?;
        Ok(Verdict::InOrder)
    }
}
