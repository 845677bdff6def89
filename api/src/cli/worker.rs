//! `ledger worker`: the read models, the wound measurements, and the purge after an erasure.

use std::sync::Arc;

use anyhow::Context as _;
use audit::postgres::DataKeys;
use clap::Args;
use commands::{Blobs, Clock, database};
use projections::event::EventLog;
use projections::runtime::{Projector, RunConfig, Runtime};
use projections::worker::{InferenceWorker, PurgeWorker};
use projections::wound::pipeline::WoundAnalyzer;
use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Verdict;
use super::serve::stopped;
use super::setup::{load_keys, open_log, read_models};
use crate::config::{Identity, Stores};
use crate::inference::{BlobCaptures, LedgerSink};
use crate::logging::{self, LogFormat};

/// Keeps the read models and caches up to date, measures newly recorded wound scans, and purges what was
/// derived from erased records, until SIGTERM or Ctrl-C. Several workers may run: one holds each projector, the others stand by.
#[derive(Debug, Args)]
pub(super) struct Worker {
    #[command(flatten)]
    stores: Stores,
    #[command(flatten)]
    identity: Identity,
    /// How log lines look
    #[arg(long, env = "LEDGER_LOG_FORMAT", value_enum, default_value = "auto")]
    log_format: LogFormat,
}

impl Worker {
    pub(super) async fn run(self) -> anyhow::Result<Verdict> {
        logging::init(self.log_format);
        let keys = load_keys(&self.identity)?;
        let pool = database::connect(self.stores.database_url.expose_secret()).await?;
        let (ledger, _) = open_log(&pool, &keys, Clock::system(), &self.identity).await?;
        let models = read_models(&self.stores).await?;
        let log = EventLog::new(pool.clone(), DataKeys::new(pool.clone(), keys.key_wrap()));
        let analyzer = tokio::task::spawn_blocking(WoundAnalyzer::embedded).await?;
        let captures = Arc::new(BlobCaptures::new(ledger.clone(), Blobs::new(&self.stores.blobs)?));
        let sink = Arc::new(LedgerSink::new(ledger.clone()));
        let inference = InferenceWorker::new(
            log.clone(),
            captures.clone(),
            Arc::new(analyzer.context("the network's weights cannot be loaded")?),
            sink.clone(),
        );
        let purge = PurgeWorker::new(log.clone(), models.clone(), captures, sink);
        let runtime = Runtime::new(pool, log, models.database(), RunConfig::default());
        let mut projectors = models.projectors();
        projectors.push(Arc::new(inference));
        projectors.push(Arc::new(purge));
        let ended = run(&runtime, projectors).await;
        ledger.close().await;
        ended?;
        tracing::info!("stopped");
        Ok(Verdict::InOrder)
    }
}

/// Runs the projectors until the process is asked to stop, or one of them cannot go on: then all stop, so
/// that whoever watches the process sees it.
async fn run(runtime: &Runtime, projectors: Vec<Arc<dyn Projector>>) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for projector in projectors {
        let (runtime, shutdown) = (runtime.clone(), shutdown.clone());
        tasks.spawn(async move {
            let id = projector.id();
            let ended = runtime.run(projector, shutdown.clone()).await;
            shutdown.cancel();
            ended.with_context(|| format!("the projector {id} cannot go on"))
        });
    }
    tracing::info!(projectors = tasks.len(), "working");
    let stop = shutdown.clone();
    let signals = tokio::spawn(async move {
        stopped().await;
        stop.cancel();
    });
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        outcome = outcome.and(ended?);
    }
    signals.abort();
    outcome
}
