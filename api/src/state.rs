//! What the server holds in its hands: built once, cheap to clone.

use std::sync::Arc;

use commands::{Blobs, Clock, Keys, Ledger, Weights};
use metrics_exporter_prometheus::PrometheusHandle;
use projections::read_models::ReadModels;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::Http;
use crate::http::gate::Gate;
use crate::identity::accounts::Accounts;
use crate::identity::known::KnownLogIns;
use crate::identity::password::{PasswordError, Passwords};
use crate::identity::queue::LogInQueue;
use crate::identity::throttle::Throttle;
use crate::identity::token::{TokenError, Tokens};
use crate::ledger::ApiLedger;
use crate::readiness::Latest;
use crate::readiness::experience::Experience;
use crate::records::Records;
use crate::witness::Witnesses;

/// Whom access tokens are for.
pub const AUDIENCE: &str = "coherency-ledger-api";
/// Failed log-ins of one name that cost no wait.
const FREE_FAILURES_OF_A_LOGIN: u32 = 10;
/// Failed log-ins from one address that cost no wait: a clinic may sit behind one.
const FREE_FAILURES_OF_AN_ADDRESS: u32 = 100;
/// Passwords hashed for new accounts while log-ins go on; each takes a core and 19 MiB.
const PASSWORDS_BESIDE: usize = 1;

/// What has to be opened before there can be a server.
pub struct Parts {
    /// The write side.
    pub ledger: Ledger,
    /// The read side, with its cache.
    pub read_models: ReadModels,
    /// Captures.
    pub blobs: Blobs,
    /// The log's database, to ask whether it is there.
    pub pool: PgPool,
    /// The secrets; only the token key is used here.
    pub keys: Keys,
    /// The time.
    pub clock: Clock,
    /// Who remembers the log's checkpoints elsewhere.
    pub witnesses: Witnesses,
}

/// Why the server could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The token key is not usable.
    #[error("access tokens cannot be signed with this key")]
    Tokens(#[from] TokenError),
    /// Passwords cannot be checked.
    #[error("passwords cannot be checked")]
    Passwords(#[from] PasswordError),
}

/// The server's state.
#[derive(Clone)]
pub struct AppState {
    /// What faces may ask of the ledger.
    pub ledger: ApiLedger,
    /// The records of patients: the one door for reading them.
    pub records: Records,
    /// The weights of registered models.
    pub weights: Weights,
    /// The log's database.
    pub pool: PgPool,
    /// Issues and checks access tokens.
    pub tokens: Tokens,
    /// What accounts may do now.
    pub accounts: Accounts,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Slows down guessing at one name.
    pub log_ins: Throttle,
    /// Slows down guessing from one address.
    pub addresses: Throttle,
    /// Slows down guessing at one name from an address it has logged in from.
    pub pairs: Throttle,
    /// Names and the addresses they have logged in from.
    pub known_log_ins: KnownLogIns,
    /// Whose password is looked at next.
    pub queue: LogInQueue,
    /// Who remembers the log's checkpoints elsewhere.
    pub witnesses: Witnesses,
    /// What requests are held against.
    pub gate: Gate,
    /// What became of the last requests.
    pub experience: Experience,
    /// Whether the server was ready at the last check.
    pub readiness: Latest,
    /// The limits.
    pub http: Arc<Http>,
    /// What was counted.
    pub metrics: PrometheusHandle,
    /// The time.
    pub clock: Clock,
    /// Cancelled when the server stops: it is alive then, and not ready.
    pub stopping: CancellationToken,
}

impl AppState {
    /// Puts the state together.
    ///
    /// # Errors
    ///
    /// When tokens cannot be signed or passwords not be checked.
    pub fn new(parts: Parts, http: Http) -> Result<Self, StateError> {
        let Parts { ledger, read_models, blobs, pool, keys, clock, witnesses } = parts;
        let seed = &keys.token_signing_seed();
        let gate = Gate::new(&http);
        let weights = Weights::in_store_of(&blobs);
        let (waits, patience) = (gate.waits.clone(), http.position_time());
        let records =
            Records::new(ledger.clone(), read_models, blobs, pool.clone(), waits, patience);
        let tokens = Tokens::new(seed, ledger.origin(), AUDIENCE, http.token_time())?;
        Ok(Self {
            accounts: Accounts::new(ApiLedger::new(ledger.clone())),
            passwords: Passwords::new(http.log_ins_at_once() + PASSWORDS_BESIDE)?,
            log_ins: Throttle::new(FREE_FAILURES_OF_A_LOGIN),
            addresses: Throttle::new(FREE_FAILURES_OF_AN_ADDRESS),
            pairs: Throttle::new(FREE_FAILURES_OF_A_LOGIN),
            known_log_ins: KnownLogIns::default(),
            queue: LogInQueue::new(http.log_ins_at_once(), http.max_waiting_log_ins),
            gate,
            experience: Experience::default(),
            readiness: Latest::default(),
            http: Arc::new(http),
            metrics: crate::metrics::install(),
            stopping: CancellationToken::new(),
            ledger: ApiLedger::new(ledger),
            records,
            weights,
            pool,
            tokens,
            clock,
            witnesses,
        })
    }
}
