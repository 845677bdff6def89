//! `ledger serve`: the HTTP server.

use anyhow::Context as _;
use clap::Args;
use commands::{Clock, database};
use projections::event::EventLog;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use super::setup::{load_keys, open_log, read_models};
use super::verdict::Verdict;
use crate::config::{Http, Identity, Stores, Telemetry};
use crate::edge;
use crate::http;
use crate::logging::{self, LogFormat};
use crate::state::{AppState, Parts};
use crate::telemetry;

/// Answers commands and queries over HTTP until SIGTERM or Ctrl-C, then lets open requests end.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The log's Postgres, by the login `ledger_serve`, as `postgres://ledger_serve:…@host/database`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: SecretString,
    #[command(flatten)]
    stores: Stores,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    telemetry: Telemetry,
    /// How log lines look
    #[arg(long, env = "LEDGER_LOG_FORMAT", value_enum, default_value = "auto")]
    log_format: LogFormat,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<Verdict> {
        let export = telemetry::start(&self.telemetry, "ledger-serve")?;
        logging::init(self.log_format, export.as_ref());
        let ended = self.serve().await;
        if let Some(export) = export {
            export.stop().await;
        }
        ended
    }

    async fn serve(self) -> anyhow::Result<Verdict> {
        let keys = load_keys(&self.identity)?;
        let pool = database::connect(self.database_url.expose_secret()).await?;
        let clock = Clock::system();
        let (ledger, witnesses) = open_log(&pool, &keys, clock.clone(), &self.identity).await?;
        let reader = ledger.watch().reader().clone();
        let log = EventLog::new(pool.clone(), ledger.data_keys(), reader);
        let parts = Parts {
            ledger: ledger.clone(),
            read_models: read_models(&self.stores, &keys, &ledger, log).await?,
            blobs: self.stores.captures.open()?,
            pool: pool.clone(),
            keys,
            clock,
            witnesses: witnesses.clone(),
        };
        let listen = self.http.listen;
        let spool = &self.http.spool;
        std::fs::create_dir_all(spool)
            .with_context(|| format!("cannot make the folder {}", spool.display()))?;
        let state = AppState::new(parts, self.http)?;
        let listener = edge::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        tracing::info!(http.listen = %listener.local_addr()?, ledger.size = ledger.size(), "serving");
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(async move {
            stopped().await;
            stop.cancel();
        });
        let witnessing = tokio::spawn(witnesses.run(ledger.clone(), pool));
        http::serve(state, listener, shutdown).await;
        // A witness that is slow to answer does not delay the shutdown.
        witnessing.abort();
        ledger.close().await;
        tracing::info!("stopped");
        Ok(Verdict::InOrder)
    }
}

/// Resolves when the process is asked to stop.
pub(super) async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt => {}
        () = terminate => {}
    }
}
