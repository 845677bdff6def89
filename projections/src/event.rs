//! An event as projectors see it: proved to be what was signed where it stands, opened and brought up to date.
//!
//! Which events those are is decided by the one reader of the log ([`LogReader`]): a range in order is hashed into the
//! tree and compared with a signed checkpoint, a stream is checked signature by signature. Nothing else is believed.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use audit::postgres::PAGE;
use audit::postgres::{DataKeyError, DataKeys, LogReader, LogRow, ReadError, VerifiedEvent};
use audit::seal::{EventIdentity, SealError, open_payload};
use audit::statement::Statement;
use domain::custody::SubjectErased;
use domain::{Custody, Event, Stream, UnknownEvent};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use uuid::Uuid;

use crate::known::KnownPositions;
use crate::tail::Tail;

/// The type of the streams that say who was erased.
pub(crate) const CUSTODY: &str = Custody::STREAM_TYPE;

/// How many events are opened at once; no more than a pool has connections to fetch keys over.
const OPENED_AT_ONCE: usize = 8;

/// One event of the log. `Debug` shows no content: `domain`'s values see to that.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    /// Where it stands in the log.
    pub position: u64,
    /// The event's id.
    pub event_id: Uuid,
    /// The type of its stream: one of [`domain::STREAM_KINDS`], or `ledger`.
    pub stream_type: String,
    /// Its stream.
    pub stream_id: Uuid,
    /// Its number in the stream, from 1.
    pub sequence: u64,
    /// When it was recorded, by the server's clock.
    pub recorded_at: Timestamp,
    /// Who acted.
    pub actor_id: Uuid,
    /// Whose data key seals it.
    pub subject: Option<Uuid>,
    /// The command it answers.
    pub command_id: Uuid,
    /// What that command belongs to: how an event is followed from the request, and to what answers it.
    pub correlation_id: Uuid,
    /// What happened. `None` if it is the ledger's own, if its subject was erased, or if the reader did not ask for
    /// streams of this type.
    pub event: Option<Event>,
}

impl RecordedEvent {
    /// Whom the event erases, if the reader asked for streams of custody.
    pub fn erases(&self) -> Option<Uuid> {
        match &self.event {
            Some(Event::Custody(event)) => Custody::erases(self.stream_id, event),
            _ => None,
        }
    }
}

/// Why an event could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The log did not answer, or is not what was signed.
    #[error("the log could not be read")]
    Log(#[source] ReadError),
    /// A stream has fewer events than this process has seen of it.
    #[error("the stream {stream_type} {stream_id} has {found} events, but it had {seen}")]
    Shortened {
        /// The stream's type.
        stream_type: String,
        /// The stream.
        stream_id: Uuid,
        /// How many events there are.
        found: u64,
        /// How many there were.
        seen: u64,
    },
    /// No connection to the log could be had.
    #[error("no connection to the log could be had")]
    Connection(#[source] sqlx::Error),
    /// The payload's data key could not be fetched.
    #[error("the data key of the event at position {position} could not be fetched")]
    Key {
        /// The event.
        position: u64,
        /// What the key store said.
        #[source]
        source: DataKeyError,
    },
    /// The payload's data key is gone, but the log does not say that its subject was erased: it was removed past the ledger
    /// and must be restored.
    #[error(
        "the data key of the event at position {position} is gone, though nobody was erased: \
         restore it from the backup of the schema `keyring`"
    )]
    KeyMissing {
        /// The event.
        position: u64,
    },
    /// The payload does not open under its key.
    #[error("the payload at position {position} does not open")]
    Sealed {
        /// The event.
        position: u64,
        /// What is wrong.
        #[source]
        source: SealError,
    },
    /// This version does not know such events. A newer one may have written it.
    #[error("the event at position {position} is not understood")]
    Unknown {
        /// The event.
        position: u64,
        /// What is not known.
        #[source]
        source: UnknownEvent,
    },
}

impl EventError {
    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        match self {
            EventError::Connection(_)
            | EventError::Log(ReadError::Sqlx(_) | ReadError::GivenUp | ReadError::Empty)
            | EventError::Key { source: DataKeyError::Sqlx(_), .. }
            // Once the key is restored, the reader goes on.
            | EventError::KeyMissing { .. } => true,
            // The rest of these two is a damaged or foreign log, or another key-encryption key.
            EventError::Log(_) | EventError::Key { .. } => false,
            EventError::Shortened { .. }
            | EventError::Sealed { .. }
            | EventError::Unknown { .. } => false,
        }
    }
}

/// The log, for reading. Cheap to clone.
#[derive(Clone)]
pub struct EventLog {
    pool: PgPool,
    keys: DataKeys,
    reader: LogReader,
    /// Where the log says that a subject was erased, as far as it was asked. Erasures are never taken back.
    erasures: Arc<Mutex<HashMap<Uuid, u64>>>,
    tail: Tail,
}

/// How a range of the log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// From the database, whatever this process has read before.
    Stored,
    /// At the end of the log, together with everybody else in this process who follows it.
    Live,
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EventLog")
    }
}

impl EventLog {
    /// The log behind `pool`, whose events `reader` proves and whose payloads open with `keys`.
    pub fn new(pool: PgPool, keys: DataKeys, reader: LogReader) -> EventLog {
        EventLog { pool, keys, reader, erasures: Arc::default(), tail: Tail::default() }
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, EventError> {
        self.pool.acquire().await.map_err(EventError::Connection)
    }

    /// The size of the log, as its newest checkpoint has signed it: the first position that is not there yet.
    pub async fn head(&self) -> Result<u64, EventError> {
        let mut connection = self.connection().await?;
        match self.reader.head(&mut connection).await {
            Ok(head) => Ok(head.size),
            Err(ReadError::Empty) => Ok(0),
            Err(source) => Err(EventError::Log(source)),
        }
    }

    /// As [`EventLog::head`], asked once for all who ask at the same time.
    pub(crate) async fn live_head(&self) -> Result<u64, EventError> {
        self.tail.head(async || self.head().await).await
    }

    /// The events of a range, in order. Payloads are opened where the stream's type is among `streams`.
    ///
    /// An event that cannot be read ends the answer before it; if it is the first, it is the error.
    pub async fn read(
        &self,
        range: Range<u64>,
        streams: &[&str],
    ) -> Result<Vec<RecordedEvent>, EventError> {
        self.read_as(Reading::Stored, range, streams).await
    }

    /// As [`EventLog::read`].
    pub(crate) async fn read_as(
        &self,
        reading: Reading,
        range: Range<u64>,
        streams: &[&str],
    ) -> Result<Vec<RecordedEvent>, EventError> {
        let mut events = Vec::new();
        let mut from = range.start;
        while from < range.end {
            let page = match reading {
                Reading::Stored => self.page(from, range.end).await.map(shared),
                Reading::Live => {
                    let read = async || self.page(from, range.end).await;
                    self.tail.page(from, range.end, read).await
                }
            };
            let page = match page {
                Ok(page) => page,
                Err(_) if !events.is_empty() => break,
                Err(error) => return Err(error),
            };
            let Some(last) = page.last() else { break };
            from = last.position().saturating_add(1);
            let (opened, failure) = self.open_all(&page, streams).await;
            events.extend(opened);
            match failure {
                Some(failure) if events.is_empty() => return Err(failure),
                Some(_) => break,
                None => {}
            }
        }
        Ok(events)
    }

    /// The next proved events of a range; those before a damaged one, if there are any.
    async fn page(&self, from: u64, to: u64) -> Result<Vec<VerifiedEvent>, EventError> {
        let mut connection = self.connection().await?;
        let error = match self.reader.verify_range(&mut connection, from, to).await {
            Ok(page) => return Ok(page),
            Err(error) => error,
        };
        if let Some(damage) = error.damage()
            && (from + 1..to).contains(&damage.position)
            && let Ok(page) = self.reader.verify_range(&mut connection, from, damage.position).await
        {
            return Ok(page);
        }
        Err(EventError::Log(error))
    }

    /// All events of one stream, in order, as they stand now.
    pub async fn stream(
        &self,
        stream_type: &str,
        stream_id: Uuid,
    ) -> Result<Vec<RecordedEvent>, EventError> {
        let seen = self.reader.stream_seen(stream_type, stream_id).map_or(0, |seen| seen.version);
        let mut events: Vec<RecordedEvent> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.sequence);
            let page = {
                let mut connection = self.connection().await?;
                let stream = (stream_type, stream_id);
                let page = self.reader.stream(&mut connection, stream, after, PAGE).await;
                page.map_err(EventError::Log)?
            };
            let (opened, failure) = self.open_all(&shared(page), &[stream_type]).await;
            if let Some(failure) = failure {
                return Err(failure);
            }
            if opened.is_empty() {
                break;
            }
            events.extend(opened);
        }
        let found = events.last().map_or(0, |event| event.sequence);
        if found < seen {
            let stream_type = stream_type.to_owned();
            return Err(EventError::Shortened { stream_type, stream_id, found, seen });
        }
        Ok(events)
    }

    /// How many events one stream has.
    pub async fn version(&self, stream_type: &str, stream_id: Uuid) -> Result<u64, EventError> {
        let version: i64 = sqlx::query_scalar(
            "SELECT coalesce(max(sequence), 0) FROM events \
             WHERE aggregate_type = $1 AND aggregate_id = $2",
        )
        .bind(stream_type)
        .bind(stream_id)
        .fetch_one(&self.pool)
        .await
        .map_err(EventError::Connection)?;
        Ok(u64::try_from(version).unwrap_or_default())
    }

    /// The position of the event that erased a subject, if the log holds one.
    pub async fn erasure_of(&self, subject: Uuid) -> Result<Option<u64>, EventError> {
        if let Some(position) = self.with_erasures(|known| known.get(&subject).copied()) {
            return Ok(Some(position));
        }
        let found = {
            let mut connection = self.connection().await?;
            self.reader.erasure_of(&mut connection, subject).await.map_err(EventError::Log)?
        };
        let position = found.map(|event| event.position());
        if let Some(position) = position {
            self.with_erasures(|known| known.insert(subject, position));
        }
        Ok(position)
    }

    /// The streams of a type that are sealed with a subject's key, in order of their ids.
    pub async fn streams_of(
        &self,
        subject: Uuid,
        stream_type: &str,
    ) -> Result<Vec<Uuid>, EventError> {
        sqlx::query_scalar(
            "SELECT DISTINCT aggregate_id FROM events WHERE subject = $1 AND aggregate_type = $2 \
             ORDER BY aggregate_id",
        )
        .bind(subject)
        .bind(stream_type)
        .fetch_all(&self.pool)
        .await
        .map_err(EventError::Connection)
    }

    /// A panic while the lock is held cannot leave the map in a state that matters.
    fn with_erasures<R>(&self, work: impl FnOnce(&mut HashMap<Uuid, u64>) -> R) -> R {
        work(&mut self.erasures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many scans of a subject's wounds the log names, each with its capture.
    pub async fn scans_of(&self, subject: Uuid) -> Result<u64, EventError> {
        let mut after = -1;
        let mut count = 0;
        loop {
            let mut connection = self.connection().await?;
            let rows: Vec<LogRow> = sqlx::query_as(
                "SELECT * FROM events WHERE subject = $1 AND position > $2 \
                 AND aggregate_type = 'wound' AND event_type = 'ScanRecorded' \
                 ORDER BY position LIMIT $3",
            )
            .bind(subject)
            .bind(after)
            .bind(PAGE)
            .fetch_all(&mut *connection)
            .await
            .map_err(EventError::Connection)?;
            let scans = self.reader.check(&mut connection, rows).await.map_err(EventError::Log)?;
            let Some(last) = scans.last() else { return Ok(count) };
            after = i64::try_from(last.position()).unwrap_or(i64::MAX);
            count += scans.len() as u64;
        }
    }

    /// Opens events, in order, up to the first that cannot be opened.
    async fn open_all(
        &self,
        proved: &[Arc<VerifiedEvent>],
        streams: &[&str],
    ) -> (Vec<RecordedEvent>, Option<EventError>) {
        // Together, instead of one after the other. What this does not bring, each event asks for.
        let wanted = proved.iter().map(|event| event.statement());
        let wanted = wanted.filter(|statement| streams.contains(&statement.stream_type.as_str()));
        let wanted: Vec<Uuid> = wanted.filter_map(|statement| statement.subject).collect();
        let _ = self.keys.prefetch(&wanted).await;
        // Opened several at a time: an event may still wait for its key.
        let opening: Vec<_> = proved.iter().map(|event| self.open(event, streams)).collect();
        let mut opening = stream::iter(opening).buffered(OPENED_AT_ONCE);
        let mut opened = Vec::with_capacity(proved.len());
        let mut failure = None;
        while let Some(outcome) = opening.next().await {
            match outcome {
                Ok(event) => opened.push(event),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        // When all that was read with the key of an erased subject is opened, the key is forgotten.
        for statement in proved.iter().map(|event| event.statement()) {
            if statement.stream_type == CUSTODY && statement.event_type == SubjectErased::EVENT_TYPE
            {
                self.keys.forget(&[statement.stream_id]);
            }
        }
        (opened, failure)
    }

    /// Opens one event.
    async fn open(
        &self,
        proved: &VerifiedEvent,
        streams: &[&str],
    ) -> Result<RecordedEvent, EventError> {
        let statement = proved.statement();
        let event = if streams.contains(&statement.stream_type.as_str()) {
            self.event(proved).await?
        } else {
            None
        };
        Ok(RecordedEvent {
            position: proved.position(),
            event_id: statement.event_id,
            stream_type: statement.stream_type.clone(),
            stream_id: statement.stream_id,
            sequence: statement.sequence,
            recorded_at: statement.recorded_at,
            actor_id: statement.actor.id,
            subject: statement.subject,
            command_id: statement.command_id,
            correlation_id: statement.correlation_id,
            event,
        })
    }

    async fn event(&self, proved: &VerifiedEvent) -> Result<Option<Event>, EventError> {
        let (position, statement) = (proved.position(), proved.statement());
        let stored = |plain: &[u8]| {
            let Statement { stream_type, event_type, event_version, .. } = statement;
            Event::from_stored(stream_type, event_type, event_version, plain)
                .map_err(|source| EventError::Unknown { position, source })
        };
        // The reader takes a payload for sealed exactly if the statement names a subject.
        let said = &statement.payload;
        let (Some(_), Some(commitment)) = (said.key_id, said.commitment) else {
            return stored(proved.payload()).map(Some);
        };
        let key = match self.keys.of(statement).await {
            Ok(key) => key,
            // The event remains, what it said does not.
            Err(DataKeyError::Erased { .. }) => return Ok(None),
            Err(DataKeyError::Log(source)) => return Err(EventError::Log(source)),
            Err(DataKeyError::Missing { .. }) => None,
            Err(source) => return Err(EventError::Key { position, source }),
        };
        let key = key.ok_or(EventError::KeyMissing { position })?;
        let identity = EventIdentity::of(statement);
        let plain = open_payload(&key.key, &identity, proved.payload(), &commitment.0)
            .map_err(|source| EventError::Sealed { position, source })?;
        stored(&plain).map(Some)
    }
}

/// By the log itself, asked each time.
#[async_trait]
impl KnownPositions for EventLog {
    async fn reaches(&self, position: u64) -> Result<bool, EventError> {
        Ok(position < self.reader.size() || position < self.head().await?)
    }

    async fn last_positions(
        &self,
        stream_type: &str,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, u64>, EventError> {
        let found: Vec<(Uuid, i64)> = sqlx::query_as(
            "SELECT asked.id, last.position FROM unnest($2::uuid[]) AS asked (id), \
             LATERAL (SELECT position FROM events \
                      WHERE aggregate_type = $1 AND aggregate_id = asked.id \
                      ORDER BY sequence DESC LIMIT 1) AS last",
        )
        .bind(stream_type)
        .bind(ids)
        .fetch_all(&self.pool)
        .await
        .map_err(EventError::Connection)?;
        let unsigned = |(id, position)| (id, u64::try_from(position).unwrap_or_default());
        Ok(found.into_iter().map(unsigned).collect())
    }

    async fn erased(&self, subjects: &[Uuid]) -> Result<HashSet<Uuid>, EventError> {
        let named: Vec<Uuid> = sqlx::query_scalar(
            "SELECT DISTINCT aggregate_id FROM events \
             WHERE aggregate_type = $1 AND event_type = $2 AND aggregate_id = ANY($3)",
        )
        .bind(CUSTODY)
        .bind(SubjectErased::EVENT_TYPE)
        .bind(subjects)
        .fetch_all(&self.pool)
        .await
        .map_err(EventError::Connection)?;
        let mut erased = HashSet::with_capacity(named.len());
        for subject in named {
            if self.erasure_of(subject).await?.is_some() {
                erased.insert(subject);
            }
        }
        Ok(erased)
    }

    async fn streams_of(&self, subject: Uuid, stream_type: &str) -> Result<Vec<Uuid>, EventError> {
        EventLog::streams_of(self, subject, stream_type).await
    }
}

fn shared(page: Vec<VerifiedEvent>) -> Vec<Arc<VerifiedEvent>> {
    page.into_iter().map(Arc::new).collect()
}
