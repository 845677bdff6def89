//! What can go wrong on the way of an event, divided by what to do about it.

use crate::event::EventError;

/// An error of some store's client library.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Why a projector did not take a batch.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A store did not answer: the batch is tried again.
    #[error("a store failed while the projector tried to {doing}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the store's client said.
        #[source]
        source: StoreError,
    },
    /// The read model lacks a document that earlier events made: it was removed past the projector. It is rebuilt from zero.
    #[error("the read model has lost the document that the event at position {position} continues")]
    Incomplete {
        /// The event that has nothing to continue.
        position: u64,
    },
    /// The projector was asked to stop and left the rest of the batch: the next process to run it begins with that batch.
    #[error("the projector was asked to stop within a batch")]
    Stopped,
    /// The event cannot be applied, now or later: the projector stops.
    #[error("the event at position {position} cannot be applied: {reason}")]
    Poison {
        /// The event.
        position: u64,
        /// What is wrong with it, without the person it is about.
        reason: String,
    },
}

impl ApplyError {
    /// For `map_err` on a store's answer.
    pub fn unavailable<E: Into<StoreError>>(doing: &'static str) -> impl FnOnce(E) -> ApplyError {
        move |source| ApplyError::Unavailable { doing, source: source.into() }
    }
}

/// Why a projector's session ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log could not be read, or holds what this version does not understand.
    #[error("reading the log failed")]
    Log(#[source] EventError),
    /// The connection that holds the projector's lock failed.
    #[error("the lock on projector {projector} could not be taken or kept")]
    Lease {
        /// The projector.
        projector: String,
        /// What Postgres or the connection said.
        #[source]
        source: sqlx::Error,
    },
    /// The connection that held the lock is gone, and with it the right to project.
    #[error("the lock on projector {projector} is lost")]
    LeaseLost {
        /// The projector.
        projector: String,
    },
    /// The checkpoint could not be read or written.
    #[error("the checkpoint of projector {projector} could not be kept")]
    Checkpoint {
        /// The projector.
        projector: String,
        /// What the store's client said.
        #[source]
        source: StoreError,
    },
    /// The read model has seen more than the log holds: events of it were lost, as in a restored backup. It is rebuilt.
    #[error("projector {projector} stands at {position}, but the log ends at {head}")]
    AheadOfLog {
        /// The projector.
        projector: String,
        /// Where it stands.
        position: u64,
        /// The size of the log.
        head: u64,
    },
    /// The projector refused a batch.
    #[error("projector {projector} did not take the batch from position {from}")]
    Apply {
        /// The projector.
        projector: String,
        /// The batch's first position.
        from: u64,
        /// Why.
        #[source]
        source: ApplyError,
    },
}

impl RunError {
    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        match self {
            RunError::Log(source) => source.is_transient(),
            RunError::Lease { .. } | RunError::LeaseLost { .. } | RunError::Checkpoint { .. } => {
                true
            }
            RunError::Apply { source, .. } => matches!(source, ApplyError::Unavailable { .. }),
            RunError::AheadOfLog { .. } => false,
        }
    }
}
