//! For whoever keeps the server running: is it alive, is it ready, what has it done.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::AppState;

/// Longest a check may take: a store that answers later does not carry a request either.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// What the server depends on, and whether it is there.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether requests are served.
    ready: bool,
    /// The log's database.
    #[schema(example = "ok")]
    postgres: &'static str,
    /// The one who appends.
    #[schema(example = "ok")]
    sequencer: &'static str,
    /// The read models.
    #[schema(example = "ok")]
    mongodb: &'static str,
    /// The cache. Without it the server is slower and still ready.
    #[schema(example = "ok")]
    redis: &'static str,
    /// The size of the log.
    position: u64,
}

/// The process is alive.
#[utoipa::path(
    get, path = "/health/live", tag = "operation", security(()),
    responses((status = 200, description = "Alive", body = String))
)]
pub(super) async fn live() -> &'static str {
    "alive"
}

/// Whether requests can be served.
#[utoipa::path(
    get, path = "/health/ready", tag = "operation", security(()),
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready", body = Readiness),
    )
)]
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let query = sqlx::query("SELECT 1").execute(&state.pool);
    let (postgres, mongodb, redis) = futures::join!(
        tokio::time::timeout(CHECK_TIME, query),
        tokio::time::timeout(CHECK_TIME, state.read_models.ping()),
        tokio::time::timeout(CHECK_TIME, state.read_models.ping_cache()),
    );
    let postgres = matches!(postgres, Ok(Ok(_)));
    let mongodb = matches!(mongodb, Ok(Ok(())));
    let redis = matches!(redis, Ok(Ok(())));
    let sequencer = state.ledger.is_open();
    let ready = postgres && mongodb && sequencer && !state.stopping.is_cancelled();
    let word = |fine: bool, otherwise: &'static str| if fine { "ok" } else { otherwise };
    let readiness = Readiness {
        ready,
        postgres: word(postgres, "unreachable"),
        sequencer: word(sequencer, "stopped"),
        mongodb: word(mongodb, "unreachable"),
        redis: word(redis, "degraded"),
        position: state.ledger.size(),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
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
