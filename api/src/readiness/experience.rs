//! What became of the last requests: where everything that was asked for has failed of late, saying "ready" would be
//! untrue, whatever each part says of itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use tokio::time::Instant;

use crate::http::operations::Operation;
use crate::http::problem::Code;

/// So many failures, and no success among them, are no accident,
const FAILURES: u32 = 5;
/// if they are spread over this much time
const SPREAD: Duration = Duration::from_secs(3);
/// and the last of them is no older than this. Later it is worth another try.
const RECENT: Duration = Duration::from_secs(30);

/// Failures since the last success.
#[derive(Debug, Default)]
struct Run {
    failures: u32,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// What became of requests of one kind.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Run>>);

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self) {
        *self.lock() = Run::default();
    }

    fn failed(&self) {
        let mut run = self.lock();
        let now = Instant::now();
        run.failures = run.failures.saturating_add(1);
        run.first.get_or_insert(now);
        run.last = Some(now);
    }

    /// Whether everything has failed of late.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let run = self.lock();
        let (Some(first), Some(last)) = (run.first, run.last) else { return false };
        run.failures >= FAILURES && last - first >= SPREAD && last.elapsed() <= RECENT
    }
}

/// What became of commands, and of reads.
#[derive(Debug, Clone, Default)]
pub struct Experience {
    /// What changes something.
    pub commands: Recent,
    /// What does not.
    pub reads: Recent,
}

impl Experience {
    /// An operation was answered. Only what the stores could not do counts as failed: a refusal is an answer, and
    /// being full is not being broken.
    pub fn note(&self, operation: &Operation, response: &Response) {
        let reads = operation.method == Method::GET || operation.path.ends_with("/search");
        let kind = if reads { &self.reads } else { &self.commands };
        let code = response.extensions().get::<Code>();
        if response.status() == StatusCode::GATEWAY_TIMEOUT
            || code.is_some_and(|code| code.0 == "unavailable")
        {
            kind.failed();
        } else if response.status().is_success() {
            kind.succeeded();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_lasting_run_of_failures_counts_and_it_fades() {
        let recent = Recent::default();
        for _ in 0..2 * FAILURES {
            recent.failed();
        }
        assert!(!recent.is_failing(), "all in one moment");
        tokio::time::advance(SPREAD).await;
        recent.failed();
        assert!(recent.is_failing());
        tokio::time::advance(RECENT + Duration::from_secs(1)).await;
        assert!(!recent.is_failing(), "worth another try");
        recent.failed();
        assert!(recent.is_failing());
        recent.succeeded();
        assert!(!recent.is_failing());
    }
}
