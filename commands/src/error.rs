//! Why a command was not done.

use audit::postgres::{Damage, ReadError};
use audit::seal::SealError;
use domain::RefusalKind;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::policy::Permission;

/// Why a command was not done. None of these leaves anything behind in the log, except
/// [`CommandError::Unavailable`], after which the caller asks again under the same command id.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The actor's roles do not allow it.
    #[error("this needs the permission `{}`", .permission.as_str())]
    Denied {
        /// What would have been needed.
        permission: Permission,
    },
    /// The domain said no.
    #[error("{detail}")]
    Refused {
        /// What kind of "no" it is.
        kind: RefusalKind,
        /// Stable, kebab-case.
        code: &'static str,
        /// The field of the command that is to blame, if one is.
        field: Option<&'static str>,
        /// What is wrong and what to do about it. No PHI.
        detail: String,
    },
    /// The stream moved on since the caller looked.
    #[error(
        "expected version {expected}, but the version is {actual}: read again, then decide again"
    )]
    VersionConflict {
        /// What the caller saw.
        expected: u64,
        /// What is there.
        actual: u64,
    },
    /// The command id belongs to another command.
    #[error("this command id was used for another command: take a new one")]
    CommandIdReused,
    /// Something it needs is taken.
    #[error("{} of the things asked for {} taken already", .conflicts.len(),
            if .conflicts.len() == 1 { "is" } else { "are" })]
    ClaimConflict {
        /// Every one of them.
        conflicts: Vec<Conflict>,
    },
    /// The patient, account or stream it is about is not in the ledger.
    #[error("no such {what}")]
    NotFound {
        /// What is missing: `patient`, `account`, or the stream's type.
        what: &'static str,
    },
    /// The data key of the subject was destroyed: there is nothing left to read or to add to.
    #[error("the record was erased")]
    Erased,
    /// Too much is waiting. Nothing was done; try again a little later.
    #[error("the ledger is busy: try again in a moment")]
    Overloaded,
    /// The command would make too large an entry.
    #[error("the command makes {size} bytes of {what}, more than the {limit} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The ledger cannot tell whether the command was done, or cannot work at all. Ask again under the
    /// same command id: it is never done twice.
    #[error("the ledger is not available: repeat the command under the same id")]
    Unavailable(#[source] Unavailable),
    /// What is stored does not read back as what was signed.
    #[error("the log is damaged: run `ledger audit verify`")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CommandError {
    /// A stable kebab-case code, for machines and for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            CommandError::Denied { .. } => "denied",
            CommandError::Refused { code, .. } => code,
            CommandError::VersionConflict { .. } => "version-conflict",
            CommandError::CommandIdReused => "command-id-reused",
            CommandError::ClaimConflict { .. } => "claim-conflict",
            CommandError::NotFound { .. } => "not-found",
            CommandError::Erased => "erased",
            CommandError::Overloaded => "overloaded",
            CommandError::TooLarge { .. } => "too-large",
            CommandError::Unavailable(Unavailable::ClaimsDamaged) => "claims-damaged",
            CommandError::Unavailable(Unavailable::CommandDamaged) => "command-damaged",
            CommandError::Unavailable(Unavailable::ClockAhead { .. }) => "clock-ahead",
            CommandError::Unavailable(Unavailable::ClockBehind { .. }) => "clock-behind",
            CommandError::Unavailable(Unavailable::KeyMissing { .. }) => "key-missing",
            CommandError::Unavailable(Unavailable::LogDamaged(_)) => "log-damaged",
            CommandError::Unavailable(Unavailable::LogUnread { .. }) => "log-unread",
            CommandError::Unavailable(Unavailable::KeyNotAtHand { .. }) => "key-not-at-hand",
            CommandError::Unavailable(_) => "unavailable",
            CommandError::Damaged(_) => "log-damaged",
        }
    }

    /// An id that is taken by a subject of another kind.
    pub(crate) fn id_taken() -> CommandError {
        CommandError::Refused {
            kind: RefusalKind::Conflict,
            code: "id-taken",
            field: None,
            detail: "something of another kind is registered under this id: take another"
                .to_owned(),
        }
    }

    /// How loud a log line about it should be: a refusal is the domain at work, a failing database is not.
    pub fn level(&self) -> tracing::Level {
        match self {
            CommandError::Unavailable(_) | CommandError::Damaged(_) => tracing::Level::ERROR,
            _ => tracing::Level::WARN,
        }
    }
}

/// What keeps the ledger from working.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The database failed before anything was written.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The append failed, or its outcome is unknown.
    #[error("the append failed or its outcome is unknown: {0}")]
    Append(String),
    /// The ledger is closing, or its writer has ended.
    #[error("the ledger's writer has ended")]
    Closed,
    /// This machine's clock is ahead of the database's. Nothing was done.
    #[error(
        "this machine's clock is {} s ahead of the database's: set it (docs/operations.md, \"Clocks\")",
        .by.as_secs()
    )]
    ClockAhead {
        /// By how much.
        by: SignedDuration,
    },
    /// This machine's clock is behind the database's. Nothing was done.
    #[error(
        "this machine's clock is {} s behind the database's: set it (docs/operations.md, \"Clocks\")",
        .by.as_secs()
    )]
    ClockBehind {
        /// By how much.
        by: SignedDuration,
    },
    /// The event was older than the last of the log each time it was tried: that one is ahead of this machine's clock, and this
    /// process has not read it yet.
    #[error(
        "the last event of the log is later than this machine's clock, and was not read yet: {attempts} attempts"
    )]
    LogAhead {
        /// How often it was tried.
        attempts: u32,
    },
    /// The keys changed under the command again and again.
    #[error("the log's keys kept changing: {attempts} attempts")]
    KeysMoving {
        /// How often it was tried.
        attempts: u32,
    },
    /// A stream changed under the command again and again.
    #[error("the stream kept changing: {attempts} attempts")]
    Contention {
        /// How often it was tried.
        attempts: u32,
    },
    /// What is on record under the command's id is not what this ledger wrote, so it cannot be determined whether it
    /// is this command.
    #[error(
        "what is on record under this command id is not what the ledger wrote: look for a receipt under it, or send the command \
         under another id; the operator must run `ledger audit verify`"
    )]
    CommandDamaged,
    /// The data keys cannot be read or made.
    #[error("the data keys are not available")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The data key of a subject is gone, and the log does not say that the subject is erased: it was removed past the ledger.
    /// Nothing was done.
    #[error(
        "the data key of {subject} is gone, and the log does not erase that record: restore the schema `keyring` from the \
         backup (docs/operations.md, \"A data key is missing\")"
    )]
    KeyMissing {
        /// Whose key.
        subject: Uuid,
    },
    /// The key-encryption key that wraps, or that has wrapped the data key, is not available. Nothing was done.
    #[error(
        "the key-encryption key {kek_id} is not at hand: add its line to `key-encryption.key` in LEDGER_KEYS_DIR; no restart is \
         needed"
    )]
    KeyNotAtHand {
        /// Its id, as `ledger keys status` shows it.
        kek_id: String,
    },
    /// What is stored of the claims it needs is not what was granted, so it cannot be determined what is free. Nothing
    /// was done.
    #[error("the stored claims are not those that were granted: run `ledger claims rebuild`")]
    ClaimsDamaged,
    /// The watch over the log has found damage: nothing is decided on such a log, and nothing appended to it.
    #[error("the log is damaged: run `ledger audit verify`")]
    LogDamaged(#[source] Damage),
    /// What decides about access or erasure waits until the log has been read to its end once.
    #[error("the log has not been read to its end yet: it is at {up_to}")]
    LogUnread {
        /// How far it was read.
        up_to: u64,
    },
    /// A statement or a checkpoint could not be made.
    #[error("cannot seal the event")]
    Seal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<SealError> for Unavailable {
    fn from(cause: SealError) -> Self {
        match cause {
            SealError::UnknownKek { kek_id } => Unavailable::KeyNotAtHand { kek_id },
            other => Unavailable::Keys(Box::new(other)),
        }
    }
}

impl From<Unavailable> for CommandError {
    fn from(cause: Unavailable) -> Self {
        CommandError::Unavailable(cause)
    }
}

impl From<ReadError> for CommandError {
    fn from(cause: ReadError) -> Self {
        match cause {
            ReadError::Sqlx(cause) => cause.into(),
            other => CommandError::Damaged(Box::new(other)),
        }
    }
}

impl From<sqlx::Error> for CommandError {
    fn from(cause: sqlx::Error) -> Self {
        CommandError::Unavailable(Unavailable::Database(cause))
    }
}

/// One thing that is taken already. The caller does not learn by whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "conflict", rename_all = "kebab-case")]
pub enum Conflict {
    /// A resource is busy.
    Busy {
        /// `practitioner`, `room` or `patient`.
        resource: String,
        /// Which one.
        id: Uuid,
        /// The busy time overlapped, its start.
        from: Timestamp,
        /// And its end.
        until: Timestamp,
    },
    /// A name or number belongs to another record.
    Unique {
        /// What kind, such as `patient-identifier` or `login`.
        kind: String,
        /// The stream that has it: for the record of who learned that it is taken, never for the caller.
        #[serde(skip)]
        holder: Uuid,
    },
}
