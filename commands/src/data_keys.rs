//! The data key of each subject: found, or made together with the subject's first event.
//!
//! A key opens only for the log, the kind of subject, the subject and the id that its wrap is bound to. That a subject is
//! erased, the log alone says: a row that is gone or empty says nothing, but that the key is missing.
//!
//! * `wraps`: wraps of before, bound once the log has proved whose they are;
//! * `destroyed`: keys of the erased that are there again;
//! * [`compare`]: the table of keys against the log.

mod compare;
mod destroyed;
mod wraps;

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use audit::postgres::LogWatch;
use audit::seal::{Binding, DataKey, KeyWrap, SubjectKind, WRAP_VERSION, Wrapped};
use domain::ERASURE;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::cache::Cache;
use crate::error::{CommandError, Unavailable};
use crate::failpoints::failpoint;
use crate::log::NewKey;
use crate::random;
use crate::streams::{SUBJECTS, record_kind};

pub use compare::{KeyDifference, KeyFinding, KeysReport, compare};
pub(crate) use destroyed::{destroy_again, destroy_again_of};
pub(crate) use wraps::bind_wraps;

/// Capacity of each of the two generations of the cache of unwrapped keys (half the total).
const CACHED_HALF: usize = 8_192;

/// A data key with its id.
#[derive(Clone)]
pub struct SubjectKey {
    /// As a statement names it.
    pub id: Uuid,
    /// What kind of subject it belongs to.
    pub kind: SubjectKind,
    /// The key itself.
    pub key: DataKey,
}

impl SubjectKey {
    /// The key, if its subject is of the kind that is asked for.
    pub(crate) fn of_kind(self, kind: SubjectKind) -> Result<SubjectKey, CommandError> {
        if self.kind == kind { Ok(self) } else { Err(CommandError::id_taken()) }
    }
}

pub(crate) struct DataKeys {
    pool: PgPool,
    wrap: Arc<dyn KeyWrap>,
    watch: LogWatch,
    cached: Cache<Uuid, SubjectKey>,
    /// Whose keys are known to be destroyed.
    erased: Mutex<HashSet<Uuid>>,
}

/// A row, nothing of which is believed yet.
struct Stored {
    key_id: Uuid,
    subject: Uuid,
    kind: String,
    version: i16,
    kek_id: String,
    wrapped: Option<Vec<u8>>,
    /// Whether a row of the log says that the subject is erased.
    is_said_erased: bool,
}

/// The columns of [`Stored`], of the table `k`.
static STORED: LazyLock<String> = LazyLock::new(|| {
    let (stream_type, event_type) = ERASURE;
    format!(
        "k.key_id, k.subject, k.kind, k.wrap_version, k.kek_id, k.wrapped,
    EXISTS (SELECT FROM events e WHERE e.aggregate_type = '{stream_type}' AND e.aggregate_id = k.subject
                AND e.event_type = '{event_type}')"
    )
});

impl Stored {
    fn read(row: &PgRow) -> Result<Stored, sqlx::Error> {
        Ok(Stored {
            key_id: row.try_get(0)?,
            subject: row.try_get(1)?,
            kind: row.try_get(2)?,
            version: row.try_get(3)?,
            kek_id: row.try_get(4)?,
            wrapped: row.try_get(5)?,
            is_said_erased: row.try_get(6)?,
        })
    }
}

impl DataKeys {
    pub(crate) fn new(pool: PgPool, wrap: Arc<dyn KeyWrap>, watch: LogWatch) -> DataKeys {
        DataKeys { pool, wrap, watch, cached: Cache::new(CACHED_HALF), erased: Mutex::default() }
    }

    /// The key of a subject of this kind; none if the subject is not known.
    pub(crate) async fn get(
        &self,
        subject: Uuid,
        kind: SubjectKind,
    ) -> Result<Option<SubjectKey>, CommandError> {
        if let Some(key) = self.cached(subject) {
            return key.of_kind(kind).map(Some);
        }
        self.read(subject, kind).await
    }

    /// Whether the transaction that erases a record destroys the key of that record and no other: what stands in its row,
    /// if anything does, must open for this subject.
    pub(crate) async fn may_be_destroyed(&self, subject: Uuid) -> Result<(), CommandError> {
        match self.read(subject, record_kind()).await {
            // Nothing is there to be destroyed, or was not any more.
            Err(
                CommandError::Erased | CommandError::Unavailable(Unavailable::KeyMissing { .. }),
            ) => Ok(()),
            read => read.map(drop),
        }
    }

    /// As the table has it, whatever is held in memory.
    async fn read(
        &self,
        subject: Uuid,
        kind: SubjectKind,
    ) -> Result<Option<SubjectKey>, CommandError> {
        failpoint!("data-key.before");
        let mut connection = self.pool.acquire().await?;
        let sql = format!("SELECT {} FROM keyring.data_keys k WHERE k.subject = $1", *STORED);
        let row = sqlx::query(&sql).bind(subject).fetch_optional(&mut *connection).await?;
        failpoint!("data-key.after");
        let stored = row.as_ref().map(Stored::read).transpose()?;
        let Some(stored) = stored else { return self.without_row(&mut connection, subject).await };
        if (stored.is_said_erased || stored.wrapped.is_none() || self.is_erased(subject))
            && self.watch.is_erased(&mut connection, subject).await?
        {
            if stored.wrapped.is_some() {
                // Only the transaction that erases may leave it empty; this one was put back.
                destroy_again_of(&mut connection, &[subject]).await?;
            }
            return Err(CommandError::Erased);
        }
        drop(connection);
        if stored.wrapped.is_none() {
            return Err(Unavailable::KeyMissing { subject }.into());
        }
        self.unwrap(&stored)?.of_kind(kind).map(Some)
    }

    /// What it means that there is no row: nobody is there, unless the log knows the subject.
    async fn without_row(
        &self,
        connection: &mut PgConnection,
        subject: Uuid,
    ) -> Result<Option<SubjectKey>, CommandError> {
        if self.watch.is_erased(connection, subject).await? {
            return Err(CommandError::Erased);
        }
        let is_seen = SUBJECTS.iter().any(|kind| self.watch.stream_seen(kind, subject).is_some());
        let reader = self.watch.reader();
        if is_seen || !reader.firsts(connection, &SUBJECTS, &[subject]).await?.is_empty() {
            return Err(Unavailable::KeyMissing { subject }.into());
        }
        Ok(None)
    }

    /// The key of a subject, if it is in memory.
    pub(crate) fn cached(&self, subject: Uuid) -> Option<SubjectKey> {
        self.cached.get(&subject).filter(|_| !self.watch.is_known_erased(subject))
    }

    /// Reads the keys of many subjects in one query; which of them are missing or do not open shows later.
    pub(crate) async fn prefetch(&self, subjects: &[Uuid]) -> Result<(), CommandError> {
        let missing: Vec<Uuid> =
            subjects.iter().copied().filter(|subject| self.cached(*subject).is_none()).collect();
        if missing.len() < 2 {
            return Ok(());
        }
        failpoint!("prefetch.before");
        let sql = format!(
            "SELECT {} FROM keyring.data_keys k WHERE k.subject = ANY($1) AND k.wrapped IS NOT NULL",
            *STORED
        );
        let rows = sqlx::query(&sql).bind(missing).fetch_all(&self.pool).await?;
        failpoint!("prefetch.after");
        for row in &rows {
            let stored = Stored::read(row)?;
            if !stored.is_said_erased && !self.watch.is_known_erased(stored.subject) {
                // What does not open is asked for again, and refused then, by whoever needs it.
                let _ = self.unwrap(&stored);
            }
        }
        Ok(())
    }

    /// Opens a row for the place it stands in, and for no other.
    fn unwrap(&self, stored: &Stored) -> Result<SubjectKey, CommandError> {
        let Stored { key_id, subject, kind, version, kek_id, wrapped, .. } = stored;
        let failed = |why: Box<dyn std::error::Error + Send + Sync>| Unavailable::Keys(why);
        if *version != WRAP_VERSION {
            let why = format!("the data key {key_id} is not bound to its subject");
            return Err(failed(why.into()).into());
        }
        let kind = SubjectKind::parse(kind)
            .ok_or_else(|| failed(format!("the data key {key_id} has no known kind").into()))?;
        let origin = self.watch.reader().origin();
        let binding = Binding { origin, kind, subject: *subject, key_id: *key_id };
        let wrapped = wrapped.as_deref().unwrap_or_default();
        let key = self.wrap.unwrap(kek_id, &binding, wrapped).map_err(Unavailable::from)?;
        let key = SubjectKey { id: *key_id, kind, key };
        self.remember(*subject, key.clone());
        Ok(key)
    }

    /// A new key, to be stored by the append that first uses it.
    pub(crate) fn create(
        &self,
        subject: Uuid,
        kind: SubjectKind,
    ) -> Result<(SubjectKey, NewKey), CommandError> {
        let id = Uuid::new_v8(random::bytes());
        let key = DataKey::from_bytes(random::bytes());
        let binding = Binding { origin: self.watch.reader().origin(), kind, subject, key_id: id };
        let Wrapped { kek_id, bytes } =
            self.wrap.wrap(&binding, random::bytes(), &key).map_err(Unavailable::from)?;
        let new = NewKey { key_id: id, subject, kind, kek_id, wrapped: bytes };
        Ok((SubjectKey { id, kind, key }, new))
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
