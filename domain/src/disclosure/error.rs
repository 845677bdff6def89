//! Why a look cannot be recorded.

use crate::stream::{Refusal, RefusalKind};

/// Why a look cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisclosureError {
    /// The stream already holds a disclosure.
    #[error("a disclosure is already recorded under this id: use a fresh id for each look")]
    AlreadyRecorded,
    /// More documents than one look may name.
    #[error("too many documents in one disclosure: at most {max} are allowed")]
    TooManyDocuments {
        /// The limit.
        max: usize,
    },
}

impl Refusal for DisclosureError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::AlreadyRecorded => RefusalKind::Conflict,
            Self::TooManyDocuments { .. } => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRecorded => "already-recorded",
            Self::TooManyDocuments { .. } => "too-many-documents",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyRecorded => None,
            Self::TooManyDocuments { .. } => Some("what"),
        }
    }
}
