//! The data key of each subject: found, or made together with the subject's first event.

use std::sync::Arc;

use audit::seal::{DataKey, KeyWrap};
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
}

impl DataKeys {
    pub(crate) fn new(pool: PgPool, wrap: Arc<dyn KeyWrap>) -> DataKeys {
        DataKeys { pool, wrap, cached: Cache::new(CACHED_HALF) }
    }

    /// The key of a subject; none if the subject is not known.
    pub(crate) async fn get(&self, subject: Uuid) -> Result<Option<SubjectKey>, CommandError> {
        if let Some(key) = self.cached.get(&subject) {
            return Ok(Some(key));
        }
        failpoint!("data-key.before");
        let row = sqlx::query("SELECT key_id, wrapped FROM keyring.data_keys WHERE subject = $1")
            .bind(subject)
            .fetch_optional(&self.pool)
            .await?;
        failpoint!("data-key.after");
        let Some(row) = row else { return Ok(None) };
        let wrapped: Option<&[u8]> = row.try_get(1)?;
        self.unwrap(subject, row.try_get(0)?, wrapped.ok_or(CommandError::Erased)?).map(Some)
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
            "SELECT key_id, wrapped, subject FROM keyring.data_keys
              WHERE subject = ANY($1) AND wrapped IS NOT NULL",
        )
        .bind(missing)
        .fetch_all(&self.pool)
        .await?;
        failpoint!("prefetch.after");
        for row in &rows {
            self.unwrap(row.try_get(2)?, row.try_get(0)?, row.try_get(1)?)?;
        }
        Ok(())
    }

    fn unwrap(&self, subject: Uuid, id: Uuid, wrapped: &[u8]) -> Result<SubjectKey, CommandError> {
        let key =
            self.wrap.unwrap(id, wrapped).map_err(|error| Unavailable::Keys(Box::new(error)))?;
        let key = SubjectKey { id, key };
        self.cached.insert(subject, key.clone());
        Ok(key)
    }

    /// A new key, to be stored by the append that first uses it.
    pub(crate) fn create(&self, subject: Uuid) -> Result<(SubjectKey, NewKey), CommandError> {
        let id = Uuid::new_v8(random::bytes());
        let key = DataKey::from_bytes(random::bytes());
        let wrapped = self
            .wrap
            .wrap(id, random::bytes(), &key)
            .map_err(|error| Unavailable::Keys(Box::new(error)))?;
        let kek_id = self.wrap.kek_id().to_owned();
        Ok((SubjectKey { id, key }, NewKey { key_id: id, subject, kek_id, wrapped }))
    }

    /// Remembers a key whose append is durable.
    pub(crate) fn remember(&self, subject: Uuid, key: SubjectKey) {
        self.cached.insert(subject, key);
    }

    /// Forgets the key of a subject, wherever it is held in memory.
    pub(crate) fn forget(&self, subject: Uuid) {
        self.cached.remove(&subject);
    }
}
