//! Why a command on the custody of a record is refused.

use crate::stream::{Refusal, RefusalKind};

/// Why a command on the custody of a record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustodyError {
    /// The record is erased.
    #[error("the record was erased already: there is nothing left to hold or to erase")]
    AlreadyErased,
    /// A hold is in force.
    #[error("the record is under {holds} legal hold(s): it can be erased once all are released")]
    OnHold {
        /// How many.
        holds: usize,
    },
    /// The id belongs to a hold of this record.
    #[error("a hold was already placed under this id: use a fresh id for each hold")]
    HoldAlreadyPlaced,
    /// There is no such hold.
    #[error("this record has no hold with this id: look at its holds first")]
    UnknownHold,
    /// The hold is not in force any more.
    #[error("the hold was already released: there is nothing left to release")]
    HoldAlreadyReleased,
    /// More holds than one record may ever have.
    #[error("too many holds on one record: at most {max} are allowed, released ones included")]
    TooManyHolds {
        /// The limit.
        max: usize,
    },
    /// There is nothing to purge.
    #[error("the record was not erased: a purge is recorded after an erasure only")]
    NotErased,
    /// The purge is on record.
    #[error("the purge was already recorded: it is recorded once")]
    PurgeAlreadyRecorded,
    /// Not each store once.
    #[error("the purge must name each store it is about once, and at least one")]
    StoresNotDistinct,
}

impl Refusal for CustodyError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::UnknownHold => RefusalKind::Missing("hold of this patient"),
            Self::AlreadyErased
            | Self::OnHold { .. }
            | Self::HoldAlreadyPlaced
            | Self::HoldAlreadyReleased
            | Self::TooManyHolds { .. }
            | Self::NotErased
            | Self::PurgeAlreadyRecorded => RefusalKind::Conflict,
            Self::StoresNotDistinct => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyErased => "already-erased",
            Self::OnHold { .. } => "on-hold",
            Self::HoldAlreadyPlaced => "hold-already-placed",
            Self::UnknownHold => "unknown-hold",
            Self::HoldAlreadyReleased => "hold-already-released",
            Self::TooManyHolds { .. } => "too-many-holds",
            Self::NotErased => "not-erased",
            Self::PurgeAlreadyRecorded => "purge-already-recorded",
            Self::StoresNotDistinct => "stores-not-distinct",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::HoldAlreadyPlaced | Self::UnknownHold => Some("hold_id"),
            Self::StoresNotDistinct => Some("stores"),
            Self::AlreadyErased
            | Self::OnHold { .. }
            | Self::HoldAlreadyReleased
            | Self::TooManyHolds { .. }
            | Self::NotErased
            | Self::PurgeAlreadyRecorded => None,
        }
    }
}
