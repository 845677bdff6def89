//! The locked path (the careful way, in ADR 6): a batch by itself, decided and written under the head's lock.

use std::time::Instant;

use sqlx::{Executor as _, PgConnection};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::buckets::count_damaged;
use super::connection::commit_within;
use super::erasure;
use super::failure::BatchError;
use super::growth::{ClaimsStep, Growth};
use super::outcomes::Outcome;
use super::plan::{Plan, Planned};
use super::spans;
use super::state::Sequencer;
use crate::failpoints::failpoint;
use crate::log::{self, Advance, Published, Queued, Rejection, StrayError};

/// A batch whose rows are written; what is left is to move the head and to commit.
struct Written {
    advance: Advance,
    published: Published,
    events: u64,
    claims: ClaimsStep,
    growth: Growth,
    erased: Option<Uuid>,
}

/// Whether a batch that takes the locked path has all the commands it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Already,
    /// Those who have come until the head is locked are appended with it: while another process appends, a command
    /// that waits for the lock waits long.
    UnderTheLock,
}

impl Sequencer {
    /// Appends a batch by itself: everything is read under the head's lock.
    pub(super) async fn append_locked(&mut self, batch: Vec<Queued>, filled: Filled) {
        let span = spans::batch("locked");
        self.append_under_the_lock(batch, filled, &span).instrument(span.clone()).await;
    }

    async fn append_under_the_lock(&mut self, mut batch: Vec<Queued>, filled: Filled, span: &Span) {
        let started = Instant::now();
        let outcome = match self.try_locked(&mut batch, filled, span).await {
            Err(error) if error.is_worth_a_retry() => {
                tracing::warn!(error = error.chain(), "the append is tried again");
                self.try_locked(&mut batch, Filled::Already, span).await
            }
            // Under the lock no other process appends: what is there already was inserted past the ledger.
            Err(error) if error.meets_a_row_of_the_log() && self.quarantine().await => {
                self.try_locked(&mut batch, Filled::Already, span).await
            }
            outcome => outcome,
        };
        metrics::histogram!("ledger_append_seconds").record(started.elapsed().as_secs_f64());
        spans::filled(span, batch.len());
        if outcome.is_err() {
            spans::ended(span, "failed");
        }
        failpoint!("answer.before", return);
        match outcome {
            Ok(outcomes) => self.answer(batch, outcomes),
            Err(error) if error.is_about_the_data() && batch.len() > 1 => {
                tracing::warn!(error = error.chain(), "a batch was refused: one by one now");
                for queued in batch {
                    Box::pin(self.append_locked(vec![queued], Filled::Already)).await;
                }
            }
            Err(error) if error.is_about_a_wrap() => {
                for queued in batch {
                    reject(queued, Rejection::WrapNotCurrent);
                }
            }
            Err(error) if error.is_about_a_claim() => {
                tracing::error!(
                    error = error.chain(),
                    "a claim that nobody was granted is in the way"
                );
                for queued in batch {
                    count_damaged(&queued.append);
                    reject(queued, Rejection::ClaimsDamaged);
                }
            }
            Err(error) if error.is_about_the_clock() => {
                tracing::error!(
                    error = error.chain(),
                    "this machine's clock is ahead of the database's"
                );
                for queued in batch {
                    reject(queued, Rejection::Ahead);
                }
            }
            Err(error) => {
                let reason = error.chain();
                tracing::error!(error = reason, commands = batch.len(), "the append failed");
                metrics::counter!("ledger_append_failures_total").increment(1);
                for queued in batch {
                    // Each request is answered that it failed, and does not say why again: this leads here from there.
                    tracing::debug!(command.id = %queued.append.command_id, "not appended");
                    let _ = queued.reply.send(Err(Rejection::Failed(reason.clone())));
                }
            }
        }
    }

    /// Moves strays out of the way; answers whether there were any.
    async fn quarantine(&mut self) -> bool {
        let limit = self.limits.transaction;
        let verifiers = self.keyring.keyring.verifiers(u64::MAX);
        let moving = async {
            // One that is not kept: it waits for the head as long as it takes.
            let mut connection = self.connection().await?;
            connection.execute("SET lock_timeout = '10s'").await?;
            let moved = log::set_aside(&mut connection, &verifiers).await?;
            Ok::<_, StrayError>(moved)
        };
        match tokio::time::timeout(limit, moving).await {
            Ok(Ok(moved)) => moved > 0,
            Ok(Err(error)) => {
                let error = BatchError::Strays(error);
                tracing::error!(error = error.chain(), "what is beyond the head is left there");
                false
            }
            Err(_) => false,
        }
    }

    /// Decides a batch under the head's lock and writes its rows. Commits nothing yet.
    async fn write_locked(
        &mut self,
        batch: &mut Vec<Queued>,
        filled: Filled,
    ) -> Result<(PgConnection, Vec<Outcome>, Option<Written>), BatchError> {
        let mut connection = self.connection().await?;
        let pending = self.pending.take();
        let pending = self.lock(&mut connection, pending).await?;
        if filled == Filled::UnderTheLock {
            // Others of this process have come while another had the lock.
            self.fill(batch);
        }
        let facts = self.facts(&mut connection, batch, pending.tree.size(), true).await?;
        let touched = self.touched(&mut connection, batch).await?;
        let refused = batch.iter().map(|queued| &queued.append);
        for append in refused.filter(|append| touched.damaged.contains(&append.key())) {
            tracing::error!(
                command.id = %append.command_id,
                "the stored claims are not those that were granted: a command was refused"
            );
            count_damaged(append);
        }
        let Plan { outcomes, write } = self.plan(batch, facts, touched, pending)?;
        let Some(write) = write else {
            log::rollback(&mut connection).await?;
            return Ok((connection, outcomes, None));
        };
        let Planned { statements, advance, published, events, growth, claims, erased, .. } = write;
        statements.execute(&mut connection).await?;
        if let Some(subject) = erased {
            erasure::destroy(&mut connection, subject).await?;
        }
        Ok((
            connection,
            outcomes,
            Some(Written { advance, published, events, growth, claims, erased }),
        ))
    }

    async fn try_locked(
        &mut self,
        batch: &mut Vec<Queued>,
        filled: Filled,
        span: &Span,
    ) -> Result<Vec<Outcome>, BatchError> {
        let limit = self.limits.transaction;
        let written = tokio::time::timeout(limit, self.write_locked(batch, filled))
            .await
            .map_err(|_| BatchError::Timeout { seconds: limit.as_secs() });
        let outcome = match written.flatten() {
            Ok((connection, outcomes, None)) => {
                self.idle.push(connection);
                spans::ended(span, "refused");
                return Ok(outcomes);
            }
            Ok((connection, outcomes, Some(written))) => {
                let Written { advance, published, events, growth, claims, erased } = written;
                commit_within(self.limits, connection, &advance).await.map(|connection| {
                    self.idle.push(connection);
                    self.claims.committed(claims.before, claims.after, &claims.changes);
                    if let Some(subject) = erased {
                        self.erasures.committed(subject);
                    }
                    if advance.moves_epoch {
                        // The next batch must see what changed.
                        self.forget_the_head();
                    }
                    spans::written(span, &published, events);
                    self.published(published, events, &growth);
                    outcomes
                })
            }
            Err(error) => Err(error),
        };
        outcome.inspect_err(|_| self.forget_the_head())
    }
}

fn reject(queued: Queued, rejection: Rejection) {
    metrics::counter!("ledger_rejections_total", "code" => rejection.code()).increment(1);
    let _ = queued.reply.send(Err(rejection));
}
