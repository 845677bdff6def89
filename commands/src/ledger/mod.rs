//! The ledger: what everything that writes shares, and what is asked of it beside commands.
//!
//! Commands are executed in `execute`, captures kept in `captures`; `start` opens one.
//!
//! * `holder`: who holds a unique claim; `compare`: what lies beside the log, compared with it; `rewrap`: from one
//!   key-encryption key to another.

mod compare;
mod holder;
mod rewrap;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use audit::postgres::{self, LogHealth, LogWatch, ReadError};
use domain::access::RecordAccess;
use domain::disclosure::RecordDisclosure;
use jiff::SignedDuration;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::claims::ClaimsState;
use crate::clock::Clock;
use crate::data_keys::DataKeys;
use crate::error::CommandError;
use crate::key_encryption::KeyEncryption;
use crate::keys::Keys;
use crate::memory::{Cached, Memory};
use crate::policy::Policy;
use crate::random;
use crate::recorded::CommandTags;
use crate::repeats::Windows;
use crate::seal::Sealer;
use crate::sequencer::Handle;
use crate::snapshots::Snapshots;
use crate::time::LogTime;
use crate::watch::Waiters;
use audit::cache::Cache;

pub use rewrap::Rewrapped;

/// The ledger: cheap to clone, shared by everything that writes.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: PgPool,
    pub(crate) watch: LogWatch,
    pub(crate) suspicion: Arc<Notify>,
    pub(crate) waiters: Waiters,
    pub(crate) keys: Keys,
    pub(crate) data_keys: Arc<DataKeys>,
    pub(crate) key_encryption: Arc<KeyEncryption>,
    pub(crate) key_reporter: Mutex<Option<JoinHandle<()>>>,
    pub(crate) policy: Policy,
    pub(crate) sealer: Sealer,
    /// Where the log's own events are.
    pub(crate) own_stream: Uuid,
    pub(crate) clock: Clock,
    pub(crate) time: Arc<LogTime>,
    pub(crate) commands: CommandTags,
    pub(crate) sequencer: Handle,
    pub(crate) sequencer_task: Mutex<Option<JoinHandle<()>>>,
    pub(crate) aggregates: Arc<Cache<(&'static str, Uuid), Cached>>,
    pub(crate) memory: Memory,
    pub(crate) disclosures: Windows<RecordDisclosure>,
    pub(crate) accesses: Windows<RecordAccess>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) claims: Arc<ClaimsState>,
    pub(crate) checkpoint_writer: Mutex<Option<JoinHandle<()>>>,
    pub(crate) watcher: Mutex<Option<JoinHandle<()>>>,
    pub(crate) clock_checker: Mutex<Option<JoinHandle<()>>>,
    pub(crate) look_counter: Mutex<Option<JoinHandle<()>>>,
    /// Ends the watch; so does the guard, when the last handle to the ledger is dropped.
    pub(crate) closing: CancellationToken,
    pub(crate) _watching: DropGuard,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("origin", &self.inner.sealer.origin).finish_non_exhaustive()
    }
}

/// An aggregate as of a version.
#[derive(Clone, Debug)]
pub struct Loaded<A> {
    /// Its state.
    pub aggregate: A,
    /// The number of its events.
    pub version: u64,
}

impl Ledger {
    /// The id that stands for something of another system; always the same for the same source.
    pub fn derived_id(&self, kind: &str, source: &str) -> Uuid {
        self.inner.keys.derived_id(kind, source)
    }

    /// A new time-ordered id, by the ledger's clock.
    pub fn new_id(&self) -> Uuid {
        random::uuid_v7(self.inner.clock.now())
    }

    /// The log's identity.
    pub fn origin(&self) -> &str {
        &self.inner.sealer.origin
    }

    /// Who may do what: queries ask it, as commands do.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// The public key events and checkpoints are signed with now, as a checkpoint verifier key.
    pub fn verifier_key(&self) -> String {
        self.inner.sealer.signing.current().note.verifier().to_string()
    }

    /// The signed note of the newest checkpoint, whichever process appended it; if the database does
    /// not answer, of the newest this process has seen.
    ///
    /// # Errors
    /// When the stored checkpoint is not what was signed, or the log ends before what this process has seen of it.
    pub async fn checkpoint(&self) -> Result<String, CommandError> {
        let stored = async {
            let mut connection = self.inner.pool.acquire().await?;
            self.inner.watch.reader().head(&mut connection).await
        };
        match stored.await {
            Ok(head) => Ok(head.note),
            Err(ReadError::Sqlx(_)) => Ok(self.inner.sequencer.published().checkpoint.to_string()),
            Err(error) => Err(error.into()),
        }
    }

    /// The size of the log when this process last appended to it.
    pub fn size(&self) -> u64 {
        self.inner.sequencer.published().size
    }

    /// Whether commands are still taken.
    pub fn is_open(&self) -> bool {
        self.inner.sequencer.is_open()
    }

    /// What this process knows of the whole log: how long each stream is, who is erased, whether it is sound.
    pub fn watch(&self) -> &LogWatch {
        &self.inner.watch
    }

    /// Why nothing is recorded by this machine's clock, as a code: `clock-ahead` or `clock-behind`; none if it is right.
    pub fn clock_fault(&self) -> Option<&'static str> {
        self.inner.time.fault().map(|fault| CommandError::from(fault).code())
    }

    /// By how much the last event is ahead of the clock, if that is more than clocks may differ. What follows gets its time.
    pub fn last_event_ahead(&self) -> Option<SignedDuration> {
        self.inner.time.event_ahead()
    }

    /// The data keys, as this process holds them: for readers of its log.
    #[must_use]
    pub fn data_keys(&self) -> postgres::DataKeys {
        self.inner.data_keys.shared()
    }

    /// Whether the log is what was signed, as far as this process has read it.
    pub fn log_health(&self) -> LogHealth {
        self.inner.watch.health()
    }

    /// Takes no more commands, finishes those that wait, and returns when the last is durable and its
    /// checkpoint is kept outside the database.
    pub async fn close(self) {
        self.record_counted(true).await;
        self.inner.sequencer.close();
        self.inner.closing.cancel();
        let inner = &*self.inner;
        for task in [
            &inner.sequencer_task,
            &inner.checkpoint_writer,
            &inner.watcher,
            &inner.clock_checker,
            &inner.look_counter,
            &inner.key_reporter,
        ] {
            let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task
                && let Err(error) = task.await
            {
                tracing::error!(%error, "a task of the ledger ended badly");
            }
        }
        self.inner.snapshots.finish().await;
        self.inner.key_encryption.forget().await;
    }
}
