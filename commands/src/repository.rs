//! The log as cqrs-es sees it: it may load aggregates through it, and may not write.

use std::sync::Arc;

use audit::postgres::{Damage, LogReader, ReadError, StreamEnd, VerifiedEvent};
use audit::seal::{EventIdentity, open_payload};
use cqrs_es::persist::{
    PersistedEventRepository, PersistenceError, ReplayStream, SerializedEvent, SerializedSnapshot,
};
use cqrs_es::{Aggregate, AggregateError};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::data_keys::DataKeys;
use crate::error::CommandError;
use crate::failpoints::failpoint;

/// How many events are read at a time.
const PAGE: u64 = 1_000;

/// Why a stream does not read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    #[error("the data key of the subject was destroyed")]
    Erased,
    #[error("only the sequencer appends to the log")]
    ReadOnly,
    #[error("`{0}` is not the id of a stream")]
    BadId(String),
    #[error("the stream is not what was signed")]
    Unsigned(#[source] Damage),
    #[error("the stream has {found} events, but {seen} of it were seen: its end is missing")]
    Shorter { found: u64, seen: u64 },
    #[error("the event at position {position} is damaged: {what}")]
    Damaged { position: u64, what: &'static str },
    #[error("the check of the events was given up")]
    GivenUp,
    #[error("the data key cannot be read")]
    Key(#[source] Box<CommandError>),
}

impl From<RepositoryError> for PersistenceError {
    fn from(error: RepositoryError) -> Self {
        PersistenceError::UnknownError(Box::new(error))
    }
}

/// Reads streams through the one reader of events, which proves them, and opens what is sealed.
#[derive(Clone)]
pub(crate) struct LedgerEventRepository {
    pool: PgPool,
    reader: LogReader,
    keys: Arc<DataKeys>,
    snapshot: Option<Snapshot>,
    end: Option<ReadAhead>,
}

/// The end of one stream, read before its replay, and how long the stream was known to be then.
#[derive(Clone)]
struct ReadAhead {
    stream: Uuid,
    rows: StreamEnd,
    seen: u64,
}

/// A state that was opened and checked, and the sequence of the last event in it.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) state: Value,
    pub(crate) version: usize,
}

impl LedgerEventRepository {
    pub(crate) fn new(pool: PgPool, reader: LogReader, keys: Arc<DataKeys>) -> Self {
        LedgerEventRepository { pool, reader, keys, snapshot: None, end: None }
    }

    /// The same, for one stream whose replay begins after this state.
    pub(crate) fn after(mut self, snapshot: Option<Snapshot>) -> Self {
        self.snapshot = snapshot;
        self
    }

    /// Reads the newest events of a stream, at most so many: most streams are no longer than that, and are read whole by
    /// this alone. Answers the sequence of the first of them, which nothing proves yet.
    pub(crate) async fn read_end<A: Aggregate>(
        &mut self,
        id: Uuid,
        limit: u64,
    ) -> Result<u64, ReadError> {
        // Asked before anything is read: the stream may grow meanwhile, and never shrinks.
        let seen = self.seen(A::TYPE, id);
        failpoint!("load.page.before");
        let mut connection = self.pool.acquire().await?;
        let limit = limit.min(PAGE) as i64;
        let rows = self.reader.stream_end(&mut connection, (A::TYPE, id), limit).await?;
        failpoint!("load.page.after");
        let first = rows.span().map_or(0, |(first, _)| first);
        self.end = Some(ReadAhead { stream: id, rows, seen });
        Ok(first)
    }

    fn seen(&self, kind: &str, id: Uuid) -> u64 {
        self.reader.stream_seen(kind, id).map_or(0, |seen| seen.version)
    }

    async fn opened(
        &self,
        kind: &str,
        verified: Vec<VerifiedEvent>,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let mut events = Vec::with_capacity(verified.len());
        for event in &verified {
            events.push(self.open(kind, event).await?);
        }
        Ok(events)
    }

    async fn verified(
        &self,
        kind: &str,
        id: Uuid,
        after: u64,
        limit: u64,
    ) -> Result<Vec<VerifiedEvent>, ReadError> {
        failpoint!("load.page.before");
        let mut connection = self.pool.acquire().await?;
        let events = self.reader.stream(&mut connection, (kind, id), after, limit as i64).await?;
        failpoint!("load.page.after");
        Ok(events)
    }

    async fn end_of(&self, ahead: &ReadAhead, after: u64) -> Result<Vec<VerifiedEvent>, ReadError> {
        let mut connection = self.pool.acquire().await?;
        self.reader.prove_end(&mut connection, ahead.rows.clone(), after).await
    }

    /// The body of a proved event, opened if it is sealed.
    async fn open(
        &self,
        stream_type: &str,
        event: &VerifiedEvent,
    ) -> Result<SerializedEvent, PersistenceError> {
        let statement = event.statement();
        let damaged = |what| RepositoryError::Damaged { position: event.position(), what };
        let payload: Value = match (statement.subject, statement.payload.commitment) {
            (Some(subject), Some(commitment)) => {
                let key = self.keys.of(statement, subject).await.map_err(|error| match error {
                    CommandError::Erased => RepositoryError::Erased,
                    other => RepositoryError::Key(Box::new(other)),
                })?;
                let identity = EventIdentity::of(statement);
                let opened = open_payload(&key.key, &identity, event.payload(), &commitment.0)
                    .map_err(|_| damaged("the payload does not open"))?;
                serde_json::from_slice(&opened)
            }
            _ => serde_json::from_slice(event.payload()),
        }
        .map_err(|_| damaged("the payload is not JSON"))?;
        Ok(SerializedEvent::new(
            statement.stream_id.to_string(),
            usize::try_from(statement.sequence).unwrap_or(usize::MAX),
            stream_type.to_owned(),
            statement.event_type.clone(),
            statement.event_version.clone(),
            payload,
            Value::Object(serde_json::Map::new()),
        ))
    }

    /// The events of a stream after a version, proved and opened.
    pub(crate) async fn events(
        &self,
        kind: &str,
        id: Uuid,
        after: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let mut after = after as u64;
        // What was read ahead, unless the replay begins behind it: then the stream has grown meanwhile.
        let ahead = self.end.as_ref().filter(|ahead| ahead.stream == id).and_then(|ahead| {
            let span = ahead.rows.span();
            span.is_none_or(|(_, last)| after <= last).then_some((ahead, span))
        });
        let seen = ahead.map_or_else(|| self.seen(kind, id), |(ahead, _)| ahead.seen);
        // Up to where the log is asked: to its end, or to what is there already.
        let to = match ahead {
            Some((_, Some((first, _)))) => first.saturating_sub(1),
            Some((_, None)) => after,
            None => u64::MAX,
        };
        let mut events = Vec::new();
        while after < to {
            let limit = PAGE.min(to - after);
            let page = self.verified(kind, id, after, limit).await.map_err(read_error)?;
            let count = page.len() as u64;
            events.extend(self.opened(kind, page).await?);
            after += count;
            if count < limit {
                break;
            }
        }
        if let Some((ahead, _)) = ahead {
            let end = self.end_of(ahead, after).await.map_err(read_error)?;
            after += end.len() as u64;
            events.extend(self.opened(kind, end).await?);
        }
        if after < seen {
            return Err(RepositoryError::Shorter { found: after, seen }.into());
        }
        Ok(events)
    }
}

fn parsed(aggregate_id: &str) -> Result<Uuid, RepositoryError> {
    Uuid::try_parse(aggregate_id).map_err(|_| RepositoryError::BadId(aggregate_id.to_owned()))
}

fn read_error(error: ReadError) -> PersistenceError {
    match error {
        ReadError::Sqlx(error) => PersistenceError::ConnectionError(Box::new(error)),
        ReadError::Damaged(damage) => RepositoryError::Unsigned(damage).into(),
        _ => RepositoryError::GivenUp.into(),
    }
}

impl PersistedEventRepository for LedgerEventRepository {
    async fn get_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.events(A::TYPE, parsed(aggregate_id)?, 0).await
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.events(A::TYPE, parsed(aggregate_id)?, last_sequence).await
    }

    /// The one given to it, which was checked before; the framework does not say why it drops one.
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
        let events = self.events(A::TYPE, parsed(aggregate_id)?, 0).await?;
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

/// Why an aggregate could not be loaded through the framework, as it is reported to the caller.
pub(crate) fn load_error<E: std::error::Error>(error: AggregateError<E>) -> CommandError {
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
