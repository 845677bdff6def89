//! Why there is no data key.

use uuid::Uuid;

use super::super::damage::ReadError;
use crate::seal::SealError;

/// Why there is no data key. What is damaged, what is missing and what is erased are kept apart: only the log says that a
/// subject is erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataKeyError {
    /// Postgres.
    #[error("the data key could not be read")]
    Sqlx(#[from] sqlx::Error),
    /// The log could not be asked whether the subject is erased.
    #[error("the log could not be asked about the subject of the data key")]
    Log(#[source] ReadError),
    /// The log erases the subject: what the key has sealed opens no more, whatever the table holds.
    #[error("the data key of {subject} is destroyed: the log erases the subject")]
    Erased {
        /// Whose key.
        subject: Uuid,
        /// Whether the table holds it all the same: it was put back.
        is_there: bool,
    },
    /// There is no row, or an empty one, and nothing that was asked erases the subject.
    #[error("the data key of {subject} is gone")]
    Missing {
        /// Whose key.
        subject: Uuid,
    },
    /// The wrap is not bound to its subject: it is of version 1, and has not been proved otherwise.
    #[error("the data key {key_id} is not bound to its subject")]
    Unbound {
        /// Which key, as the row has it.
        key_id: Uuid,
    },
    /// The wrap does not open for the log, the subject, the kind of subject and the key that its row names.
    #[error("the data key {key_id} does not unwrap")]
    Unwrap {
        /// Which key, as the row has it.
        key_id: Uuid,
        /// Why.
        #[source]
        source: SealError,
    },
    /// It opens, for a subject of another kind than was asked for.
    #[error("the data key {key_id} belongs to a subject of another kind")]
    OtherKind {
        /// Which key.
        key_id: Uuid,
    },
    /// It opens, and is another key than the statement names, or the statement is of another log.
    #[error("the data key {key_id} is not the one that is kept for its subject")]
    OtherKey {
        /// Which key the statement names.
        key_id: Uuid,
    },
}

impl From<ReadError> for DataKeyError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Sqlx(error) => DataKeyError::Sqlx(error),
            other => DataKeyError::Log(other),
        }
    }
}
