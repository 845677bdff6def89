//! What is read before a batch is decided: the head, what others appended, and what the batch could collide with.

use audit::postgres::ReadError;
use sqlx::PgConnection;
use uuid::Uuid;

use super::buckets::{self, Touched};
use super::decide::Facts;
use super::facts::read_facts;
use super::failure::BatchError;
use super::state::{LOCKED_BATCHES, PendingHead, Sequencer};
use crate::claims::SealedHead;
use crate::log::{self, Append, LogTree, Queued};

impl Sequencer {
    /// Begins a transaction under the head's lock, and learns what others have appended.
    pub(super) async fn lock(
        &mut self,
        connection: &mut PgConnection,
        pending: Option<PendingHead>,
    ) -> Result<PendingHead, BatchError> {
        let head = log::begin_locked(connection).await?.ok_or(BatchError::NoLog)?;
        let undisturbed = pending.as_ref().is_some_and(|pending| pending.tree.size() == head.size);
        if undisturbed {
            self.locked_batches = self.locked_batches.saturating_sub(1);
        } else {
            self.forget_versions();
            // After a failure nothing is known of others, and the count stands as it is.
            if pending.is_some() {
                self.locked_batches = LOCKED_BATCHES;
            }
        }
        let forgotten = pending.is_none();
        let mut tree = match (pending, self.opened.take()) {
            (Some(pending), _) => pending.tree,
            (None, Some(tree)) => tree,
            (None, None) => LogTree::recompute(connection, head.size).await?,
        };
        tree.catch_up(connection, head.size, &head.frontier).await?;
        if head.epoch != self.epoch {
            self.erasures.learn(connection).await.map_err(|error| match error {
                ReadError::Sqlx(error) => BatchError::Database(error),
                error => BatchError::Erasures(error),
            })?;
            let origin = self.keyring.keyring.origin().to_owned();
            let stored = audit::postgres::keyring(connection, &origin)
                .await
                .map_err(BatchError::Keyring)?
                .ok_or(BatchError::NoLog)?;
            if stored != self.keyring {
                self.signing.follow(&stored.keyring, head.size)?;
                self.keyring = stored;
            }
            self.epoch = head.epoch;
        }
        if !undisturbed {
            // What others appended, or what the stored tiles make, is signed before anything is built on it.
            tree.compare(&head.checkpoint, &self.keyring.keyring)?;
        }
        if forgotten {
            let published = self.publish.borrow().clone();
            tree.continues(connection, &published).await?;
        }
        let sealed =
            SealedHead { size: head.size, frontier: &head.frontier, tag: &head.claims_tag };
        let is_sealed = self.claims.accept(&sealed) || self.claims.refresh(connection).await?;
        let claims = if is_sealed { self.claims.sum() } else { None };
        Ok(PendingHead { tree, last_recorded_at: head.last_recorded_at, claims })
    }

    /// The claims that the batch touches, proved.
    pub(super) async fn touched(
        &self,
        connection: &mut PgConnection,
        batch: &[Queued],
    ) -> Result<Touched, BatchError> {
        let batch: Vec<&Append> = batch.iter().map(|queued| &queued.append).collect();
        Ok(buckets::read(connection, &batch, &self.claims).await?)
    }

    /// What the batch could collide with. Without the lock only what is not in memory is read; what is
    /// missed that way, a unique index refuses.
    pub(super) async fn facts(
        &self,
        connection: &mut PgConnection,
        batch: &[Queued],
        first: u64,
        locked: bool,
    ) -> Result<Facts, BatchError> {
        let batch: Vec<&Append> = batch.iter().map(|queued| &queued.append).collect();
        let streams = || batch.iter().flat_map(|append| append.streams());
        let known = |stream: &(&'static str, Uuid)| self.versions.get(stream);
        let all_known = streams().all(|stream| known(&stream).is_some())
            && batch.iter().all(|append| append.claims.is_empty() && append.new_keys.is_empty());
        let mut facts = if locked || !all_known {
            read_facts(connection, &batch, first, &self.commands).await?
        } else {
            Facts::default()
        };
        // What was seen of a stream is still there, or its end was removed: nothing is appended to a shorter one.
        for stream in streams() {
            let seen = self.watch.stream_seen(stream.0, stream.1).map_or(0, |seen| seen.version);
            let read = facts.versions.entry(stream).or_insert(0);
            *read = seen.max(*read);
        }
        // What is in flight is known only here.
        for stream in streams() {
            if let Some(version) = known(&stream) {
                facts.versions.insert(stream, version);
            }
        }
        facts.erased = self.erasures.among(&batch);
        Ok(facts)
    }
}
