//! Data keys: wrapped in the table, unwrapped and cached in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgPool;
use uuid::Uuid;

use crate::seal::{DataKey, KeyWrap, SealError, Wrapped};

/// Unwrapped keys kept in memory at most.
const MAX_CACHED: usize = 8192;

/// Why there is no data key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataKeyError {
    /// Postgres.
    #[error("the data key could not be read or written")]
    Sqlx(#[from] sqlx::Error),
    /// No such key.
    #[error("there is no data key {key_id}")]
    Unknown {
        /// Which key.
        key_id: Uuid,
    },
    /// The key was destroyed: what it sealed is erased.
    #[error("the data key {key_id} was destroyed")]
    Destroyed {
        /// Which key.
        key_id: Uuid,
    },
    /// It does not unwrap.
    #[error("the data key {key_id} does not unwrap")]
    Unwrap {
        /// Which key.
        key_id: Uuid,
        /// Why.
        #[source]
        source: SealError,
    },
}

#[derive(Default)]
struct Cache {
    keys: HashMap<Uuid, Arc<DataKey>>,
    subjects: HashMap<Uuid, Uuid>,
}

/// The data keys of a ledger. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct DataKeys {
    pool: PgPool,
    kek: Arc<dyn KeyWrap>,
    cache: Arc<Mutex<Cache>>,
}

type KeyRow = (Uuid, Uuid, String, Option<Vec<u8>>);

impl DataKeys {
    /// Keys read through a pool and unwrapped by a key-encryption key.
    #[must_use]
    pub fn new(pool: PgPool, kek: Arc<dyn KeyWrap>) -> Self {
        Self { pool, kek, cache: Arc::default() }
    }

    /// The key of this id.
    pub async fn get(&self, key_id: Uuid) -> Result<Arc<DataKey>, DataKeyError> {
        if let Some(key) = self.with_cache(|cache| cache.keys.get(&key_id).cloned()) {
            return Ok(key);
        }
        let row: Option<KeyRow> = sqlx::query_as(
            "SELECT key_id, subject, kek_id, wrapped FROM keyring.data_keys WHERE key_id = $1",
        )
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?;
        self.unwrap(row.ok_or(DataKeyError::Unknown { key_id })?).map(|(_, key)| key)
    }

    /// The key of a subject with its id; `None` where the subject has none yet.
    pub async fn of_subject(
        &self,
        subject: Uuid,
    ) -> Result<Option<(Uuid, Arc<DataKey>)>, DataKeyError> {
        let cached = self.with_cache(|cache| {
            let key_id = cache.subjects.get(&subject)?;
            Some((*key_id, cache.keys.get(key_id)?.clone()))
        });
        if cached.is_some() {
            return Ok(cached);
        }
        let row: Option<KeyRow> = sqlx::query_as(
            "SELECT key_id, subject, kek_id, wrapped FROM keyring.data_keys WHERE subject = $1",
        )
        .bind(subject)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| self.unwrap(row)).transpose()
    }

    /// Wraps and stores a subject's first key. Id, nonce and key are fresh random bytes. Where
    /// two callers race, both get the key that was stored first.
    pub async fn wrap_new(
        &self,
        subject: Uuid,
        key_id: Uuid,
        nonce: [u8; 12],
        key: DataKey,
    ) -> Result<(Uuid, Arc<DataKey>), DataKeyError> {
        let Wrapped { kek_id, bytes } = self
            .kek
            .wrap(key_id, nonce, &key)
            .map_err(|source| DataKeyError::Unwrap { key_id, source })?;
        let stored = sqlx::query(
            "INSERT INTO keyring.data_keys (key_id, subject, kek_id, wrapped) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (subject) DO NOTHING",
        )
        .bind(key_id)
        .bind(subject)
        .bind(kek_id)
        .bind(bytes)
        .execute(&self.pool)
        .await?;
        if stored.rows_affected() == 1 {
            let key = Arc::new(key);
            self.remember(key_id, subject, &key);
            return Ok((key_id, key));
        }
        self.of_subject(subject).await?.ok_or(DataKeyError::Unknown { key_id })
    }

    /// Drops a subject's key from memory, once it has been destroyed in the table.
    pub fn forget(&self, subject: Uuid) {
        self.with_cache(|cache| {
            if let Some(key_id) = cache.subjects.remove(&subject) {
                cache.keys.remove(&key_id);
            }
        });
    }

    fn unwrap(&self, row: KeyRow) -> Result<(Uuid, Arc<DataKey>), DataKeyError> {
        let (key_id, subject, kek_id, wrapped) = row;
        let wrapped = wrapped.ok_or(DataKeyError::Destroyed { key_id })?;
        let unwrapped = self.kek.unwrap(&kek_id, key_id, &wrapped);
        let key = Arc::new(unwrapped.map_err(|source| DataKeyError::Unwrap { key_id, source })?);
        self.remember(key_id, subject, &key);
        Ok((key_id, key))
    }

    fn remember(&self, key_id: Uuid, subject: Uuid, key: &Arc<DataKey>) {
        self.with_cache(|cache| {
            if cache.keys.len() >= MAX_CACHED {
                cache.keys.clear();
                cache.subjects.clear();
            }
            cache.keys.insert(key_id, Arc::clone(key));
            cache.subjects.insert(subject, key_id);
        });
    }

    /// A panic while the lock is held cannot leave the maps in a state that matters.
    fn with_cache<R>(&self, work: impl FnOnce(&mut Cache) -> R) -> R {
        work(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
