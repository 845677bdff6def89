//! What the sequencer knows, and what it keeps between two batches.

use std::collections::VecDeque;
use std::sync::Arc;

use audit::postgres::{LogWatch, StoredKeyring};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::connection::connect;
use super::erasure::Erasures;
use super::growth::Growth;
use super::in_flight::InFlightBatch;
use crate::claims::{ClaimsState, Sum};
use crate::config::Limits;
use crate::log::{LogTree, Published, Queued};
use crate::memory::Memory;
use crate::recorded::CommandTags;
use crate::signing::Signing;
use audit::cache::Cache;

/// How many batches take the locked path after another process was seen to append, or a batch was refused.
pub(super) const LOCKED_BATCHES: u32 = 64;

/// Capacity of each of the two generations of the cache of streams' versions (half the total).
const VERSIONS_HALF: usize = 32_768;

/// No epoch of any log.
const NO_EPOCH: i64 = -1;

/// What a process knows of the log when it is opened, and shares with its requests.
pub(crate) struct Known {
    /// The tree as it was when the log was opened, which its checkpoint has proved.
    pub(crate) tree: LogTree,
    pub(crate) memory: Memory,
    pub(crate) claims: Arc<ClaimsState>,
    pub(crate) commands: CommandTags,
    pub(crate) watch: LogWatch,
}

/// The end of the log, as it is once everything in flight is committed.
pub(super) struct PendingHead {
    pub(super) tree: LogTree,
    pub(super) last_recorded_at: Timestamp,
    /// The sum over the claims' buckets; none while what is stored of them is not under a seal.
    pub(super) claims: Option<Sum>,
}

/// The one task that appends.
pub(super) struct Sequencer {
    pub(super) waiting: mpsc::Receiver<Queued>,
    /// Taken from those who wait, and in no batch yet.
    pub(super) queue: Vec<Queued>,
    pub(super) pool: PgPool,
    pub(super) signing: Arc<Signing>,
    pub(super) keyring: StoredKeyring,
    /// The head's epoch as of which keyring and erasures are known.
    pub(super) epoch: i64,
    pub(super) limits: Limits,
    pub(super) erasures: Erasures,
    /// What is durable of the claims.
    pub(super) claims: Arc<ClaimsState>,
    pub(super) commands: CommandTags,
    pub(super) watch: LogWatch,
    /// Connections that no batch uses.
    pub(super) idle: Vec<PgConnection>,
    /// The tree as it was when the log was opened, until the first batch.
    pub(super) opened: Option<LogTree>,
    /// None at the start and after any failure: then it is read under the head's lock.
    pub(super) pending: Option<PendingHead>,
    /// The versions of streams as of the pending head. Right as long as no other process appends.
    pub(super) versions: Cache<(&'static str, Uuid), u64>,
    /// The batches in flight, oldest first.
    pub(super) in_flight: VecDeque<InFlightBatch>,
    /// How many batches take the locked path before one is decided without it again.
    pub(super) locked_batches: u32,
    pub(super) publish: watch::Sender<Published>,
}

impl Sequencer {
    pub(super) fn new(
        waiting: mpsc::Receiver<Queued>,
        pool: PgPool,
        signing: Arc<Signing>,
        keyring: StoredKeyring,
        limits: Limits,
        known: Known,
        publish: watch::Sender<Published>,
    ) -> Sequencer {
        let Known { tree, memory, claims, commands, watch } = known;
        Sequencer {
            waiting,
            queue: Vec::new(),
            pool,
            signing,
            keyring,
            epoch: NO_EPOCH,
            limits,
            erasures: Erasures::new(memory, watch.clone()),
            claims,
            commands,
            watch,
            idle: Vec::new(),
            opened: Some(tree),
            pending: None,
            versions: Cache::new(VERSIONS_HALF),
            in_flight: VecDeque::new(),
            locked_batches: 0,
            publish,
        }
    }

    /// Takes as many of the queued commands into a batch as fit into its transaction, in order; at least one, if it is
    /// empty and there is one.
    pub(super) fn fill(&mut self, batch: &mut Vec<Queued>) {
        if batch.iter().any(|queued| queued.append.needs_own_transaction()) {
            return;
        }
        let room = self.limits.batch_commands.saturating_sub(batch.len());
        while self.queue.len() < room
            && let Ok(queued) = self.waiting.try_recv()
        {
            self.queue.push(queued);
        }
        let mut bytes: usize = batch.iter().map(|queued| queued.append.size()).sum();
        let fitting = self
            .queue
            .iter()
            .take(room)
            .take_while(|queued| {
                bytes += queued.append.size();
                bytes <= self.limits.batch_bytes && !queued.append.needs_own_transaction()
            })
            .count();
        let least = usize::from(batch.is_empty() && !self.queue.is_empty());
        batch.extend(self.queue.drain(..fitting.max(least)));
    }

    /// One that is idle, or a new one.
    pub(super) async fn connection(&mut self) -> Result<PgConnection, sqlx::Error> {
        match self.idle.pop() {
            Some(connection) => Ok(connection),
            None => connect(&self.pool).await,
        }
    }

    /// After a failure, or where others may have appended: the head is read again, under its lock.
    pub(super) fn forget_the_head(&mut self) {
        self.pending = None;
        self.forget_versions();
    }

    /// Another process may have appended to any stream.
    pub(super) fn forget_versions(&mut self) {
        self.versions = Cache::new(VERSIONS_HALF);
    }

    /// Says that a batch is durable.
    pub(super) fn published(&self, published: Published, events: u64, growth: &Growth) {
        growth.tell(&self.watch);
        metrics::counter!("ledger_events_total").increment(events);
        self.publish.send_replace(published);
    }
}
