//! How spans get to the collector: by the HTTP client of the rest of the program, and by its runtime. The exporter's thread has
//! no runtime of its own, and is the only one that waits.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::http::{Request, Response};
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

/// How long nothing more is said of a collector that takes no spans.
const SILENCE: Duration = Duration::from_secs(600);

/// Sends spans, and says when they are not taken.
#[derive(Debug)]
pub(super) struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    failing: Mutex<Failing>,
}

/// What was said of a collector that takes no spans.
#[derive(Debug, Default)]
struct Failing {
    /// Whether the last ones were not taken.
    now: bool,
    said: Option<Instant>,
}

impl Sender {
    /// A sender over this runtime, which waits so long for an answer.
    pub(super) fn new(patience: Duration) -> Result<Sender, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(patience)
            // What is sent goes to the collector the operator has named, and is not redirected.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Sender { client, runtime: Handle::current(), failing: Mutex::default() })
    }

    /// Counts what was not taken, and says so once, and again only if it lasts.
    fn tell(&self, failure: Option<&str>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let was_failing = std::mem::replace(&mut failing.now, failure.is_some());
        let Some(error) = failure else {
            if was_failing && failing.said.take().is_some() {
                tracing::info!("the collector takes spans again");
            }
            return;
        };
        metrics::counter!("ledger_span_export_failures_total").increment(1);
        if failing.said.is_none_or(|said| said.elapsed() >= SILENCE) {
            failing.said = Some(Instant::now());
            tracing::warn!(error, "the collector takes no spans: they are dropped until it does");
        }
    }
}

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the collector was not reached")]
    Unreached(#[source] reqwest::Error),
    #[error("the collector answered {0}")]
    Status(axum::http::StatusCode),
    #[error("the process is ending")]
    Ending,
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<u16, SendError> {
    let request = request.try_into().map_err(SendError::Unreached)?;
    let answer = client.execute(request).await;
    // Without the URL: it is the operator's own, and a path of it may be a secret.
    let answer = answer.map_err(|error| SendError::Unreached(error.without_url()))?;
    let status = answer.status();
    if status.is_success() { Ok(status.as_u16()) } else { Err(SendError::Status(status)) }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = self.runtime.spawn(send(self.client.clone(), request)).await;
        let sent = sending.unwrap_or(Err(SendError::Ending));
        match &sent {
            Err(SendError::Ending) => {}
            Err(error) => self.tell(Some(&audit::chain(error))),
            Ok(_) => self.tell(None),
        }
        // What the collector says besides is not read: there is no one to report it to.
        Ok(Response::builder().status(sent?).body(Bytes::new())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_is_said_once_until_it_ends() {
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let sender = Sender::new(Duration::from_secs(1)).expect("a client");
        let said = || sender.failing.lock().expect("no panic").said;
        sender.tell(Some("refused"));
        let first = said().expect("it is said");
        sender.tell(Some("refused"));
        assert_eq!(said(), Some(first));
        sender.tell(None);
        assert_eq!(said(), None);
        sender.tell(Some("refused"));
        assert!(said().is_some_and(|again| again > first));
    }
}
