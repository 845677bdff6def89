//! What is hot, in Redis: documents as JSON, each with the position that last touched it and a tag over all of it.
//!
//! Four rules keep the cache from ever telling less than the truth:
//!
//! * An entry is believed only if its tag holds over kind, id, position, epoch and document ([`Tags`]). What does not
//!   verify is counted, removed, and a miss.
//! * An entry is replaced only by a newer one; one Lua script compares and writes.
//! * Entries belong to an *epoch*. A projector that could not write, or that takes over from another,
//!   begins a new epoch, and with that every older entry is a miss. So a write that was lost while Redis was
//!   away cannot leave an old document behind as the current one. The epoch carries a tag too: an attacker who sets it can at
//!   most put an earlier one back, and with it entries that were once genuine; those are recognised by their position,
//!   which the reader compares with what the log says of the stream.
//! * A reader that fills a miss does so under the epoch it saw *before* it read the document.
//!
//! Each script touches one key, so the same code runs on a Redis Cluster. Whoever calls this module
//! treats an error as a miss: a lost Redis costs speed, not truth.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::tags::{Tagged, Tags};

/// Reads an entry: nothing if it is missing, one field if the key holds something else, or else its four fields.
const GET_ENTRY: &str = r"
local held = redis.call('TYPE', KEYS[1]).ok
if held == 'none' then
    return {}
end
if held ~= 'hash' then
    return {held}
end
return redis.call('HMGET', KEYS[1], 'epoch', 'position', 'document', 'tag')";

/// Compares epoch and position, and writes only what is newer. Answers 1 when it wrote.
const SET_IF_NEWER: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
    redis.call('DEL', KEYS[1])
end
local held = redis.call('HMGET', KEYS[1], 'epoch', 'position')
local epoch, position = tonumber(held[1]), tonumber(held[2])
local new_epoch, new_position = tonumber(ARGV[1]), tonumber(ARGV[2])
if epoch and position and (epoch > new_epoch or (epoch == new_epoch and position >= new_position)) then
    return 0
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'position', ARGV[2], 'document', ARGV[4], 'tag', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

/// Reads the epoch's text, or the type of what is there instead, and Redis' own clock in milliseconds. Epochs are taken
/// from that clock, so that the epochs of a flushed and refilled Redis do not meet those from before.
const GET_EPOCH: &str = r"
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
    return {now}
end
if kind ~= 'string' then
    return {now, kind}
end
return {now, redis.call('GET', KEYS[1])}";

/// Sets the epoch (ARGV[2]) if what is there is still what was read (ARGV[1]; empty: nothing). Answers 1 when it did.
const SET_EPOCH: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
local held = ''
if kind == 'string' then
    held = redis.call('GET', KEYS[1])
elseif kind ~= 'none' then
    held = kind
end
if held ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1";

/// How often a changed epoch is looked at again before this process sets its own.
const EPOCH_ATTEMPTS: u32 = 8;

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

/// A kind of document that is cached, as its read model declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKind(&'static str);

impl CacheKind {
    /// The kind of this name, which is part of the keys.
    #[must_use]
    pub const fn new(name: &'static str) -> CacheKind {
        CacheKind(name)
    }

    /// The part of the key that stands for the kind.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
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
        /// The right to replace it by something newer, should the store have that.
        ticket: Ticket,
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
    tags: Tags,
}

/// What stands under a key.
enum Held<'a> {
    /// Nothing, or what an earlier version wrote, which had no tags.
    Nothing,
    /// An entry whose tag holds.
    Entry { epoch: u64, position: u64, json: &'a str },
    /// Something that was not written by us.
    Damaged,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cache").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache under `prefix`, whose entries live for `ttl` and carry tags of `tags`. Connects when it is first used, so that a
    /// Redis that is down does not keep the server from starting.
    ///
    /// Must be called within a tokio runtime.
    pub fn new(
        url: &str,
        prefix: impl Into<String>,
        ttl: Duration,
        tags: Tags,
    ) -> Result<Cache, CacheError> {
        let client = redis::Client::open(url).map_err(CacheError::Url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(1);
        let connection =
            ConnectionManager::new_lazy_with_config(client, config).map_err(CacheError::Url)?;
        Ok(Cache { connection, prefix: prefix.into(), ttl, tags })
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
        type Fields = Vec<Option<Vec<u8>>>;
        let (epoch, held): (Fields, Fields) = redis::pipe()
            .cmd("EVAL")
            .arg(GET_EPOCH)
            .arg(1)
            .arg(self.epoch_key(kind))
            .cmd("EVAL")
            .arg(GET_ENTRY)
            .arg(1)
            .arg(self.key(kind, id))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| CacheError::Redis { doing: "read a document", source })?;
        let current = epoch.get(1).and_then(Option::as_deref).unwrap_or_default();
        let epoch = match self.read_epoch(kind, current) {
            Some(epoch) => epoch,
            None => self.epoch(kind, false).await?,
        };
        let ticket = Ticket { epoch };
        match self.read_entry(kind, id, epoch, &held) {
            Held::Entry { epoch: written, position, json } if written == epoch => {
                Ok(match serde_json::from_str(json) {
                    Ok(document) => Lookup::Hit { position, document, ticket },
                    Err(_) => Lookup::Miss(ticket),
                })
            }
            Held::Entry { .. } | Held::Nothing => Ok(Lookup::Miss(ticket)),
            Held::Damaged => {
                self.damaged(kind, id, "tag");
                self.forget(kind, id).await?;
                Ok(Lookup::Miss(ticket))
            }
        }
    }

    /// Counts what was found wrong with the cache, and says where. The entry itself is about a person.
    pub(crate) fn damaged(&self, kind: CacheKind, id: &str, why: &'static str) {
        let kind = kind.as_str();
        metrics::counter!("cache_damaged_total", "kind" => kind, "why" => why).increment(1);
        warn!(
            cache.kind = kind,
            document.id = id,
            why,
            "an entry of the cache is not what this ledger wrote last: it is not used"
        );
    }

    fn read_entry<'a>(
        &self,
        kind: CacheKind,
        id: &str,
        current: u64,
        held: &'a [Option<Vec<u8>>],
    ) -> Held<'a> {
        let [epoch, position, json, tag] = held else {
            return if held.is_empty() { Held::Nothing } else { Held::Damaged };
        };
        let number = |field: &Option<Vec<u8>>| -> Option<u64> {
            std::str::from_utf8(field.as_deref()?).ok()?.parse().ok()
        };
        let (epoch, position) = (number(epoch), number(position));
        // Before there were tags, an entry had none; the first projector with tags has begun a new epoch since.
        if tag.is_none() && epoch.is_some_and(|epoch| epoch < current) {
            return Held::Nothing;
        }
        let (Some(epoch), Some(position), Some(json), Some(tag)) = (epoch, position, json, tag)
        else {
            return Held::Damaged;
        };
        let parts = entry_parts(kind, id, position, epoch);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).chain([json.as_slice()]).collect();
        match std::str::from_utf8(json) {
            Ok(json) if self.tags.verify(Tagged::CacheEntry, &parts, tag) => {
                Held::Entry { epoch, position, json }
            }
            _ => Held::Damaged,
        }
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

    /// The epoch, if what is there is one that a projector of this ledger has begun.
    fn read_epoch(&self, kind: CacheKind, text: &[u8]) -> Option<u64> {
        if text.is_empty() {
            return None;
        }
        let read = || {
            let (number, tag) = std::str::from_utf8(text).ok()?.split_once(':')?;
            let (epoch, tag) = (number.parse::<u64>().ok()?, hex::decode(tag).ok()?);
            let parts: [&[u8]; 2] = [kind.as_str().as_bytes(), &epoch.to_be_bytes()];
            self.tags.verify(Tagged::CacheEpoch, &parts, &tag).then_some(epoch)
        };
        let epoch = read();
        // Before there were tags, an epoch was a bare number.
        if epoch.is_none() && !text.iter().all(u8::is_ascii_digit) {
            self.damaged(kind, "epoch", "epoch");
        }
        epoch
    }

    fn epoch_text(&self, kind: CacheKind, epoch: u64) -> String {
        let parts: [&[u8]; 2] = [kind.as_str().as_bytes(), &epoch.to_be_bytes()];
        format!("{epoch}:{}", hex::encode(self.tags.tag(Tagged::CacheEpoch, &parts)))
    }

    /// The epoch; begins one if it is missing, or if `begin` says so.
    async fn epoch(&self, kind: CacheKind, begin: bool) -> Result<u64, CacheError> {
        let failed = |source| CacheError::Redis { doing: "read the epoch", source };
        let key = self.epoch_key(kind);
        let mut connection = self.connection.clone();
        let mut attempt = 0;
        loop {
            let held: Vec<Vec<u8>> = redis::cmd("EVAL")
                .arg(GET_EPOCH)
                .arg(1)
                .arg(&key)
                .query_async(&mut connection)
                .await
                .map_err(failed)?;
            let now = held.first().and_then(|now| std::str::from_utf8(now).ok()?.parse().ok());
            let text = held.get(1).map(Vec::as_slice).unwrap_or_default();
            let current = self.read_epoch(kind, text);
            if let Some(current) = current
                && !begin
            {
                return Ok(current);
            }
            let epoch = now.unwrap_or(1).max(current.map_or(0, |current| current + 1));
            let next = self.epoch_text(kind, epoch);
            attempt += 1;
            if attempt > EPOCH_ATTEMPTS {
                // Others begin epochs as fast as this one looks: any of them makes the older entries a miss.
                let mut set = redis::cmd("SET");
                set.arg(&key).arg(next);
                let () = set.query_async(&mut connection).await.map_err(failed)?;
                return Ok(epoch);
            }
            let set: u8 = redis::cmd("EVAL")
                .arg(SET_EPOCH)
                .arg(1)
                .arg(&key)
                .arg(text)
                .arg(next)
                .query_async(&mut connection)
                .await
                .map_err(failed)?;
            if set == 1 {
                return Ok(epoch);
            }
        }
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
                let parts = entry_parts(kind, &entry.id, entry.position, epoch);
                let parts: Vec<&[u8]> =
                    parts.iter().map(Vec::as_slice).chain([entry.json.as_bytes()]).collect();
                let tag = self.tags.tag(Tagged::CacheEntry, &parts);
                pipeline
                    .cmd("EVAL")
                    .arg(SET_IF_NEWER)
                    .arg(1)
                    .arg(self.key(kind, &entry.id))
                    .arg(epoch)
                    .arg(entry.position)
                    .arg(ttl_ms)
                    .arg(&entry.json)
                    .arg(&tag[..]);
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

/// What the tag of an entry binds beside the document.
fn entry_parts(kind: CacheKind, id: &str, position: u64, epoch: u64) -> [Vec<u8>; 4] {
    [
        kind.as_str().as_bytes().to_vec(),
        id.as_bytes().to_vec(),
        position.to_be_bytes().to_vec(),
        epoch.to_be_bytes().to_vec(),
    ]
}
