//! What all reads have in common: pages, and why nothing is shown.

use axum::http::StatusCode;
use projections::read_models::{Page, ReadError};
use std::time::Duration;

use super::problem::Problem;
use crate::records::RecordsError;

/// The part of a list that is asked for.
///
/// # Errors
///
/// 422 if `limit` is out of range or `after` is not a valid cursor.
pub(super) fn page(limit: Option<u32>, after: Option<&str>) -> Result<Page, Problem> {
    if limit.is_some_and(|limit| !(1..=Page::LIMIT_MAX).contains(&limit)) {
        let reason = format!("give 1 to {}", Page::LIMIT_MAX);
        return Err(Problem::unprocessable("invalid-limit", reason).at("limit"));
    }
    let after = after.map(str::parse).transpose().map_err(|error| {
        let error: projections::read_models::InvalidCursor = error;
        Problem::unprocessable("invalid-cursor", error.to_string()).at("after")
    })?;
    Ok(Page::new(limit, after))
}

impl From<RecordsError> for Problem {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::NotFound { what } => Self::not_found(what),
            RecordsError::BeyondLog => Self::new(
                StatusCode::CONFLICT,
                "position-beyond-log",
                "There is no such position",
                "the log has no event at the position in Ledger-Min-Position: give the one out of a receipt",
            )
            .at("Ledger-Min-Position"),
            RecordsError::Ledger(error) => error.into(),
            RecordsError::Read(error) => error.into(),
            RecordsError::Log(_) => {
                tracing::error!(error = %audit::chain(&error), "the size of the log could not be read");
                Self::unavailable("the log's database is not available; nothing was shown")
            }
            RecordsError::CaptureDamaged { scan } => {
                tracing::error!(scan.id = %scan, "the stored capture is missing or damaged");
                Self::not_found("intact capture")
            }
            RecordsError::Captures(_) => {
                tracing::error!(error = %audit::chain(&error), "a capture could not be fetched");
                Self::unavailable("the store of captures is not available")
            }
            RecordsError::NotStored(_) => {
                tracing::error!(error = %audit::chain(&error), "a capture could not be stored");
                Self::unavailable("the store of captures is not available; nothing was recorded")
            }
            RecordsError::Form => {
                tracing::error!(error = %error, "a look could not be put into the form of its record");
                Self::internal()
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        match error {
            ReadError::EmptySearch => Self::unprocessable("empty-search", text),
            ReadError::NoResource => Self::unprocessable("no-resource", text).at("practitioner"),
            ReadError::EmptyRange => Self::unprocessable("empty-range", text).at("to"),
            ReadError::Behind { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "position-not-reached",
                "Not there yet",
                "the read model has not reached the position in Ledger-Min-Position yet; ask again",
            )
            .retry_after(Duration::from_secs(1))
            .at("Ledger-Min-Position"),
            ReadError::Erased => Self::erased(),
            ReadError::Damaged { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "read-model-damaged",
                "A stored document is damaged",
                "a stored document is not what it must be, and could not be made again yet; nothing was shown: ask again, \
                 and tell the operator if it lasts",
            )
            .retry_after(Duration::from_secs(1)),
            ReadError::Store { .. }
            | ReadError::Log(_)
            | ReadError::NotPurged { .. }
            | ReadError::Cache(_) => {
                tracing::error!(error = %audit::chain(&error), "a read model failed");
                Self::unavailable("the read models are not available; nothing was shown")
            }
        }
    }
}
