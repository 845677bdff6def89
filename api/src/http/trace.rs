//! Every request has an id and a correlation id, one line in the log, and a place in the metrics.
//!
//! Both ids are UUIDs. Anything else a caller sends in their place is not used: it would be free
//! text in our log, and free text may name a patient.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

use super::problem::Code;
use crate::telemetry::{REQUEST as REQUEST_SPAN, adopt};

/// Names the request, in and out.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Ties several requests together, in and out; the request's own id unless the caller gives one.
pub const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

tokio::task_local! {
    static REQUEST: Ids;
}

/// The two ids of a request.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    /// This request.
    pub request: Uuid,
    /// What this request is part of.
    pub correlation: Uuid,
}

/// Put into a response by the authentication middleware, for the log line.
#[derive(Debug, Clone, Copy)]
pub struct Account(pub Uuid);

/// The id of the request this task is answering.
pub fn current() -> Option<Uuid> {
    REQUEST.try_with(|ids| ids.request).ok()
}

fn uuid_in(headers: &HeaderMap, name: &HeaderName) -> Option<Uuid> {
    headers.get(name)?.to_str().ok().and_then(|text| Uuid::try_parse(text.trim()).ok())
}

/// The outermost layer: names the request, runs it, logs it, counts it.
pub async fn request(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = uuid_in(request.headers(), &X_REQUEST_ID).unwrap_or_else(Uuid::now_v7);
    let correlation = uuid_in(request.headers(), &X_CORRELATION_ID).unwrap_or(id);
    let ids = Ids { request: id, correlation };
    request.extensions_mut().insert(ids);

    let method = request.method().clone();
    // The route's template and not the path: the template cannot hold anything a caller typed.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!(
        REQUEST_SPAN,
        "request.id" = %id,
        "correlation.id" = %correlation,
        "http.request.method" = %method,
        "http.route" = route,
        "http.response.status_code" = tracing::field::Empty,
    );
    adopt(&span, request.headers());
    let in_flight = metrics::gauge!("ledger_http_requests_in_flight");
    in_flight.increment(1.0);
    let guard = Decrement(in_flight);

    let mut response = REQUEST.scope(ids, next.run(request)).instrument(span.clone()).await;
    drop(guard);

    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    span.record("http.response.status_code", status);
    // Of a refusal and of a failure; the reason was logged where it failed.
    let code = response.extensions().get::<Code>().map(|code| code.0.as_ref());
    let account = response.extensions().get::<Account>().map(|account| account.0.to_string());
    span.in_scope(|| {
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(status, code, elapsed_us, account, "answered");
    });
    let labels =
        [("method", method.as_str().to_owned()), ("route", route), ("status", status.to_string())];
    metrics::counter!("ledger_http_requests_total", &labels).increment(1);
    metrics::histogram!("ledger_http_request_seconds", &labels[..2]).record(elapsed.as_secs_f64());

    for (name, value) in [(X_REQUEST_ID, id), (X_CORRELATION_ID, correlation)] {
        if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Counts a request out even when its caller went away and its future was dropped.
struct Decrement(metrics::Gauge);

impl Drop for Decrement {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
