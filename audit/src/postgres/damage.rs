//! What is wrong with a stored row, and where.

use std::fmt;

use super::DatabaseError;
use crate::verify::FindingKind;

/// A row that is not what was signed. It holds nothing of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The position; the lowest possible one where it cannot be told exactly.
    pub position: u64,
    /// What kind of damage.
    pub kind: FindingKind,
    /// What exactly, in words.
    pub detail: String,
}

impl Damage {
    pub(super) fn new(position: u64, kind: FindingKind, detail: impl Into<String>) -> Damage {
        Damage { position, kind, detail: detail.into() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {}: {}: {}", self.position, self.kind, self.detail)
    }
}

impl std::error::Error for Damage {}

/// Why the log was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Postgres.
    #[error("the log could not be read from Postgres")]
    Sqlx(#[from] sqlx::Error),
    /// What is stored is not what was signed.
    #[error("the stored log is not what was signed")]
    Damaged(#[from] Damage),
    /// There is no log yet.
    #[error("this database holds no log yet")]
    Empty,
    /// The work was ended from outside.
    #[error("the check was given up")]
    GivenUp,
}

impl ReadError {
    /// The damage, if that is what it is.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            ReadError::Damaged(damage) => Some(damage),
            _ => None,
        }
    }

    /// As damage of some kind at some position, unless the database did not answer.
    pub(super) fn at(position: u64, kind: FindingKind, error: DatabaseError) -> ReadError {
        match error {
            DatabaseError::Sqlx(error) => ReadError::Sqlx(error),
            DatabaseError::Empty => ReadError::Empty,
            other => Damage::new(position, kind, crate::verify::with_source(&other)).into(),
        }
    }
}
