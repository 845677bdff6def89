//! The data key of each subject: found, or made together with the subject's first event.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit::seal::{DataKey, KeyWrap, Wrapped};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::cache::Cache;
use crate::error::{CommandError, Unavailable};
use crate::failpoints::failpoint;
use crate::random;
use crate::sequencer::NewKey;

/// How many unwrapped keys are kept in memory, halved.
const CACHED_HALF: usize = 8_192;

/// A data key with its id.
#[derive(Clone)]
pub struct SubjectKey {
    /// As a statement names it.
    pub id: Uuid,
    /// The key itself.
    pub key: DataKey,
}

pub(crate) struct DataKeys {
    pool: PgPool,
    wrap: Arc<dyn KeyWrap>,
    cached: Cache<Uuid, SubjectKey>,
    /// Whose keys are known to be destroyed.
    erased: Mutex<HashSet<Uuid>>,
}

impl DataKeys {
    pub(crate) fn new(pool: PgPool, wrap: Arc<dyn KeyWrap>) -> DataKeys {
        DataKeys { pool, wrap, cached: Cache::new(CACHED_HALF), erased: Mutex::default() }
    }

    /// The key of a subject; none if the subject is not known.
    pub(crate) async fn get(&self, subject: Uuid) -> Result<Option<SubjectKey>, CommandError> {
        if let Some(key) = self.cached.get(&subject) {
            return Ok(Some(key));
        }
        failpoint!("data-key.before");
        let row =
            sqlx::query("SELECT key_id, wrapped, kek_id FROM keyring.data_keys WHERE subject = $1")
                .bind(subject)
                .fetch_optional(&self.pool)
                .await?;
        failpoint!("data-key.after");
        let Some(row) = row else { return Ok(None) };
        let wrapped: Option<&[u8]> = row.try_get(1)?;
        let wrapped = wrapped.ok_or(CommandError::Erased)?;
        self.unwrap(subject, row.try_get(0)?, row.try_get(2)?, wrapped).map(Some)
    }

    /// The key of a subject, if it is in memory.
    pub(crate) fn cached(&self, subject: Uuid) -> Option<SubjectKey> {
        self.cached.get(&subject)
    }

    /// Reads the keys of many subjects in one query; which of them are missing shows later.
    pub(crate) async fn prefetch(&self, subjects: &[Uuid]) -> Result<(), CommandError> {
        let missing: Vec<Uuid> =
            subjects.iter().copied().filter(|subject| self.cached.get(subject).is_none()).collect();
        if missing.len() < 2 {
            return Ok(());
        }
        failpoint!("prefetch.before");
        let rows = sqlx::query(
            "SELECT key_id, wrapped, kek_id, subject FROM keyring.data_keys
              WHERE subject = ANY($1) AND wrapped IS NOT NULL",
        )
        .bind(missing)
        .fetch_all(&self.pool)
        .await?;
        failpoint!("prefetch.after");
        for row in &rows {
            self.unwrap(row.try_get(3)?, row.try_get(0)?, row.try_get(2)?, row.try_get(1)?)?;
        }
        Ok(())
    }

    fn unwrap(
        &self,
        subject: Uuid,
        id: Uuid,
        kek_id: &str,
        wrapped: &[u8],
    ) -> Result<SubjectKey, CommandError> {
        let key = self
            .wrap
            .unwrap(kek_id, id, wrapped)
            .map_err(|error| Unavailable::Keys(Box::new(error)))?;
        let key = SubjectKey { id, key };
        self.remember(subject, key.clone());
        Ok(key)
    }

    /// A new key, to be stored by the append that first uses it.
    pub(crate) fn create(&self, subject: Uuid) -> Result<(SubjectKey, NewKey), CommandError> {
        let id = Uuid::new_v8(random::bytes());
        let key = DataKey::from_bytes(random::bytes());
        let Wrapped { kek_id, bytes } = self
            .wrap
            .wrap(id, random::bytes(), &key)
            .map_err(|error| Unavailable::Keys(Box::new(error)))?;
        Ok((SubjectKey { id, key }, NewKey { key_id: id, subject, kek_id, wrapped: bytes }))
    }

    /// Remembers a key whose append is durable. One that was read while it was being destroyed is not kept.
    pub(crate) fn remember(&self, subject: Uuid, key: SubjectKey) {
        let erased = self.erased();
        if !erased.contains(&subject) {
            self.cached.insert(subject, key);
        }
    }

    /// Forgets the keys of erased subjects for good. Answers whether one of them was not known to be erased.
    pub(crate) fn forget(&self, subjects: &[Uuid]) -> bool {
        let mut erased = self.erased();
        let before = erased.len();
        for subject in subjects {
            if erased.insert(*subject) {
                self.cached.remove(subject);
            }
        }
        erased.len() > before
    }

    /// Whether the subject is known to be erased.
    pub(crate) fn is_erased(&self, subject: Uuid) -> bool {
        self.erased().contains(&subject)
    }

    /// A thread that panicked while it held the lock left a set that is still a set.
    fn erased(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
