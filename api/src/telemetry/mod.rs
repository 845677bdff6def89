//! Spans for an OpenTelemetry collector: OTLP over HTTP, and nothing at all unless a collector is named.
//!
//! What goes out is a closed list: the spans of our own crates with the attributes in `listed`, without log lines, and nothing
//! of the libraries below us. Nothing waits for the collector: spans queue up to a limit beyond which they are dropped,
//! a thread sends them, and one that cannot be sent is gone.
//!
//! * `endpoint`: where the collector is; `sender`: how spans get there, and what is said when they do not;
//! * `listed`: what of a span goes out; `parent`: the trace that a caller says its request belongs to.

mod endpoint;
mod listed;
mod parent;
mod sender;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use tracing::Metadata;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

pub use endpoint::{Endpoint, InvalidEndpoint};
pub(crate) use listed::REQUEST;
pub(crate) use parent::adopt;

use crate::config::Telemetry;
use listed::Listed;
use sender::Sender;

/// How many spans wait to be sent; more are dropped. At 1 KiB each, some MiB.
const QUEUE: usize = 8192;

/// How many spans are sent at once.
const BATCH: usize = 512;

/// How long a span waits for others.
const DELAY: Duration = Duration::from_secs(2);

/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a process that ends waits for its last spans to be taken.
const FLUSH: Duration = Duration::from_secs(3);

/// The crates whose spans go out.
const OURS: [&str; 3] = ["api", "commands", "projections"];

/// Why no spans can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// There can be no HTTP client.
    #[error("there can be no HTTP client for the collector of spans")]
    Client(#[source] reqwest::Error),
    /// The exporter does not take its settings.
    #[error("the exporter of spans does not take its settings")]
    Exporter(#[source] ExporterBuildError),
}

/// Spans are sent, as long as there is this.
#[derive(Debug)]
pub struct Export {
    provider: SdkTracerProvider,
}

/// Begins to send spans to the collector, if one is named. `role` is what the process is called there unless it has a name.
/// Needs the runtime of tokio.
///
/// # Errors
/// When the exporter cannot be made. Whether the collector is there is not asked.
pub fn start(settings: &Telemetry, role: &'static str) -> Result<Option<Export>, TelemetryError> {
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new(PATIENCE).map_err(TelemetryError::Client)?)
        .with_endpoint(endpoint.traces())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        // What waits for another try keeps what comes after it from being sent.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(TelemetryError::Exporter)?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let processor =
        BatchSpanProcessor::builder(Listed(exporter)).with_batch_config(batches).build();
    let name = settings.service_name.clone().unwrap_or_else(|| role.to_owned());
    let resource = Resource::builder_empty()
        .with_service_name(name)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            // Several processes may have one name.
            KeyValue::new("service.instance.id", Uuid::now_v7().to_string()),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        // By the trace's id, and never by what a caller says of sampling: what is sent is decided here.
        .with_sampler(match settings.trace_ratio {
            ratio if ratio >= 1.0 => Sampler::AlwaysOn,
            ratio => Sampler::TraceIdRatioBased(ratio),
        })
        .with_resource(resource)
        .build();
    parent::believe();
    Ok(Some(Export { provider }))
}

impl Export {
    /// What takes the spans of this process.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let tracer: SdkTracer = self.provider.tracer("ledger");
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(is_sent).with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what waits to be sent, for as long as that may take, and ends.
    pub async fn stop(self) {
        let stopping = move || self.provider.shutdown_with_timeout(FLUSH);
        // It waits for a thread, which waits for this runtime. What went wrong was said by the sender.
        let _said = tokio::task::spawn_blocking(stopping).await;
    }
}

/// Whether something is a span that goes out. Log lines do not.
fn is_sent(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    metadata.is_span()
        && *metadata.level() <= LevelFilter::DEBUG
        && OURS.contains(&target.split("::").next().unwrap_or(target))
}
