//! `ledger audit`: checking and exporting the evidence.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use audit::checkpoint::Checkpoint;
use audit::export::verify_export;
use audit::postgres::{DataKeys, Progress, export_database, verify_database};
use audit::verify::{Options, Report, Trust};
use clap::{Args, Subcommand};
use commands::{Keys, database};
use secrecy::{ExposeSecret as _, SecretString};

use super::Verdict;
use super::output::{Output, read_text};
use super::setup::keys_from;

/// The most findings printed one by one.
const FINDINGS_SHOWN: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check an export, or the database itself, and name the first damaged position
    Verify(Verify),
    /// Write the whole log into a folder that anybody can check offline
    Export {
        /// The log's Postgres
        #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
        database_url: SecretString,
        /// A new or empty folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

/// Checks an export (a folder), or the database itself: every column of every row against what was
/// signed, every payload against its digest, every checkpoint against the tree, and, where the data keys
/// are at hand, every plaintext against its commitment.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    trust: Trusted,
    /// The log's Postgres; used when no folder is given
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// A checkpoint seen earlier: the log must still contain it. May be given several times
    #[arg(long, value_name = "FILE")]
    seen: Vec<PathBuf>,
    /// The export; without it, the database is checked
    #[arg(value_name = "FOLDER")]
    export: Option<PathBuf>,
}

/// The key the auditor trusts.
#[derive(Debug, Args)]
pub(super) struct Trusted {
    /// The log's verifier key, as `ledger keys public` prints it (origin+id+key)
    #[arg(long, env = "LEDGER_VERIFIER_KEY", value_name = "VKEY")]
    key: Option<String>,
    /// The ledger's own keys: with `LEDGER_ORIGIN` they stand in for --key, and open the payloads
    #[arg(long, env = "LEDGER_KEYS_DIR", value_name = "FOLDER")]
    keys_dir: Option<PathBuf>,
    /// The log's name
    #[arg(long, env = "LEDGER_ORIGIN", value_name = "NAME")]
    origin: Option<String>,
}

impl Trusted {
    fn keys(&self) -> anyhow::Result<Option<Keys>> {
        keys_from(self.keys_dir.as_deref())
    }

    fn trust(&self, keys: Option<&Keys>) -> anyhow::Result<Trust> {
        match (&self.key, keys, &self.origin) {
            (Some(key), ..) => Trust::parse(key).context("--key is not a verifier key"),
            (None, Some(keys), Some(origin)) => Ok(Trust::any_of(origin, keys.verifiers(origin)?)),
            _ => bail!("name the key to trust: --key, or LEDGER_KEYS_DIR with LEDGER_ORIGIN"),
        }
    }
}

impl Audit {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Audit::Verify(verify) => verify.run(output).await,
            Audit::Export { database_url, folder } => export(&database_url, &folder, output).await,
        }
    }
}

impl Verify {
    async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let keys = self.trust.keys()?;
        let trust = self.trust.trust(keys.as_ref())?;
        let pinned = self.seen.iter().map(|file| {
            let note = read_text(file)?;
            Checkpoint::from_note(&note, trust.keys())
                .with_context(|| format!("{} is no checkpoint of this log", file.display()))
        });
        let options =
            Options { pinned: pinned.collect::<anyhow::Result<_>>()?, ..Options::default() };
        let bar = output.progress("Verifying", 0);
        let report = match (&self.export, &self.database_url) {
            (Some(folder), _) => {
                let folder = folder.clone();
                let (bar, trust) = (bar.clone(), trust.clone());
                let verified = tokio::task::spawn_blocking(move || {
                    verify_export(&folder, &trust, options, |done, total| {
                        bar.set_length(total);
                        bar.set_position(done);
                    })
                });
                verified.await??
            }
            (None, Some(url)) => {
                let pool = database::connect(url.expose_secret()).await?;
                let data_keys = keys.map(|keys| DataKeys::new(pool.clone(), keys.key_wrap()));
                let advance = |progress: Progress| {
                    bar.set_length(progress.total);
                    bar.set_position(progress.done);
                };
                verify_database(&pool, &trust, options, data_keys.as_ref(), advance).await?
            }
            (None, None) => bail!("name what to check: the folder of an export, or DATABASE_URL"),
        };
        bar.finish_and_clear();
        output.result(&report, |output| print(&report, output))?;
        Ok(if report.is_sound() { Verdict::InOrder } else { Verdict::Findings })
    }
}

fn print(report: &Report, output: &Output) {
    output.line(format!("log        {}", report.origin));
    output.line(format!("events     {} in {} streams", report.events, report.streams));
    output.line(format!("root       {}", report.root));
    output.line(format!(
        "checked    {} checkpoints, {} payloads, {} plaintexts",
        report.checkpoints, report.payloads, report.plaintexts
    ));
    for finding in report.findings.iter().take(FINDINGS_SHOWN) {
        output
            .line(format!("position {}: {:?}: {}", finding.position, finding.kind, finding.detail));
    }
    let shown = report.findings.len().min(FINDINGS_SHOWN) as u64;
    let more = report.findings.len() as u64 - shown + report.more_findings;
    if more > 0 {
        output.line(format!("and {more} more findings"));
    }
    output.line(match report.first_damage() {
        None => {
            "verdict    sound: nothing was changed, removed, reordered or back-dated".to_owned()
        }
        Some(first) => format!("verdict    DAMAGED, first at position {}", first.position),
    });
}

async fn export(url: &SecretString, folder: &Path, output: &Output) -> anyhow::Result<Verdict> {
    let pool = database::connect(url.expose_secret()).await?;
    let mut connection = pool.acquire().await?;
    let bar = output.progress("Exporting", 0);
    let events = export_database(&mut connection, folder, |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })
    .await?;
    bar.finish_and_clear();
    let said = serde_json::json!({ "events": events, "folder": folder });
    output.result(&said, |output| {
        output.line(format!("Exported {events} events to {}.", folder.display()));
        output.line("Check it with: ledger audit verify --key VKEY FOLDER");
    })?;
    Ok(Verdict::InOrder)
}
