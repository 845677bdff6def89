//! The log as cqrs-es sees it: it may load aggregates through it, and may not write.

use std::sync::Arc;

use audit::seal::{EventIdentity, open_payload};
use audit::statement::{Digest, Statement};
use cqrs_es::Aggregate;
use cqrs_es::persist::{
    PersistedEventRepository, PersistenceError, ReplayStream, SerializedEvent, SerializedSnapshot,
};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::data_keys::DataKeys;
use crate::error::CommandError;
use crate::failpoints::failpoint;

/// How many events are read at a time.
const PAGE: i64 = 1_000;

/// Why a stream does not read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    #[error("the data key of the subject was destroyed")]
    Erased,
    #[error("only the sequencer appends to the log")]
    ReadOnly,
    #[error("`{0}` is not the id of a stream")]
    BadId(String),
    #[error("event {sequence} of the stream is damaged: {what}")]
    Damaged { sequence: i64, what: &'static str },
    #[error("the data key cannot be read")]
    Key(#[source] Box<CommandError>),
}

impl From<RepositoryError> for PersistenceError {
    fn from(error: RepositoryError) -> Self {
        PersistenceError::UnknownError(Box::new(error))
    }
}

/// Reads our events table: opens what is sealed, and checks that the row is what was signed.
#[derive(Clone)]
pub(crate) struct LedgerEventRepository {
    pool: PgPool,
    keys: Arc<DataKeys>,
    snapshot: Option<Snapshot>,
}

/// A state that was opened and checked, and the sequence of the last event in it.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) state: Value,
    pub(crate) version: usize,
}

impl LedgerEventRepository {
    pub(crate) fn new(pool: PgPool, keys: Arc<DataKeys>) -> Self {
        LedgerEventRepository { pool, keys, snapshot: None }
    }

    /// The same, for one stream whose replay begins after this state.
    pub(crate) fn after(mut self, snapshot: Option<Snapshot>) -> Self {
        self.snapshot = snapshot;
        self
    }

    async fn page<A: Aggregate>(
        &self,
        aggregate_id: &str,
        after: i64,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let id = Uuid::try_parse(aggregate_id)
            .map_err(|_| RepositoryError::BadId(aggregate_id.to_owned()))?;
        let rows = self
            .rows(A::TYPE, id, after)
            .await
            .map_err(|error| PersistenceError::ConnectionError(Box::new(error)))?;
        let mut events = Vec::with_capacity(rows.len());
        for (row, sequence) in rows.iter().zip(after + 1..) {
            events.push(self.open::<A>(id, sequence, row).await?);
        }
        Ok(events)
    }

    async fn rows(&self, kind: &str, id: Uuid, after: i64) -> Result<Vec<PgRow>, sqlx::Error> {
        failpoint!("load.page.before");
        let rows = sqlx::query(
            "SELECT sequence, event_type, event_version, subject, event_id, statement, payload
               FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3
              ORDER BY sequence LIMIT $4",
        )
        .bind(kind)
        .bind(id)
        .bind(after)
        .bind(PAGE)
        .fetch_all(&self.pool)
        .await?;
        failpoint!("load.page.after");
        Ok(rows)
    }

    /// Hash on write and hash again on read: the payload must be the signed one, of this very event.
    async fn open<A: Aggregate>(
        &self,
        id: Uuid,
        sequence: i64,
        row: &PgRow,
    ) -> Result<SerializedEvent, PersistenceError> {
        let column = |error: sqlx::Error| PersistenceError::UnknownError(Box::new(error));
        let damaged = |what| RepositoryError::Damaged { sequence, what };
        let found: i64 = row.try_get(0).map_err(column)?;
        if found != sequence {
            return Err(damaged("the event before it is missing").into());
        }
        let event_type: String = row.try_get(1).map_err(column)?;
        let event_version: String = row.try_get(2).map_err(column)?;
        let subject: Option<Uuid> = row.try_get(3).map_err(column)?;
        let event_id: Uuid = row.try_get(4).map_err(column)?;
        let statement: &[u8] = row.try_get(5).map_err(column)?;
        let payload: &[u8] = row.try_get(6).map_err(column)?;
        let statement =
            Statement::parse(statement).map_err(|_| damaged("its statement cannot be read"))?;
        let same = statement.event_id == event_id
            && statement.stream_type == A::TYPE
            && statement.stream_id == id
            && i64::try_from(statement.sequence) == Ok(sequence)
            && statement.event_type == event_type
            && statement.event_version == event_version
            && statement.subject == subject;
        if !same {
            return Err(damaged("the row is not what was signed").into());
        }
        if Digest::of(payload) != statement.payload.sha256 {
            return Err(damaged("the payload is not what was signed").into());
        }
        let payload: Value = match (subject, statement.payload.commitment) {
            (Some(subject), Some(commitment)) => {
                let key = self.keys.get(subject).await.map_err(|error| match error {
                    CommandError::Erased => RepositoryError::Erased,
                    other => RepositoryError::Key(Box::new(other)),
                })?;
                let key = key.ok_or_else(|| damaged("the subject has no data key"))?;
                let identity = EventIdentity::of(&statement);
                let opened = open_payload(&key.key, &identity, payload, &commitment.0)
                    .map_err(|_| damaged("the payload does not open"))?;
                serde_json::from_slice(&opened)
            }
            _ => serde_json::from_slice(payload),
        }
        .map_err(|_| damaged("the payload is not JSON"))?;
        Ok(SerializedEvent::new(
            id.to_string(),
            usize::try_from(sequence).unwrap_or(usize::MAX),
            A::TYPE.to_owned(),
            event_type,
            event_version,
            payload,
            Value::Object(serde_json::Map::new()),
        ))
    }

    async fn all<A: Aggregate>(
        &self,
        aggregate_id: &str,
        after: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let mut after = i64::try_from(after).unwrap_or(i64::MAX);
        let mut events = Vec::new();
        loop {
            let page = self.page::<A>(aggregate_id, after).await?;
            let full = i64::try_from(page.len()) == Ok(PAGE);
            events.extend(page);
            if !full {
                return Ok(events);
            }
            after += PAGE;
        }
    }
}

impl PersistedEventRepository for LedgerEventRepository {
    async fn get_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.all::<A>(aggregate_id, 0).await
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.all::<A>(aggregate_id, last_sequence).await
    }

    /// The one given to it, which somebody has looked at; the framework does not say why it drops one.
    async fn get_snapshot<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        Ok(self.snapshot.clone().map(|Snapshot { state, version }| SerializedSnapshot {
            aggregate_id: aggregate_id.to_owned(),
            aggregate: state,
            current_sequence: version,
            current_snapshot: version,
        }))
    }

    /// Refused: an event that is not signed does not get into the log.
    async fn persist<A: Aggregate>(
        &self,
        _events: &[SerializedEvent],
        _snapshot_update: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        Err(RepositoryError::ReadOnly.into())
    }

    /// Every event, or an error in the stream: a truncated replay never looks complete.
    async fn stream_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<ReplayStream, PersistenceError> {
        let events = self.all::<A>(aggregate_id, 0).await?;
        let (mut feed, stream) = ReplayStream::new(events.len().max(1));
        for event in events {
            feed.push(Ok(event)).await?;
        }
        Ok(stream)
    }

    /// Refused: projectors read the log by position, not type by type.
    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        Err(RepositoryError::ReadOnly.into())
    }
}
