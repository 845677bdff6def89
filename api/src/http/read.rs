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
/// 409 at once when the log has no such position; 503 with `Retry-After` when it takes longer than a read may wait, or
/// when too many wait already.
pub(super) async fn reach(
    state: &AppState,
    call: &Call,
    model: ReadModel,
) -> Result<Option<u64>, Problem> {
    let Some(position) = call.min_position else { return Ok(None) };
    if position >= state.ledger.size() && position >= size(state).await? {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "position-beyond-log",
            "There is no such position",
            "the log has no event at the position in Ledger-Min-Position: give the one out of a receipt",
        )
        .at("Ledger-Min-Position"));
    }
    // Whoever is there already does not wait, however many do.
    let patience = match state.gate.waits.try_acquire() {
        Ok(waits) => (state.http.position_time(), Some(waits)),
        Err(_) => (Duration::ZERO, None),
    };
    state.read_models.wait_for(model, position, patience.0).await?;
    Ok(Some(position))
}

/// The size of the log in the database: other processes append to it too.
async fn size(state: &AppState) -> Result<u64, Problem> {
    let size = sqlx::query_scalar::<_, i64>("SELECT size FROM ledger_head");
    let size = size.fetch_one(&state.pool).await.map_err(|error| {
        tracing::error!(error = %audit::chain(&error), "the size of the log could not be read");
        Problem::unavailable("the log's database is not available; nothing was shown")
    })?;
    Ok(u64::try_from(size).unwrap_or_default())
}

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
