//! Why a batch was not appended, and what that means for the next try.

use audit::checkpoint::CheckpointError;
use audit::postgres::{DatabaseError, ReadError};

use crate::log::{StrayError, TreeError};
use crate::signing::SigningError;

/// Why a batch failed as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("the right edge cannot be trusted")]
    LogTree(#[from] TreeError),
    #[error("the checkpoint cannot be signed")]
    Checkpoint(#[from] CheckpointError),
    #[error("there is no log in this database any more")]
    NoLog,
    #[error("the log's keys cannot be read")]
    Keyring(#[source] DatabaseError),
    #[error("who is erased cannot be told from the log")]
    Erasures(#[source] ReadError),
    #[error("nothing can be signed")]
    Signing(#[from] SigningError),
    #[error("the outcome of the commit is unknown")]
    Commit(#[source] sqlx::Error),
    #[error("the transaction took longer than {seconds} s")]
    Timeout { seconds: u64 },
    #[error("the append was given up")]
    GivenUp,
    #[error("the rows beyond the head cannot be set aside")]
    Strays(#[source] StrayError),
    #[error("the batch before it failed")]
    Predecessor,
    #[error("the claims read are not those known")]
    ClaimsMoved,
}

impl BatchError {
    /// Whether the database refused the data, as opposed to not answering or having no room: then one
    /// of the batch is to blame, and the others can be tried without it.
    pub(super) fn is_about_the_data(&self) -> bool {
        let BatchError::Database(sqlx::Error::Database(error)) = self else { return false };
        // Data exception, constraint violation, program limit exceeded, and an older wrap.
        error.code().is_some_and(|code| {
            ["22", "23", "54", "KE"].iter().any(|class| code.starts_with(class))
        })
    }

    /// Whether an event is later than the database's clock says, by more than is borne.
    pub(super) fn is_about_the_clock(&self) -> bool {
        let BatchError::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("22008")
    }

    /// Whether a data key is wrapped by another key-encryption key than the current one.
    pub(super) fn is_about_a_wrap(&self) -> bool {
        let BatchError::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("KE001")
    }

    /// Whether a claim was written that the database has no room for. Under the lock that cannot be, with what was
    /// proved: so there is a row that was not granted.
    pub(super) fn is_about_a_claim(&self) -> bool {
        let BatchError::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| code.starts_with("23"))
            && error.table().is_some_and(|table| matches!(table, "claims_unique" | "claims_busy"))
    }

    /// Whether a row of the log that was to be inserted is there already.
    pub(super) fn meets_a_row_of_the_log(&self) -> bool {
        let BatchError::Database(sqlx::Error::Database(error)) = self else { return false };
        let of_the_log = ["events", "checkpoints", "tiles"];
        error.is_unique_violation()
            && error.table().is_some_and(|table| of_the_log.contains(&table))
    }

    /// Whether another try on a new connection may help. It is safe even if this one was committed after
    /// all: the commands are found then, under their ids, and answered alike.
    pub(super) fn is_worth_a_retry(&self) -> bool {
        match self {
            BatchError::Database(error) | BatchError::Commit(error) => match error {
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
                // An administrator or a restart ended the session.
                sqlx::Error::Database(error) => {
                    error.code().is_some_and(|code| code.starts_with("57P"))
                }
                _ => false,
            },
            BatchError::GivenUp | BatchError::Predecessor => true,
            _ => false,
        }
    }

    /// The message and those of its causes.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
