//! Settings, from the command line or the environment: one struct for each concern.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use commands::{BlobError, Blobs};
use secrecy::SecretString;

use crate::edge::Connections;
use crate::telemetry::Endpoint;
use crate::witness::Witness;

/// Where the read models and the captures are.
#[derive(Debug, Clone, Args)]
pub struct Stores {
    /// The read models' MongoDB, as `mongodb://host:port`
    #[arg(long, env = "MONGODB_URI", hide_env_values = true, value_name = "URI")]
    pub mongodb_uri: SecretString,
    /// The database in it
    #[arg(long, env = "MONGODB_DATABASE", default_value = "ledger", value_name = "NAME")]
    pub mongodb_database: String,
    /// The cache's Redis, as `redis://host:port`; without it, reads go to MongoDB each time
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<SecretString>,
    /// Begins every key in Redis, so that several ledgers may share one
    #[arg(long, env = "REDIS_PREFIX", default_value = "ledger", value_name = "TEXT")]
    pub redis_prefix: String,
    /// The captures.
    #[command(flatten)]
    pub captures: Captures,
}

/// Where captures are.
#[derive(Debug, Clone, Args)]
pub struct Captures {
    /// Where captures are kept, encrypted: a folder, or its file:// URL
    #[arg(long, env = "LEDGER_BLOBS", default_value = "./.local/blobs", value_name = "FOLDER|URL")]
    blobs: String,
}

impl Captures {
    /// Opens the store.
    ///
    /// # Errors
    /// When the address names no folder or the folder cannot be made.
    pub fn open(&self) -> Result<Blobs, BlobError> {
        Blobs::new(&self.blobs)
    }
}

/// The log's identity and its keys.
#[derive(Debug, Clone, Args)]
pub struct Identity {
    /// The log's name for all time, as in ledger.clinic.example/main
    #[arg(long, env = "LEDGER_ORIGIN", value_name = "NAME")]
    pub origin: String,
    /// The folder with the four key files; without it, the keys are taken from the variables
    /// `LEDGER_EVENT_SIGNING_KEY`, `LEDGER_TOKEN_SIGNING_KEY`, `LEDGER_KEY_ENCRYPTION_KEY` and `LEDGER_INDEX_KEY`
    #[arg(long, env = "LEDGER_KEYS_DIR", value_name = "FOLDER")]
    pub keys_dir: Option<PathBuf>,
    /// The folder with the last published checkpoint, by which a restored backup is told from the log; without
    /// it, `checkpoints` beside the folder with the keys
    #[arg(long, env = "LEDGER_CHECKPOINTS", value_name = "FOLDER")]
    pub checkpoints: Option<PathBuf>,
    /// Seconds after one look at the whole log until the watch over it begins the next
    #[arg(long, env = "LEDGER_REREAD_SECONDS", default_value_t = 600, value_name = "SECONDS")]
    pub reread_seconds: u64,
    /// Seconds by which this machine's clock may differ from the database's; by more, and nothing is recorded
    #[arg(
        long,
        env = "LEDGER_CLOCK_SKEW_MAX",
        default_value_t = 5,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=8)
    )]
    pub clock_skew_max: u64,
    /// Seconds after a look within which others alike are counted in one event rather than recorded one by one; 0: none
    #[arg(
        long,
        env = "LEDGER_LOOKS_ALIKE_SECONDS",
        default_value_t = 10,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(0..=600)
    )]
    pub looks_alike_seconds: u64,
    /// Witnesses that remember the log's checkpoints, each as VKEY@URL
    #[arg(
        long = "witness",
        env = "LEDGER_WITNESSES",
        value_delimiter = ',',
        value_name = "VKEY@URL"
    )]
    pub witnesses: Vec<Witness>,
}

impl Identity {
    /// The folder with the last published checkpoint; none if neither it nor the folder with the keys is
    /// named.
    #[must_use]
    pub fn checkpoints(&self) -> Option<PathBuf> {
        self.checkpoints.clone().or_else(|| self.keys_dir.as_deref().map(checkpoints_beside))
    }
}

/// Where the last published checkpoint is kept unless a folder is named: beside the folder with the keys.
pub(crate) fn checkpoints_beside(keys_dir: &Path) -> PathBuf {
    keys_dir.parent().unwrap_or(Path::new("")).join("checkpoints")
}

/// Where spans are sent.
#[derive(Debug, Clone, Args)]
pub struct Telemetry {
    /// The OpenTelemetry collector that spans are sent to, by OTLP over HTTP, as `http://collector:4318`; without
    /// it, none are sent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<Endpoint>,
    /// What this process is called there; without it, ledger-serve or ledger-worker
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub service_name: Option<String>,
    /// The share of traces that are sent, from 0 to 1
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER_ARG",
        default_value_t = 1.0,
        value_name = "RATIO",
        value_parser = ratio
    )]
    pub trace_ratio: f64,
}

fn ratio(text: &str) -> Result<f64, &'static str> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or("give a number from 0 to 1, as in 0.1 for a tenth")
}

/// How the server listens and what it bears.
#[derive(Debug, Clone, Args)]
pub struct Http {
    /// Address and port to listen on
    #[arg(long, env = "LEDGER_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Requests with an access token answered at the same time; more are told to come back
    #[arg(long, env = "LEDGER_MAX_REQUESTS", default_value_t = 512, value_name = "N")]
    pub max_requests: usize,
    /// Of these, requests of one account
    #[arg(long, env = "LEDGER_MAX_REQUESTS_PER_ACCOUNT", default_value_t = 128, value_name = "N")]
    pub max_requests_per_account: usize,
    /// Requests without an access token answered at the same time, log-ins and health apart
    #[arg(long, env = "LEDGER_MAX_PUBLIC_REQUESTS", default_value_t = 64, value_name = "N")]
    pub max_public_requests: usize,
    /// Questions about health, and for metrics, answered at the same time
    #[arg(long, env = "LEDGER_MAX_HEALTH_REQUESTS", default_value_t = 16, value_name = "N")]
    pub max_health_requests: usize,
    /// Passwords checked at the same time, each on a core and in 19 MiB; without it, half of the cores
    #[arg(long, env = "LEDGER_MAX_LOG_INS", value_name = "N")]
    pub max_log_ins: Option<usize>,
    /// Log-ins that wait for their turn; more are told to come back
    #[arg(long, env = "LEDGER_MAX_WAITING_LOG_INS", default_value_t = 32, value_name = "N")]
    pub max_waiting_log_ins: usize,
    /// Reads that wait for the position named in Ledger-Min-Position at the same time
    #[arg(long, env = "LEDGER_MAX_POSITION_WAITS", default_value_t = 128, value_name = "N")]
    pub max_position_waits: usize,
    /// Memory for the bodies of requests, in MiB; one account may use a quarter of it
    #[arg(long, env = "LEDGER_BODY_MIB", default_value_t = 64, value_name = "MIB")]
    pub body_mib: u64,
    /// Captures and models that arrive at the same time; one account may send half of them
    #[arg(long, env = "LEDGER_MAX_ARRIVING_UPLOADS", default_value_t = 128, value_name = "N")]
    pub max_arriving_uploads: usize,
    /// Captures and models decoded at the same time
    #[arg(long, env = "LEDGER_MAX_UPLOADS", default_value_t = 4, value_name = "N")]
    pub max_uploads: usize,
    /// The folder in which uploads wait until they are complete, encrypted under keys that only the process has
    #[arg(long, env = "LEDGER_SPOOL", default_value = "./.local/spool", value_name = "FOLDER")]
    pub spool: PathBuf,
    /// Room for them, in MiB; one account may use half of it
    #[arg(long, env = "LEDGER_SPOOL_MIB", default_value_t = 4096, value_name = "MIB")]
    pub spool_mib: u64,
    /// Seconds by which the read models may lag for the server to call itself ready
    #[arg(long, env = "LEDGER_READY_LAG_SECONDS", default_value_t = 300, value_name = "SECONDS")]
    pub ready_lag_seconds: u64,
    /// What connections may cost.
    #[command(flatten)]
    pub connections: Connections,
    /// Seconds a request may take, its body included
    #[arg(long, env = "LEDGER_REQUEST_SECONDS", default_value_t = 30, value_name = "SECONDS")]
    pub request_seconds: u64,
    /// Seconds a capture may take to arrive and be checked
    #[arg(long, env = "LEDGER_UPLOAD_SECONDS", default_value_t = 120, value_name = "SECONDS")]
    pub upload_seconds: u64,
    /// Seconds a read waits for the position named in Ledger-Min-Position
    #[arg(long, env = "LEDGER_POSITION_SECONDS", default_value_t = 5, value_name = "SECONDS")]
    pub position_seconds: u64,
    /// Seconds an access token lives
    #[arg(long, env = "LEDGER_TOKEN_SECONDS", default_value_t = 900, value_name = "SECONDS")]
    pub token_seconds: u64,
    /// Seconds that open requests may still take when the server stops
    #[arg(long, env = "LEDGER_GRACE_SECONDS", default_value_t = 20, value_name = "SECONDS")]
    pub grace_seconds: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            max_requests: 512,
            max_requests_per_account: 128,
            max_public_requests: 64,
            max_health_requests: 16,
            max_log_ins: None,
            max_waiting_log_ins: 32,
            max_position_waits: 128,
            body_mib: 64,
            max_arriving_uploads: 128,
            max_uploads: 4,
            spool: std::env::temp_dir(),
            spool_mib: 4096,
            ready_lag_seconds: 300,
            connections: Connections::default(),
            request_seconds: 30,
            upload_seconds: 120,
            position_seconds: 5,
            token_seconds: 900,
            grace_seconds: 20,
        }
    }
}

impl Http {
    /// How many passwords are checked at the same time.
    #[must_use]
    pub fn log_ins_at_once(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.max_log_ins.unwrap_or(cores / 2).max(1)
    }

    /// How long a request may take.
    #[must_use]
    pub fn request_time(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }

    /// How long an upload may take.
    #[must_use]
    pub fn upload_time(&self) -> Duration {
        Duration::from_secs(self.upload_seconds)
    }

    /// How long a read waits for a position.
    #[must_use]
    pub fn position_time(&self) -> Duration {
        Duration::from_secs(self.position_seconds)
    }

    /// How long an access token lives.
    #[must_use]
    pub fn token_time(&self) -> Duration {
        Duration::from_secs(self.token_seconds)
    }

    /// How long a stopping server waits for open requests.
    #[must_use]
    pub fn grace_time(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}
