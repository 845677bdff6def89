//! What all reads have in common: seeing at least a position, pages, and what the store may say.

use axum::http::StatusCode;
use projections::read_models::{Page, ReadError, ReadModel};
use std::time::Duration;

use super::call::Call;
use super::problem::Problem;
use crate::state::AppState;

/// Waits until the read model has seen the position the caller named, and answers that position.
///
/// # Errors
///
/// 503 with `Retry-After` when it takes longer than a read may wait.
pub(super) async fn reach(
    state: &AppState,
    call: &Call,
    model: ReadModel,
) -> Result<Option<u64>, Problem> {
    let Some(position) = call.min_position else { return Ok(None) };
    state.read_models.wait_for(model, position, state.http.position_time()).await?;
    Ok(Some(position))
}

/// The part of a list that is asked for.
///
/// # Errors
///
/// 422 when the limit is none or `after` is no cursor of ours.
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

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        match error {
            ReadError::EmptySearch => Self::unprocessable("empty-search", text),
            ReadError::NoResource => Self::unprocessable("no-resource", text).at("practitioner_id"),
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
            ReadError::Store { .. }
            | ReadError::Unreadable { .. }
            | ReadError::NotPurged { .. }
            | ReadError::Cache(_) => {
                tracing::error!(error = %super::chain(&error), "a read model failed");
                Self::unavailable("the read models are not available; nothing was shown")
            }
        }
    }
}
