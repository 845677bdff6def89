//! `ledger keys`: the secrets that never enter the database, and how one takes the place of another.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Subcommand, ValueEnum};
use commands::keys::{KeyFolder, SecretName};
use commands::{
    Actor, Context, KeyEncryptionState, Ledger, PurposeOfUse, RetirementReason, SigningKeyState,
};
use serde::Serialize;

use super::output::Output;
use super::setup::{Log, load_keys};
use super::verdict::Verdict;
use crate::config::Identity;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a new set of keys in a folder; refuses to touch an existing one
    Init {
        /// The folder, which is made with mode 0700
        #[arg(long, env = "LEDGER_KEYS_DIR", value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// Print the log's newest available public key, which verifiers pin (`--json`: all of them)
    Public {
        #[command(flatten)]
        identity: Identity,
    },
    /// Put a new key in front of the others in its file; the older ones stay
    ///
    /// A new signing key signs nothing until `ledger keys activate`; a new key-encryption key wraps nothing
    /// until `ledger keys rewrap`, which waits until every process holds it.
    Add {
        /// Which key
        #[arg(value_enum)]
        kind: Kind,
        /// The folder with the key files
        #[arg(long, env = "LEDGER_KEYS_DIR", value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// List the signing keys: in the log and available here
    List {
        #[command(flatten)]
        log: Log,
    },
    /// Record in the log that the newest available signing key may sign from now on
    Activate {
        #[command(flatten)]
        log: Log,
    },
    /// Record in the log that a signing key may not sign any more
    Retire {
        #[command(flatten)]
        log: Log,
        /// The key's thumbprint, as `ledger keys list` shows it
        #[arg(value_name = "KID")]
        kid: String,
        /// Why, in the words of RFC 5280
        #[arg(long, value_enum, default_value = "superseded")]
        reason: Reason,
    },
    /// Show which key-encryption key wraps, how many data keys each wraps, and which process holds which
    Status {
        #[command(flatten)]
        log: Log,
    },
    /// Have the newest key-encryption key wrap from now on, and wrap every data key by it; no event is touched
    ///
    /// Refuses, and changes nothing, while a running process does not hold that key yet.
    Rewrap {
        #[command(flatten)]
        log: Log,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// Signs events and checkpoints
    EventSigning,
    /// Signs access tokens
    TokenSigning,
    /// Wraps the data keys
    KeyEncryption,
}

impl Kind {
    fn name(self) -> SecretName {
        match self {
            Kind::EventSigning => SecretName::EventSigning,
            Kind::TokenSigning => SecretName::TokenSigning,
            Kind::KeyEncryption => SecretName::KeyEncryption,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Reason {
    /// Another key has taken its place
    Superseded,
    /// An attacker may have it
    KeyCompromise,
    /// It is not needed any more
    CessationOfOperation,
}

impl From<Reason> for RetirementReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Superseded => RetirementReason::Superseded,
            Reason::KeyCompromise => RetirementReason::KeyCompromise,
            Reason::CessationOfOperation => RetirementReason::CessationOfOperation,
        }
    }
}

#[derive(Serialize)]
struct Public {
    origin: String,
    /// The newest key.
    vkey: String,
    kid: String,
    /// All available keys, the newest first.
    vkeys: Vec<String>,
}

impl Keys {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Keys::Init { dir } => {
                commands::Keys::generate(&dir)?;
                let said = serde_json::json!({ "keys": dir });
                output.result(&said, |output| {
                    output.line(format!("Made four keys in {}.", dir.display()));
                    output.line("Back them up apart from the database: without them nothing can be read or signed.");
                })?;
            }
            Keys::Public { identity } => public(&identity, output)?,
            Keys::Add { kind, dir } => {
                KeyFolder::new(&dir).add(kind.name())?;
                let said = serde_json::json!({ "keys": dir, "file": kind.name().file() });
                output.result(&said, |output| {
                    let file = dir.join(kind.name().file());
                    output.line(format!("{} has a new first key. Back it up.", file.display()));
                })?;
            }
            Keys::List { log } => {
                let ledger = log.open().await?;
                let keys = ledger.signing_keys().await;
                ledger.close().await;
                let keys = keys?;
                output.result(&keys, |output| keys.iter().for_each(|key| show(key, output)))?;
            }
            Keys::Activate { log } => {
                let ledger = log.open().await?;
                let done = ledger.activate_key(&operator()).await;
                recorded(ledger, done, output).await?;
            }
            Keys::Retire { log, kid, reason } => {
                let ledger = log.open().await?;
                let done = ledger.retire_key(&kid, reason.into(), &operator()).await;
                recorded(ledger, done, output).await?;
            }
            Keys::Status { log } => {
                let ledger = log.open().await?;
                let state = ledger.key_encryption().await;
                ledger.close().await;
                let state = state?;
                output.result(&state, |output| show_encryption(&state, output))?;
            }
            Keys::Rewrap { log } => {
                let ledger = log.open().await?;
                let bar = output.progress("Wrapping data keys", 0);
                let done =
                    ledger.rewrap_data_keys(&operator(), |count| bar.set_position(count)).await;
                bar.finish_and_clear();
                ledger.close().await;
                let done = done?;
                output.result(&done, |output| {
                    output.line(format!(
                        "{} data keys are wrapped by {} now; {} were before.",
                        done.rewrapped, done.kek_id, done.current
                    ));
                    for holder in &done.waits_for {
                        output
                            .line(format!("{} ({}) does not hold it.", holder.name, holder.login));
                    }
                    output.line(if done.is_done() {
                        "done: the old key may be removed from the files"
                    } else {
                        "not done: keep the old key, and run this again"
                    });
                })?;
                if !done.is_done() {
                    return Ok(Verdict::Findings);
                }
            }
        }
        Ok(Verdict::InOrder)
    }
}

fn operator() -> Context {
    Context::new(Actor::bootstrap(), PurposeOfUse::Sysadmin)
}

fn public(identity: &Identity, output: &Output) -> anyhow::Result<()> {
    let origin = identity.origin.clone();
    let keys = load_keys(identity)?;
    let verifiers =
        keys.verifiers(&origin).with_context(|| format!("`{origin}` cannot be a log's origin"))?;
    ensure!(!verifiers.is_empty(), "there is no signing key");
    let vkeys: Vec<String> = verifiers.iter().map(ToString::to_string).collect();
    let newest = audit::jws::PublicKey::from_bytes(&verifiers[0].key())?;
    let kid = newest.thumbprint().to_owned();
    let public = Public { origin, vkey: vkeys[0].clone(), kid, vkeys };
    output.result(&public, |output| output.line(&public.vkey))
}

fn show(key: &SigningKeyState, output: &Output) {
    let period = match (key.from, key.until) {
        (None, _) => "not activated yet".to_owned(),
        (Some(from), None) => format!("active from position {from}"),
        (Some(from), Some(until)) => format!("signed positions {from} to {until}, retired"),
    };
    let held = match (key.signs, key.at_hand) {
        (true, _) => ", signs",
        (false, true) => ", at hand",
        (false, false) => "",
    };
    output.line(format!("{}  {period}{held}", key.kid));
}

fn show_encryption(state: &KeyEncryptionState, output: &Output) {
    let held = |at_hand| if at_hand { "at hand" } else { "not at hand" };
    output.line(format!(
        "{} wraps since {} (epoch {}), {}",
        state.kek_id,
        state.since,
        state.epoch,
        held(state.at_hand)
    ));
    for key in &state.wraps {
        output.line(format!(
            "{}  wraps {} data keys, {}",
            key.kek_id,
            key.wraps,
            held(key.at_hand)
        ));
    }
    for holder in &state.holders {
        let live = if holder.live { "" } else { ", counts as ended" };
        output.line(format!(
            "{} ({}) holds {}; heard of {} s ago{live}",
            holder.name,
            holder.login,
            holder.kek_ids.join(" "),
            holder.silent_seconds
        ));
    }
}

async fn recorded(
    ledger: Ledger,
    done: Result<commands::Receipt, commands::CommandError>,
    output: &Output,
) -> anyhow::Result<()> {
    let keys = ledger.signing_keys().await;
    ledger.close().await;
    let (receipt, keys) = (done?, keys?);
    let said = serde_json::json!({ "position": receipt.position, "keys": keys });
    output.result(&said, |output| {
        if let Some(position) = receipt.position {
            output.line(format!("Recorded at position {position}."));
        }
        keys.iter().for_each(|key| show(key, output));
    })
}
