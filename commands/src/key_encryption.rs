//! Which key-encryption key wraps, by the word of the database, so that all processes change at once; and who holds
//! which. The database can only name one of the keys that this process holds: with another one nothing is wrapped.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{PgPool, Row as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::CommandError;
use crate::keys::Keys;
use crate::random;
use audit::chain;

/// How often the key source is read again, and the database told what this process holds.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// A process that appends, and the key-encryption keys that it says it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyHolder {
    /// Its id, new with each start.
    pub process: Uuid,
    /// Its host and process number.
    pub name: String,
    /// What it logs in to the database as.
    pub login: String,
    /// The ids of its key-encryption keys.
    pub kek_ids: Vec<String>,
    /// Seconds since it was last heard of.
    pub silent_seconds: i64,
    /// Whether it counts as living.
    pub live: bool,
}

/// How many data keys a key-encryption key wraps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrapsOfKey {
    /// The id of the key-encryption key.
    pub kek_id: String,
    /// How many data keys it wraps.
    pub wraps: u64,
    /// Whether this process holds it.
    pub at_hand: bool,
}

/// How the key-encryption keys stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyEncryptionState {
    /// The key that wraps.
    pub kek_id: String,
    /// How often it has changed.
    pub epoch: i64,
    /// Since when it wraps, by the clock of the database.
    pub since: Timestamp,
    /// Whether this process holds it.
    pub at_hand: bool,
    /// The wraps by key.
    pub wraps: Vec<WrapsOfKey>,
    /// Who has said what it holds.
    pub holders: Vec<KeyHolder>,
}

/// This process's part in it.
pub(crate) struct KeyEncryption {
    pool: PgPool,
    keys: Keys,
    process: Uuid,
    name: String,
}

impl KeyEncryption {
    pub(crate) fn new(pool: PgPool, keys: Keys) -> KeyEncryption {
        let process = Uuid::new_v8(random::bytes());
        KeyEncryption { pool, keys, process, name: own_name() }
    }

    /// Reads which key wraps, and wraps with it from now on. The key source is read again if that key is not available.
    /// Where none is named yet, the newest available key becomes it.
    pub(crate) async fn learn(&self) -> Result<(String, i64), sqlx::Error> {
        let read = "SELECT kek_id, epoch FROM keyring.key_encryption";
        let mut row = sqlx::query(read).fetch_optional(&self.pool).await?;
        if row.is_none() {
            sqlx::query("SELECT begin_key_encryption($1)")
                .bind(self.keys.newest_kek_id())
                .execute(&self.pool)
                .await?;
            row = sqlx::query(read).fetch_optional(&self.pool).await?;
        }
        let row = row.ok_or(sqlx::Error::RowNotFound)?;
        let (kek_id, epoch): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        self.keys.wrap_with(&kek_id);
        if !self.keys.holds(&kek_id)
            && let Err(error) = self.keys.refresh_key_encryption()
        {
            tracing::warn!(error = chain(&error), "the key source cannot be read again");
        }
        Ok((kek_id, epoch))
    }

    /// Tells the database which keys this process holds.
    pub(crate) async fn tell(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT tell_held_keys($1, $2, $3)")
            .bind(self.process)
            .bind(&self.name)
            .bind(self.keys.kek_ids())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The beginning: learns which key wraps, and tells what is held.
    pub(crate) async fn join(&self) -> Result<(), sqlx::Error> {
        self.learn().await?;
        self.tell().await
    }

    /// Takes this process out: it holds nothing any more.
    pub(crate) async fn forget(&self) {
        let forgotten = sqlx::query("SELECT forget_held_keys($1)").bind(self.process);
        if let Err(error) = forgotten.execute(&self.pool).await {
            tracing::warn!(
                error = chain(&error),
                "the database was not told that this process ends"
            );
        }
    }

    /// Everybody who has told what it holds.
    pub(crate) async fn holders(&self) -> Result<Vec<KeyHolder>, CommandError> {
        let rows = sqlx::query(
            "SELECT process, name, login, kek_ids, extract(epoch FROM clock_timestamp() - heartbeat)::bigint,
                    heartbeat > clock_timestamp() - holder_bound()
               FROM keyring.holders ORDER BY name, process",
        )
        .fetch_all(&self.pool)
        .await?;
        let holder = |row: &sqlx::postgres::PgRow| {
            Ok(KeyHolder {
                process: row.try_get(0)?,
                name: row.try_get(1)?,
                login: row.try_get(2)?,
                kek_ids: row.try_get(3)?,
                silent_seconds: row.try_get(4)?,
                live: row.try_get(5)?,
            })
        };
        Ok(rows.iter().map(holder).collect::<Result<_, sqlx::Error>>()?)
    }

    /// The living who lack a key.
    pub(crate) async fn lacking(&self, kek_id: &str) -> Result<Vec<KeyHolder>, CommandError> {
        let mut holders = self.holders().await?;
        holders.retain(|holder| holder.live && !holder.kek_ids.iter().any(|held| held == kek_id));
        Ok(holders)
    }

    /// How everything stands.
    pub(crate) async fn state(&self) -> Result<KeyEncryptionState, CommandError> {
        let (kek_id, epoch) = self.learn().await?;
        let since: i64 = sqlx::query_scalar(
            "SELECT (extract(epoch FROM since) * 1000000)::bigint FROM keyring.key_encryption",
        )
        .fetch_one(&self.pool)
        .await?;
        let rows = sqlx::query(
            "SELECT kek_id, count(*) FROM keyring.data_keys WHERE wrapped IS NOT NULL
              GROUP BY kek_id ORDER BY kek_id",
        )
        .fetch_all(&self.pool)
        .await?;
        let wraps = |row: &sqlx::postgres::PgRow| {
            let (kek_id, wraps): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            let at_hand = self.keys.holds(&kek_id);
            Ok(WrapsOfKey { kek_id, wraps: u64::try_from(wraps).unwrap_or(0), at_hand })
        };
        Ok(KeyEncryptionState {
            epoch,
            since: Timestamp::from_microsecond(since).unwrap_or(Timestamp::UNIX_EPOCH),
            at_hand: self.keys.holds(&kek_id),
            kek_id,
            wraps: rows.iter().map(wraps).collect::<Result<_, sqlx::Error>>()?,
            holders: self.holders().await?,
        })
    }
}

/// Goes on reading the key source and the database, and reporting what is held, until it is asked to end.
pub(crate) fn keep(own: Arc<KeyEncryption>, closing: CancellationToken) -> JoinHandle<()> {
    let keeping = async move {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            if let Err(error) = own.keys.refresh_key_encryption() {
                tracing::warn!(
                    error = chain(&error),
                    "the key-encryption keys cannot be read again"
                );
            }
            if let Err(error) = own.join().await {
                tracing::warn!(
                    error = chain(&error),
                    "the database was not told which keys are held"
                );
            }
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = closing.cancelled() => {}
            () = keeping => {}
        }
    })
}

fn own_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "host" } else { host.trim() };
    format!("{host}/{}", std::process::id())
}
