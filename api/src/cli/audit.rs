//! `ledger audit`: checking and exporting the evidence.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use audit::export::verify_export;
use audit::postgres::{Progress, export_database};
use audit::verify::{Finding, Options, Report, Seen, Trust};
use clap::{Args, Subcommand};
use commands::audit::{DatabaseReport, verify as verify_database};
use commands::{Keys, database};
use secrecy::{ExposeSecret as _, SecretString};

use super::earlier::Earlier;
use super::output::{Output, read_text};
use super::setup::keys_from;
use super::verdict::Verdict;

/// The most findings printed one by one.
const FINDINGS_SHOWN: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check an export, or the database itself, and name the first damaged position
    Verify(Verify),
    /// Write the whole log into a folder that anybody can check offline
    Export {
        #[command(flatten)]
        database: Database,
        /// A new or empty folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

/// Checks an export (a folder), or the database itself: every column of every row against what was
/// signed, every payload against its digest, every checkpoint against the tree, and, where the data keys
/// are available, every plaintext against its commitment. Of the database, everything else that decides as well: what is taken,
/// stored states, tables, triggers, functions, rights and roles; and it is compared with the checkpoint that the ledger keeps
/// outside the database and with its witnesses. The verdict names what was not compared.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    trust: Trusted,
    #[command(flatten)]
    database: Database,
    /// A checkpoint or a receipt seen earlier, signed by any key of the log: the log must still contain it. May be
    /// given several times
    #[arg(long, value_name = "FILE")]
    seen: Vec<PathBuf>,
    #[command(flatten)]
    earlier: Earlier,
    /// The export; without it, the database is checked
    #[arg(value_name = "FOLDER")]
    export: Option<PathBuf>,
}

/// The database, which is only read.
#[derive(Debug, Args)]
pub(super) struct Database {
    /// The log's Postgres, by the login `ledger_auditor`; without it, what `DATABASE_URL` says
    #[arg(
        long = "auditor-database-url",
        env = "LEDGER_AUDITOR_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    own_url: Option<SecretString>,
    /// The log's Postgres, by any login that may read it
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
}

impl Database {
    fn url(&self) -> Option<&str> {
        self.own_url.as_ref().or(self.database_url.as_ref()).map(|url| url.expose_secret())
    }
}

/// The key the auditor trusts.
#[derive(Debug, Args)]
pub(super) struct Trusted {
    /// A verifier key of the log, as `ledger keys public` prints it (origin+id+key). May be given several times
    #[arg(long, env = "LEDGER_VERIFIER_KEY", value_name = "VKEY")]
    key: Vec<String>,
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
        if !self.key.is_empty() {
            let keys = self.key.iter().map(String::as_str);
            return Trust::parse_all(keys).context("--key: not verifier keys of one log");
        }
        match (keys, &self.origin) {
            (Some(keys), Some(origin)) => Ok(Trust::any_of(origin, keys.verifiers(origin)?)),
            _ => bail!("name the key to trust: --key, or LEDGER_KEYS_DIR with LEDGER_ORIGIN"),
        }
    }
}

impl Audit {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Audit::Verify(verify) => verify.run(output).await,
            Audit::Export { database, folder } => export(&database, &folder, output).await,
        }
    }
}

impl Verify {
    async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let keys = self.trust.keys()?;
        let trust = self.trust.trust(keys.as_ref())?;
        let seen = self.seen.iter().map(|file| Self::read_seen(file, &trust));
        let seen = seen.collect::<anyhow::Result<Vec<Seen>>>()?;
        match (&self.export, self.database.url()) {
            (Some(folder), _) => export_verdict(folder.clone(), trust, seen, output).await,
            (None, Some(url)) => {
                self.database_verdict(url, &trust, keys.as_ref(), seen, output).await
            }
            (None, None) => {
                bail!("name what to check: the folder of an export, or LEDGER_AUDITOR_DATABASE_URL")
            }
        }
    }

    async fn database_verdict(
        &self,
        url: &str,
        trust: &Trust,
        keys: Option<&Keys>,
        mut seen: Vec<Seen>,
        output: &Output,
    ) -> anyhow::Result<Verdict> {
        let pool = database::connect_to_read(url).await?;
        let keys_dir = self.trust.keys_dir.as_deref();
        let earlier = self.earlier.look(keys_dir, &pool, trust.origin()).await?;
        seen.extend(earlier.seen);
        let options = Options { seen, ..Options::default() };
        let bar = output.progress("Verifying", 0);
        let advance = |progress: Progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        };
        let mut report = verify_database(&pool, trust, options, keys, advance).await?;
        report.beside.extend(earlier.comparisons);
        bar.finish_and_clear();
        output.result(&report, |output| print_database(&report, output))?;
        Ok(if report.is_sound() { Verdict::InOrder } else { Verdict::Findings })
    }

    /// What the auditor saw before. Whether it is signed by this log shows when the log is read.
    fn read_seen(file: &Path, trust: &Trust) -> anyhow::Result<Seen> {
        let name = file.display().to_string();
        let text = read_text(file)?;
        let seen = Seen::parse(&name, text.as_bytes())
            .with_context(|| format!("{name} is neither a checkpoint nor a receipt"))?;
        let origin = &seen.checkpoint().origin;
        if origin != trust.origin() {
            bail!("{name} is of another log: {origin}");
        }
        Ok(seen)
    }
}

async fn export_verdict(
    folder: PathBuf,
    trust: Trust,
    seen: Vec<Seen>,
    output: &Output,
) -> anyhow::Result<Verdict> {
    let options = Options { seen, ..Options::default() };
    let bar = output.progress("Verifying", 0);
    let shown = bar.clone();
    let verified = tokio::task::spawn_blocking(move || {
        verify_export(&folder, &trust, options, |done, total| {
            shown.set_length(total);
            shown.set_position(done);
        })
    });
    let report = verified.await??;
    bar.finish_and_clear();
    output.result(&report, |output| {
        print_log(&report, report.basis(), output);
        print_verdict(&report, report.first_damage().map(Finding::place), output);
    })?;
    Ok(if report.is_sound() { Verdict::InOrder } else { Verdict::Findings })
}

fn print_database(report: &DatabaseReport, output: &Output) {
    print_log(&report.log, report.basis(), output);
    for comparison in &report.beside {
        for finding in comparison.findings.iter().take(FINDINGS_SHOWN) {
            output.line(format!("{}: {finding}", comparison.what));
        }
        let shown = comparison.findings.len().min(FINDINGS_SHOWN) as u64;
        print_more(comparison.findings.len() as u64 - shown + comparison.more, output);
    }
    print_verdict(&report.log, report.first_place(), output);
}

/// Everything but the last line.
fn print_log(report: &Report, worth: Vec<String>, output: &Output) {
    output.line(format!("log        {}", report.origin));
    output.line(format!("events     {} in {} streams", report.events, report.streams));
    output.line(format!("root       {}", report.root));
    output.line(format!(
        "checked    {} checkpoints, {} payloads, {} plaintexts",
        report.checkpoints, report.payloads, report.plaintexts
    ));
    for line in worth {
        output.line(line);
    }
    for finding in report.findings.iter().take(FINDINGS_SHOWN) {
        output.line(finding.to_string());
    }
    let shown = report.findings.len().min(FINDINGS_SHOWN) as u64;
    print_more(report.findings.len() as u64 - shown + report.more_findings, output);
}

fn print_more(more: u64, output: &Output) {
    if more > 0 {
        output.line(format!("and {more} more findings"));
    }
}

fn print_verdict(report: &Report, first: Option<String>, output: &Output) {
    output.line(match first {
        None if report.compared.is_empty() => {
            "verdict    sound as of this size: nothing was changed, reordered or back-dated".to_owned()
        }
        None => "verdict    sound as of this size: nothing was changed, reordered, back-dated, or removed of what \
                 was seen before"
            .to_owned(),
        Some(first) => format!("verdict    DAMAGED, first at {first}"),
    });
}

async fn export(from: &Database, folder: &Path, output: &Output) -> anyhow::Result<Verdict> {
    let url = from.url().context("set LEDGER_AUDITOR_DATABASE_URL")?;
    let pool = database::connect_to_read(url).await?;
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
