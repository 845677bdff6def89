//! Snapshots: states of long streams, sealed, so that a load need not begin with the first event.
//!
//! A cache beside the log. Whatever is wrong with a snapshot, it is passed over and the stream is read whole;
//! whatever goes wrong while one is written, the command it came after is done all the same.

use std::sync::Arc;

use audit::seal::{MAX_SNAPSHOT, SnapshotIdentity, open_snapshot, seal_snapshot};
use domain::Stream;
use serde_json::Value;
use sqlx::{PgPool, Row};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::data_keys::DataKeys;
use crate::error::CommandError;
use crate::failpoints::failpoint;
use crate::random;
use crate::repository::Snapshot;
use crate::sequencer::{signed, unsigned};

/// How many are written at a time. What does not find a place is written when the stream has grown further.
const WRITERS_MAX: usize = 4;

/// Why a snapshot was passed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("the data key is not there")]
    Key(#[source] Box<CommandError>),
    #[error("it is sealed with another key than the subject's")]
    OtherKey,
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
            SnapshotError::OtherKey => "other-key",
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
    origin: String,
    every: u64,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Snapshots {
    pub(crate) fn new(pool: PgPool, keys: Arc<DataKeys>, origin: String, every: u64) -> Snapshots {
        let places = Arc::new(Semaphore::new(WRITERS_MAX));
        Snapshots { pool, keys, origin, every: every.max(1), places, tasks: TaskTracker::new() }
    }

    /// The newest state of a stream that can be used; none, with the reason in the log, if there is none.
    pub(crate) async fn newest<A: Stream>(&self, id: Uuid) -> Option<Snapshot> {
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
            "SELECT s.version, s.subject, s.key_id, s.sealed, e.event_id
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
        let subject: Option<Uuid> = row.try_get(1)?;
        let key_id: Option<Uuid> = row.try_get(2)?;
        let sealed: &[u8] = row.try_get(3)?;
        let event_id: Uuid = row.try_get::<Option<Uuid>, _>(4)?.ok_or(SnapshotError::Newer)?;
        let state: Value = match subject {
            None => serde_json::from_slice(sealed)?,
            Some(subject) => {
                let key = self.keys.get(subject).await;
                let key = key.map_err(|error| SnapshotError::Key(Box::new(error)))?;
                let key =
                    key.filter(|key| Some(key.id) == key_id).ok_or(SnapshotError::OtherKey)?;
                let identity = self.identity::<A>(id, event_id, version);
                serde_json::from_slice(&open_snapshot(&key.key, &identity, sealed)?)?
            }
        };
        // Checked here, because the framework would replay the whole stream without a word.
        A::deserialize(&state)?;
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
        let event_id: Uuid = sqlx::query_scalar(
            "SELECT event_id FROM events
              WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3",
        )
        .bind(A::TYPE)
        .bind(id)
        .bind(signed(version))
        .fetch_optional(&self.pool)
        .await?
        .ok_or(SnapshotError::Newer)?;
        let subject = state.subject(id);
        let (key_id, sealed) = match subject {
            None => (None, json.to_vec()),
            Some(subject) => {
                let key = self.keys.get(subject).await;
                let key = key.map_err(|error| SnapshotError::Key(Box::new(error)))?;
                let key = key.ok_or(SnapshotError::OtherKey)?;
                let identity = self.identity::<A>(id, event_id, version);
                (Some(key.id), seal_snapshot(&key.key, random::bytes(), &identity, &json)?)
            }
        };
        // Older forms go: whoever still reads them makes them again. The later writer wins, since what
        // stands there may be unusable; an older state in its place costs a few events to read.
        sqlx::query(
            "WITH older AS (
               DELETE FROM snapshots
                WHERE aggregate_type = $1 AND aggregate_id = $2 AND state_version < $3
             ), key AS (
               -- An erasure waits for this, and takes the snapshot with it; or it was first.
               SELECT 1 FROM keyring.data_keys
                WHERE key_id = $6 AND wrapped IS NOT NULL FOR SHARE
             )
             INSERT INTO snapshots
                    (aggregate_type, aggregate_id, state_version, version, subject, key_id, sealed)
             SELECT $1, $2, $3, $4, $5, $6, $7 WHERE $6 IS NULL OR EXISTS (SELECT 1 FROM key)
             ON CONFLICT (aggregate_type, aggregate_id, state_version) DO UPDATE
                SET version = excluded.version, subject = excluded.subject,
                    key_id = excluded.key_id, sealed = excluded.sealed",
        )
        .bind(A::TYPE)
        .bind(id)
        .bind(i32::try_from(A::STATE_VERSION).unwrap_or(i32::MAX))
        .bind(signed(version))
        .bind(subject)
        .bind(key_id)
        .bind(sealed)
        .execute(&self.pool)
        .await?;
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
