//! `ledger migrate`: the tables, who may do what with them, and the first event.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use commands::database::Logins;
use commands::{Clock, database};
use secrecy::{ExposeSecret as _, SecretString};

use super::logins::{LoginFile, passwords_of};
use super::output::Output;
use super::setup::{load_keys, open_log};
use super::verdict::Verdict;
use crate::config::Identity;

/// Brings the database's tables up to date, gives each login its rights, and begins the log if it is empty. This alone works as the
/// owner of the tables, who is named by `LEDGER_OWNER_DATABASE_URL`; everything else logs in as `ledger_serve`, `ledger_worker` and
/// `ledger_auditor`, which own nothing.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// The log's Postgres, by its owner; without it, what `DATABASE_URL` says
    #[arg(
        long = "owner-database-url",
        env = "LEDGER_OWNER_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    owner_url: Option<SecretString>,
    #[command(flatten)]
    urls: Urls,
    #[command(flatten)]
    identity: Identity,
    /// Have the three logins take the passwords of this file, which is made with new ones if it is not there. It sets
    /// `DATABASE_URL`, `LEDGER_WORKER_DATABASE_URL` and `LEDGER_AUDITOR_DATABASE_URL` for a shell that reads it
    /// (`set -a; . FILE`)
    #[arg(long, value_name = "FILE", conflicts_with = "set_passwords")]
    logins: Option<PathBuf>,
    /// Have the three logins take the passwords that stand in `DATABASE_URL`, `LEDGER_WORKER_DATABASE_URL` and
    /// `LEDGER_AUDITOR_DATABASE_URL`
    #[arg(long, requires = "owner_url")]
    set_passwords: bool,
}

/// The URLs of the logins.
#[derive(Debug, Args)]
struct Urls {
    /// The server's, or the owner's where no other is given
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// The worker's
    #[arg(long, env = "LEDGER_WORKER_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    worker_database_url: Option<SecretString>,
    /// The auditor's
    #[arg(long, env = "LEDGER_AUDITOR_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    auditor_database_url: Option<SecretString>,
}

impl Urls {
    /// The passwords in them.
    fn logins(&self) -> anyhow::Result<Logins> {
        let given = [&self.database_url, &self.worker_database_url, &self.auditor_database_url];
        let [Some(serve), Some(worker), Some(auditor)] = given else {
            bail!(
                "--set-passwords needs DATABASE_URL, LEDGER_WORKER_DATABASE_URL and LEDGER_AUDITOR_DATABASE_URL"
            );
        };
        passwords_of([serve, worker, auditor].map(|url| url.expose_secret()))
    }
}

impl Migrate {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let owner = self.owner_url.as_ref().or(self.urls.database_url.as_ref());
        let owner = owner.context("set LEDGER_OWNER_DATABASE_URL")?.expose_secret();
        let file = self.logins.map(|path| LoginFile::open(path, owner)).transpose()?;
        let logins = match &file {
            Some(file) => Some(file.logins().clone()),
            None if self.set_passwords => Some(self.urls.logins()?),
            None => None,
        };
        database::migrate(owner, logins.as_ref()).await?;
        let keys = load_keys(&self.identity)?;
        let pool = database::connect_as_owner(owner).await?;
        let (ledger, _) = open_log(&pool, &keys, Clock::system(), &self.identity).await?;
        let checkpoint = ledger.checkpoint().await?;
        ledger.close().await;
        let said = serde_json::json!({ "origin": self.identity.origin, "checkpoint": checkpoint });
        output.result(&said, |output| {
            let size = checkpoint.lines().nth(1).unwrap_or("?");
            let origin = &self.identity.origin;
            output
                .line(format!("The tables are up to date. The log {origin} holds {size} events."));
            if let Some(file) = &file {
                output.line(format!("{} has the logins to start with.", file.path().display()));
            }
        })?;
        Ok(Verdict::InOrder)
    }
}
