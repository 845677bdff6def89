//! What the sequencer answers: where the events of a command went, or why they did not go into the log.

use std::sync::Arc;

use audit::merkle::Hash;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::append::{Append, SealedEvent};
use super::command::Recorded;
use crate::error::Conflict;

/// A command in the queue, with the one who waits for the answer.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) append: Append,
    pub(crate) reply: oneshot::Sender<Result<Appended, Rejection>>,
}

/// The command is durable.
#[derive(Clone, Debug)]
pub(crate) struct Appended {
    pub(crate) append: AppendedEvents,
    pub(crate) checkpoint: Arc<str>,
}

/// Where the events went and how that is proved.
#[derive(Clone, Debug)]
pub(crate) struct AppendedEvents {
    pub(crate) first: u64,
    pub(crate) events: Vec<SealedEvent>,
    pub(crate) proofs: Vec<Vec<Hash>>,
}

/// Why a command was not appended. Nothing of it is in the log, except after [`Rejection::Failed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// It was appended before.
    Repeated(Recorded),
    /// Its id was used by another command of the same actor.
    Reused,
    /// What is on record under its id is not what this ledger wrote.
    CommandDamaged,
    /// Something else is registered under the id of what it begins.
    IdTaken,
    /// The stream has another version.
    Version { actual: u64 },
    /// A stream that it relies on has another version.
    Moved { stream_type: &'static str, stream_id: Uuid },
    /// Claims are taken.
    Claims(Vec<Conflict>),
    /// What is stored of the claims it needs is not what was granted.
    ClaimsDamaged,
    /// The subject has a data key already: seal again, with it.
    KeyExists,
    /// It was sealed too long ago: seal again.
    Stale,
    /// It is later than the database's clock says, by more than is borne.
    Ahead,
    /// The key that signed it may not sign any more: seal again.
    KeyNotActive,
    /// Another key-encryption key wraps by now: wrap again, with that.
    WrapNotCurrent,
    /// The key it was sealed with is destroyed.
    Erased,
    /// The database failed, or the outcome is unknown.
    Failed(String),
}

impl Rejection {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Rejection::Repeated(_) => "repeated",
            Rejection::Reused => "command-id-reused",
            Rejection::CommandDamaged => "command-damaged",
            Rejection::IdTaken => "id-taken",
            Rejection::Version { .. } => "version-conflict",
            Rejection::Moved { .. } => "moved",
            Rejection::Claims(_) => "claim-conflict",
            Rejection::ClaimsDamaged => "claims-damaged",
            Rejection::KeyExists => "key-exists",
            Rejection::Stale => "stale",
            Rejection::Ahead => "clock-ahead",
            Rejection::KeyNotActive => "key-not-active",
            Rejection::WrapNotCurrent => "wrap-not-current",
            Rejection::Erased => "erased",
            Rejection::Failed(_) => "failed",
        }
    }
}
