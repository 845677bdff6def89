//! Why a command on a patient's record is refused.

use crate::stream::{Refusal, RefusalKind};

/// Why a command on a patient's record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatientError {
    /// The stream already holds a patient.
    #[error("a patient is already registered under this id: use another id, or edit the patient")]
    AlreadyRegistered,
    /// The stream holds no patient.
    #[error("no patient is registered under this id: register the patient first")]
    NotRegistered,
    /// The record is out of use.
    #[error("the patient's record is out of use: it can be read, but no longer edited")]
    Deactivated,
    /// Neither a name nor an identifier.
    #[error("nothing tells who the patient is: give a name or an identifier")]
    NameOrIdentifierRequired,
    /// A birth date that has not come yet.
    #[error("the birth date is in the future: correct it")]
    BirthInFuture,
    /// A date of death that has not come yet.
    #[error("the date of death is in the future: correct it")]
    DeathInFuture,
    /// Died before being born.
    #[error("the date of death is before the birth date: correct one of them")]
    DeathBeforeBirth,
    /// One identifier twice.
    #[error("an identifier is given twice: the same value of the same system may stand once")]
    IdentifierRepeated,
    /// More entries than the field may have.
    #[error("too many entries: at most {max} are allowed here")]
    TooMany {
        /// The field.
        field: &'static str,
        /// The limit.
        max: usize,
    },
    /// An edit that edits nothing.
    #[error("the edit changes nothing: send only what differs from the record")]
    NothingChanged,
    /// The reason says "other" and no note says more.
    #[error("the reason `other` needs a note that says more")]
    NoteRequired,
}

impl Refusal for PatientError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotRegistered => RefusalKind::Missing("record"),
            Self::AlreadyRegistered | Self::Deactivated | Self::NothingChanged => {
                RefusalKind::Conflict
            }
            Self::NameOrIdentifierRequired
            | Self::BirthInFuture
            | Self::DeathInFuture
            | Self::DeathBeforeBirth
            | Self::IdentifierRepeated
            | Self::TooMany { .. }
            | Self::NoteRequired => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRegistered => "already-registered",
            Self::NotRegistered => "not-registered",
            Self::Deactivated => "patient-deactivated",
            Self::NameOrIdentifierRequired => "name-or-identifier-required",
            Self::BirthInFuture => "birth-in-future",
            Self::DeathInFuture => "death-in-future",
            Self::DeathBeforeBirth => "death-before-birth",
            Self::IdentifierRepeated => "identifier-repeated",
            Self::TooMany { .. } => "too-many-entries",
            Self::NothingChanged => "nothing-changed",
            Self::NoteRequired => "note-required",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyRegistered
            | Self::NotRegistered
            | Self::Deactivated
            | Self::NothingChanged => None,
            Self::NameOrIdentifierRequired => Some("name"),
            Self::BirthInFuture => Some("birth_date"),
            Self::DeathInFuture | Self::DeathBeforeBirth => Some("deceased"),
            Self::IdentifierRepeated => Some("identifiers"),
            Self::TooMany { field, .. } => Some(field),
            Self::NoteRequired => Some("note"),
        }
    }
}
