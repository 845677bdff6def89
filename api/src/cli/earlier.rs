//! What an audit of the database is compared with without being told: the checkpoint that the ledger keeps outside the database, and
//! its witnesses.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use audit::verify::Seen;
use clap::Args;
use commands::audit::Comparison;
use commands::checkpoints::FILE;
use sqlx::PgPool;

use crate::config::checkpoints_beside;
use crate::witness::{Witness, WitnessView, Witnesses};

/// Where it is, by the settings that `serve` has.
#[derive(Debug, Args)]
pub(super) struct Earlier {
    /// The folder with the last published checkpoint, which the database is compared with; without it, `checkpoints` beside the folder
    /// with the keys
    #[arg(long, env = "LEDGER_CHECKPOINTS", value_name = "FOLDER")]
    checkpoints: Option<PathBuf>,
    /// Witnesses, each as VKEY@URL, that are asked what they have seen of the database's log
    #[arg(
        long = "witness",
        env = "LEDGER_WITNESSES",
        value_delimiter = ',',
        value_name = "VKEY@URL"
    )]
    witnesses: Vec<Witness>,
}

/// What was found there.
pub(super) struct Found {
    /// What the log must contain.
    pub(super) seen: Vec<Seen>,
    /// What was looked for, and what is wrong with it.
    pub(super) comparisons: Vec<Comparison>,
}

impl Earlier {
    /// Looks, before the database is read: what is published later is in the database already.
    pub(super) async fn look(
        &self,
        keys_dir: Option<&Path>,
        pool: &PgPool,
        origin: &str,
    ) -> anyhow::Result<Found> {
        let mut seen = Vec::new();
        let kept = self.kept(keys_dir, origin, &mut seen)?;
        let witnesses = self.witnessed(pool, &mut seen).await?;
        Ok(Found { seen, comparisons: vec![kept, witnesses] })
    }

    fn kept(
        &self,
        keys_dir: Option<&Path>,
        origin: &str,
        seen: &mut Vec<Seen>,
    ) -> anyhow::Result<Comparison> {
        const WHAT: &str = "checkpoints kept outside";
        let folder = self.checkpoints.clone().or_else(|| keys_dir.map(checkpoints_beside));
        let Some(folder) = folder else {
            return Ok(Comparison::none(WHAT, "LEDGER_CHECKPOINTS names no folder"));
        };
        let file = folder.join(FILE);
        let name = file.display().to_string();
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Comparison::none(WHAT, format!("there is no {name}")));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        };
        let mut comparison = Comparison::begun(WHAT);
        match Seen::parse(&name, &bytes) {
            Ok(kept) if kept.checkpoint().origin == origin => {
                comparison.count(1);
                seen.push(kept);
            }
            Ok(kept) => {
                let detail = format!("it is of another log: {}", kept.checkpoint().origin);
                comparison.push(None, "foreign", name, detail);
            }
            Err(error) => comparison.push(None, "unreadable", name, error.to_string()),
        }
        Ok(comparison)
    }

    async fn witnessed(&self, pool: &PgPool, seen: &mut Vec<Seen>) -> anyhow::Result<Comparison> {
        const WHAT: &str = "witnesses";
        if self.witnesses.is_empty() {
            return Ok(Comparison::none(WHAT, "LEDGER_WITNESSES names none"));
        }
        let witnesses = Witnesses::new(self.witnesses.clone())?;
        let mut comparison = Comparison::begun(WHAT);
        let mut silent = Vec::new();
        for (name, told) in witnesses.ask_all(pool).await {
            let object = format!("the witness {name}");
            match told {
                WitnessView::Cosigned(note) => {
                    comparison.count(1);
                    // The witness answers for it, and the log must contain it like anything else that was seen.
                    match Seen::parse(&format!("that {object} cosigned"), note.as_bytes()) {
                        Ok(cosigned) => seen.push(cosigned),
                        Err(error) => {
                            comparison.push(None, "unreadable", object, error.to_string());
                        }
                    }
                }
                WitnessView::Larger(size) => {
                    comparison.count(1);
                    let detail = format!("it has seen {size} events, and the log ends before");
                    comparison.push(None, "missing", object, detail);
                }
                WitnessView::Other(size) => {
                    comparison.count(1);
                    let detail = format!("it has cosigned another history, of {size} events");
                    comparison.push(None, "fork", object, detail);
                }
                WitnessView::Nothing(why) => silent.push(format!("{name}: {why}")),
            }
        }
        if !silent.is_empty() {
            comparison.not_compared = Some(silent.join("; "));
        }
        Ok(comparison)
    }
}
