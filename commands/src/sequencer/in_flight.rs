//! A batch on its way into the database, in a task of its own.

use std::collections::HashSet;
use std::time::Instant;

use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::connection::commit_within;
use super::failure::BatchError;
use super::growth::{ClaimsStep, Growth};
use super::outcomes::Outcome;
use super::statements::Statements;
use crate::config::Limits;
use crate::log::{self, Advance, Published, Queued};

/// A batch that is decided and not known to be durable.
pub(super) struct InFlightBatch {
    pub(super) batch: Vec<Queued>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) published: Published,
    pub(super) events: u64,
    pub(super) growth: Growth,
    pub(super) has_claims: bool,
    pub(super) claims: ClaimsStep,
    /// What no other batch may write beside this one.
    pub(super) unique: HashSet<Uuid>,
    pub(super) started: Instant,
    pub(super) span: Span,
    pub(super) task: JoinHandle<Result<PgConnection, BatchError>>,
    pub(super) progress: Progress,
}

/// Whether a batch is durable. Ends without having said so if it failed.
pub(super) type Progress = watch::Receiver<bool>;

/// What there is to do for a batch.
pub(super) struct Work {
    pub(super) connection: PgConnection,
    pub(super) statements: Statements,
    pub(super) advance: Advance,
    /// The batch it was decided upon, unless that one is durable.
    pub(super) before: Option<Progress>,
}

/// Starts the task of a batch: its rows are written beside those of the batches before it, and committed once
/// these are.
pub(super) fn spawn(
    limits: Limits,
    work: Work,
    span: &Span,
) -> (JoinHandle<Result<PgConnection, BatchError>>, Progress) {
    let (durable, progress) = watch::channel(false);
    let writing = async move {
        let connection = write_and_commit(limits, work).await?;
        durable.send_replace(true);
        Ok(connection)
    };
    let task = tokio::spawn(writing.instrument(span.clone()));
    (task, progress)
}

async fn write_and_commit(limits: Limits, work: Work) -> Result<PgConnection, BatchError> {
    let Work { mut connection, statements, advance, before } = work;
    let limit = limits.transaction;
    if before.is_none() && statements.is_log_alone() {
        // No other process is waited for: one round trip instead of three, which is most of what a command takes that
        // comes alone.
        let appending = statements.append_at_once(&mut connection, &advance);
        tokio::time::timeout(limit, appending)
            .await
            .map_err(|_| BatchError::Timeout { seconds: limit.as_secs() })?
            .map_err(BatchError::Commit)?;
        return Ok(connection);
    }
    let writing = async {
        log::begin(&mut connection).await?;
        statements.execute(&mut connection).await
    };
    tokio::time::timeout(limit, writing)
        .await
        .map_err(|_| BatchError::Timeout { seconds: limit.as_secs() })??;
    if let Some(mut before) = before
        && before.wait_for(|durable| *durable).await.is_err()
    {
        // What it was decided upon has not become true. Its rows go before anybody hears of it, or they
        // would be in the way of those that now come before them.
        log::rollback(&mut connection).await?;
        return Err(BatchError::Predecessor);
    }
    commit_within(limits, connection, &advance).await
}
