//! What is known of the log beside the read models: how far it goes, where each stream ends, and who was erased.
//!
//! A tag proves that a document was made by us, not that it is the newest: an older one that was genuine still verifies. It
//! is decided by what the log says of its stream.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use audit::postgres::LogWatch;
use uuid::Uuid;

use crate::event::{EventError, EventLog};

/// What a reader knows of the log, from verified events only.
#[async_trait]
pub trait KnownPositions: Send + Sync {
    /// Whether the log holds this position: no document can be about an event at its end or beyond.
    async fn reaches(&self, position: u64) -> Result<bool, EventError>;

    /// The position of the last event of each of these streams; those without events are left out.
    async fn last_positions(
        &self,
        stream_type: &str,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, u64>, EventError>;

    /// Who of these was erased.
    async fn erased(&self, subjects: &[Uuid]) -> Result<HashSet<Uuid>, EventError>;

    /// The streams of a type that are about a subject.
    async fn streams_of(&self, subject: Uuid, stream_type: &str) -> Result<Vec<Uuid>, EventError>;
}

/// What the rows of the log say now, and what the watch that this process keeps over the whole log has proved before: the
/// rows know what another process has appended just now, the watch what has been removed from them since.
#[derive(Debug, Clone)]
pub struct WatchedLog {
    watch: LogWatch,
    log: EventLog,
}

impl WatchedLog {
    /// What `log` says, and `watch` knows.
    pub fn new(watch: LogWatch, log: EventLog) -> WatchedLog {
        WatchedLog { watch, log }
    }
}

#[async_trait]
impl KnownPositions for WatchedLog {
    async fn reaches(&self, position: u64) -> Result<bool, EventError> {
        if position < self.watch.size() {
            return Ok(true);
        }
        self.log.reaches(position).await
    }

    async fn last_positions(
        &self,
        stream_type: &str,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, u64>, EventError> {
        let mut last = self.log.last_positions(stream_type, ids).await?;
        for id in ids {
            if let Some(seen) = self.watch.stream_seen(stream_type, *id) {
                let position = last.entry(*id).or_default();
                *position = seen.last.max(*position);
            }
        }
        Ok(last)
    }

    async fn erased(&self, subjects: &[Uuid]) -> Result<HashSet<Uuid>, EventError> {
        let mut erased = self.log.erased(subjects).await?;
        erased.extend(subjects.iter().filter(|subject| self.watch.is_known_erased(**subject)));
        Ok(erased)
    }

    async fn streams_of(&self, subject: Uuid, stream_type: &str) -> Result<Vec<Uuid>, EventError> {
        self.log.streams_of(subject, stream_type).await
    }
}
