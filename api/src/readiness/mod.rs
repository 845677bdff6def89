//! Whether a command could be done now, and whether a read could be answered now: each said apart.
//!
//! What decides is the table in [`checks`]: one line a check, which says what cannot be done while it fails.

mod answer;
mod check;
pub mod checks;
pub mod experience;

use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

pub use answer::{Latest, Readiness};
pub use check::{Ask, Carries, Check, Outcome};

use crate::state::AppState;
use checks::CHECKS;

/// Longest a check may take: what answers later does not carry a request either.
const CHECK_TIME: Duration = Duration::from_secs(2);
/// How long an answer is given again, so that asking does not load what is asked.
const FRESH: Duration = Duration::from_millis(500);

/// Runs all checks, or returns the cached result of a recent run.
pub async fn ask(state: &AppState) -> Readiness {
    // Concurrent requests wait for the same result.
    let mut latest = state.readiness.0.lock().await;
    let stopping = state.stopping.is_cancelled();
    if let Some((at, readiness)) = &*latest
        && at.elapsed() < FRESH
        && !stopping
    {
        return readiness.clone();
    }
    let asked = CHECKS.iter().map(|check| async move {
        let outcome = tokio::time::timeout(CHECK_TIME, (check.ask)(state)).await;
        (check, outcome.unwrap_or(Err("no-answer-in-time")))
    });
    let readiness = summary(&join_all(asked).await, state.ledger.size());
    *latest = Some((Instant::now(), readiness.clone()));
    readiness
}

fn summary(outcomes: &[(&Check, Outcome)], position: u64) -> Readiness {
    let word = |carried: fn(Carries) -> bool| {
        let failed = outcomes.iter().find(|(check, it)| carried(check.carries) && it.is_err());
        failed.and_then(|(_, outcome)| outcome.err()).unwrap_or("ready")
    };
    let (commands, reads) = (word(Carries::commands), word(Carries::reads));
    for (what, word) in [("commands", commands), ("reads", reads)] {
        let ready = if word == "ready" { 1.0 } else { 0.0 };
        metrics::gauge!("ledger_ready", "what" => what).set(ready);
    }
    Readiness {
        ready: commands == "ready" && reads == "ready",
        commands,
        reads,
        checks: outcomes.iter().map(|(check, it)| (check.name, it.err().unwrap_or("ok"))).collect(),
        position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(carries: Carries) -> Check {
        Check { name: "it", carries, ask: |_| Box::pin(async { Ok(()) }) }
    }

    #[test]
    fn commands_and_reads_are_told_apart() {
        for (carries, commands, reads) in [
            (Carries::Commands, "broken", "ready"),
            (Carries::Reads, "ready", "broken"),
            (Carries::Both, "broken", "broken"),
            (Carries::Nothing, "ready", "ready"),
        ] {
            let readiness = summary(&[(&check(carries), Err("broken"))], 7);
            assert_eq!((readiness.commands, readiness.reads), (commands, reads), "{carries:?}");
            assert_eq!(readiness.ready, carries == Carries::Nothing);
            assert_eq!(readiness.checks["it"], "broken");
        }
        assert!(summary(&[(&check(Carries::Both), Ok(()))], 7).ready);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }
}
