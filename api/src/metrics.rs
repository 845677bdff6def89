//! Metrics: one Prometheus recorder a process, read at `/metrics`.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::edge::{self, Connections};

/// Seconds; the edges are where we have promises to keep.
const SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0];

/// Probabilities, in tenths.
const TENTHS: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// How often what was recorded is added up while it is not scraped.
const UPKEEP: Duration = Duration::from_secs(5);

/// Prometheus's text format.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process's recorder, installed on the first call.
///
/// When something else has installed a recorder before, ours is only read and stays empty.
pub fn install() -> PrometheusHandle {
    RECORDER
        .get_or_init(|| {
            let builder = PrometheusBuilder::new();
            let builder = builder
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
                .and_then(|builder| {
                    let name = Matcher::Full("model_wound_probability".to_owned());
                    builder.set_buckets_for_metric(name, TENTHS)
                })
                .unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed: /metrics stays empty");
            }
            describe();
            handle
        })
        .clone()
}

/// What was counted, for Prometheus.
#[must_use]
pub fn figures(recorder: &PrometheusHandle) -> String {
    recorder.run_upkeep();
    recorder.render()
}

/// Serves `/metrics` and nothing else, for a process that answers no requests, until `shutdown` is cancelled.
pub async fn serve(listener: TcpListener, connections: Connections, shutdown: CancellationToken) {
    let recorder = install();
    let asked = recorder.clone();
    let answer = move || async move { ([(header::CONTENT_TYPE, MEDIA_TYPE)], figures(&asked)) };
    let router = Router::new().route("/metrics", get(answer));
    let served = edge::serve(listener, router, connections, shutdown, Duration::ZERO);
    tokio::pin!(served);
    loop {
        tokio::select! {
            () = &mut served => return,
            () = tokio::time::sleep(UPKEEP) => recorder.run_upkeep(),
        }
    }
}

fn describe() {
    metrics::describe_counter!("ledger_http_requests_total", "Requests answered");
    metrics::describe_histogram!("ledger_http_request_seconds", "Time to answer a request");
    metrics::describe_gauge!("ledger_http_requests_in_flight", "Requests being answered");
    metrics::describe_counter!("ledger_http_rejected_total", "Requests turned away, by why");
    metrics::describe_gauge!("ledger_connections", "Connections held");
    metrics::describe_counter!("ledger_connections_cut_total", "Connections closed by us, by why");
    metrics::describe_gauge!("ledger_ready", "1 where commands, or reads, could be done");
    metrics::describe_counter!("ledger_logins_total", "Log-ins, by outcome");
    metrics::describe_counter!("ledger_denials_total", "Requests denied for want of a permission");
    metrics::describe_counter!(
        "ledger_checkpoint_failures_total",
        "Checkpoints that could not be kept outside the database"
    );
    metrics::describe_gauge!("ledger_witnessed_size", "Size of the log a witness cosigned last");
    metrics::describe_counter!("ledger_witness_failures_total", "Witnesses that were not reached");
    metrics::describe_counter!(
        "ledger_witness_forks_total",
        "Times a witness said that it has cosigned another history"
    );
    metrics::describe_counter!(
        "read_model_damaged_total",
        "Stored documents that were not what the log makes of their stream, by read model and why"
    );
    metrics::describe_counter!(
        "read_model_compared_total",
        "Documents compared with the log in the background"
    );
    metrics::describe_counter!(
        "read_model_differs_total",
        "Of the documents compared, those that differed"
    );
    metrics::describe_counter!(
        "read_model_comparisons_total",
        "Times that all read models were compared with the whole log"
    );
    metrics::describe_counter!(
        "projector_checkpoint_damaged_total",
        "Checkpoints of projectors that were not what was stored, by projector and why"
    );
    metrics::describe_counter!(
        "cache_damaged_total",
        "Cached entries that were not ours, or not the newest, by kind and why"
    );
    metrics::describe_histogram!("ledger_scan_bytes", "Size of the captures handed in");
    metrics::describe_counter!("inference_outcomes_total", "Scans answered, by model and outcome");
    metrics::describe_counter!(
        "measurements_withdrawn_total",
        "Measurements withdrawn with the model that made them"
    );
    metrics::describe_histogram!(
        "model_wound_probability",
        "Probability of a wound in the pictures a model saw"
    );
    metrics::describe_gauge!(
        "model_drift_psi",
        "Population stability index of a model's last 500 scans against the reference on its card"
    );
    metrics::describe_gauge!(
        "model_drift_psi_chance",
        "What model_drift_psi exceeds by chance once in twenty times"
    );
}
