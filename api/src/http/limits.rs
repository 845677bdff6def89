//! Limits on everything: how many requests at once and of whom, how long each, and nothing that panics gets away.
//!
//! A request is held against a limit only once it has come as a whole: who sends slowly holds a connection and
//! nothing else. What anybody may ask and what needs an access token have limits apart, so that the one cannot use up
//! what the other needs.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::Semaphore;

use super::body::{MAX_JSON_BYTES, MAX_PUBLIC_BYTES};
use super::intake::{self, Arrived, InMemory};
use super::problem::Problem;
use crate::config::Http;
use crate::edge::quota::{Full, Holder, Quota, Taken};
use crate::state::AppState;

/// An answer as small as that is taken by the system at once, so nothing is held until it has been read.
const SMALL: u64 = 16 * 1024;
/// One account's part of the memory for bodies, and that of all who have none: a quarter.
const MEMORY_SHARE: u64 = 4;

/// What requests are held against.
#[derive(Clone)]
pub struct Gate {
    /// Requests with an access token.
    pub signed_in: Quota,
    /// Requests of anybody.
    pub public: Quota,
    /// Questions about health, and for figures.
    pub health: Quota,
    /// Bytes of bodies in memory.
    pub memory: Quota,
    /// Uploads on their way.
    pub uploads: Quota,
    /// Bytes of uploads on the disk.
    pub spool: Quota,
    /// Uploads that are decoded, and pictures that are drawn.
    pub decoding: Arc<Semaphore>,
    /// Reads that wait for a position.
    pub waits: Arc<Semaphore>,
}

impl Gate {
    /// The gate as it is set.
    #[must_use]
    pub fn new(http: &Http) -> Self {
        let count = |number: usize| number as u64;
        let mib = |number: u64| number.saturating_mul(1024 * 1024);
        let uploads = count(http.max_arriving_uploads);
        Self {
            signed_in: Quota::new(count(http.max_requests), count(http.max_requests_per_account)),
            public: Quota::new(count(http.max_public_requests), u64::MAX),
            health: Quota::new(count(http.max_health_requests), u64::MAX),
            memory: Quota::new(mib(http.body_mib), mib(http.body_mib) / MEMORY_SHARE),
            uploads: Quota::new(uploads, uploads.div_ceil(2)),
            spool: Quota::new(mib(http.spool_mib), mib(http.spool_mib) / 2),
            decoding: Arc::new(Semaphore::new(http.max_uploads.max(1))),
            waits: Arc::new(Semaphore::new(http.max_position_waits)),
        }
    }
}

/// Takes the body in, then lets the request in, if there is room; the rest are told to come back: a queue would only
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

/// Counts what was turned away.
pub(super) fn rejected(why: &'static str) {
    metrics::counter!("ledger_http_rejected_total", "why" => why).increment(1);
}

/// 503 where all is used up, 429 where it is the caller's own share.
pub(super) fn full(reason: Full, of: &'static str) -> Problem {
    rejected(of);
    match reason {
        Full::All => Problem::overloaded(),
        Full::Share => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Too many requests at once",
            "this account has as much under way as one may; nothing was done, send it again when some of it has ended",
        )
        .retry_after(Duration::from_secs(1)),
    }
}

/// Ends a request that takes too long.
///
/// What it had already handed to the log may still be done: that is what the command id is for.
pub async fn hurry(State(limit): State<Duration>, mut request: Request, next: Next) -> Response {
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
