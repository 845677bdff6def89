//! `ledger worker`: the read models, the wound measurements by the active model, and the purge after an erasure.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use commands::{Clock, Ledger, Weights, database};
use projections::event::EventLog;
use projections::read_models::Pace;
use projections::runtime::{Projector, RunConfig, Runtime};
use projections::worker::PurgeWorker;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::comparison::compare_with_log;
use super::serve::stopped;
use super::setup::{load_keys, open_log, read_models};
use super::verdict::Verdict;
use crate::config::{Identity, Stores, Telemetry};
use crate::edge::{self, Connections};
use crate::inference::{BlobCaptures, LedgerSink, worker_ids};
use crate::logging::{self, LogFormat};
use crate::metrics;
use crate::models::{ModelWatch, take_into_use};
use crate::telemetry;

/// Keeps the read models and caches up to date, measures wound scans with the active model, withdraws what withdrawn
/// models measured, purges what was derived from erased records, and compares the read models with the log, until SIGTERM or Ctrl-C. Several workers may run: one holds each projector, the others stand by.
#[derive(Debug, Args)]
pub(super) struct Worker {
    /// The log's Postgres, by the login `ledger_worker`; without it, what `DATABASE_URL` says
    #[arg(
        long = "worker-database-url",
        env = "LEDGER_WORKER_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    own_url: Option<SecretString>,
    /// The log's Postgres, where the worker has no login of its own
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        required_unless_present = "own_url"
    )]
    database_url: Option<SecretString>,
    #[command(flatten)]
    stores: Stores,
    #[command(flatten)]
    identity: Identity,
    /// Address and port on which `/metrics` is served; without it, nothing is counted
    #[arg(long, env = "LEDGER_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// What connections to `/metrics` may cost.
    #[command(flatten)]
    connections: Connections,
    /// How many events a second the read models are compared with the log at, at most
    #[arg(
        long,
        env = "LEDGER_COMPARE_PER_SECOND",
        value_name = "EVENTS",
        default_value_t = Pace::default().events_per_second,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    compare_per_second: u32,
    #[command(flatten)]
    telemetry: Telemetry,
    /// How log lines look
    #[arg(long, env = "LEDGER_LOG_FORMAT", value_enum, default_value = "auto")]
    log_format: LogFormat,
}

impl Worker {
    pub(super) async fn run(self) -> anyhow::Result<Verdict> {
        let export = telemetry::start(&self.telemetry, "ledger-worker")?;
        logging::init(self.log_format, export.as_ref());
        let ended = self.work().await;
        if let Some(export) = export {
            export.stop().await;
        }
        ended
    }

    async fn work(self) -> anyhow::Result<Verdict> {
        let keys = load_keys(&self.identity)?;
        let url = self.own_url.or(self.database_url).context("set LEDGER_WORKER_DATABASE_URL")?;
        let pool = database::connect(url.expose_secret()).await?;
        let (ledger, _) = open_log(&pool, &keys, Clock::system(), &self.identity).await?;
        let reader = ledger.watch().reader().clone();
        let log = EventLog::new(pool.clone(), ledger.data_keys(), reader);
        let models = read_models(&self.stores, &keys, &ledger, log.clone()).await?;
        let blobs = self.stores.captures.open()?;
        let weights = Weights::in_store_of(&blobs);
        let figures = match self.metrics_listen {
            Some(address) => {
                let listener = edge::bind(address);
                let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
                Some((listener, self.connections))
            }
            None => None,
        };
        let ids = worker_ids(&keys);
        take_into_use(&ledger, &weights, &ids).await?;
        let captures = Arc::new(BlobCaptures::new(ledger.clone(), blobs));
        let sink = Arc::new(LedgerSink::new(ledger.clone()));
        let (looked_after, purged) = (models.clone(), captures.clone());
        let purge = PurgeWorker::new(log.clone(), looked_after, purged, sink.clone(), ids.clone());
        let tags = models.tags().clone();
        let config = RunConfig::default();
        let runtime = Runtime::new(pool, log.clone(), models.database(), tags, config);
        let watch =
            ModelWatch::new(ledger.clone(), log, weights, captures, sink, ids, runtime.clone());
        let mut projectors = models.projectors();
        projectors.push(Arc::new(purge));
        let pace = Pace { events_per_second: self.compare_per_second, ..Pace::default() };
        projectors.push(models.comparison(pace));
        let ended = run(&runtime, projectors, watch, figures, ledger.clone()).await;
        ledger.close().await;
        ended?;
        tracing::info!("stopped");
        Ok(Verdict::InOrder)
    }
}

/// Runs the projectors until the process is asked to stop, or one of them cannot go on: then all stop, so
/// that whatever supervises the process sees it.
async fn run(
    runtime: &Runtime,
    projectors: Vec<Arc<dyn Projector>>,
    watch: ModelWatch,
    figures: Option<(TcpListener, Connections)>,
    ledger: Ledger,
) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    if let Some((listener, connections)) = figures {
        // Before anything is counted.
        metrics::install();
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            metrics::serve(listener, connections, shutdown).await;
            Ok(())
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
        compare_with_log(ledger, stopping).await;
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
