//! The data key of each subject, as commands need it: found, or made together with the subject's first event. What
//! is in the table is read, checked and remembered by [`audit::postgres::DataKeys`], for readers and auditors alike.
//!
//! * `wraps`: wraps of before, bound once the log has proved whose they are;
//! * `destroyed`: keys of the erased that are there again;
//! * [`compare`]: the table of keys against the log.

mod compare;
mod destroyed;
mod wraps;

use audit::postgres::{self, DataKeyError};
use audit::seal::{DataKey, SubjectKind, Wrapped};
use audit::statement::Statement;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::{CommandError, Unavailable};
use crate::failpoints::failpoint;
use crate::log::NewKey;
use crate::random;
use crate::streams::record_kind;

pub use audit::seal::SubjectKey;
pub use compare::{KeyDifference, KeyFinding, KeysReport, compare};
pub(crate) use destroyed::{destroy_again, destroy_again_of};
pub(crate) use wraps::bind_wraps;

pub(crate) struct DataKeys {
    pool: PgPool,
    keys: postgres::DataKeys,
}

impl DataKeys {
    pub(crate) fn new(pool: PgPool, keys: postgres::DataKeys) -> DataKeys {
        DataKeys { pool, keys }
    }

    /// The same keys, for readers of events.
    pub(crate) fn shared(&self) -> postgres::DataKeys {
        self.keys.clone()
    }

    /// The key of a subject of this kind; none if the subject is not known.
    pub(crate) async fn get(
        &self,
        subject: Uuid,
        kind: SubjectKind,
    ) -> Result<Option<SubjectKey>, CommandError> {
        if let Some(key) = self.cached(subject, kind)? {
            return Ok(Some(key));
        }
        self.read(self.keys.of_subject(subject, kind)).await
    }

    /// The key that seals the payload of an event about a subject.
    pub(crate) async fn of(
        &self,
        statement: &Statement,
        subject: Uuid,
    ) -> Result<SubjectKey, CommandError> {
        let key = self.get(subject, SubjectKind::of_stream(&statement.stream_type)).await?;
        Ok(key.ok_or(DataKeyError::Missing { subject })?.named_by(statement)?)
    }

    /// Whether the transaction that erases a record destroys the key of that record and no other: what stands in its row,
    /// if anything does, must open for this subject.
    pub(crate) async fn may_be_destroyed(&self, subject: Uuid) -> Result<(), CommandError> {
        match self.read(self.keys.stored(subject)).await {
            Ok(Some(key)) => Ok(key.of_kind(record_kind()).map(drop)?),
            // Nothing is there to be destroyed, or was not any more.
            Ok(None)
            | Err(
                CommandError::Erased | CommandError::Unavailable(Unavailable::KeyMissing { .. }),
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Has a key read. One of an erased subject that was put back is destroyed again.
    async fn read(
        &self,
        reading: impl Future<Output = Result<Option<SubjectKey>, DataKeyError>>,
    ) -> Result<Option<SubjectKey>, CommandError> {
        failpoint!("data-key.before");
        let read = reading.await;
        failpoint!("data-key.after");
        if let Err(DataKeyError::Erased { subject, is_there: true }) = read {
            let mut connection = self.pool.acquire().await?;
            destroy_again_of(&mut connection, &[subject]).await?;
        }
        Ok(read?)
    }

    /// The key of a subject of this kind, if it is in memory.
    pub(crate) fn cached(
        &self,
        subject: Uuid,
        kind: SubjectKind,
    ) -> Result<Option<SubjectKey>, CommandError> {
        Ok(self.keys.cached(subject).map(|key| key.of_kind(kind)).transpose()?)
    }

    /// Reads the keys of many subjects in one query; which of them are missing or do not open shows later.
    pub(crate) async fn prefetch(&self, subjects: &[Uuid]) -> Result<(), CommandError> {
        failpoint!("prefetch.before");
        self.keys.prefetch(subjects).await?;
        failpoint!("prefetch.after");
        Ok(())
    }

    /// A new key, to be stored by the append that first uses it.
    pub(crate) fn create(
        &self,
        subject: Uuid,
        kind: SubjectKind,
    ) -> Result<(SubjectKey, NewKey), CommandError> {
        let id = Uuid::new_v8(random::bytes());
        let key = SubjectKey { id, kind, key: DataKey::from_bytes(random::bytes()) };
        let wrapped = self.keys.wrap(subject, &key, random::bytes());
        let Wrapped { kek_id, bytes } = wrapped.map_err(Unavailable::from)?;
        Ok((key, NewKey { key_id: id, subject, kind, kek_id, wrapped: bytes }))
    }

    /// Remembers a key whose append is durable. One that was read while it was being destroyed is not kept.
    pub(crate) fn remember(&self, subject: Uuid, key: SubjectKey) {
        self.keys.remember(subject, key);
    }

    /// Forgets the keys of erased subjects for good.
    pub(crate) fn forget(&self, subjects: &[Uuid]) {
        self.keys.forget(subjects);
    }

    /// Whether the subject is known to be erased.
    pub(crate) fn is_erased(&self, subject: Uuid) -> bool {
        self.keys.is_erased(subject)
    }
}

impl From<DataKeyError> for CommandError {
    fn from(error: DataKeyError) -> Self {
        match error {
            DataKeyError::Sqlx(error) => error.into(),
            DataKeyError::Log(error) => error.into(),
            DataKeyError::Erased { .. } => CommandError::Erased,
            DataKeyError::Missing { subject } => Unavailable::KeyMissing { subject }.into(),
            DataKeyError::OtherKind { .. } => CommandError::id_taken(),
            DataKeyError::Unwrap { source, .. } => Unavailable::from(source).into(),
            other => Unavailable::Keys(Box::new(other)).into(),
        }
    }
}
