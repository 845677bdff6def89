//! Limits on everything: how many requests at once and of whom, how long each, and nothing that panics gets away.
//!
//! A request is held against a limit only once it has come as a whole: who sends slowly holds a connection and
//! nothing else. What anybody may ask and what needs an access token have limits apart, so that the one cannot use up
//! what the other needs.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body::{Body as _, Frame, SizeHint};

use super::body::{MAX_JSON_BYTES, MAX_PUBLIC_BYTES};
use super::gate::{full, rejected};
use super::intake::{self, Arrived, InMemory};
use super::problem::Problem;
use crate::edge::quota::{Holder, Quota, Taken};
use crate::state::AppState;

/// An answer as small as that is taken by the system at once, so nothing is held until it has been read.
const SMALL: u64 = 16 * 1024;
/// Takes the body in, then lets the request in, if there is room; the rest are asked to come back: a queue would only
/// make everybody late. A log-in has a queue of its own.
pub(super) async fn admit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let holder = intake::holder(&request);
    let arrived = request.extensions().get::<Arrived>().cloned().unwrap_or_default();
    let limit = if holder == Holder::Public { MAX_PUBLIC_BYTES } else { MAX_JSON_BYTES };
    let (parts, body) = request.into_parts();
    let taken = intake::read(body, limit, &state.gate.memory, holder).await;
    let InMemory { bytes, memory } = match taken {
        Ok(taken) => taken,
        Err(problem) => return problem.into_response(),
    };
    arrived.mark();
    let queued = parts.extensions.get::<MatchedPath>().is_some_and(|path| path.as_str() == LOG_IN);
    let quota = match holder {
        Holder::Public => &state.gate.public,
        Holder::Account(_) => &state.gate.signed_in,
    };
    let permit = match quota.take(holder, u64::from(!queued)) {
        Ok(permit) => permit,
        Err(reason) => return full(reason, "requests").into_response(),
    };
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    drop(memory);
    hold(response, permit)
}

/// The operation whose requests queue for a turn.
const LOG_IN: &str = "/v1/sessions";

/// Lets a request in that has no body and needs no token.
pub(super) async fn admit_public(
    State(quota): State<Quota>,
    request: Request,
    next: Next,
) -> Response {
    match quota.take(Holder::Public, 1) {
        Ok(permit) => hold(next.run(request).await, permit),
        Err(reason) => full(reason, "public").into_response(),
    }
}

/// Holds the permit of a large answer until it has been read.
fn hold(response: Response, permit: Taken) -> Response {
    if response.body().size_hint().exact().is_some_and(|size| size <= SMALL) {
        return response;
    }
    response.map(|body| Body::new(Held { body, _permit: permit }))
}

struct Held {
    body: Body,
    _permit: Taken,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ends a request that takes too long.
///
/// What it had already handed to the log may still be done: that is what the command id is for.
pub async fn time_out(State(limit): State<Duration>, mut request: Request, next: Next) -> Response {
    let arrived = Arrived::default();
    if request.body().is_end_stream() {
        arrived.mark();
    }
    request.extensions_mut().insert(arrived.clone());
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) if !arrived.is_marked() => {
            rejected("body-too-slow");
            intake::too_slow().into_response()
        }
        Err(_) => {
            rejected("timeout");
            tracing::warn!("a request took too long");
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

/// A panic in a handler is a 500. What it said is not repeated, here or in the log.
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    rejected("panic");
    Problem::internal().into_response()
}
