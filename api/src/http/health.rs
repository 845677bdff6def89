//! Endpoints for operators: liveness, readiness, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::answer::{File, Kind};
use super::caller::Public;
use super::describe::{Answers, Draft};
use super::problem::Problem;
use super::routes::Routes;
use crate::metrics;
use crate::readiness::{self, Readiness};
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes
        .tag("operation")
        .that_keep_answering()
        .get(
            "/health/ready",
            "ready",
            ready,
            "Whether requests can be served. Whether a command could be done now, and whether a read could be answered now, \
             each with the reason if not.",
        )
        .get(
            "/metrics",
            "figures",
            figures,
            "Figures for Prometheus. They name operations and outcomes, never a person.",
        )
        .that_always_answer()
        .get("/health/live", "live", live, "The process is alive.");
}

/// A sign of life.
struct Alive;

impl Kind for Alive {
    const MEDIA_TYPE: &'static str = "text/plain; charset=utf-8";
    const IS_TEXT: bool = true;
    const DESCRIPTION: &'static str = "Alive";
}

async fn live(_: Public) -> Result<File<Alive>, Problem> {
    Ok(File::of("alive"))
}

/// Whether requests can be served: 200 or 503.
struct Ready(Readiness);

impl Answers for Ready {
    fn describe(draft: &mut Draft<'_>) {
        for (status, description) in [
            (StatusCode::OK, "Ready for both"),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not ready for commands, or for reads, or for either",
            ),
        ] {
            draft.answer::<Readiness>(status, "application/json", description, &[]);
        }
    }
}

impl IntoResponse for Ready {
    fn into_response(self) -> Response {
        let status = if self.0.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self.0)).into_response()
    }
}

async fn ready(_: Public, State(state): State<AppState>) -> Result<Ready, Problem> {
    Ok(Ready(readiness::ask(&state).await))
}

/// Figures in Prometheus's text format.
struct Figures;

impl Kind for Figures {
    const MEDIA_TYPE: &'static str = metrics::MEDIA_TYPE;
    const IS_TEXT: bool = true;
    const DESCRIPTION: &'static str = "Prometheus text format";
}

async fn figures(_: Public, State(state): State<AppState>) -> Result<File<Figures>, Problem> {
    Ok(File::of(metrics::figures(&state.metrics)))
}
