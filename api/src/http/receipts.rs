//! Receipts, and the log's newest checkpoint.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use super::call::Call;
use super::path;
use super::problem::Problem;
use super::schema;
use crate::state::AppState;

/// The receipt of a command you have sent: to fetch it again, or to learn whether it was done.
#[utoipa::path(
    get, path = "/v1/receipts/{command_id}", tag = "log",
    params(schema::CommandPath),
    responses(
        (status = 200, description = "It was done, and this is the proof", body = schema::Receipt),
    )
)]
pub(super) async fn receipt(
    State(state): State<AppState>,
    call: Call,
    path::Id(command_id): path::Id,
) -> Result<Response, Problem> {
    // Somebody else's command is not found: whether it exists is not for this caller to know.
    let receipt = state.ledger.receipt(command_id, &call.actor).await?;
    let receipt = receipt.ok_or_else(|| Problem::not_found("command of yours"))?;
    Ok(Json(receipt).into_response())
}

/// The log's newest checkpoint: a C2SP signed note.
#[utoipa::path(
    get, path = "/v1/log/checkpoint", tag = "log",
    responses(
        (status = 200, description = "Origin, size, root and signature", body = String,
         content_type = "text/plain"),
    )
)]
pub(super) async fn checkpoint(State(state): State<AppState>, _call: Call) -> Response {
    let note = state.ledger.checkpoint().await;
    const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, PLAIN)], note).into_response()
}
