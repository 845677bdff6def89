//! The data keys of a log: the one cache of those that were opened, the one statement that reads the table, and the checks
//! that every reader of a key uses.
//!
//! * who decides and has no statement yet asks by the subject ([`DataKeys::of_subject`]);
//! * who reads proved events asks by their statements ([`DataKeys::of`]);
//! * who verifies a whole log learns from it who is erased, and is given only what the table holds
//!   ([`DataKeys::named_by`]).
//!
//! A row is judged alike for every caller ([`StoredKey::open`]): a wrap opens for the log, the kind of subject, the subject and
//! the id that its row names, or not at all; then what was asked for is compared with these. That a subject is erased, the
//! log alone says: a row that is gone or empty says nothing, but that the key is missing, and a row that is there again
//! opens nothing.

mod error;
mod row;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

pub use error::DataKeyError;
pub use row::StoredKey;

use super::reader::LogReader;
use crate::cache::Cache;
use crate::seal::{Binding, KeyWrap, SealError, SubjectKey, SubjectKind, Wrapped};
use crate::statement::Statement;

/// Capacity of each of the two generations of the cache of opened keys (half the total).
const CACHED_HALF: usize = 8_192;

/// The data keys of a log, by subject. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct DataKeys {
    shared: Arc<Shared>,
}

struct Shared {
    pool: PgPool,
    wrap: Arc<dyn KeyWrap>,
    reader: LogReader,
    /// The columns of a row, and whether a row of the log says that its subject is erased.
    columns: String,
    cached: Cache<Uuid, SubjectKey>,
    /// Whose keys are known to be destroyed.
    erased: Mutex<HashSet<Uuid>>,
}

impl DataKeys {
    /// Keys read through a pool and opened by key-encryption keys, of the log that `reader` reads.
    #[must_use]
    pub fn new(pool: PgPool, wrap: Arc<dyn KeyWrap>, reader: LogReader) -> DataKeys {
        let said_erased = reader.shared.policy.says_erased("k.subject");
        let columns = format!("{}, {said_erased}", StoredKey::COLUMNS);
        let (cached, erased) = (Cache::new(CACHED_HALF), Mutex::default());
        DataKeys { shared: Arc::new(Shared { pool, wrap, reader, columns, cached, erased }) }
    }

    /// The key that seals a statement's payload; `None` if the statement names none. It opens only for the log, the subject,
    /// the kind of subject and the id that the statement names.
    pub async fn of(&self, statement: &Statement) -> Result<Option<SubjectKey>, DataKeyError> {
        let Some(subject) = self.sealed_for(statement)? else { return Ok(None) };
        let key = match self.cached(subject) {
            Some(key) => key,
            None => self.stored(subject).await?.ok_or(DataKeyError::Missing { subject })?,
        };
        key.named_by(statement).map(Some)
    }

    /// The key of a subject of this kind; `None` if the log knows no such subject.
    pub async fn of_subject(
        &self,
        subject: Uuid,
        kind: SubjectKind,
    ) -> Result<Option<SubjectKey>, DataKeyError> {
        let key = match self.cached(subject) {
            Some(key) => Some(key),
            None => self.stored(subject).await?,
        };
        key.map(|key| key.of_kind(kind)).transpose()
    }

    /// As [`DataKeys::of`], for a verifier of the log that the statement is of: the log is not asked whether the subject is
    /// erased, and a wrap of version 1 opens, because the statement is the proof of whose it is.
    pub async fn named_by(
        &self,
        statement: &Statement,
    ) -> Result<Option<SubjectKey>, DataKeyError> {
        let Some(subject) = self.sealed_for(statement)? else { return Ok(None) };
        if let Some(key) = self.cached(subject) {
            return key.named_by(statement).map(Some);
        }
        let sql =
            format!("SELECT {} FROM keyring.data_keys k WHERE k.subject = $1", StoredKey::COLUMNS);
        let row = sqlx::query(&sql).bind(subject).fetch_optional(&self.shared.pool).await?;
        let stored = row.as_ref().map(StoredKey::read);
        let stored = stored.filter(|stored| stored.wrapped().is_some());
        let stored = stored.ok_or(DataKeyError::Missing { subject })?;
        if stored.is_of_before() {
            let key_id = statement.payload.key_id.unwrap_or_default();
            let kind = SubjectKind::of_stream(&statement.stream_type);
            let named = Binding { origin: &statement.origin, kind, subject, key_id };
            // Not remembered: it is proved for this statement alone.
            return stored.open_of_before(&*self.shared.wrap, &named).map(Some);
        }
        self.open(subject, &stored)?.named_by(statement).map(Some)
    }

    /// The subject a statement's payload is sealed for; `None` if it is in the clear.
    fn sealed_for(&self, statement: &Statement) -> Result<Option<Uuid>, DataKeyError> {
        let (Some(key_id), Some(subject)) = (statement.payload.key_id, statement.subject) else {
            return Ok(None);
        };
        if statement.origin == self.shared.reader.origin() {
            Ok(Some(subject))
        } else {
            Err(DataKeyError::OtherKey { key_id })
        }
    }

    /// The key of a subject as the table has it, whatever is held in memory, of whichever kind; `None` if the log knows no
    /// such subject.
    pub async fn stored(&self, subject: Uuid) -> Result<Option<SubjectKey>, DataKeyError> {
        let mut connection = self.shared.pool.acquire().await?;
        let columns = &self.shared.columns;
        let sql = format!("SELECT {columns} FROM keyring.data_keys k WHERE k.subject = $1");
        let row = sqlx::query(&sql).bind(subject).fetch_optional(&mut *connection).await?;
        let Some(row) = row else { return self.without_row(&mut connection, subject).await };
        let (stored, is_said_erased) = (StoredKey::read(&row), row.try_get(6)?);
        let is_there = stored.wrapped().is_some();
        if (is_said_erased || !is_there || self.is_erased(subject))
            && self.shared.reader.is_erased(&mut connection, subject).await?
        {
            return Err(DataKeyError::Erased { subject, is_there });
        }
        drop(connection);
        if is_there {
            self.open(subject, &stored).map(Some)
        } else {
            Err(DataKeyError::Missing { subject })
        }
    }

    /// What it means that there is no row: there is no such subject, unless the log knows it.
    async fn without_row(
        &self,
        connection: &mut PgConnection,
        subject: Uuid,
    ) -> Result<Option<SubjectKey>, DataKeyError> {
        let reader = &self.shared.reader;
        if reader.is_erased(connection, subject).await? {
            return Err(DataKeyError::Erased { subject, is_there: false });
        }
        if reader.knows_subject(connection, subject).await? {
            return Err(DataKeyError::Missing { subject });
        }
        Ok(None)
    }

    /// The key of a subject, if it is in memory.
    #[must_use]
    pub fn cached(&self, subject: Uuid) -> Option<SubjectKey> {
        let Shared { cached, reader, .. } = &*self.shared;
        cached.get(&subject).filter(|_| !reader.index().is_erased(subject))
    }

    /// Reads the keys of many subjects in one query; which of them are missing or do not open shows later.
    pub async fn prefetch(&self, subjects: &[Uuid]) -> Result<(), DataKeyError> {
        let missing: HashSet<Uuid> =
            subjects.iter().copied().filter(|subject| self.cached(*subject).is_none()).collect();
        if missing.len() < 2 {
            return Ok(());
        }
        let Shared { pool, reader, columns, .. } = &*self.shared;
        let sql = format!(
            "SELECT {columns} FROM keyring.data_keys k WHERE k.subject = ANY($1) AND k.wrapped IS NOT NULL"
        );
        let missing: Vec<Uuid> = missing.into_iter().collect();
        for row in &sqlx::query(&sql).bind(missing).fetch_all(pool).await? {
            let stored = StoredKey::read(row);
            let is_said_erased: bool = row.try_get(6)?;
            if let Some(subject) = stored.subject
                && !is_said_erased
                && !reader.index().is_erased(subject)
            {
                // What does not open is asked for again, and refused then, when it is needed.
                let _ = self.open(subject, &stored);
            }
        }
        Ok(())
    }

    fn open(&self, subject: Uuid, stored: &StoredKey) -> Result<SubjectKey, DataKeyError> {
        let Shared { wrap, reader, .. } = &*self.shared;
        let key = stored.open(&**wrap, reader.origin())?;
        self.remember(subject, key.clone());
        Ok(key)
    }

    /// Wraps a new key for the subject whose key it becomes. The nonce is twelve fresh random bytes.
    pub fn wrap(
        &self,
        subject: Uuid,
        new: &SubjectKey,
        nonce: [u8; 12],
    ) -> Result<Wrapped, SealError> {
        let (origin, SubjectKey { id, kind, key }) = (self.shared.reader.origin(), new);
        self.shared.wrap.wrap(&Binding { origin, kind: *kind, subject, key_id: *id }, nonce, key)
    }

    /// Remembers a key whose append is durable. One that was read while it was being destroyed is not kept.
    pub fn remember(&self, subject: Uuid, key: SubjectKey) {
        let erased = self.erased();
        if !erased.contains(&subject) {
            self.shared.cached.insert(subject, key);
        }
    }

    /// Forgets the keys of erased subjects for good.
    pub fn forget(&self, subjects: &[Uuid]) {
        let mut erased = self.erased();
        for subject in subjects {
            if erased.insert(*subject) {
                self.shared.cached.remove(subject);
            }
        }
    }

    /// Whether [`DataKeys::forget`] was told of the subject.
    #[must_use]
    pub fn is_erased(&self, subject: Uuid) -> bool {
        self.erased().contains(&subject)
    }

    /// A thread that panicked while it held the lock left a set that is still a set.
    fn erased(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.shared.erased.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SubjectKey {
    /// The key, if its subject is of the kind that is asked for.
    pub fn of_kind(self, kind: SubjectKind) -> Result<SubjectKey, DataKeyError> {
        if self.kind == kind { Ok(self) } else { Err(DataKeyError::OtherKind { key_id: self.id }) }
    }

    /// The key of the statement's subject, if it is of the kind and has the id that the statement names.
    pub fn named_by(self, statement: &Statement) -> Result<SubjectKey, DataKeyError> {
        let key = self.of_kind(SubjectKind::of_stream(&statement.stream_type))?;
        match statement.payload.key_id {
            Some(key_id) if key_id != key.id => Err(DataKeyError::OtherKey { key_id }),
            _ => Ok(key),
        }
    }
}
