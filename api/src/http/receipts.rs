//! Receipts.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};

use super::call::Call;
use super::path;
use super::problem::Problem;
use super::schema;
use crate::state::AppState;

/// The receipt of a command you have sent: to fetch it again, or to learn whether it was done.
#[utoipa::path(
    get, path = "/v1/receipts/{command_id}", tag = "log",
    params(schema::CommandPath, schema::ReceiptQuery),
    responses(
        (status = 200, description = "It was done, and this is the proof", body = schema::Receipt),
    )
)]
pub(super) async fn receipt(
    State(state): State<AppState>,
    call: Call,
    path::Id(command_id): path::Id,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    // Somebody else's command is not found: whether it exists is not for this caller to know.
    let query = path::Query::parse(query.as_deref(), &["actor"])?;
    let receipt = match query.get("actor")? {
        Some(of) => state.ledger.receipt_of(command_id, of, &call.actor).await?,
        None => state.ledger.receipt(command_id, &call.actor).await?,
    };
    let receipt = receipt.ok_or_else(|| Problem::not_found("command of yours"))?;
    Ok(Json(receipt).into_response())
}
