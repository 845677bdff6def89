//! What is hot, in Redis: documents as JSON, each with the position that last touched it.
//!
//! Three rules keep the cache from ever telling less than the truth:
//!
//! * An entry is replaced only by a newer one; one Lua script compares and writes.
//! * Entries belong to an *epoch*. A projector that could not write, or that takes over from another,
//!   begins a new epoch, and with that every older entry is a miss. So a write that was lost while Redis was
//!   away cannot leave an old document behind as the current one.
//! * A reader that fills a miss does so under the epoch it saw *before* it read the document.
//!
//! Each script touches one key, so the same code runs on a Redis Cluster. Whoever calls this module
//! treats an error as a miss: a lost Redis costs speed, not truth.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use serde::de::DeserializeOwned;

/// Compares epoch and position, and writes only what is newer. Answers 1 when it wrote.
const SET_IF_NEWER: &str = r"
local held = redis.call('HMGET', KEYS[1], 'epoch', 'position')
local epoch, position = tonumber(held[1]), tonumber(held[2])
local new_epoch, new_position = tonumber(ARGV[1]), tonumber(ARGV[2])
if epoch and (epoch > new_epoch or (epoch == new_epoch and position >= new_position)) then
    return 0
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'position', ARGV[2], 'document', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

/// Begins a new epoch (ARGV[1] = 1), or makes sure that there is one (0). Epochs are taken from Redis' own
/// clock, so that the epochs of a flushed and refilled Redis do not meet those from before.
const EPOCH: &str = r"
local held = tonumber(redis.call('GET', KEYS[1]))
if held and ARGV[1] == '0' then
    return held
end
local now = redis.call('TIME')
local epoch = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
if held and held >= epoch then
    epoch = held + 1
end
redis.call('SET', KEYS[1], string.format('%.0f', epoch))
return epoch";

/// How long one answer of Redis may take. The store behind it answers in a few milliseconds, so waiting
/// longer would make the cache slower than having none.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How many entries go into one round trip.
const ENTRIES_PER_PIPELINE: usize = 250;

/// Why the cache could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The URL names no Redis.
    #[error("the Redis URL is not usable")]
    Url(#[source] redis::RedisError),
    /// Redis did not answer, or answered with an error.
    #[error("Redis failed while trying to {doing}")]
    Redis {
        /// What was being done.
        doing: &'static str,
        /// What Redis or the connection said.
        #[source]
        source: redis::RedisError,
    },
}

/// The kinds of document that are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheKind {
    /// A patient by id.
    Patient,
    /// An appointment by id.
    Appointment,
    /// A wound episode by id.
    Wound,
}

impl CacheKind {
    /// The part of the key that stands for the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            CacheKind::Patient => "patient",
            CacheKind::Appointment => "appointment",
            CacheKind::Wound => "wound",
        }
    }
}

/// The right to fill a miss: the epoch that was current before the document was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
}

/// The cache's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// The document, and the position that last touched it.
    Hit {
        /// Position of the last event in the document.
        position: u64,
        /// The document.
        document: T,
    },
    /// Nothing that may be trusted.
    Miss(Ticket),
}

/// A document on its way into the cache.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The document's id.
    pub id: String,
    /// Position of the last event in it.
    pub position: u64,
    /// The document as JSON.
    pub json: String,
}

impl std::fmt::Debug for Entry {
    /// The document is about a person, so it is left out.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("id", &self.id)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// A handle on the cache; cheap to clone.
#[derive(Clone)]
pub struct Cache {
    connection: ConnectionManager,
    prefix: String,
    ttl: Duration,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cache").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache under `prefix`, whose entries live for `ttl`. Connects when it is first used, so that a
    /// Redis that is down does not keep the server from starting.
    ///
    /// Must be called within a tokio runtime.
    pub fn new(url: &str, prefix: impl Into<String>, ttl: Duration) -> Result<Cache, CacheError> {
        let client = redis::Client::open(url).map_err(CacheError::Url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(1);
        let connection =
            ConnectionManager::new_lazy_with_config(client, config).map_err(CacheError::Url)?;
        Ok(Cache { connection, prefix: prefix.into(), ttl })
    }

    /// The key of one document.
    pub fn key(&self, kind: CacheKind, id: &str) -> String {
        format!("{}:{}:{id}", self.prefix, kind.as_str())
    }

    fn epoch_key(&self, kind: CacheKind) -> String {
        format!("{}:epoch:{}", self.prefix, kind.as_str())
    }

    /// Asks for one document. What cannot be read as a `T` is a miss: it was written by another version.
    pub async fn get<T: DeserializeOwned>(
        &self,
        kind: CacheKind,
        id: &str,
    ) -> Result<Lookup<T>, CacheError> {
        type Held = (Option<u64>, Option<u64>, Option<String>);
        let mut connection = self.connection.clone();
        let (epoch, held): (Option<u64>, Held) = redis::pipe()
            .get(self.epoch_key(kind))
            .hmget(self.key(kind, id), &["epoch", "position", "document"])
            .query_async(&mut connection)
            .await
            .map_err(|source| CacheError::Redis { doing: "read a document", source })?;
        let Some(epoch) = epoch else {
            return Ok(Lookup::Miss(Ticket { epoch: self.epoch(kind, false).await? }));
        };
        if let (Some(written), Some(position), Some(json)) = held
            && written == epoch
            && let Ok(document) = serde_json::from_str(&json)
        {
            return Ok(Lookup::Hit { position, document });
        }
        Ok(Lookup::Miss(Ticket { epoch }))
    }

    /// Fills a miss with what the reader found in the store. Answers whether it was newer than what is
    /// there by now.
    pub async fn refill(
        &self,
        ticket: Ticket,
        kind: CacheKind,
        entry: &Entry,
    ) -> Result<bool, CacheError> {
        Ok(self.write(ticket.epoch, kind, std::slice::from_ref(entry)).await? == 1)
    }

    /// Writes what a projector has just written to the store. Answers how many were newer than what was
    /// there. `distrust` begins a new epoch first: say so after a failed call, and when taking over.
    pub async fn publish(
        &self,
        kind: CacheKind,
        entries: &[Entry],
        distrust: bool,
    ) -> Result<usize, CacheError> {
        let epoch = self.epoch(kind, distrust).await?;
        self.write(epoch, kind, entries).await
    }

    /// Removes one document.
    pub async fn forget(&self, kind: CacheKind, id: &str) -> Result<(), CacheError> {
        redis::cmd("DEL")
            .arg(self.key(kind, id))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| CacheError::Redis { doing: "forget a document", source })
    }

    /// Asks Redis for a sign of life.
    pub async fn ping(&self) -> Result<(), CacheError> {
        redis::cmd("PING")
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| CacheError::Redis { doing: "answer a ping", source })
    }

    async fn epoch(&self, kind: CacheKind, begin: bool) -> Result<u64, CacheError> {
        redis::cmd("EVAL")
            .arg(EPOCH)
            .arg(1)
            .arg(self.epoch_key(kind))
            .arg(u8::from(begin))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| CacheError::Redis { doing: "read the epoch", source })
    }

    async fn write(
        &self,
        epoch: u64,
        kind: CacheKind,
        entries: &[Entry],
    ) -> Result<usize, CacheError> {
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut written = 0;
        for chunk in entries.chunks(ENTRIES_PER_PIPELINE) {
            let mut pipeline = redis::pipe();
            for entry in chunk {
                pipeline
                    .cmd("EVAL")
                    .arg(SET_IF_NEWER)
                    .arg(1)
                    .arg(self.key(kind, &entry.id))
                    .arg(epoch)
                    .arg(entry.position)
                    .arg(ttl_ms)
                    .arg(&entry.json);
            }
            let answers: Vec<u8> = pipeline
                .query_async(&mut self.connection.clone())
                .await
                .map_err(|source| CacheError::Redis { doing: "write documents", source })?;
            written += answers.iter().filter(|&&answer| answer == 1).count();
        }
        Ok(written)
    }
}
