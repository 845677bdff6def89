//! Snapshots: states of long streams, sealed, so that a load need not begin with the first event.
//!
//! A cache beside the log, authenticated under a key outside the database: the tag binds a state to the log, the
//! stream, the version and the leaf of the last event in it. A stream has no snapshot if it decides about access or
//! erasure. Whatever is wrong with a snapshot, it is passed over and the stream is read whole;
//! whatever goes wrong while one is written, the command it came after is done all the same.

use std::sync::Arc;

use audit::cache::Cache;
use audit::mac::MacKey;
use audit::seal::{MAX_SNAPSHOT, SnapshotIdentity, SubjectKind, open_snapshot, seal_snapshot};
use domain::Stream;
use serde_json::Value;
use sqlx::{PgPool, Row};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::data_keys::DataKeys;
use crate::error::CommandError;
use crate::failpoints::failpoint;
use crate::log::{signed, unsigned};
use crate::random;
use crate::repository::Snapshot;

/// What the key is for that their tags are made with.
pub(crate) const TAG_KEY: &str = "snapshot/v1";

/// How many are written at a time. What does not find a place is written when the stream has grown further.
const WRITERS_MAX: usize = 4;

/// Capacity of each of the two generations of the cache of versions that were stored (half the total).
const STORED_HALF: usize = 1_024;

/// Why a snapshot was passed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("the data key is not there")]
    Key(#[source] Box<CommandError>),
    #[error("its tag is not the ledger's: somebody else wrote or changed it")]
    Forged,
    #[error("it is sealed with another key than the subject's")]
    OtherKey,
    #[error("it is about another subject than its state")]
    OtherSubject,
    #[error("it does not belong to this state of this stream")]
    Sealed(#[from] audit::seal::SealError),
    #[error("it is newer than the stream")]
    Newer,
    #[error("it does not read as a state")]
    State(#[from] serde_json::Error),
}

impl SnapshotError {
    fn code(&self) -> &'static str {
        match self {
            SnapshotError::Database(_) => "database",
            SnapshotError::Key(_) => "key",
            SnapshotError::Forged => "forged",
            SnapshotError::OtherKey => "other-key",
            SnapshotError::OtherSubject => "other-subject",
            SnapshotError::Sealed(_) => "sealed",
            SnapshotError::Newer => "newer",
            SnapshotError::State(_) => "state",
        }
    }
}

/// Reads and writes snapshots.
pub(crate) struct Snapshots {
    pool: PgPool,
    keys: Arc<DataKeys>,
    mac: MacKey,
    origin: String,
    every: u64,
    places: Arc<Semaphore>,
    /// The version of each stream that this process stored last. Held while one is stored, so that a write of an older
    /// version never ends up on top of a newer one.
    stored: tokio::sync::Mutex<Cache<(&'static str, Uuid), u64>>,
    tasks: TaskTracker,
}

impl Snapshots {
    pub(crate) fn new(
        pool: PgPool,
        keys: Arc<DataKeys>,
        mac: MacKey,
        origin: String,
        every: u64,
    ) -> Snapshots {
        let places = Arc::new(Semaphore::new(WRITERS_MAX));
        let (every, tasks) = (every.max(1), TaskTracker::new());
        let stored = tokio::sync::Mutex::new(Cache::new(STORED_HALF));
        Snapshots { pool, keys, mac, origin, every, places, stored, tasks }
    }

    /// By how many events a stream grows until its state is kept again.
    pub(crate) fn every(&self) -> u64 {
        self.every
    }

    /// The newest state of a stream that can be used; `None`, with the reason in the log, if there is no such state.
    pub(crate) async fn newest<A: Stream>(&self, id: Uuid) -> Option<Snapshot> {
        if !A::KEEPS_SNAPSHOTS {
            return None;
        }
        match self.read::<A>(id).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.passed_over::<A>(id, &error);
                None
            }
        }
    }

    async fn read<A: Stream>(&self, id: Uuid) -> Result<Option<Snapshot>, SnapshotError> {
        failpoint!("load.snapshot.before");
        let row = sqlx::query(
            "SELECT s.version, s.subject, s.key_id, s.sealed, s.mac, e.event_id, e.leaf_hash
               FROM snapshots s
               LEFT JOIN events e ON e.aggregate_type = s.aggregate_type
                                 AND e.aggregate_id = s.aggregate_id AND e.sequence = s.version
              WHERE s.aggregate_type = $1 AND s.aggregate_id = $2 AND s.state_version = $3",
        )
        .bind(A::TYPE)
        .bind(id)
        .bind(i32::try_from(A::STATE_VERSION).unwrap_or(i32::MAX))
        .fetch_optional(&self.pool)
        .await?;
        failpoint!("load.snapshot.after");
        let Some(row) = row else { return Ok(None) };
        let version = unsigned(row.try_get(0)?);
        let (subject, key_id): (Uuid, Uuid) = (row.try_get(1)?, row.try_get(2)?);
        let (sealed, mac): (&[u8], &[u8]) = (row.try_get(3)?, row.try_get(4)?);
        let event_id: Uuid = row.try_get::<Option<Uuid>, _>(5)?.ok_or(SnapshotError::Newer)?;
        let leaf: &[u8] = row.try_get::<Option<&[u8]>, _>(6)?.ok_or(SnapshotError::Newer)?;
        let identity = self.identity::<A>(id, event_id, version);
        // Before anything else: what this ledger did not write is not even looked at.
        if !is_tagged(&self.mac, &identity, (subject, key_id), leaf, sealed, mac) {
            return Err(SnapshotError::Forged);
        }
        let key = self.keys.get(subject, SubjectKind::of_stream(A::TYPE)).await;
        let key = key.map_err(|error| SnapshotError::Key(Box::new(error)))?;
        let key = key.filter(|key| key.id == key_id).ok_or(SnapshotError::OtherKey)?;
        let opened = zeroize::Zeroizing::new(open_snapshot(&key.key, &identity, sealed)?);
        let state: Value = serde_json::from_slice(&opened)?;
        // Checked here, because the framework would replay the whole stream without a word.
        let read = A::deserialize(&state)?;
        if read.subject(id) != Some(subject) {
            return Err(SnapshotError::OtherSubject);
        }
        let version = usize::try_from(version).map_err(|_| SnapshotError::Newer)?;
        Ok(Some(Snapshot { state, version }))
    }

    fn identity<A: Stream>(&self, id: Uuid, event_id: Uuid, version: u64) -> SnapshotIdentity<'_> {
        SnapshotIdentity {
            origin: &self.origin,
            stream_type: A::TYPE,
            stream_id: id,
            event_id,
            version,
            state_version: A::STATE_VERSION,
        }
    }

    /// Whether a stream that grew from one version to another has grown enough for a new snapshot.
    pub(crate) fn is_due(&self, before: u64, now: u64) -> bool {
        before / self.every < now / self.every
    }

    /// Writes the state after this many events, in the background.
    pub(crate) fn write<A: Stream + 'static>(self: &Arc<Self>, id: Uuid, version: u64, state: A) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            metrics::counter!("ledger_snapshots_total", "outcome" => "skipped").increment(1);
            return;
        };
        let snapshots = self.clone();
        self.tasks.spawn(async move {
            match snapshots.store(id, version, &state).await {
                Ok(()) => {
                    metrics::counter!("ledger_snapshots_total", "outcome" => "written")
                        .increment(1);
                }
                Err(error) => snapshots.passed_over::<A>(id, &error),
            }
            drop(place);
        });
    }

    async fn store<A: Stream>(
        &self,
        id: Uuid,
        version: u64,
        state: &A,
    ) -> Result<(), SnapshotError> {
        let json = zeroize::Zeroizing::new(serde_json::to_vec(state)?);
        if json.len() > MAX_SNAPSHOT {
            return Err(audit::seal::SealError::Size(json.len()).into());
        }
        failpoint!("snapshot.before");
        let row = sqlx::query(
            "SELECT event_id, leaf_hash FROM events
              WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3",
        )
        .bind(A::TYPE)
        .bind(id)
        .bind(signed(version))
        .fetch_optional(&self.pool)
        .await?
        .ok_or(SnapshotError::Newer)?;
        let event_id: Uuid = row.try_get(0)?;
        let leaf: &[u8] = row.try_get(1)?;
        let subject = state.subject(id).ok_or(SnapshotError::OtherSubject)?;
        let key = self.keys.get(subject, SubjectKind::of_stream(A::TYPE)).await;
        let key = key.map_err(|error| SnapshotError::Key(Box::new(error)))?;
        let key = key.ok_or(SnapshotError::OtherKey)?;
        let identity = self.identity::<A>(id, event_id, version);
        let sealed = seal_snapshot(&key.key, random::bytes(), &identity, &json)?;
        let mac = self.mac.tag(&tagged(&identity, (subject, key.id), leaf, &sealed).parts());
        let stored = self.stored.lock().await;
        if stored.get(&(A::TYPE, id)).is_some_and(|newer| newer > version) {
            return Ok(());
        }
        // Older forms are deleted: a process that still reads them makes them again. Of several processes the later writer
        // wins, since what stands there may be unusable; an older state in its place costs a few events to read.
        sqlx::query(
            "WITH older AS (
               DELETE FROM snapshots
                WHERE aggregate_type = $1 AND aggregate_id = $2 AND state_version < $3
             )
             INSERT INTO snapshots
                    (aggregate_type, aggregate_id, state_version, version, subject, key_id, sealed, mac)
             -- An erasure waits for this, and takes the snapshot with it; or it was first.
             SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE hold_data_key($6)
             ON CONFLICT (aggregate_type, aggregate_id, state_version) DO UPDATE
                SET version = excluded.version, subject = excluded.subject,
                    key_id = excluded.key_id, sealed = excluded.sealed, mac = excluded.mac",
        )
        .bind(A::TYPE)
        .bind(id)
        .bind(i32::try_from(A::STATE_VERSION).unwrap_or(i32::MAX))
        .bind(signed(version))
        .bind(subject)
        .bind(key.id)
        .bind(sealed)
        .bind(mac.as_slice())
        .execute(&self.pool)
        .await?;
        stored.insert((A::TYPE, id), version);
        drop(stored);
        failpoint!("snapshot.after");
        Ok(())
    }

    fn passed_over<A: Stream>(&self, id: Uuid, error: &SnapshotError) {
        metrics::counter!("ledger_snapshots_total", "outcome" => error.code()).increment(1);
        // Ids and a reason; the state itself stands in none of these errors.
        tracing::warn!(stream = A::TYPE, %id, reason = error.code(), "a snapshot is passed over");
    }

    /// Waits until everything begun is written.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Whether a stored snapshot carries the tag that this ledger gave it: of this state, made by these events, for this subject and key.
pub(crate) fn is_tagged(
    key: &MacKey,
    identity: &SnapshotIdentity<'_>,
    subject_and_key: (Uuid, Uuid),
    leaf: &[u8],
    sealed: &[u8],
    tag: &[u8],
) -> bool {
    key.verify(&tagged(identity, subject_and_key, leaf, sealed).parts(), tag)
}

/// What a tag is made of.
struct Tagged<'a> {
    identity: Vec<u8>,
    subject: Uuid,
    key_id: Uuid,
    leaf: &'a [u8],
    sealed: &'a [u8],
}

fn tagged<'a>(
    identity: &SnapshotIdentity<'_>,
    (subject, key_id): (Uuid, Uuid),
    leaf: &'a [u8],
    sealed: &'a [u8],
) -> Tagged<'a> {
    // Origin, stream, last event, version and state version.
    Tagged { identity: identity.aad(), subject, key_id, leaf, sealed }
}

impl Tagged<'_> {
    fn parts(&self) -> [&[u8]; 5] {
        [&self.identity, self.subject.as_bytes(), self.key_id.as_bytes(), self.leaf, self.sealed]
    }
}
