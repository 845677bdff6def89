//! `ledger health`: for container health checks, which have no other HTTP client.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::output::Output;
use super::verdict::Verdict;

/// Asks a running server whether it is ready.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
}

impl Health {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let url = format!("{}/health/ready", self.url.trim_end_matches('/'));
        let response = client.get(&url).send().await.context("the server does not answer")?;
        let ready = response.status().is_success();
        let said = serde_json::json!({ "ready": ready });
        output.result(&said, |output| output.line(if ready { "ready" } else { "not ready" }))?;
        Ok(if ready { Verdict::InOrder } else { Verdict::Findings })
    }
}
