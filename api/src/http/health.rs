//! For whoever keeps the server running: is it alive, is it ready, what has it done.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::readiness::{self, Readiness};
use crate::state::AppState;

/// The process is alive.
#[utoipa::path(
    get, path = "/health/live", tag = "operation", security(()),
    responses((status = 200, description = "Alive", body = String))
)]
pub(super) async fn live() -> &'static str {
    "alive"
}

/// Whether a command could be done now, and whether a read could be answered now, each with the reason if not.
#[utoipa::path(
    get, path = "/health/ready", tag = "operation", security(()),
    responses(
        (status = 200, description = "Ready for both", body = Readiness),
        (status = 503, description = "Not ready for commands, or for reads, or for either", body = Readiness),
    )
)]
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let readiness = readiness::ask(&state).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Figures for Prometheus. They name operations and outcomes, never a person.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, description = "Prometheus text format", body = String,
               content_type = "text/plain"))
)]
pub(super) async fn figures(State(state): State<AppState>) -> Response {
    crate::metrics::figures(&state.metrics)
}
