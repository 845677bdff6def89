//! `ledger keys`: the secrets that never enter the database.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;

use super::Verdict;
use super::output::Output;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a new set of keys in a folder; refuses to touch an existing one
    Init {
        /// The folder, which is made with mode 0700
        #[arg(long, env = "LEDGER_KEYS_DIR", value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// Print the log's public key, which verifiers pin
    Public {
        /// The folder with the keys
        #[arg(long, env = "LEDGER_KEYS_DIR", value_name = "FOLDER")]
        dir: PathBuf,
        /// The log's name for all time
        #[arg(long, env = "LEDGER_ORIGIN", value_name = "NAME")]
        origin: String,
    },
}

#[derive(Serialize)]
struct Public {
    origin: String,
    vkey: String,
    kid: String,
}

impl Keys {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Keys::Init { dir } => {
                commands::Keys::generate(&dir)?;
                let said = serde_json::json!({ "keys": dir });
                output.result(&said, |output| {
                    output.line(format!("Made four keys in {}.", dir.display()));
                    output.line("Back them up apart from the database: without them nothing can be read or signed.");
                })?;
            }
            Keys::Public { dir, origin } => {
                let keys = commands::Keys::load(&dir)?;
                let seed = keys.event_signing_seed();
                let signer = audit::note::NoteSigner::new(&origin, seed)
                    .with_context(|| format!("`{origin}` cannot be a log's origin"))?;
                let events = audit::jws::EventSigner::new(seed)?;
                let public = Public {
                    vkey: signer.verifier().to_string(),
                    kid: events.public().thumbprint().to_owned(),
                    origin,
                };
                output.result(&public, |output| output.line(&public.vkey))?;
            }
        }
        Ok(Verdict::InOrder)
    }
}
