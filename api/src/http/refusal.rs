//! What the ledger says, as a problem: one status for each kind of refusal.

use axum::http::StatusCode;
use commands::{CommandError, Conflict, Unavailable};
use domain::RefusalKind;

use super::problem::{ConflictView, Problem};

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Denied { permission } => Self::denied(permission.as_str()),
            CommandError::Refused { kind, code, field, detail } => {
                refusal_problem(kind, code, field, &detail)
            }
            CommandError::VersionConflict { actual, .. } => {
                let mut problem = Self::new(
                    StatusCode::PRECONDITION_FAILED,
                    "version-conflict",
                    "It changed in the meantime",
                    error.to_string(),
                )
                .at("If-Match");
                problem.current_version = Some(actual);
                problem
            }
            CommandError::CommandIdReused => {
                Self::unprocessable("command-id-reused", error.to_string()).at("Idempotency-Key")
            }
            CommandError::ClaimConflict { ref conflicts } => {
                let mut problem = Self::new(
                    StatusCode::CONFLICT,
                    "claim-conflict",
                    "Something is taken already",
                    error.to_string(),
                );
                problem.conflicts = conflicts.iter().map(view).collect();
                problem
            }
            CommandError::NotFound { what } => Self::not_found(what),
            CommandError::Erased => Self::erased(),
            CommandError::Overloaded => Self::overloaded(),
            CommandError::TooLarge { .. } => Self::unprocessable("too-large", error.to_string()),
            CommandError::Unavailable(Unavailable::ClaimsDamaged) => Self::claims_damaged(),
            CommandError::Unavailable(
                Unavailable::ClockAhead { .. } | Unavailable::ClockBehind { .. },
            ) => Self::clock_wrong(&error),
            CommandError::Unavailable(Unavailable::KeyNotAtHand { .. }) => {
                Self::key_not_at_hand(&error)
            }
            CommandError::Unavailable(Unavailable::CommandDamaged) => Self::command_damaged(),
            CommandError::Unavailable(Unavailable::KeyMissing { .. }) => {
                tracing::error!(error = %audit::chain(&error), "refused because a data key is gone");
                Self::key_missing()
            }
            CommandError::Unavailable(
                Unavailable::LogDamaged(_) | Unavailable::LogUnread { .. },
            ) => Self::undecidable(&error),
            // The sequencer has said what failed, once for all commands of the batch.
            CommandError::Unavailable(Unavailable::Append(_)) => Self::outcome_unknown(),
            CommandError::Unavailable(_) => {
                tracing::error!(error = %audit::chain(&error), "the ledger is not available");
                Self::outcome_unknown()
            }
            CommandError::Damaged(_) => {
                tracing::error!(error = %audit::chain(&error), "the log is damaged");
                Self::undecidable(&error)
            }
        }
    }
}

impl Problem {
    /// 503: what became of the command is not known.
    fn outcome_unknown() -> Self {
        Self::unavailable(
            "it may or may not have been done: send it again with the same Idempotency-Key",
        )
    }

    /// 503: the log is damaged, or was not read to its end yet, so that nothing may be decided on it.
    fn undecidable(error: &CommandError) -> Self {
        let detail = "nothing was done: the log is being checked, or it is damaged and must be put right first";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error.code(),
            "Not decided on such a log",
            detail,
        )
        .retry_after(std::time::Duration::from_secs(5))
    }

    /// 503: the clock of this server and that of the log's database do not agree, so nothing is recorded by it. That is said
    /// when it begins (`commands/src/time.rs`), not for each request.
    fn clock_wrong(error: &CommandError) -> Self {
        let detail = match error {
            CommandError::Unavailable(fault) => format!("nothing was done: {fault}"),
            other => other.to_string(),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), "The clock is wrong", detail)
            .retry_after(std::time::Duration::from_secs(30))
    }

    /// 503: a key-encryption key is not in the key files of this server: sending it again does not help.
    fn key_not_at_hand(error: &CommandError) -> Self {
        let chain = audit::chain(error);
        tracing::error!(error = %chain, "refused because a key-encryption key is not at hand");
        let detail = match error {
            CommandError::Unavailable(fault) => format!("nothing was done: {fault}"),
            other => other.to_string(),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), "A key is not at hand", detail)
            .retry_after(std::time::Duration::from_secs(30))
    }

    /// 503: it cannot be determined whether what is on record is this command.
    fn command_damaged() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "command-damaged",
            "What was done under this id cannot be told",
            "what is on record under this Idempotency-Key is not what the ledger wrote: ask for the receipt under it, which is made from \
             the log, or send the request with another key; the operator must run `ledger audit verify`",
        )
        .at("Idempotency-Key")
        .retry_after(std::time::Duration::from_secs(60))
    }

    /// 503: the key of a record is gone, and the log has no erasure of the record.
    fn key_missing() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "key-missing",
            "The key of the record is missing",
            "nothing was done: the data key of the record is gone, although nobody has erased the record; the operator must \
             restore the schema keyring from the backup",
        )
        .retry_after(std::time::Duration::from_secs(60))
    }

    /// As `from`, for a command that creates something about a patient named in its body: that there
    /// is no such patient is then a fault of the body and not of the path.
    pub fn of_creation(error: CommandError) -> Self {
        match error {
            CommandError::NotFound { what: "patient" } => {
                let reason = "there is no patient with this id: register the patient first";
                Self::unprocessable("unknown-patient", reason).at("patient_id")
            }
            error => error.into(),
        }
    }
}

/// One status for each kind of refusal: 404 where something is missing, 409 where it contradicts how things stand, 422 where
/// what was sent is wrong.
fn refusal_problem(
    kind: RefusalKind,
    code: &'static str,
    field: Option<&'static str>,
    detail: &str,
) -> Problem {
    let problem = match kind {
        RefusalKind::Missing(what) => return Problem::not_found(what),
        RefusalKind::Conflict => {
            Problem::new(StatusCode::CONFLICT, code, "Not possible as things stand", detail)
        }
        RefusalKind::Invalid => Problem::unprocessable(code, detail),
    };
    match field {
        Some(field) => problem.at(field),
        None => problem,
    }
}

fn view(conflict: &Conflict) -> ConflictView {
    match conflict {
        Conflict::Busy { resource, id, from, until } => ConflictView {
            kind: resource.clone(),
            resource_id: Some(*id),
            from: Some(*from),
            until: Some(*until),
        },
        Conflict::Unique { kind, .. } => {
            ConflictView { kind: kind.clone(), resource_id: None, from: None, until: None }
        }
    }
}
