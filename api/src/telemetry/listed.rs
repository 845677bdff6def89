//! What of a span goes out: its name, its times, its place in the trace, and the attributes on a closed list. Whoever gives a
//! span another field has it in the log, and adds it here to have it in a trace; nothing leaves by mistake.

use std::time::Duration;

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};

/// The attributes that go out. None of them says whom something is about, and none holds free text.
pub(super) const ATTRIBUTES: [&str; 18] = [
    "command.id",
    "commands",
    "correlation.id",
    "correlation.ids",
    "events",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "outcome",
    "path",
    "position",
    "position.first",
    "position.last",
    "projector",
    "read",
    "request.id",
    "stream.type",
    "worker",
];

/// The name of the span around an HTTP request (`http/trace.rs`).
pub(crate) const REQUEST: &str = "request";

/// An exporter that is given no more than may go out.
#[derive(Debug)]
pub(super) struct Listed<E>(pub(super) E);

impl<E: SpanExporter> SpanExporter for Listed<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(reduce);
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Takes from a span what is not listed, and names the span of a request as OpenTelemetry does.
fn reduce(span: &mut SpanData) {
    span.attributes.retain(|attribute| ATTRIBUTES.contains(&attribute.key.as_str()));
    span.events = SpanEvents::default();
    span.links = SpanLinks::default();
    span.status = Status::Unset;
    if span.name != REQUEST {
        return;
    }
    span.span_kind = SpanKind::Server;
    let value = |key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key)?;
        Some(found.value.as_str().into_owned())
    };
    if let (Some(method), Some(route)) = (value("http.request.method"), value("http.route")) {
        let status = value("http.response.status_code");
        if status.is_some_and(|status| status.starts_with('5')) {
            span.status = Status::error("");
        }
        span.name = format!("{method} {route}").into();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::trace::{Event, SpanContext, SpanId};
    use opentelemetry::{InstrumentationScope, KeyValue};

    use super::*;

    fn span(name: &'static str, attributes: Vec<KeyValue>) -> SpanData {
        let mut events = SpanEvents::default();
        events.events.push(Event::with_name("a line of the log"));
        SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes,
            dropped_attributes_count: 0,
            events,
            links: SpanLinks::default(),
            status: Status::error("a text"),
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    #[test]
    fn what_is_not_listed_stays() {
        let listed = KeyValue::new("stream.type", "patient");
        let mut span = span("execute", vec![listed.clone(), KeyValue::new("stream.id", "someone")]);
        reduce(&mut span);
        assert_eq!(span.attributes, [listed]);
        assert!(span.events.is_empty());
        assert_eq!((span.status, span.span_kind), (Status::Unset, SpanKind::Internal));
    }

    #[test]
    fn a_request_is_named_by_method_and_route() {
        let attributes = |status: i64| {
            vec![
                KeyValue::new("http.request.method", "GET"),
                KeyValue::new("http.route", "/v1/patients/{id}"),
                KeyValue::new("http.response.status_code", status),
            ]
        };
        for (status, expected) in [(503, Status::error("")), (404, Status::Unset)] {
            let mut span = span(REQUEST, attributes(status));
            reduce(&mut span);
            assert_eq!(span.name, "GET /v1/patients/{id}");
            assert_eq!((span.span_kind, span.status), (SpanKind::Server, expected));
        }
    }
}
