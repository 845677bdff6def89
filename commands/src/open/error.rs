//! Why the ledger did not open.

use crate::checkpoints::CheckpointsError;
use crate::signing::SigningError;

/// Why the ledger did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database failed.
    #[error("the database failed while the log was opened")]
    Database(#[from] sqlx::Error),
    /// The log in this database is another one.
    #[error("the log here is `{found}`, not `{expected}`: check LEDGER_ORIGIN and DATABASE_URL")]
    Origin {
        /// What was configured.
        expected: String,
        /// What the database holds.
        found: String,
    },
    /// The origin cannot name a log.
    #[error("`{origin}` cannot be a log's origin: {reason}")]
    BadOrigin {
        /// What was configured.
        origin: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The log's right edge is not what this ledger signed last.
    #[error(
        "the log's right edge is not what was signed last ({reason}): \
             nothing will be appended; run `ledger audit verify` and restore the newest backup"
    )]
    RightEdge {
        /// What does not fit.
        reason: String,
    },
    /// The log here is older than what was published: a restored backup.
    #[error(
        "the log here has {found} events, but {by} has a published checkpoint of {published}: this is an \
             older state, such as a restored backup. Nothing will be signed, because that would fork the log. \
             Restore a newer backup; if the loss must be accepted, see \"A restored backup\" in \
             docs/operations.md"
    )]
    Behind {
        /// The size of the log in the database.
        found: u64,
        /// The size that was published.
        published: u64,
        /// Who has seen it.
        by: String,
    },
    /// The log here is another history than what was published.
    #[error(
        "the log here is not a continuation of the checkpoint of {published} events that {by} has: one of \
             the two is a fork. Nothing will be signed. Restore the database that the checkpoint belongs to, \
             and keep both for whoever investigates"
    )]
    Forked {
        /// The size that was published.
        published: u64,
        /// Who has seen it.
        by: String,
    },
    /// The last published checkpoint cannot be read or written.
    #[error("the last published checkpoint is not at hand: nothing will be signed")]
    Checkpoints(#[from] CheckpointsError),
    /// The log's own events, or its last checkpoint, are not signed by its keys.
    #[error(
        "the log's keys or its last checkpoint are not as a ledger signed them: run `ledger audit verify`"
    )]
    ForeignKey(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// None of the available keys may sign this log.
    #[error("nothing can be signed: check LEDGER_KEYS_DIR")]
    Signing(#[from] SigningError),
    /// The first event could not be written.
    #[error("cannot begin the log")]
    Genesis(#[source] Box<dyn std::error::Error + Send + Sync>),
}
