//! The one way to write: authorise, decide, seal, append.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{AggregateError, DomainEvent, EventStore};
use domain::account::Role;
use domain::disclosure::RecordDisclosure;
use domain::{Claim, ClaimChange, Disclosure, DisclosureCommand, Now, Refusal, Stream};
use serde::Serialize;
use sqlx::{PgPool, Row};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::actor::Actor;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::LedgerConfig;
use crate::context::Context;
use crate::data_keys::{DataKeys, SubjectKey};
use crate::error::{CommandError, OpenError, Unavailable};
use crate::keys::Keys;
use crate::policy::{Authorised, Permission, authorise};
use crate::random;
use crate::receipt::{self, Receipt};
use crate::repository::{LedgerEventRepository, RepositoryError};
use crate::seal::{Draft, Sealer};
use crate::sequencer::{
    Append, Appended, Change, Expected, Handle, NewKey, NotQueued, Recorded, Rejection, Resource,
    SealedEvent,
};

/// One look at a record, to be recorded before it is answered.
pub type DisclosureEntry = RecordDisclosure;

/// How often a command is decided again when its stream changed under it.
const ATTEMPTS_MAX: u32 = 8;

/// The most looks one append may record.
pub const DISCLOSURES_MAX: usize = 500;

/// How many aggregates are kept in memory, halved.
const AGGREGATES_HALF: usize = 4_096;

/// The ledger: cheap to clone, shared by everything that writes.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: PgPool,
    pub(crate) keys: Keys,
    pub(crate) data_keys: Arc<DataKeys>,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Clock,
    pub(crate) sequencer: Handle,
    pub(crate) task: Mutex<Option<JoinHandle<()>>>,
    pub(crate) aggregates: Cache<(&'static str, Uuid), Cached>,
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

#[derive(Clone)]
pub(crate) struct Cached {
    version: u64,
    subject: Option<Uuid>,
    aggregate: Arc<dyn Any + Send + Sync>,
}

/// A decided command, sealed, with what becomes true once it is durable.
struct Prepared<A> {
    append: Append,
    state: Vec<(Uuid, Loaded<A>)>,
    keys: Vec<(Uuid, SubjectKey)>,
}

/// What the sequencer's answer means for the one who decided.
enum Answer {
    Done(Appended),
    Repeated(Recorded),
    Again { actual: Option<u64> },
}

impl Ledger {
    /// Opens the log: begins it if it is empty, recomputes and checks its right edge, and starts the
    /// sequencer.
    ///
    /// # Errors
    /// When the database fails, holds another log, or holds one that is not as this ledger signed it.
    pub async fn open(
        pool: PgPool,
        keys: Keys,
        clock: Clock,
        config: LedgerConfig,
    ) -> Result<Ledger, OpenError> {
        let opened = crate::open::open(&pool, &keys, &clock, &config).await?;
        let data_keys = Arc::new(DataKeys::new(pool.clone(), keys.key_wrap()));
        let (sequencer, task) = crate::sequencer::start(
            pool.clone(),
            opened.note_signer,
            opened.edge,
            opened.published,
            config.limits(),
        );
        let inner = Inner {
            pool,
            keys,
            data_keys,
            sealer: opened.sealer,
            clock,
            sequencer,
            task: Mutex::new(Some(task)),
            aggregates: Cache::new(AGGREGATES_HALF),
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
        let mut fresh = false;
        for _ in 0..ATTEMPTS_MAX {
            let loaded = match if fresh { None } else { self.cached::<A>(id) } {
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
                    return receipt::replay(&self.inner.pool, context.command_id, recorded).await;
                }
                Answer::Again { actual } => {
                    self.inner.aggregates.remove(&(A::TYPE, id));
                    if let (Some(expected), Some(actual)) = (context.expected_version, actual)
                        && expected != actual
                    {
                        return Err(CommandError::VersionConflict { expected, actual });
                    }
                    fresh = true;
                }
            }
        }
        Err(Unavailable::Contention { attempts: ATTEMPTS_MAX }.into())
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
            let mac =
                self.request_mac(context, <Disclosure as cqrs_es::Aggregate>::TYPE, None, &entries);
            let decided = self.disclose_authorised(entries, context, role, mac).await;
            self.or_repeated(decided, context, mac).await
        }
        .await;
        counted(<Disclosure as cqrs_es::Aggregate>::TYPE, outcome)
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
        for _ in 0..ATTEMPTS_MAX {
            let empty = Loaded { aggregate: Disclosure::default(), version: 0 };
            let mut prepared =
                self.prepare::<Disclosure>(&commands, empty, context, role, mac).await?;
            // A look is recorded once and never decided on again.
            prepared.state.clear();
            match self.append(prepared).await? {
                Answer::Done(appended) => return Ok(receipt::of(context.command_id, appended)),
                Answer::Repeated(recorded) => {
                    return receipt::replay(&self.inner.pool, context.command_id, recorded).await;
                }
                Answer::Again { .. } => {}
            }
        }
        Err(Unavailable::Contention { attempts: ATTEMPTS_MAX }.into())
    }

    /// Decides commands, each on its own stream in the given state, and seals what comes of them.
    async fn prepare<A>(
        &self,
        commands: &[(Uuid, A::Command)],
        loaded: Loaded<A>,
        context: &Context,
        role: Role,
        mac: [u8; 32],
    ) -> Result<Prepared<A>, CommandError>
    where
        A: Stream,
        A::Command: Clone,
    {
        let now = self.inner.clock.now();
        let mut prepared = Prepared {
            append: Append {
                command_id: context.command_id,
                request_mac: mac,
                expected: Vec::with_capacity(commands.len()),
                events: Vec::with_capacity(commands.len()),
                claims: Vec::new(),
                new_keys: Vec::new(),
            },
            state: Vec::with_capacity(commands.len()),
            keys: Vec::new(),
        };
        for (id, command) in commands {
            let mut aggregate = loaded.aggregate.clone();
            let sink = EventSink::default();
            // The sink applies each event to the aggregate as it takes it: it must not be applied again.
            aggregate.handle(command.clone(), &Now(now), &sink).await.map_err(refused)?;
            let events = sink.collect().await;
            if events.is_empty() {
                return Err(CommandError::Refused {
                    code: "nothing-to-do",
                    field: None,
                    detail: "the command changes nothing".to_owned(),
                });
            }
            let before = loaded.version;
            let subject = match aggregate.subject(*id) {
                None => None,
                Some(subject) => {
                    let owns = subject == *id && before == 0;
                    Some((subject, self.subject_key(subject, owns, A::TYPE, &mut prepared).await?))
                }
            };
            prepared.append.expected.push(Expected {
                stream_type: A::TYPE,
                stream_id: *id,
                version: before,
            });
            for (event, sequence) in events.iter().zip(before + 1..) {
                for change in A::claims(*id, event) {
                    prepared.append.claims.push((*id, self.claim(change)?));
                }
                let draft = Draft {
                    stream_type: A::TYPE,
                    stream_id: *id,
                    sequence,
                    event_type: event.event_type(),
                    event_version: event.event_version(),
                    body: serde_json::to_vec(event)
                        .map_err(|error| Unavailable::Seal(Box::new(error)))?,
                    media: A::media(event),
                    subject: subject.as_ref().map(|(subject, key)| (*subject, key)),
                };
                let sealed: SealedEvent = self.inner.sealer.seal(draft, context, role, now)?;
                prepared.append.events.push(sealed);
            }
            let version = before + events.len() as u64;
            prepared.state.push((*id, Loaded { aggregate, version }));
        }
        Ok(prepared)
    }

    /// The key of a subject: the one it has, or a new one if this stream is where the subject begins.
    async fn subject_key<A>(
        &self,
        subject: Uuid,
        owns: bool,
        stream_type: &'static str,
        prepared: &mut Prepared<A>,
    ) -> Result<SubjectKey, CommandError> {
        if let Some(key) = self.inner.data_keys.get(subject).await? {
            return Ok(key);
        }
        if !owns {
            let what = if stream_type == "account" { "account" } else { "patient" };
            return Err(CommandError::NotFound { what });
        }
        let (key, new): (SubjectKey, NewKey) = self.inner.data_keys.create(subject)?;
        prepared.append.new_keys.push(new);
        prepared.keys.push((subject, key.clone()));
        Ok(key)
    }

    fn claim(&self, change: ClaimChange) -> Result<Change, CommandError> {
        Ok(match change {
            ClaimChange::Take(Claim::Unique { kind, key }) => {
                Change::TakeUnique { kind, key: self.claim_key(kind, &key) }
            }
            ClaimChange::Take(Claim::Busy { resource, from, until }) => {
                if until <= from {
                    return Err(CommandError::Refused {
                        code: "empty-time",
                        field: Some("time"),
                        detail: "the time ends before it begins".to_owned(),
                    });
                }
                let resource = Resource { kind: resource.kind.as_str(), id: resource.id };
                Change::TakeBusy { resource, from, until }
            }
            ClaimChange::ReleaseUnique { kind, key } => {
                Change::ReleaseUnique { kind, key: self.claim_key(kind, &key) }
            }
            ClaimChange::ReleaseBusy => Change::ReleaseBusy,
        })
    }

    fn claim_key(&self, kind: &str, key: &str) -> [u8; 32] {
        self.inner.keys.index(&[b"claim", kind.as_bytes(), key.as_bytes()])
    }

    /// Waits until the sequencer has answered; remembers what became true.
    async fn append<A>(&self, prepared: Prepared<A>) -> Result<Answer, CommandError>
    where
        A: Stream + 'static,
    {
        let Prepared { append, state, keys } = prepared;
        let answer = self.inner.sequencer.send(append).map_err(|refused| match refused {
            NotQueued::Full => CommandError::Overloaded,
            NotQueued::Closed => Unavailable::Closed.into(),
        })?;
        match answer.await.map_err(|_| Unavailable::Closed)? {
            Ok(appended) => {
                for (subject, key) in keys {
                    self.inner.data_keys.remember(subject, key);
                }
                for (id, loaded) in state {
                    self.remember(id, loaded);
                }
                Ok(Answer::Done(appended))
            }
            Err(Rejection::Repeated(recorded)) => Ok(Answer::Repeated(recorded)),
            Err(Rejection::Version { actual }) => Ok(Answer::Again { actual: Some(actual) }),
            Err(Rejection::KeyExists | Rejection::Stale) => Ok(Answer::Again { actual: None }),
            Err(Rejection::Reused) => Err(CommandError::CommandIdReused),
            Err(Rejection::Claims(conflicts)) => Err(CommandError::ClaimConflict { conflicts }),
            Err(Rejection::Failed(reason)) => Err(Unavailable::Append(reason).into()),
        }
    }

    /// A refusal may only mean that the same command was done before: then that is the answer.
    async fn or_repeated(
        &self,
        decided: Result<Receipt, CommandError>,
        context: &Context,
        mac: [u8; 32],
    ) -> Result<Receipt, CommandError> {
        let error = match decided {
            Err(
                error @ (CommandError::Refused { .. }
                | CommandError::VersionConflict { .. }
                | CommandError::ClaimConflict { .. }
                | CommandError::NotFound { .. }
                | CommandError::Erased),
            ) => error,
            other => return other,
        };
        match receipt::recorded(&self.inner.pool, context.command_id).await? {
            None => Err(error),
            Some(recorded) if recorded.request_mac == mac => {
                receipt::replay(&self.inner.pool, context.command_id, recorded).await
            }
            Some(_) => Err(CommandError::CommandIdReused),
        }
    }

    /// Loads an aggregate from the log; none if nothing happened under this id.
    ///
    /// # Errors
    /// When the database fails, the record was erased, or what is stored is not what was signed.
    pub async fn load<A>(&self, id: Uuid) -> Result<Option<Loaded<A>>, CommandError>
    where
        A: Stream + 'static,
    {
        let loaded = self.load_from_log::<A>(id).await?;
        Ok((loaded.version > 0).then_some(loaded))
    }

    async fn load_from_log<A>(&self, id: Uuid) -> Result<Loaded<A>, CommandError>
    where
        A: Stream + 'static,
    {
        let repository =
            LedgerEventRepository::new(self.inner.pool.clone(), self.inner.data_keys.clone());
        let store = PersistedEventStore::<_, A>::new_event_store(repository)
            .with_upcasters(domain::upcasters());
        let context = store.load_aggregate(&id.to_string()).await.map_err(unreadable)?;
        let loaded =
            Loaded { aggregate: context.aggregate, version: context.current_sequence as u64 };
        if loaded.version > 0 {
            self.remember(id, loaded.clone());
        }
        Ok(loaded)
    }

    fn cached<A: Stream + 'static>(&self, id: Uuid) -> Option<Loaded<A>> {
        let cached = self.inner.aggregates.get(&(A::TYPE, id))?;
        let aggregate = cached.aggregate.downcast_ref::<A>()?.clone();
        Some(Loaded { aggregate, version: cached.version })
    }

    fn remember<A: Stream + 'static>(&self, id: Uuid, loaded: Loaded<A>) {
        let cached = Cached {
            version: loaded.version,
            subject: loaded.aggregate.subject(id),
            aggregate: Arc::new(loaded.aggregate),
        };
        let newer = |held: &Cached, new: &Cached| new.version > held.version;
        self.inner.aggregates.insert_if((A::TYPE, id), cached, newer);
    }

    /// Forgets everything about a subject that is held in memory.
    pub fn forget(&self, subject: Uuid) {
        self.inner.data_keys.forget(subject);
        self.inner.aggregates.retain(|_, cached| cached.subject != Some(subject));
    }

    /// Who holds a unique claim, such as a log-in name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holder(
        &self,
        kind: &'static str,
        key: &str,
    ) -> Result<Option<Uuid>, CommandError> {
        let held = self.claim_key(kind, key);
        let row =
            sqlx::query("SELECT aggregate_id FROM claims_unique WHERE kind = $1 AND key = $2")
                .bind(kind)
                .bind(held.as_slice())
                .fetch_optional(&self.inner.pool)
                .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// The receipt of a command that was done; for whoever did it, and for those who may read the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn receipt(
        &self,
        command_id: Uuid,
        actor: &Actor,
    ) -> Result<Option<Receipt>, CommandError> {
        let Some(recorded) = receipt::recorded(&self.inner.pool, command_id).await? else {
            return Ok(None);
        };
        let receipt = receipt::replay(&self.inner.pool, command_id, recorded).await?;
        let may = authorise(actor, Permission::ReadLog).is_ok()
            || receipt::actor(&receipt) == Some(actor.id.as_uuid());
        // Whoever may not see it may not learn that it exists either.
        Ok(may.then_some(receipt))
    }

    /// The data key of a patient or account, for what is kept outside the log.
    ///
    /// # Errors
    /// When there is no such subject, it was erased, or the key cannot be read.
    pub async fn data_key(&self, subject: Uuid) -> Result<SubjectKey, CommandError> {
        let key = self.inner.data_keys.get(subject).await?;
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

    /// The public key events and checkpoints are signed with, as a checkpoint verifier key.
    pub fn verifier_key(&self) -> String {
        audit::note::NoteVerifier::new(
            &self.inner.sealer.origin,
            self.inner.sealer.signer.public().to_bytes(),
        )
        .map(|verifier| verifier.to_string())
        .unwrap_or_default()
    }

    /// The signed note of the last checkpoint this process has seen.
    pub async fn checkpoint(&self) -> String {
        self.inner.sequencer.published().checkpoint.to_string()
    }

    /// The size of the log at [`Ledger::checkpoint`].
    pub fn size(&self) -> u64 {
        self.inner.sequencer.published().size
    }

    /// Whether commands are still taken.
    pub fn is_open(&self) -> bool {
        self.inner.sequencer.is_open()
    }

    /// Takes no more commands, finishes those that wait, and returns when the last is durable.
    pub async fn close(self) {
        self.inner.sequencer.close();
        let task = self.inner.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the sequencer ended badly");
        }
    }

    /// What tells the same command from another under the same id. Keyed, because a plain hash of a
    /// short command could be guessed.
    fn request_mac(
        &self,
        context: &Context,
        stream_type: &str,
        id: Option<Uuid>,
        command: &impl Serialize,
    ) -> [u8; 32] {
        // A command that does not serialise cannot be sealed either, and is refused there.
        let json = serde_json::to_vec(command).unwrap_or_default();
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        self.inner.keys.index(&[
            b"request",
            context.actor.id.as_uuid().as_bytes(),
            stream_type.as_bytes(),
            id.as_bytes(),
            &json,
        ])
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

fn refused<E: Refusal + std::error::Error>(error: E) -> CommandError {
    CommandError::Refused { code: error.code(), field: error.field(), detail: error.to_string() }
}

fn unreadable<E: std::error::Error>(error: AggregateError<E>) -> CommandError {
    match error {
        AggregateError::DatabaseConnectionError(cause) => match cause.downcast::<sqlx::Error>() {
            Ok(cause) => (*cause).into(),
            Err(cause) => CommandError::Damaged(cause),
        },
        AggregateError::UnexpectedError(cause) => match cause.downcast::<RepositoryError>() {
            Ok(cause) => match *cause {
                RepositoryError::Erased => CommandError::Erased,
                RepositoryError::Key(cause) => *cause,
                other => CommandError::Damaged(Box::new(other)),
            },
            Err(cause) => CommandError::Damaged(cause),
        },
        AggregateError::DeserializationError(cause) => CommandError::Damaged(cause),
        // Loading decides nothing and writes nothing.
        AggregateError::UserError(_) | AggregateError::AggregateConflict => {
            CommandError::Damaged("the aggregate could not be loaded".into())
        }
    }
}
