//! The one way to write: authorise, decide, seal, append.

mod done;
mod holder;
mod keys;
mod load;
mod prepare;
mod rewrap;
#[cfg(feature = "bench")]
mod sealed;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use audit::postgres::{LogHealth, LogReader, LogWatch, ReadError};
use audit::seal::SubjectKind;
use audit::system;
use cqrs_es::Aggregate;
use domain::account::Role;
use domain::disclosure::RecordDisclosure;
use domain::{Disclosure, DisclosureCommand, Patient, Stream, WoundEpisode};
use jiff::SignedDuration;
use serde::Serialize;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::blobs::Blobs;
use crate::cache::Cache;
use crate::claims::ClaimsState;
use crate::clock::Clock;
use crate::config::LedgerConfig;
use crate::context::Context;
use crate::data_keys::{DataKeys, SubjectKey};
use crate::error::CommandError;
use crate::key_encryption::KeyEncryption;
use crate::keys::Keys;
use crate::memory::Memory;
use crate::open::OpenError;
use crate::policy::{Authorised, Permission, authorise};
use crate::random;
use crate::receipt::{self, Receipt};
use crate::recorded::{CommandTags, take_over};
use crate::seal::Sealer;
use crate::sequencer::{Handle, Known};
use crate::snapshots::Snapshots;
use crate::streams::log_policy;
use crate::sweep::SweepError;
use crate::time::LogTime;
use crate::watch::Haste;

use done::{Tries, key_of};
pub use keys::{RetirementReason, SigningKeyState};
pub(crate) use load::{Cached, unreadable};
use prepare::{Again, Answer};
pub use rewrap::Rewrapped;
#[cfg(feature = "bench")]
pub use sealed::Sealed;

/// One look at a record, to be recorded before it is answered.
pub type DisclosureEntry = RecordDisclosure;

/// How often a command is decided again when its stream changed under it.
const ATTEMPTS_MAX: u32 = 8;

/// The most looks one append may record.
pub const DISCLOSURES_MAX: usize = 500;

/// How many patients' keys are looked up at once.
const KEYS_PAGE: usize = 500;

/// How many aggregates are kept in memory, halved.
const AGGREGATES_HALF: usize = 4_096;

/// The ledger: cheap to clone, shared by everything that writes.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: PgPool,
    pub(crate) watch: LogWatch,
    pub(crate) suspicion: Arc<Notify>,
    pub(crate) haste: Haste,
    pub(crate) keys: Keys,
    pub(crate) data_keys: Arc<DataKeys>,
    pub(crate) key_encryption: Arc<KeyEncryption>,
    pub(crate) telling: Mutex<Option<JoinHandle<()>>>,
    pub(crate) sealer: Sealer,
    /// Where the log's own events are.
    pub(crate) own_stream: Uuid,
    pub(crate) clock: Clock,
    pub(crate) time: Arc<LogTime>,
    pub(crate) commands: CommandTags,
    pub(crate) sequencer: Handle,
    pub(crate) task: Mutex<Option<JoinHandle<()>>>,
    pub(crate) aggregates: Arc<Cache<(&'static str, Uuid), Cached>>,
    pub(crate) memory: Memory,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) claims: Arc<ClaimsState>,
    pub(crate) keeper: Mutex<Option<JoinHandle<()>>>,
    pub(crate) watcher: Mutex<Option<JoinHandle<()>>>,
    pub(crate) comparing: Mutex<Option<JoinHandle<()>>>,
    /// Ends the watch; so does the guard, when nobody holds the ledger any more.
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
    /// Opens the log: begins it if it is empty, recomputes and checks its right edge, and starts the
    /// sequencer.
    ///
    /// # Errors
    /// When the database fails, holds another log, one that is not as this ledger signed it, or one that is
    /// older than what was published of it.
    pub async fn open(
        pool: PgPool,
        keys: Keys,
        clock: Clock,
        config: LedgerConfig,
    ) -> Result<Ledger, OpenError> {
        let opened = crate::open::open(&pool, &keys, &clock, &config).await?;
        let sealer = &opened.sealer;
        let reader = LogReader::with_tags(sealer.origin.clone(), log_policy(), sealer.tags.clone());
        reader.opened(opened.keyring.clone(), opened.published.size);
        let commands = CommandTags::new(&keys, &opened.sealer.origin);
        match take_over(&pool, &reader, &commands).await {
            Ok(()) => {}
            Err(ReadError::Sqlx(error)) => return Err(error.into()),
            // The watch says what is wrong with the log. What it does not prove stays without a tag, and is not believed.
            Err(error) => {
                let error = crate::error::chain(&error);
                tracing::error!(error, "commands on record could not be compared with the log");
            }
        }
        let watch = LogWatch::new(reader);
        let time = Arc::new(LogTime::new(clock.clone(), config.clock_skew_max, watch.clone()));
        time.measure(&pool).await?;
        let key_encryption = Arc::new(KeyEncryption::new(pool.clone(), keys.clone()));
        key_encryption.join().await?;
        let data_keys = Arc::new(DataKeys::new(pool.clone(), keys.key_wrap(), watch.clone()));
        let aggregates = Arc::new(Cache::new(AGGREGATES_HALF));
        let memory = Memory { data_keys: data_keys.clone(), aggregates: aggregates.clone() };
        let (sequencer, task) = crate::sequencer::start(
            pool.clone(),
            Arc::clone(&opened.sealer.signing),
            opened.keyring,
            opened.published,
            config.limits(),
            Known {
                tree: opened.tree,
                memory: memory.clone(),
                claims: Arc::clone(&opened.claims),
                commands: commands.clone(),
                watch: watch.clone(),
            },
        );
        let suspicion = Arc::new(Notify::new());
        let haste = Haste::default();
        let watching = CancellationToken::new();
        let driver = crate::watch::Driver {
            pool: pool.clone(),
            watch: watch.clone(),
            memory: memory.clone(),
            reread_every: config.reread_every,
            suspicion: suspicion.clone(),
            haste: haste.clone(),
        };
        let watcher = crate::watch::start(driver, watching.clone());
        let comparing = crate::time::keep(Arc::clone(&time), pool.clone(), watching.clone());
        let telling = crate::key_encryption::keep(Arc::clone(&key_encryption), watching.clone());
        let snapshots = Arc::new(Snapshots::new(
            pool.clone(),
            data_keys.clone(),
            keys.mac_key(crate::snapshots::TAG_KEY),
            opened.sealer.origin.clone(),
            config.snapshot_every,
        ));
        let keeper =
            opened.folder.map(|folder| crate::checkpoints::keep(folder, sequencer.subscribe()));
        let inner = Inner {
            pool,
            watch,
            suspicion,
            haste,
            keys,
            data_keys,
            key_encryption,
            telling: Mutex::new(Some(telling)),
            own_stream: system::stream_id(&opened.sealer.origin),
            sealer: opened.sealer,
            clock,
            time,
            commands,
            sequencer,
            task: Mutex::new(Some(task)),
            aggregates,
            memory,
            snapshots,
            claims: opened.claims,
            keeper: Mutex::new(keeper),
            watcher: Mutex::new(Some(watcher)),
            comparing: Mutex::new(Some(comparing)),
            closing: watching.clone(),
            _watching: watching.drop_guard(),
        };
        Ok(Ledger { inner: Arc::new(inner) })
    }

    /// Executes a command on a stream.
    ///
    /// # Errors
    /// See [`CommandError`]. Nothing of a refused command is left behind, and its id is not used up.
    pub async fn execute<A>(
        &self,
        id: Uuid,
        command: A::Command,
        context: &Context,
    ) -> Result<Receipt, CommandError>
    where
        A: Stream + 'static,
        A::Command: Authorised + Serialize + Clone,
    {
        let outcome = async {
            let role = authorise(&context.actor, command.permission())?;
            let mac = self.request_mac(context, A::TYPE, Some(id), &command);
            if let Some(receipt) = self.admit(context, Some(mac)).await? {
                return Ok(receipt);
            }
            let decided = self.execute_authorised::<A>(id, command, context, role, mac).await;
            self.or_repeated(decided, context, mac).await
        }
        .await;
        counted(A::TYPE, outcome)
    }

    async fn execute_authorised<A>(
        &self,
        id: Uuid,
        command: A::Command,
        context: &Context,
        role: Role,
        mac: [u8; 32],
    ) -> Result<Receipt, CommandError>
    where
        A: Stream + 'static,
        A::Command: Clone,
    {
        self.may_decide::<A>().await?;
        let mut fresh = false;
        let mut tries = Tries::default();
        for _ in 0..ATTEMPTS_MAX {
            let loaded = match if fresh { None } else { self.assumed::<A>(id, context) } {
                Some(loaded) => loaded,
                None => {
                    fresh = true;
                    self.load_from_log::<A>(id).await?
                }
            };
            if let Some(expected) = context.expected_version
                && expected != loaded.version
            {
                if fresh {
                    let actual = loaded.version;
                    return Err(CommandError::VersionConflict { expected, actual });
                }
                fresh = true;
                continue;
            }
            let prepared =
                match self.prepare::<A>(&[(id, command.clone())], loaded, context, role, mac).await
                {
                    Ok(prepared) => prepared,
                    // The cached state may be behind the log: look before saying no.
                    Err(_) if !fresh => {
                        fresh = true;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
            match self.append(prepared).await? {
                Answer::Done(appended) => return Ok(receipt::of(context.command_id, appended)),
                Answer::Repeated(recorded) => {
                    return self.replay(key_of(context), recorded).await;
                }
                Answer::Again(why) => {
                    self.inner.aggregates.remove(&(A::TYPE, id));
                    if let (Some(expected), Again::Version { actual }) =
                        (context.expected_version, why)
                        && expected != actual
                    {
                        return Err(CommandError::VersionConflict { expected, actual });
                    }
                    fresh = true;
                    tries.failed(why).await;
                }
            }
        }
        Err(tries.given_up().into())
    }

    /// Records looks at records: one event for each entry, all in one append, under one command id.
    ///
    /// # Errors
    /// See [`CommandError`]; [`CommandError::NotFound`] if one of the patients is not in the ledger.
    pub async fn disclose(
        &self,
        entries: Vec<DisclosureEntry>,
        context: &Context,
    ) -> Result<Receipt, CommandError> {
        let outcome = async {
            let role = authorise(&context.actor, Permission::RecordDisclosure)?;
            if entries.is_empty() || entries.len() > DISCLOSURES_MAX {
                return Err(CommandError::Refused {
                    code: "disclosure-count",
                    field: None,
                    detail: format!("record 1 to {DISCLOSURES_MAX} looks at a time"),
                });
            }
            let mac = self.request_mac(context, Disclosure::TYPE, None, &entries);
            if let Some(receipt) = self.admit(context, Some(mac)).await? {
                return Ok(receipt);
            }
            let decided = self.disclose_authorised(entries, context, role, mac).await;
            self.or_repeated(decided, context, mac).await
        }
        .await;
        counted(Disclosure::TYPE, outcome)
    }

    async fn disclose_authorised(
        &self,
        entries: Vec<DisclosureEntry>,
        context: &Context,
        role: Role,
        mac: [u8; 32],
    ) -> Result<Receipt, CommandError> {
        let subjects: Vec<Uuid> = entries.iter().map(|entry| entry.patient_id.as_uuid()).collect();
        self.inner.data_keys.prefetch(&subjects).await?;
        let now = self.inner.clock.now();
        let commands: Vec<_> = entries
            .into_iter()
            .map(|entry| (random::uuid_v7(now), DisclosureCommand::Record(entry)))
            .collect();
        let mut tries = Tries::default();
        for _ in 0..ATTEMPTS_MAX {
            let empty = Loaded { aggregate: Disclosure::default(), version: 0 };
            let mut prepared =
                self.prepare::<Disclosure>(&commands, empty, context, role, mac).await?;
            // A look is recorded once and never decided on again.
            prepared.state.clear();
            match self.append(prepared).await? {
                Answer::Done(appended) => return Ok(receipt::of(context.command_id, appended)),
                Answer::Repeated(recorded) => {
                    return self.replay(key_of(context), recorded).await;
                }
                Answer::Again(why) => tries.failed(why).await,
            }
        }
        Err(tries.given_up().into())
    }

    /// Captures that no scan names and that are older than `age`: what a crash between store and log, or an
    /// erasure, left behind. How many there are, and if `remove`, were.
    ///
    /// # Errors
    /// When the log cannot be read or the store fails.
    pub async fn sweep_captures(
        &self,
        blobs: &Blobs,
        age: SignedDuration,
        remove: bool,
    ) -> Result<u64, SweepError> {
        // A wound that was opened a moment ago, here or by another process, names its captures as well.
        self.log_is_read_to_its_end().await?;
        let wounds = self.inner.watch.streams_of(WoundEpisode::TYPE);
        let named = crate::sweep::named_captures(wounds, &self.repository()).await?;
        let unnamed = blobs.unnamed(&named, self.inner.clock.now(), age).await?;
        if remove { Ok(blobs.sweep(&unnamed).await?) } else { Ok(unnamed.len() as u64) }
    }

    /// Removes the captures of an erased subject; of one that is not erased, nothing. Gives back how many were
    /// still there.
    ///
    /// # Errors
    /// When the database or the store fails.
    pub async fn purge_captures(&self, blobs: &Blobs, subject: Uuid) -> Result<u64, SweepError> {
        let mut removed = 0;
        if !self.erased_among(&[subject]).await?.is_empty() {
            for key_id in self.keys_of(&[subject]).await? {
                removed += blobs.purge(key_id).await?;
            }
        }
        Ok(removed)
    }

    /// The data keys of these patients, as the signed log names them: what the table of keys says may be anybody's.
    async fn keys_of(&self, patients: &[Uuid]) -> Result<Vec<Uuid>, CommandError> {
        let mut connection = self.inner.pool.acquire().await?;
        let reader = self.inner.watch.reader();
        let mut keys = Vec::with_capacity(patients.len());
        for page in patients.chunks(KEYS_PAGE) {
            let events = reader.firsts(&mut connection, &[Patient::TYPE], page).await?;
            keys.extend(events.iter().filter_map(|event| event.statement().payload.key_id));
        }
        Ok(keys)
    }

    /// Removes the captures of everybody who is erased: such as came back with a restored backup, or were stored
    /// while the record was being erased. Gives back how many there were.
    ///
    /// # Errors
    /// When the database or the store fails.
    pub async fn purge_all_captures(&self, blobs: &Blobs) -> Result<u64, SweepError> {
        let watch = &self.inner.watch;
        let size = watch.size();
        let mut erased = {
            let mut connection = self.inner.pool.acquire().await.map_err(CommandError::from)?;
            let since = watch.reader().erasures_from(&mut connection, size).await;
            since.map_err(CommandError::from)?
        };
        erased.extend(watch.erased());
        let mut removed = 0;
        for key_id in self.keys_of(&erased).await? {
            removed += blobs.purge(key_id).await?;
        }
        Ok(removed)
    }

    /// The data key of a patient, for what is kept outside the log.
    ///
    /// # Errors
    /// When there is no such patient, the record was erased, or the key cannot be read.
    pub async fn data_key(&self, subject: Uuid) -> Result<SubjectKey, CommandError> {
        let key = self.inner.data_keys.get(subject, SubjectKind::Patient).await?;
        key.ok_or(CommandError::NotFound { what: "patient" })
    }

    /// The id that stands for something of another system; always the same for the same source.
    pub fn derived_id(&self, kind: &str, source: &str) -> Uuid {
        self.inner.keys.derived_id(kind, source)
    }

    /// A new time-ordered id, by the ledger's clock.
    pub fn new_id(&self) -> Uuid {
        random::uuid_v7(self.inner.clock.now())
    }

    /// The ledger's clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The log's identity.
    pub fn origin(&self) -> &str {
        &self.inner.sealer.origin
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

    /// Whether the log is what was signed, as far as this process has read it.
    pub fn log_health(&self) -> LogHealth {
        self.inner.watch.health()
    }

    /// Takes no more commands, finishes those that wait, and returns when the last is durable and its
    /// checkpoint is kept outside the database.
    pub async fn close(self) {
        self.inner.sequencer.close();
        self.inner.closing.cancel();
        let Inner { task, keeper, watcher, comparing, telling, .. } = &*self.inner;
        for task in [task, keeper, watcher, comparing, telling] {
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

fn counted(
    stream_type: &'static str,
    outcome: Result<Receipt, CommandError>,
) -> Result<Receipt, CommandError> {
    let code = match &outcome {
        Ok(receipt) if receipt.replayed => "replayed",
        Ok(_) => "done",
        Err(error) => error.code(),
    };
    metrics::counter!("ledger_commands_total", "stream" => stream_type, "outcome" => code)
        .increment(1);
    outcome
}
