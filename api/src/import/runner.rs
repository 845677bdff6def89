//! Executing plans: lanes side by side, the lines of a lane in order.

use std::collections::HashMap;
use std::time::Duration;

use commands::{Actor, CommandError, Conflict, Context, Ledger, PurposeOfUse, Receipt};
use domain::appointment::Appointment;
use domain::patient::Patient;
use futures::{StreamExt, stream};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::directory::{self, Registered};
use super::ids::Ids;
use super::plan::{LineRefusal, Plan, Step};
use super::report::Report;

/// How many lanes run at once: what fills one append of the sequencer.
pub(super) const LANES_AT_ONCE: usize = 64;

/// How often a command is repeated when the ledger is busy or its answer was lost.
const ATTEMPTS: u32 = 8;

/// Called with the number of lines done.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// Why an import stopped. What was recorded before stays; running it again completes it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The ledger failed.
    #[error(
        "the ledger failed; what was recorded stays, and running the import again completes it"
    )]
    Ledger(#[source] CommandError),
}

/// Executes the plans of one file and reports what became of each line.
pub async fn run(
    ledger: &Ledger,
    file: &str,
    plans: Vec<Plan>,
    progress: Progress<'_>,
) -> Result<Report, ImportError> {
    let named = directory::register(ledger, &plans).await?;
    let mut lanes: Vec<Vec<Plan>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for plan in plans {
        let lane = *known.entry(plan.lane.clone()).or_insert_with(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        lanes[lane].push(plan);
    }
    let mut outcomes = stream::iter(lanes)
        .map(|lane| run_lane(ledger, lane, &named, progress))
        .buffer_unordered(LANES_AT_ONCE);
    let mut report = Report::default();
    for (kind, replayed) in &named.done {
        report.count(kind, *replayed);
    }
    while let Some(lane) = outcomes.next().await {
        for (line, done, refusal) in lane? {
            report.lines += 1;
            for (kind, replayed) in done {
                report.count(kind, replayed);
            }
            match refusal {
                None => report.accepted += 1,
                Some(refusal) => report.refuse(file, line, refusal),
            }
        }
    }
    report.refusals.sort_by_key(|refused| refused.line);
    Ok(report)
}

type LineOutcome = (u64, Vec<(&'static str, bool)>, Option<LineRefusal>);

async fn run_lane(
    ledger: &Ledger,
    lane: Vec<Plan>,
    named: &Registered,
    progress: Progress<'_>,
) -> Result<Vec<LineOutcome>, ImportError> {
    let mut outcomes = Vec::with_capacity(lane.len());
    for plan in lane {
        let mut done = Vec::with_capacity(plan.steps.len());
        let mut refusal = named.refusal_of(&plan);
        for step in if refusal.is_none() { plan.steps } else { Vec::new() } {
            match execute(ledger, &step).await {
                Ok(receipt) => done.push((step.kind(), receipt.replayed)),
                Err(error) => {
                    refusal = Some(line_refusal(error)?);
                    break;
                }
            }
        }
        outcomes.push((plan.line, done, refusal));
        progress(1);
    }
    Ok(outcomes)
}

async fn execute(ledger: &Ledger, step: &Step) -> Result<Receipt, CommandError> {
    patiently(|| execute_once(ledger, step)).await
}

/// Repeats a command while the ledger is busy or its answer was lost.
pub(super) async fn patiently<F>(once: impl Fn() -> F) -> Result<Receipt, CommandError>
where
    F: Future<Output = Result<Receipt, CommandError>>,
{
    let mut wait = Duration::from_millis(50);
    for _ in 1..ATTEMPTS {
        match once().await {
            Err(CommandError::Overloaded | CommandError::Unavailable(_)) => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            answer => return answer,
        }
    }
    once().await
}

async fn execute_once(ledger: &Ledger, step: &Step) -> Result<Receipt, CommandError> {
    match step {
        Step::Patient(id, command) => {
            let context = context(ledger, id.as_uuid(), command);
            ledger.execute::<Patient>(id.as_uuid(), command.clone(), &context).await
        }
        Step::Appointment(id, command) => {
            let context = context(ledger, id.as_uuid(), command);
            ledger.execute::<Appointment>(id.as_uuid(), command.clone(), &context).await
        }
    }
}

/// The command's id follows from what it is about and what it says: the same line gives the same id.
pub(super) fn context<C: Serialize>(ledger: &Ledger, id: Uuid, command: &C) -> Context {
    let content = serde_json::to_vec(command).expect("a command of ours is JSON");
    let source = format!("{id}|{}", hex::encode(Sha256::digest(content)));
    Context::new(Actor::importer(), PurposeOfUse::Hoperat)
        .with_command_id(ledger.derive("import-command", &source))
}

/// A refusal belongs to the line; anything else stops the import.
pub(super) fn line_refusal(error: CommandError) -> Result<LineRefusal, ImportError> {
    match &error {
        CommandError::Refused { code, field, .. } => {
            Ok(LineRefusal::new(code, field.unwrap_or("command"), &error))
        }
        CommandError::ClaimConflict { conflicts } => {
            let taken: Vec<String> = conflicts.iter().map(describe).collect();
            Ok(LineRefusal::new("claim-conflict", "time", taken.join("; ")))
        }
        CommandError::CommandIdReused
        | CommandError::TooLarge { .. }
        | CommandError::NotFound { .. }
        | CommandError::Erased
        | CommandError::VersionConflict { .. } => {
            Ok(LineRefusal::new(error.code(), "command", &error))
        }
        _ => Err(ImportError::Ledger(error)),
    }
}

fn describe(conflict: &Conflict) -> String {
    match conflict {
        Conflict::Busy { resource, from, until, .. } => {
            format!("the {resource} is taken from {from} until {until}")
        }
        Conflict::Unique { kind, .. } => format!("this {kind} belongs to another record"),
    }
}
