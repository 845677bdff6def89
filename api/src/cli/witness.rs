//! `ledger witness`: a witness for other ledgers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use audit::note::NoteVerifier;
use clap::Args;
use commands::Clock;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::serve::stopped;
use super::verdict::Verdict;
use crate::edge::{self, Connections};
use crate::logging::{self, LogFormat};
use crate::witness::{WitnessState, router};

/// How long open requests may still take when the witness stops.
const GRACE: Duration = Duration::from_secs(5);

/// Cosigns checkpoints of the logs it is given (C2SP tlog-witness), as long as each continues the one before. It needs
/// no database; run it on another machine than the ledger. Its state must never be restored from a backup.
#[derive(Debug, Args)]
pub(super) struct Witness {
    /// Address and port to listen on
    #[arg(
        long,
        env = "LEDGER_WITNESS_LISTEN",
        default_value = "127.0.0.1:8090",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// The folder with its key and what it has cosigned; made if it is not there
    #[arg(long, env = "LEDGER_WITNESS_STATE", value_name = "FOLDER")]
    state: PathBuf,
    /// The witness's name, as in witness.example.org
    #[arg(long, env = "LEDGER_WITNESS_NAME", value_name = "NAME")]
    name: String,
    /// The verifier key of a log to witness, as `ledger keys public` prints it. May be given several times
    #[arg(long, required = true, value_name = "VKEY")]
    log: Vec<String>,
    /// What connections may cost.
    #[command(flatten)]
    connections: Connections,
    /// How log lines look
    #[arg(long, env = "LEDGER_LOG_FORMAT", value_enum, default_value = "auto")]
    log_format: LogFormat,
}

impl Witness {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        logging::init(self.log_format, None);
        let keys = self.log.iter().map(|key| NoteVerifier::parse(key));
        let keys = keys.collect::<Result<_, _>>().context("--log is not a verifier key")?;
        let state = WitnessState::open(&self.state, &self.name, keys, Clock::system())?;
        let listener = edge::bind(self.listen);
        let listener = listener.with_context(|| format!("cannot listen on {}", self.listen))?;
        let said = serde_json::json!({
            "listen": listener.local_addr()?, "vkey": state.verifier().to_string(),
        });
        let key = state.verifier().to_string();
        output.result(&said, |output| output.line(key))?;
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(async move {
            stopped().await;
            stop.cancel();
        });
        edge::serve(listener, router(state), self.connections, shutdown, GRACE).await;
        Ok(Verdict::InOrder)
    }
}
