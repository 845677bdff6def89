//! Metrics: one Prometheus recorder a process, read at `/metrics`.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds; the edges are where we have promises to keep.
const SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0];

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

fn describe() {
    metrics::describe_counter!("ledger_http_requests_total", "Requests answered");
    metrics::describe_histogram!("ledger_http_request_seconds", "Time to answer a request");
    metrics::describe_gauge!("ledger_http_requests_in_flight", "Requests being answered");
    metrics::describe_counter!("ledger_http_rejected_total", "Requests turned away unread, by why");
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
    metrics::describe_histogram!("ledger_scan_bytes", "Size of the captures handed in");
}
