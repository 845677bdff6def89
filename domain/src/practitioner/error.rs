//! Why a command on a practitioner is refused.

use crate::stream::{Refusal, RefusalKind};

/// Why a command on a practitioner is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PractitionerError {
    /// The stream already holds a practitioner.
    #[error(
        "a practitioner is already registered under this id: use another id, or edit the practitioner"
    )]
    AlreadyRegistered,
    /// The stream holds no practitioner.
    #[error("no practitioner is registered under this id: register the practitioner first")]
    NotRegistered,
    /// The practitioner is out of use.
    #[error("the practitioner is out of use already: there is nothing to do")]
    AlreadyInactive,
    /// The practitioner is in use.
    #[error("the practitioner is in use: there is nothing to do")]
    AlreadyActive,
    /// Neither a name nor an identifier.
    #[error("nothing tells who the practitioner is: give a name or an identifier")]
    NameOrIdentifierRequired,
    /// One identifier twice.
    #[error("an identifier is given twice: the same value of the same system may stand once")]
    IdentifierRepeated,
    /// A qualification that says nothing.
    #[error("a qualification does not say which it is: give its code or its text")]
    QualificationEmpty,
    /// A qualification that ends before it begins.
    #[error("a qualification ends before it begins: correct one of the two dates")]
    QualificationEndsBeforeStart,
    /// More entries than the field may have.
    #[error("too many entries: at most {max} are allowed here")]
    TooMany {
        /// The field.
        field: &'static str,
        /// The limit.
        max: usize,
    },
    /// An edit that edits nothing.
    #[error("the edit changes nothing: send only what differs from the entry")]
    NothingChanged,
    /// The reason says "other" and no note says more.
    #[error("the reason `other` needs a note that says more")]
    NoteRequired,
}

impl Refusal for PractitionerError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotRegistered => RefusalKind::Missing("practitioner"),
            Self::AlreadyRegistered
            | Self::AlreadyInactive
            | Self::AlreadyActive
            | Self::NothingChanged => RefusalKind::Conflict,
            Self::NameOrIdentifierRequired
            | Self::IdentifierRepeated
            | Self::QualificationEmpty
            | Self::QualificationEndsBeforeStart
            | Self::TooMany { .. }
            | Self::NoteRequired => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRegistered => "already-registered",
            Self::NotRegistered => "not-registered",
            Self::AlreadyInactive => "already-inactive",
            Self::AlreadyActive => "already-active",
            Self::NameOrIdentifierRequired => "name-or-identifier-required",
            Self::IdentifierRepeated => "identifier-repeated",
            Self::QualificationEmpty => "qualification-empty",
            Self::QualificationEndsBeforeStart => "qualification-ends-before-start",
            Self::TooMany { .. } => "too-many-entries",
            Self::NothingChanged => "nothing-changed",
            Self::NoteRequired => "note-required",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyRegistered
            | Self::NotRegistered
            | Self::AlreadyInactive
            | Self::AlreadyActive
            | Self::NothingChanged => None,
            Self::NameOrIdentifierRequired => Some("name"),
            Self::IdentifierRepeated => Some("identifiers"),
            Self::QualificationEmpty | Self::QualificationEndsBeforeStart => Some("qualifications"),
            Self::TooMany { field, .. } => Some(field),
            Self::NoteRequired => Some("note"),
        }
    }
}
