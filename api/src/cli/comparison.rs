//! The worker's slow comparison of stored claims, and of what is on record of commands, with the log.

use std::time::{Duration, Instant};

use commands::Ledger;
use tokio_util::sync::CancellationToken;

/// When a worker compares first, so that one which is restarted again and again does little else.
const FIRST: Duration = Duration::from_secs(60);

/// How long it waits at least between two comparisons.
const PAUSE: Duration = Duration::from_secs(300);

/// How many times as long as a comparison took it waits at least: a twentieth of one processor is enough for this.
const PAUSES: u32 = 20;

/// Compares again and again until it is asked to stop. Findings are logged and counted; nothing is changed: what differs is refused where
/// it is needed, and a person runs `ledger claims rebuild`.
pub(super) async fn compare_claims(ledger: Ledger, shutdown: CancellationToken) {
    let mut pause = FIRST;
    while tokio::time::timeout(pause, shutdown.cancelled()).await.is_err() {
        let started = Instant::now();
        let compared = tokio::select! {
            compared = ledger.compare_claims() => compared,
            () = shutdown.cancelled() => return,
        };
        match compared {
            Ok(report) if report.is_sound() => {
                tracing::debug!(
                    size = report.size,
                    claims = report.claims,
                    "the claims are as the log makes them"
                );
            }
            // Each finding was logged by itself.
            Ok(report) => {
                let findings = report.findings.len() as u64 + report.more;
                tracing::error!(
                    findings,
                    "stored claims differ from the log: run `ledger claims rebuild`"
                );
            }
            Err(error) => {
                metrics::counter!("ledger_claims_compare_failures_total").increment(1);
                let error = crate::http::chain(&error);
                tracing::error!(error, "the claims cannot be compared with the log");
            }
        }
        tokio::select! {
            () = compare_commands(&ledger) => {}
            () = shutdown.cancelled() => return,
        }
        pause = PAUSE.max(started.elapsed() * PAUSES);
    }
}

async fn compare_commands(ledger: &Ledger) {
    match ledger.compare_commands().await {
        // Each finding was logged by itself.
        Ok(report) if report.is_sound() => {
            tracing::debug!(
                size = report.size,
                "what is on record of commands is as the log tells it"
            );
        }
        Ok(report) => {
            let findings = report.findings.len() as u64 + report.more;
            tracing::error!(findings, "what is on record of commands differs from the log");
        }
        Err(error) => {
            metrics::counter!("ledger_commands_compare_failures_total").increment(1);
            let error = crate::http::chain(&error);
            tracing::error!(error, "what is on record of commands cannot be compared with the log");
        }
    }
}
