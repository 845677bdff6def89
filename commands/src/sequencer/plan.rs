//! A batch is decided, and everything that is to be written for it made ready.

use std::sync::Arc;

use audit::checkpoint::Checkpoint;
use audit::merkle::Hash;
use sqlx::PgConnection;
use uuid::Uuid;

use super::buckets::{self, Touched};
use super::decide::{self, Facts, Rules, Verdict};
use super::failure::BatchError;
use super::growth::{ClaimsStep, Growth};
use super::outcomes::{Outcome, outcomes};
use super::state::{PendingHead, Sequencer};
use super::statements::{Statements, Write};
use crate::log::{Advance, Append, Published, Queued};

/// A batch that is decided: what it answers once it is durable, and what makes it so.
pub(super) struct Plan {
    pub(super) outcomes: Vec<Outcome>,
    /// None if nothing of the batch was accepted: then there is nothing to write.
    pub(super) write: Option<Planned>,
}

/// What there is to write for a batch.
pub(super) struct Planned {
    pub(super) statements: Statements,
    pub(super) advance: Advance,
    pub(super) published: Published,
    pub(super) events: u64,
    pub(super) growth: Growth,
    pub(super) has_claims: bool,
    pub(super) claims: ClaimsStep,
    pub(super) erased: Option<Uuid>,
}

impl Sequencer {
    /// Decides a batch on what is in memory, and reads what is not. After a failure the connection is not
    /// used again.
    pub(super) async fn plan_without_lock(
        &mut self,
        batch: &[Queued],
    ) -> Result<(PgConnection, Plan), BatchError> {
        let limit = self.limits.transaction;
        let reading = async {
            let mut connection = self.connection().await?;
            let first = self.pending.as_ref().ok_or(BatchError::GivenUp)?.tree.size();
            let facts = self.facts(&mut connection, batch, first, false).await?;
            let touched = self.touched(&mut connection, batch).await?;
            if !touched.damaged.is_empty() {
                return Err(BatchError::ClaimsMoved);
            }
            Ok::<_, BatchError>((connection, facts, touched))
        };
        let (connection, facts, touched) = tokio::time::timeout(limit, reading)
            .await
            .map_err(|_| BatchError::Timeout { seconds: limit.as_secs() })??;
        let pending = self.pending.take().ok_or(BatchError::GivenUp)?;
        Ok((connection, self.plan(batch, facts, touched, pending)?))
    }

    /// Decides a batch, and moves the pending head to where the log will end with it.
    pub(super) fn plan(
        &mut self,
        batch: &[Queued],
        mut facts: Facts,
        touched: Touched,
        mut pending: PendingHead,
    ) -> Result<Plan, BatchError> {
        let Touched { claims, damaged, rows, erased: streams } = touched;
        facts.claims = claims;
        facts.claims_damaged = damaged;
        let first = pending.tree.size();
        let appends: Vec<&Append> = batch.iter().map(|queued| &queued.append).collect();
        let headers = self.keyring.keyring.headers(first);
        let rules = Rules {
            last_recorded_at: pending.last_recorded_at,
            tolerance: self.limits.clock_tolerance,
            headers: &headers,
        };
        let decision = decide::decide(&appends, facts, rules);
        let accepted: Vec<&Append> = appends
            .iter()
            .zip(&decision.verdicts)
            .filter(|(_, verdict)| matches!(verdict, Verdict::Append { .. }))
            .map(|(append, _)| *append)
            .collect();
        if accepted.is_empty() {
            self.pending = Some(pending);
            return Ok(Plan {
                outcomes: outcomes(decision.verdicts, first, Vec::new()),
                write: None,
            });
        }
        let leaves: Vec<Hash> =
            accepted.iter().flat_map(|append| &append.events).map(|event| event.leaf).collect();
        let expected_frontier = pending.tree.frontier();
        let (appended, tiles) = pending.tree.append(&leaves);
        pending.last_recorded_at = decision.latest;
        let origin = self.keyring.keyring.origin().to_owned();
        let checkpoint = Checkpoint { origin, size: appended.size, root: appended.root }
            .to_note(&self.signing.current().note)?;
        let has_claims = accepted.iter().any(|append| append.has_claims());
        let claims = buckets::write(&self.claims, rows, decision.claims, &accepted, &streams);
        pending.claims = pending.claims.map(|sum| self.claims.sum_with(sum, &claims.buckets));
        let erased = accepted.iter().find_map(|append| append.erase);
        let moves_epoch = accepted.iter().any(|append| append.needs_own_transaction());
        for event in accepted.iter().flat_map(|append| &append.events) {
            self.versions.insert((event.stream_type, event.stream_id), event.sequence);
        }
        let frontier = pending.tree.frontier();
        let growing = accepted.iter().copied();
        let growth = Growth::new(&self.watch, &expected_frontier, &frontier, growing);
        let statements = Statements::of(&Write {
            first,
            accepted,
            commands: &self.commands,
            claims: &claims,
            tiles,
            size: appended.size,
            checkpoint: &checkpoint,
        })?;
        let published =
            Published { size: appended.size, checkpoint: Arc::from(checkpoint.as_str()) };
        let tags = self.claims.tags();
        let claims_tag = pending.claims.map(|sum| tags.seal(appended.size, &frontier, sum));
        let claims = ClaimsStep { before: first, after: appended.size, changes: claims.buckets };
        let advance = Advance {
            expected_size: first,
            expected_frontier,
            expected_epoch: self.epoch,
            size: appended.size,
            frontier,
            claims_tag,
            checkpoint,
            last_recorded_at: decision.latest,
            moves_epoch,
        };
        self.pending = Some(pending);
        let events = decision.events;
        Ok(Plan {
            outcomes: outcomes(decision.verdicts, first, appended.proofs),
            write: Some(Planned {
                statements,
                advance,
                published,
                events,
                growth,
                has_claims,
                claims,
                erased,
            }),
        })
    }
}
