//! An event as projectors see it: read from the log, checked against its statement, opened and brought up to date.

use std::ops::Range;
use std::sync::Arc;

use audit::postgres::{DataKeyError, DataKeys, DatabaseError, LogRow};
use audit::seal::{DataKey, EventIdentity, SealError, open_payload};
use audit::statement::{ENCRYPTION_NONE, Statement, StatementError};
use domain::custody::SubjectErased;
use domain::{Custody, Event, Stream, UnknownEvent};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

/// The type of the streams that say who was erased.
pub(crate) const CUSTODY: &str = "custody";

/// How many events are opened at once; no more than a pool has connections to fetch keys over.
const OPENED_AT_ONCE: usize = 8;

/// One event of the log. `Debug` shows no content: `domain`'s values see to that.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    /// Where it stands in the log.
    pub position: u64,
    /// The event's id.
    pub event_id: Uuid,
    /// The type of its stream: `patient`, `appointment`, `wound`, `account`, `disclosure`, `custody`, `model`,
    /// `ledger`.
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
    /// What happened. `None` if it is the ledger's own, if its key was destroyed, or if the reader did not ask for
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
    /// The log did not answer, or not as it should.
    #[error("the log could not be read")]
    Log(#[source] DatabaseError),
    /// No connection to the log could be had.
    #[error("no connection to the log could be had")]
    Connection(#[source] sqlx::Error),
    /// The statement is not one.
    #[error("the statement at position {position} cannot be read")]
    Statement {
        /// The event.
        position: u64,
        /// What is wrong.
        #[source]
        source: StatementError,
    },
    /// The stored payload is not the one that was signed.
    #[error("the payload at position {position} is not the one its statement was signed over")]
    Digest {
        /// The event.
        position: u64,
    },
    /// The payload's data key could not be fetched.
    #[error("the data key of the event at position {position} could not be fetched")]
    Key {
        /// The event.
        position: u64,
        /// What the key store said.
        #[source]
        source: DataKeyError,
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
            | EventError::Log(DatabaseError::Sqlx(_))
            | EventError::Key { source: DataKeyError::Sqlx(_), .. } => true,
            // The rest of these two is a damaged or foreign log, or another key-encryption key.
            EventError::Log(_) | EventError::Key { .. } => false,
            EventError::Statement { .. }
            | EventError::Digest { .. }
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
}

impl EventLog {
    /// The log behind `pool`, whose payloads open with `keys`.
    pub fn new(pool: PgPool, keys: DataKeys) -> EventLog {
        EventLog { pool, keys }
    }

    /// The size of the log: the first position that is not there yet.
    pub async fn head(&self) -> Result<u64, EventError> {
        let mut connection = self.pool.acquire().await.map_err(EventError::Connection)?;
        let head = audit::postgres::head(&mut connection).await.map_err(EventError::Log)?;
        Ok(head.map_or(0, |head| head.size))
    }

    /// The events of a range, in order. Payloads are opened where the stream's type is among `streams`.
    ///
    /// An event that cannot be read ends the answer before it; if it is the first, it is the error.
    pub async fn read(
        &self,
        range: Range<u64>,
        streams: &[&str],
    ) -> Result<Vec<RecordedEvent>, EventError> {
        let mut events = Vec::new();
        let mut from = range.start;
        while from < range.end {
            let rows = {
                let mut connection = self.pool.acquire().await.map_err(EventError::Connection)?;
                audit::postgres::rows(&mut connection, from, range.end)
                    .await
                    .map_err(EventError::Log)?
            };
            let Some(last) = rows.last() else { break };
            from = last.position.saturating_add(1);
            if !self.append(&mut events, &rows, streams).await? {
                break;
            }
        }
        Ok(events)
    }

    /// All events of one stream, in order, as they stand now.
    pub async fn stream(
        &self,
        stream_type: &str,
        stream_id: Uuid,
    ) -> Result<Vec<RecordedEvent>, EventError> {
        let mut events: Vec<RecordedEvent> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.sequence);
            let rows: Vec<LogRow> = sqlx::query_as(
                "SELECT * FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 \
                 AND sequence > $3 ORDER BY sequence LIMIT $4",
            )
            .bind(stream_type)
            .bind(stream_id)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(audit::postgres::PAGE)
            .fetch_all(&self.pool)
            .await
            .map_err(EventError::Connection)?;
            let before = events.len();
            self.append(&mut events, &rows, &[stream_type]).await?;
            if events.len() == before {
                return Ok(events);
            }
        }
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

    /// How many scans of a subject's wounds the log names, each with its capture.
    pub async fn scans_of(&self, subject: Uuid) -> Result<u64, EventError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM events \
             WHERE subject = $1 AND aggregate_type = 'wound' AND event_type = 'ScanRecorded'",
        )
        .bind(subject)
        .fetch_one(&self.pool)
        .await
        .map_err(EventError::Connection)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Opens rows. `false`: one of them could not be read, and something stands before it.
    async fn append(
        &self,
        events: &mut Vec<RecordedEvent>,
        rows: &[LogRow],
        streams: &[&str],
    ) -> Result<bool, EventError> {
        // Opened several at a time, in order: each patient's first event waits for its key.
        let opening: Vec<_> = rows.iter().map(|row| self.open(row, streams)).collect();
        let mut opened = stream::iter(opening).buffered(OPENED_AT_ONCE);
        let mut complete = Ok(true);
        while let Some(outcome) = opened.next().await {
            match outcome {
                Ok(event) => events.push(event),
                Err(error) => {
                    complete = if events.is_empty() { Err(error) } else { Ok(false) };
                    break;
                }
            }
        }
        // When all that was read with the key of somebody erased is opened, the key is forgotten.
        for row in rows.iter().filter(|row| is_erasure(row)) {
            self.keys.forget(row.aggregate_id);
        }
        complete
    }

    /// Checks one row and opens it.
    async fn open(&self, row: &LogRow, streams: &[&str]) -> Result<RecordedEvent, EventError> {
        let position = row.position;
        let statement = Statement::parse(&row.statement)
            .map_err(|source| EventError::Statement { position, source })?;
        let event = if streams.contains(&statement.stream_type.as_str()) {
            self.event(row, &statement).await?
        } else {
            None
        };
        Ok(RecordedEvent {
            position,
            event_id: statement.event_id,
            stream_type: statement.stream_type,
            stream_id: statement.stream_id,
            sequence: statement.sequence,
            recorded_at: statement.recorded_at,
            actor_id: statement.actor.id,
            subject: statement.subject,
            command_id: statement.command_id,
            event,
        })
    }

    async fn event(
        &self,
        row: &LogRow,
        statement: &Statement,
    ) -> Result<Option<Event>, EventError> {
        let position = row.position;
        let payload = &statement.payload;
        // Hashed when written, hashed again when read.
        let digest: [u8; 32] = Sha256::digest(&row.payload).into();
        if digest != payload.sha256.0 {
            return Err(EventError::Digest { position });
        }
        let stored = |plain: &[u8]| {
            let Statement { stream_type, event_type, event_version, .. } = statement;
            Event::from_stored(stream_type, event_type, event_version, plain)
                .map_err(|source| EventError::Unknown { position, source })
        };
        let (Some(key_id), Some(commitment)) = (payload.key_id, payload.commitment) else {
            if payload.encryption == ENCRYPTION_NONE {
                return stored(&row.payload).map(Some);
            }
            return Err(EventError::Digest { position });
        };
        let Some(key) = self.key(position, key_id).await? else {
            // The subject was erased: the event remains, what it said does not.
            return Ok(None);
        };
        let identity = EventIdentity::of(statement);
        let plain = open_payload(&key, &identity, &row.payload, &commitment.0)
            .map_err(|source| EventError::Sealed { position, source })?;
        stored(&plain).map(Some)
    }

    async fn key(&self, position: u64, key_id: Uuid) -> Result<Option<Arc<DataKey>>, EventError> {
        match self.keys.get(key_id).await {
            Ok(key) => Ok(Some(key)),
            Err(DataKeyError::Destroyed { .. }) => Ok(None),
            Err(source) => Err(EventError::Key { position, source }),
        }
    }
}

fn is_erasure(row: &LogRow) -> bool {
    row.aggregate_type == CUSTODY && row.event_type == SubjectErased::EVENT_TYPE
}
