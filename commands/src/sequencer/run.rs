//! Batches, one after the other and overlapping: taken from the queue, sent on their way, completed in their order.

use std::collections::VecDeque;
use std::time::Instant;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::failure::BatchError;
use super::growth::ClaimsStep;
use super::in_flight::{self, InFlightBatch, Work};
use super::locked::Filled;
use super::plan::{Plan, Planned};
use super::spans;
use super::state::{LOCKED_BATCHES, Sequencer};
use crate::failpoints::failpoint;
use crate::log::Queued;

/// How many batches are in flight at most: one commits, the others are written.
const IN_FLIGHT_MAX: usize = 3;

/// A batch smaller than this is not sent off while another is in flight: alone it waits for one commit, in a row of
/// small ones for several.
const OVERLAPPING_COMMANDS: usize = 32;

impl Sequencer {
    pub(super) async fn run(mut self, closing: CancellationToken) {
        loop {
            if self.queue.is_empty() {
                let limit = self.limits.batch_commands;
                let taken = tokio::select! {
                    taken = self.waiting.recv_many(&mut self.queue, limit) => taken,
                    ended = oldest_ended(&mut self.in_flight) => {
                        self.complete_oldest(ended).await;
                        continue;
                    }
                    () = closing.cancelled(), if !self.waiting.is_closed() => {
                        self.waiting.close();
                        continue;
                    }
                };
                if taken == 0 {
                    break;
                }
            }
            // A batch costs round trips, however small it is. While others are in flight, the next waits
            // until it is as large as the last of them, or until they have ended.
            while let Some(last) = self.in_flight.back().map(|last| last.batch.len())
                && let enough = last.max(OVERLAPPING_COMMANDS).min(self.limits.batch_commands)
                && self.queue.len() < enough
            {
                let room = enough - self.queue.len();
                tokio::select! {
                    taken = self.waiting.recv_many(&mut self.queue, room) => if taken == 0 {
                        self.complete_all().await;
                    },
                    ended = oldest_ended(&mut self.in_flight) => self.complete_oldest(ended).await,
                }
            }
            metrics::gauge!("ledger_queue_depth").set(self.waiting.len() as f64);
            let mut batch = Vec::new();
            self.fill(&mut batch);
            failpoint!("batch.taken", continue);
            self.append(batch).await;
        }
        self.complete_all().await;
        tracing::info!("the sequencer has ended");
    }

    /// Decides a batch upon those in flight, if they allow it, and sends it off; otherwise it takes the locked path.
    async fn append(&mut self, batch: Vec<Queued>) {
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            let ended = oldest_ended(&mut self.in_flight).await;
            self.complete_oldest(ended).await;
        }
        if !self.may_overlap(&batch) {
            self.complete_all().await;
            return self.append_locked(batch, Filled::UnderTheLock).await;
        }
        let started = Instant::now();
        let span = spans::batch("overlapping");
        spans::filled(&span, batch.len());
        match self.plan_without_lock(&batch).instrument(span.clone()).await {
            Ok((connection, Plan { outcomes, write: Some(write) })) => {
                let Planned {
                    statements,
                    advance,
                    published,
                    events,
                    growth,
                    has_claims,
                    claims,
                    ..
                } = write;
                let before = self.in_flight.back().map(|last| last.progress.clone());
                let work = Work { connection, statements, advance, before };
                let (task, progress) = in_flight::spawn(self.limits, work, &span);
                let unique = batch.iter().flat_map(|queued| queued.append.unique_ids()).collect();
                self.in_flight.push_back(InFlightBatch {
                    batch,
                    outcomes,
                    published,
                    events,
                    growth,
                    has_claims,
                    claims,
                    unique,
                    started,
                    span,
                    task,
                    progress,
                });
            }
            // A commit would have shown that no other process appended. Without one, the refusals may come
            // of what this process remembers and is not so any more: they are decided under the lock.
            Ok((connection, Plan { write: None, .. })) => {
                spans::ended(&span, "decided-again");
                self.idle.push(connection);
                self.complete_all().await;
                self.append_locked(batch, Filled::Already).await;
            }
            Err(error) => {
                let told =
                    || tracing::debug!(error = error.chain(), "a batch takes the locked path");
                span.in_scope(told);
                spans::ended(&span, "decided-again");
                self.locked_batches = LOCKED_BATCHES;
                self.complete_all().await;
                self.forget_the_head();
                self.append_locked(batch, Filled::Already).await;
            }
        }
    }

    /// Whether a batch can be decided upon what this process knows, before the batches in flight are
    /// durable.
    fn may_overlap(&self, batch: &[Queued]) -> bool {
        let has_claims = || batch.iter().any(|queued| !queued.append.claims.is_empty());
        self.locked_batches == 0
            && self.pending.as_ref().is_some_and(|pending| pending.claims.is_some())
            && !batch.iter().any(|queued| queued.append.needs_own_transaction())
            && !(self.in_flight.iter().any(|other| other.has_claims) && has_claims())
            // The later one could be written first, and the earlier one wait for it in the database.
            && !self.in_flight.iter().any(|other| {
                batch.iter().flat_map(|queued| queued.append.unique_ids()).any(|id| other.unique.contains(&id))
            })
    }

    /// Waits until nothing is in flight.
    async fn complete_all(&mut self) {
        while !self.in_flight.is_empty() {
            let ended = oldest_ended(&mut self.in_flight).await;
            self.complete_oldest(ended).await;
        }
    }

    /// The oldest batch in flight has ended: it is answered; or it and those decided upon it are appended
    /// once more, in their order.
    async fn complete_oldest(&mut self, ended: Result<PgConnection, BatchError>) {
        let ended = after_the_end(ended).await;
        let Some(oldest) = self.in_flight.pop_front() else { return };
        match ended {
            Ok(connection) => {
                self.idle.push(connection);
                let ClaimsStep { before, after, changes } = &oldest.claims;
                self.claims.committed(*before, *after, changes);
                metrics::histogram!("ledger_append_seconds")
                    .record(oldest.started.elapsed().as_secs_f64());
                spans::written(&oldest.span, &oldest.published, oldest.events);
                self.published(oldest.published, oldest.events, &oldest.growth);
                self.answer(oldest.batch, oldest.outcomes);
            }
            Err(error) => {
                // Another process appended, a command was repeated, or the database failed: under the
                // lock it shows which.
                let told =
                    || tracing::debug!(error = error.chain(), "a batch takes the locked path");
                oldest.span.in_scope(told);
                spans::ended(&oldest.span, "decided-again");
                self.locked_batches = LOCKED_BATCHES;
                self.forget_the_head();
                let mut rolled_back = vec![oldest.batch];
                while let Some(mut later) = self.in_flight.pop_front() {
                    spans::ended(&later.span, "decided-again");
                    // It rolls back by itself; until then its rows are in the way.
                    let _ = (&mut later.task).await;
                    rolled_back.push(later.batch);
                }
                for batch in rolled_back {
                    self.append_locked(batch, Filled::Already).await;
                }
            }
        }
    }
}

/// The end of the oldest batch in flight; pending forever if none is in flight.
async fn oldest_ended(in_flight: &mut VecDeque<InFlightBatch>) -> Result<PgConnection, BatchError> {
    match in_flight.front_mut() {
        Some(oldest) => (&mut oldest.task).await.unwrap_or(Err(BatchError::GivenUp)),
        None => std::future::pending().await,
    }
}

/// What `oldest_ended` brought, unless a test has it otherwise.
#[cfg_attr(
    not(feature = "failpoints"),
    expect(clippy::unused_async, reason = "nothing is awaited")
)]
async fn after_the_end(
    ended: Result<PgConnection, BatchError>,
) -> Result<PgConnection, BatchError> {
    failpoint!("landing.after");
    ended
}
