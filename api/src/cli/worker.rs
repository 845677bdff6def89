//! `ledger worker`: the read models, the wound measurements by the active model, and the purge after an erasure.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use audit::postgres::DataKeys;
use clap::Args;
use commands::{Clock, Ledger, Weights, database};
use projections::event::EventLog;
use projections::runtime::{Projector, RunConfig, Runtime};
use projections::worker::PurgeWorker;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Verdict;
use super::comparison::compare_claims;
use super::serve::stopped;
use super::setup::{load_keys, open_log, read_models};
use crate::config::{Identity, Stores};
use crate::inference::{BlobCaptures, LedgerSink};
use crate::logging::{self, LogFormat};
use crate::metrics;
use crate::models::{ModelWatch, take_into_use};

/// Keeps the read models and caches up to date, measures wound scans with the active model, withdraws what withdrawn
/// models measured, and purges what was derived from erased records, until SIGTERM or Ctrl-C. Several workers may run: one holds each projector, the others stand by.
#[derive(Debug, Args)]
pub(super) struct Worker {
    #[command(flatten)]
    stores: Stores,
    #[command(flatten)]
    identity: Identity,
    /// Address and port on which `/metrics` is served; without it, nothing is counted
    #[arg(long, env = "LEDGER_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
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
        let blobs = self.stores.captures.open()?;
        let weights = Weights::beside(&blobs);
        let figures = match self.metrics_listen {
            Some(address) => {
                let listener = TcpListener::bind(address).await;
                Some(listener.with_context(|| format!("cannot listen on {address}"))?)
            }
            None => None,
        };
        take_into_use(&ledger, &weights).await?;
        let captures = Arc::new(BlobCaptures::new(ledger.clone(), blobs));
        let sink = Arc::new(LedgerSink::new(ledger.clone()));
        let purge = PurgeWorker::new(log.clone(), models.clone(), captures.clone(), sink.clone());
        let runtime = Runtime::new(pool, log.clone(), models.database(), RunConfig::default());
        let watch = ModelWatch::new(ledger.clone(), log, weights, captures, sink, runtime.clone());
        let mut projectors = models.projectors();
        projectors.push(Arc::new(purge));
        let ended = run(&runtime, projectors, watch, figures, ledger.clone()).await;
        ledger.close().await;
        ended?;
        tracing::info!("stopped");
        Ok(Verdict::InOrder)
    }
}

/// Runs the projectors until the process is asked to stop, or one of them cannot go on: then all stop, so
/// that whoever watches the process sees it.
async fn run(
    runtime: &Runtime,
    projectors: Vec<Arc<dyn Projector>>,
    watch: ModelWatch,
    figures: Option<TcpListener>,
    ledger: Ledger,
) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    if let Some(listener) = figures {
        // Before anything is counted.
        metrics::install();
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            let ended = metrics::serve(listener, shutdown.clone()).await;
            shutdown.cancel();
            ended.context("the metrics cannot be served")
        });
    }
    for projector in projectors {
        let (runtime, shutdown) = (runtime.clone(), shutdown.clone());
        tasks.spawn(async move {
            let id = projector.id();
            let ended = runtime.run(projector, shutdown.clone()).await;
            shutdown.cancel();
            ended.with_context(|| format!("the projector {id} cannot go on"))
        });
    }
    let stopping = shutdown.clone();
    tasks.spawn(async move {
        compare_claims(ledger, stopping).await;
        Ok(())
    });
    let stopping = shutdown.clone();
    tasks.spawn(async move {
        let ended = watch.run(stopping.clone()).await;
        stopping.cancel();
        ended.context("the registry of models cannot be followed")
    });
    tracing::info!(tasks = tasks.len(), "working");
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
