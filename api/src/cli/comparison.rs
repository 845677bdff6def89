//! The worker's slow comparison of what lies beside the log with the log: claims, what is on record of commands, data keys.

use std::time::{Duration, Instant};

use commands::Ledger;
use commands::audit::Replayed;
use tokio_util::sync::CancellationToken;

/// When a worker compares first, so that one which is restarted again and again does little else.
const FIRST: Duration = Duration::from_secs(60);

/// How long it waits at least between two comparisons.
const PAUSE: Duration = Duration::from_secs(300);

/// How many times as long as a comparison took it waits at least: a twentieth of one processor is enough for this.
const PAUSES: u32 = 20;

/// Compares again and again until it is asked to stop. Findings are logged and counted; nothing is changed: what differs is refused where
/// it is needed, and a person puts it right.
pub(super) async fn compare_with_log(ledger: Ledger, shutdown: CancellationToken) {
    let mut pause = FIRST;
    while tokio::time::timeout(pause, shutdown.cancelled()).await.is_err() {
        let started = Instant::now();
        for part in Replayed::ALL {
            tokio::select! {
                () = compare(&ledger, part) => {}
                () = shutdown.cancelled() => return,
            }
        }
        pause = PAUSE.max(started.elapsed() * PAUSES);
    }
}

async fn compare(ledger: &Ledger, part: Replayed) {
    let what = part.what();
    match ledger.compare(part).await {
        Ok(compared) if compared.is_sound() => {
            tracing::debug!(what, compared = compared.compared, "as the log has them");
        }
        // Each finding was logged by itself.
        Ok(compared) => {
            let findings = compared.findings.len() as u64 + compared.more;
            tracing::error!(
                what,
                findings,
                "what is stored differs from the log: {}",
                remedy(part)
            );
        }
        Err(error) => {
            metrics::counter!(failures(part)).increment(1);
            let error = audit::chain(&error);
            tracing::error!(what, error, "what is stored cannot be compared with the log");
        }
    }
}

fn remedy(part: Replayed) -> &'static str {
    match part {
        Replayed::Claims => "run `ledger claims rebuild`",
        Replayed::Commands => "run `ledger audit verify`",
        Replayed::DataKeys => "restore the schema `keyring` from the backup",
    }
}

fn failures(part: Replayed) -> &'static str {
    match part {
        Replayed::Claims => "ledger_claims_compare_failures_total",
        Replayed::Commands => "ledger_commands_compare_failures_total",
        Replayed::DataKeys => "ledger_data_keys_compare_failures_total",
    }
}
