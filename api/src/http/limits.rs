//! Limits on everything: how many requests at once, how long each, and nothing that panics gets away.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::problem::Problem;

/// Lets so many requests in, and tells the rest to come back: a queue would only make everybody late.
pub async fn admit(
    State(permits): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(permit) = permits.try_acquire() else {
        metrics::counter!("ledger_http_rejected_total", "why" => "overloaded").increment(1);
        return Problem::overloaded().into_response();
    };
    let response = next.run(request).await;
    drop(permit);
    response
}

/// Ends a request that takes too long.
///
/// What it had already handed to the log may still be done: that is what the command id is for.
pub async fn hurry(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            metrics::counter!("ledger_http_rejected_total", "why" => "timeout").increment(1);
            too_slow().into_response()
        }
    }
}

fn too_slow() -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "timeout",
        "The request took too long",
        "it may or may not have been done: send it again with the same Idempotency-Key",
    )
    .retry_after(Duration::from_secs(2))
}

/// Bounds one wait inside a handler in the same way.
///
/// # Errors
///
/// 504 when `work` takes longer than `limit`.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(limit, work).await.map_err(|_| too_slow())
}

/// A panic in a handler is a 500. What it said is not repeated, here or in the log.
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    metrics::counter!("ledger_http_rejected_total", "why" => "panic").increment(1);
    Problem::internal().into_response()
}
