//! The trace that a caller says its request belongs to: the header `traceparent` of W3C Trace Context.
//!
//! It decides where our spans hang in the caller's trace, and nothing else: not whether they are sent, not who asks,
//! not what is written. `tracestate` is not read, because it holds free text, and free text may name a patient.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Of two ids and a flag, in hexadecimal.
const TRACEPARENT: &str = "traceparent";

/// Whether spans are sent at all.
static IS_READ: AtomicBool = AtomicBool::new(false);

/// From now on callers are asked.
pub(super) fn believe() {
    IS_READ.store(true, Ordering::Relaxed);
}

/// Hangs the span of a request into the trace of its caller, if that names one and spans are sent. The span must be new.
pub(crate) fn adopt(span: &Span, headers: &HeaderMap) {
    if IS_READ.load(Ordering::Relaxed)
        && headers.contains_key(TRACEPARENT)
        && let Some(parent) = named(headers)
    {
        // It fails only for a span that has begun, or that no one takes.
        let _unheard = span.set_parent(parent);
    }
}

fn named(headers: &HeaderMap) -> Option<Context> {
    let headers = Traceparent(headers);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    context.span().span_context().is_valid().then(|| context.clone())
}

/// Shows the one header, and no other.
struct Traceparent<'a>(&'a HeaderMap);

impl Extractor for Traceparent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = if key == TRACEPARENT { self.0.get(key) } else { None };
        value?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(traceparent: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(traceparent));
        headers.insert("tracestate", HeaderValue::from_static("vendor=Quistgaard"));
        headers
    }

    #[test]
    fn a_trace_is_taken_on_without_its_state() {
        let context = named(&headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let context = context.expect("a trace");
        let span = context.span();
        let named = span.span_context();
        assert_eq!(named.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(named.trace_state().header(), "");
        assert!(named.is_remote());
    }

    #[test]
    fn what_is_no_trace_is_passed_over() {
        for text in [
            "",
            "Quistgaard",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-zzf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(named(&headers(text)).is_none(), "{text}");
        }
    }
}
