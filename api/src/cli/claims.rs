//! `ledger claims`: what is taken, compared with the log and made again from it.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use commands::claims::{ClaimFinding, ClaimsReport, compare, rebuild};
use serde::Serialize;

use super::output::Output;
use super::setup::{Log, load_keys};
use super::verdict::Verdict;

/// The most findings printed one by one.
const FINDINGS_SHOWN: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Claims {
    /// Make what is stored of taken times, numbers and log-in names what a replay of the signed log makes of it
    Rebuild(Rebuild),
}

/// Replays the signed log, compares the stored claims with it, and writes again what differs. `ledger serve` and `ledger worker` may go on
/// meanwhile; commands wait while the differences are written. Needs the ledger's keys. Where nothing differs, nothing is written.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    #[command(flatten)]
    log: Log,
    /// Only compare and say what differs; exit status 3 if something does
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct RebuildOutput {
    #[serde(flatten)]
    report: ClaimsReport,
    /// How many buckets were written.
    rewritten: u64,
}

impl Claims {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Claims::Rebuild(rebuild) => rebuild.run(output).await,
        }
    }
}

impl Rebuild {
    async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let keys = load_keys(&self.log.identity)?;
        let origin = &self.log.identity.origin;
        let pool = self.log.connect().await?;
        let said = if self.dry_run {
            let report = compare(&pool, &keys, origin).await;
            RebuildOutput { report: report.context("the claims cannot be compared")?, rewritten: 0 }
        } else {
            let rebuilt = rebuild(&pool, &keys, origin).await;
            let rebuilt = rebuilt.context("the claims cannot be made from the log")?;
            RebuildOutput { report: rebuilt.before, rewritten: rebuilt.buckets }
        };
        let sound = said.report.is_sound();
        output.result(&said, |output| {
            let ClaimsReport { size, claims, findings, more } = &said.report;
            output.line(format!("The log of {size} events grants {claims} claims."));
            findings.iter().take(FINDINGS_SHOWN).for_each(|finding| output.line(show(finding)));
            let hidden = findings.len().saturating_sub(FINDINGS_SHOWN) as u64 + more;
            if hidden > 0 {
                output.line(format!("  and {hidden} more"));
            }
            output.line(match (sound, self.dry_run) {
                (true, _) => "The stored claims are the same.".to_owned(),
                (false, true) => "The stored claims differ: run it without --dry-run.".to_owned(),
                (false, false) => format!(
                    "The stored claims differed and are the same now: {} buckets were written.",
                    said.rewritten
                ),
            });
        })?;
        Ok(if sound || !self.dry_run { Verdict::InOrder } else { Verdict::Findings })
    }
}

fn show(finding: &ClaimFinding) -> String {
    let ClaimFinding { difference, kind, stream_type, stream_id, position } = finding;
    let what = difference.as_str();
    let by =
        position.map(|position| format!(", granted at position {position}")).unwrap_or_default();
    if stream_type.is_empty() {
        format!("  {what}: a {kind}")
    } else {
        format!("  {what}: {kind} of {stream_type} {stream_id}{by}")
    }
}
