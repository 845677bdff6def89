//! Data keys: wrapped in the table, unwrapped and cached in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use crate::seal::{Binding, DataKey, KeyWrap, SealError, SubjectKind};
use crate::statement::Statement;

/// Unwrapped keys kept in memory at most.
const MAX_CACHED: usize = 8192;

/// Why there is no data key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataKeyError {
    /// Postgres.
    #[error("the data key could not be read")]
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
    /// The row belongs to another subject, or to one of another kind, than the statement names.
    #[error("the data key {key_id} is kept for another subject")]
    OtherSubject {
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

/// The data keys of a ledger, by id, each with its subject. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct DataKeys {
    pool: PgPool,
    kek: Arc<dyn KeyWrap>,
    cache: Arc<Mutex<HashMap<Uuid, Cached>>>,
}

#[derive(Clone)]
struct Cached {
    origin: String,
    kind: SubjectKind,
    subject: Uuid,
    key: Arc<DataKey>,
}

impl DataKeys {
    /// Keys read through a pool and unwrapped by a key-encryption key.
    #[must_use]
    pub fn new(pool: PgPool, kek: Arc<dyn KeyWrap>) -> Self {
        Self { pool, kek, cache: Arc::default() }
    }

    /// The key that seals a statement's payload; `None` if the statement names none. It opens only for the log, the
    /// subject and the kind of subject that the statement names.
    pub async fn of(&self, statement: &Statement) -> Result<Option<Arc<DataKey>>, DataKeyError> {
        let (Some(key_id), Some(subject)) = (statement.payload.key_id, statement.subject) else {
            return Ok(None);
        };
        let kind = SubjectKind::of_stream(&statement.stream_type);
        self.get(&Binding { origin: &statement.origin, kind, subject, key_id }).await.map(Some)
    }

    /// The key that is bound like this.
    pub async fn get(&self, binding: &Binding<'_>) -> Result<Arc<DataKey>, DataKeyError> {
        let Binding { origin, kind, subject, key_id } = *binding;
        if let Some(cached) = self.with_cache(|cache| cache.get(&key_id).cloned()) {
            let same = cached.origin == origin && (cached.kind, cached.subject) == (kind, subject);
            return if same { Ok(cached.key) } else { Err(DataKeyError::OtherSubject { key_id }) };
        }
        let row = sqlx::query(
            "SELECT subject, kind, wrap_version, kek_id, wrapped FROM keyring.data_keys
              WHERE key_id = $1",
        )
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?
        .ok_or(DataKeyError::Unknown { key_id })?;
        // No constraint is sure to be there still: what is null is no genuine row's, and no failure of the database.
        let (of, kind_of): (Option<Uuid>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        if of != Some(subject) || kind_of.as_deref() != Some(kind.as_str()) {
            return Err(DataKeyError::OtherSubject { key_id });
        }
        let version: Option<i16> = row.try_get(2)?;
        let kek_id = row.try_get::<Option<String>, _>(3)?.unwrap_or_default();
        let wrapped: Option<Vec<u8>> = row.try_get(4)?;
        let wrapped = wrapped.ok_or(DataKeyError::Destroyed { key_id })?;
        // Of before a ledger has bound it: the statement, which names subject and key, is the proof.
        let unwrapped = if version == Some(1) {
            self.kek.unwrap_v1(&kek_id, key_id, &wrapped)
        } else {
            self.kek.unwrap(&kek_id, binding, &wrapped)
        };
        let key = Arc::new(unwrapped.map_err(|source| DataKeyError::Unwrap { key_id, source })?);
        self.remember(binding, &key);
        Ok(key)
    }

    /// Drops a subject's keys from memory, once they have been destroyed in the table.
    pub fn forget(&self, subject: Uuid) {
        self.with_cache(|cache| cache.retain(|_, cached| cached.subject != subject));
    }

    fn remember(&self, binding: &Binding<'_>, key: &Arc<DataKey>) {
        let Binding { origin, kind, subject, key_id } = *binding;
        self.with_cache(|cache| {
            if cache.len() >= MAX_CACHED {
                cache.clear();
            }
            let origin = origin.to_owned();
            cache.insert(key_id, Cached { origin, kind, subject, key: Arc::clone(key) });
        });
    }

    /// A panic while the lock is held cannot leave the map in a state that matters.
    fn with_cache<R>(&self, work: impl FnOnce(&mut HashMap<Uuid, Cached>) -> R) -> R {
        work(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
