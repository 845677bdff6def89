//! `ledger import`: files of other systems, through the command path.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use commands::Ledger;
use domain::value::Line;

use super::output::Output;
use super::setup::Log;
use super::verdict::Verdict;
use crate::import::{self, Report, SourceError, appointments, fhir};

#[derive(Debug, Subcommand)]
pub(super) enum Import {
    /// FHIR R4 bundles, one a line (NDJSON, may be gzipped): patients, and encounters as historical visits
    Fhir(Files),
    /// CSV tables of appointments (may be gzipped), recognised by their header
    Appointments(Tables),
}

#[derive(Debug, Args)]
pub(super) struct Files {
    #[command(flatten)]
    log: Log,
    /// The files; importing one again records nothing new
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Tables {
    #[command(flatten)]
    files: Files,
    /// The IANA zone of the clock on the clinic's wall
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    zone: Line<64>,
    /// What names the source: equal ids of two sources are different things. By default the file's name up to the first dash or dot
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

impl Import {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let report = match self {
            Import::Fhir(files) => {
                let ledger = files.log.open().await?;
                let report = import_fhir(&ledger, &files.files, output).await;
                ledger.close().await;
                report?
            }
            Import::Appointments(tables) => {
                let ledger = tables.files.log.open().await?;
                let report = import_tables(&ledger, &tables, output).await;
                ledger.close().await;
                report?
            }
        };
        output.result(&report, |output| print(&report, output))?;
        Ok(if report.refused == 0 { Verdict::InOrder } else { Verdict::Findings })
    }
}

async fn import_fhir(
    ledger: &Ledger,
    files: &[PathBuf],
    output: &Output,
) -> anyhow::Result<Report> {
    let mut total = Report::default();
    for file in files {
        let mut reader = import::open(file)?;
        let planned = fhir::plan(&mut *reader, ledger)
            .map_err(|cause| SourceError::Io { path: file.clone(), cause })?;
        let mut report = execute(ledger, file, planned.plans, output).await?;
        report.refuse_all(&name(file), planned.refused);
        report.passed_over = planned.passed_over;
        total.merge(report);
    }
    Ok(total)
}

async fn import_tables(
    ledger: &Ledger,
    tables: &Tables,
    output: &Output,
) -> anyhow::Result<Report> {
    let mut files = Vec::new();
    for file in &tables.files.files {
        files.push((
            appointments::format(&mut *import::open(file)?).with_context(|| name(file))?,
            file,
        ));
    }
    // Who the patients are comes first.
    files.sort_by_key(|(format, _)| *format);
    let mut total = Report::default();
    for (_, file) in &files {
        let source = tables.source.clone().unwrap_or_else(|| source_of(file));
        let listed = files.iter().any(|(format, list)| {
            *format == appointments::Format::Patients
                && tables.source.clone().unwrap_or_else(|| source_of(list)) == source
        });
        let options =
            appointments::Options { zone: tables.zone.clone(), source, patients_listed: listed };
        let planned = appointments::plan(&mut *import::open(file)?, ledger, &options)
            .with_context(|| name(file))?;
        let mut report = execute(ledger, file, planned.plans, output).await?;
        report.refuse_all(&name(file), planned.refused);
        total.merge(report);
    }
    Ok(total)
}

async fn execute(
    ledger: &Ledger,
    file: &Path,
    plans: Vec<import::Plan>,
    output: &Output,
) -> anyhow::Result<Report> {
    let bar = output.progress(&format!("Importing {}", name(file)), plans.len() as u64);
    let report = import::run(ledger, &name(file), plans, &|done| bar.inc(done)).await;
    bar.finish_and_clear();
    Ok(report?)
}

fn name(file: &Path) -> String {
    file.file_name().map_or_else(|| "-".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn source_of(file: &Path) -> String {
    let name = name(file);
    let end = name.find(['-', '.', '_']).unwrap_or(name.len());
    name[..end].to_lowercase()
}

fn print(report: &Report, output: &Output) {
    for refused in &report.refusals {
        let (file, line) = (&refused.file, refused.line);
        output.line(format!(
            "refused {file}:{line} {}: {} [{}]",
            refused.field, refused.reason, refused.code
        ));
    }
    let (lines, accepted, refused) = (report.lines, report.accepted, report.refused);
    output.line(format!("{lines} lines: {accepted} accepted, {refused} refused."));
    for (label, counts) in [
        ("Recorded", &report.recorded),
        ("Already there", &report.unchanged),
        ("Not recorded by this ledger", &report.passed_over),
    ] {
        if !counts.is_empty() {
            let counts: Vec<String> =
                counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            output.line(format!("{label}: {}.", counts.join(", ")));
        }
    }
}
