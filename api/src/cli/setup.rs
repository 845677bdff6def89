//! What several commands begin with: the database, the keys, the open log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use audit::note::NoteSigner;
use commands::keys::KeyEnvironment;
use commands::{Clock, Keys, Ledger, LedgerConfig, database};
use jiff::SignedDuration;
use projections::cache::Cache;
use projections::event::EventLog;
use projections::known::WatchedLog;
use projections::read_models::ReadModels;
use projections::tags::Tags;
use secrecy::ExposeSecret as _;
use sqlx::PgPool;

use crate::config::{Identity, Stores};
use crate::witness::Witnesses;

/// What the key is for that authenticates documents, checkpoints of projectors and cached entries.
const READ_MODEL_KEY: &str = "read-model/v1";

/// How long an unused document stays in the cache.
const CACHE_TIME: Duration = Duration::from_secs(3_600);

/// The log's database and keys, for commands that need neither read models nor captures.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Log {
    /// The log's Postgres, by the login `ledger_serve`, as `postgres://ledger_serve:…@host/database`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: secrecy::SecretString,
    #[command(flatten)]
    pub(super) identity: Identity,
}

impl Log {
    /// Connects to its database.
    pub(super) async fn connect(&self) -> anyhow::Result<PgPool> {
        Ok(database::connect(self.database_url.expose_secret()).await?)
    }

    /// Opens the log for writing.
    pub(super) async fn open(&self) -> anyhow::Result<Ledger> {
        let keys = load_keys(&self.identity)?;
        let pool = self.connect().await?;
        Ok(open_log(&pool, &keys, Clock::system(), &self.identity).await?.0)
    }
}

/// Opens the log as the settings say, once it contains everything that witnesses and kept checkpoints have seen.
pub(super) async fn open_log(
    pool: &PgPool,
    keys: &Keys,
    clock: Clock,
    identity: &Identity,
) -> anyhow::Result<(Ledger, Witnesses)> {
    let witnesses = Witnesses::new(identity.witnesses.clone())?;
    let signer = NoteSigner::new(&identity.origin, &keys.event_signing_seeds()[0])
        .context("LEDGER_ORIGIN cannot be a log's name")?;
    let config = LedgerConfig {
        checkpoints: identity.checkpoints(),
        reread_every: Duration::from_secs(identity.reread_seconds.max(1)),
        clock_skew_max: SignedDuration::from_secs(identity.clock_skew_max.cast_signed()),
        looks_alike_within: SignedDuration::from_secs(identity.looks_alike_seconds.cast_signed()),
        seen: witnesses.seen(pool, &signer).await,
        ..LedgerConfig::new(identity.origin.clone())
    };
    let ledger = Ledger::open(pool.clone(), keys.clone(), clock, config).await?;
    Ok((ledger, witnesses))
}

/// Loads the keys of a folder, or else of the environment; none if neither is given.
pub(super) fn keys_from(folder: Option<&Path>) -> anyhow::Result<Option<Keys>> {
    let keys = match folder {
        Some(folder) => Keys::load(folder).context("cannot load the keys (LEDGER_KEYS_DIR)")?,
        None if KeyEnvironment::is_set() => Keys::from_source(KeyEnvironment)?,
        None => return Ok(None),
    };
    Ok(Some(keys))
}

/// Loads the keys.
pub(super) fn load_keys(identity: &Identity) -> anyhow::Result<Keys> {
    keys_from(identity.keys_dir.as_deref())?
        .context("set LEDGER_KEYS_DIR to the folder that `ledger keys init` made")
}

/// Connects to the read models and their cache, which are checked against the log.
pub(super) async fn read_models(
    stores: &Stores,
    keys: &Keys,
    ledger: &Ledger,
    log: EventLog,
) -> anyhow::Result<ReadModels> {
    let tags = Tags::new(keys.mac_key(READ_MODEL_KEY), ledger.origin());
    let known = WatchedLog::new(ledger.watch().clone(), log.clone());
    let cache = match &stores.redis_url {
        None => None,
        Some(url) => {
            let (url, prefix) = (url.expose_secret(), stores.redis_prefix.clone());
            Some(Cache::new(url, prefix, CACHE_TIME, tags.clone())?)
        }
    };
    let (uri, database) = (stores.mongodb_uri.expose_secret(), &stores.mongodb_database);
    let models = ReadModels::connect(uri, database, cache, tags, log);
    let models = models.await.context("the read models are not reachable (MONGODB_URI)")?;
    Ok(models.knowing(Arc::new(known)))
}
