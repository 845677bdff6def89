//! The ledger's side: asks each witness to remember the newest checkpoint, and what it remembers.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use audit::checkpoint::Checkpoint;
use audit::merkle::empty_root;
use audit::note::{NoteSigner, NoteVerifier};
use audit::postgres::{consistency, head};
use audit::witness::{AddCheckpoint, cosignatures};
use commands::{Ledger, SeenElsewhere};
use reqwest::header::CONTENT_TYPE;
use sqlx::PgPool;

/// How often the newest checkpoint is handed in.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a witness may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// How often one checkpoint is handed in again because the witness or the log has moved on meanwhile.
pub(super) const TRIES: u32 = 5;

/// A witness: its key, and where it listens. Written `VKEY@URL`.
#[derive(Clone, Debug)]
pub struct Witness {
    verifier: NoteVerifier,
    url: reqwest::Url,
}

/// What is wrong with a witness in the settings.
#[derive(Debug, thiserror::Error)]
#[error("expected VKEY@URL, the witness's verifier key and its http(s) address")]
pub struct WitnessAddressError;

impl Witness {
    /// Its name, as in its key.
    pub(super) fn name(&self) -> &str {
        self.verifier.name()
    }
}

impl FromStr for Witness {
    type Err = WitnessAddressError;

    fn from_str(text: &str) -> Result<Self, WitnessAddressError> {
        let at = text.find("@http").ok_or(WitnessAddressError)?;
        let verifier = NoteVerifier::parse(&text[..at]).map_err(|_| WitnessAddressError)?;
        let prefix = text[at + 1..].trim_end_matches('/');
        let url = reqwest::Url::parse(&format!("{prefix}/add-checkpoint"));
        let url = url.map_err(|_| WitnessAddressError)?;
        Ok(Self { verifier, url })
    }
}

/// Why a witness could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("it does not answer")]
    Http(#[from] reqwest::Error),
    #[error("the log cannot be read")]
    Log(#[from] audit::postgres::DatabaseError),
    #[error("the log cannot be read")]
    Database(#[from] sqlx::Error),
    #[error("a checkpoint cannot be read or signed")]
    Checkpoint(#[from] audit::checkpoint::CheckpointError),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is no cosignature under its key")]
    Cosignature(#[from] audit::note::NoteError),
    #[error("its answer is too long")]
    TooLong,
    #[error("it and the log kept moving on")]
    Restless,
}

/// A witness's response to a request to cosign a checkpoint.
pub(super) enum CosignResponse {
    Cosigned(Vec<String>),
    /// It has cosigned a larger one.
    Larger(u64),
    /// It has cosigned another history.
    Other(u64),
}

#[derive(Default)]
struct LatestCosignatures {
    size: u64,
    lines: BTreeMap<String, String>,
}

/// The witnesses of a ledger, and what they cosigned last. Cheap to clone.
#[derive(Clone)]
pub struct Witnesses {
    list: Arc<[Witness]>,
    client: reqwest::Client,
    kept: Arc<Mutex<LatestCosignatures>>,
}

impl Witnesses {
    /// These witnesses; none is fine.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn new(list: Vec<Witness>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(Self { list: list.into(), client, kept: Arc::default() })
    }

    pub(super) fn list(&self) -> &[Witness] {
        &self.list
    }

    /// What each of them has seen of the log in this database, handing in the newest checkpoint on the way. One that
    /// does not answer is passed over with a warning: a dead witness must not stop the clinic.
    pub async fn seen(&self, pool: &PgPool, signer: &NoteSigner) -> Vec<SeenElsewhere> {
        let mut seen = Vec::new();
        for witness in self.list.iter() {
            match self.ask(witness, pool, signer).await {
                Ok(found) => seen.push(found),
                Err(error) => failed(witness, &error),
            }
        }
        seen
    }

    async fn ask(
        &self,
        witness: &Witness,
        pool: &PgPool,
        signer: &NoteSigner,
    ) -> Result<SeenElsewhere, AskError> {
        let by = format!("the witness {}", witness.verifier.name());
        let mut seen = SeenElsewhere { by, size: 0, consistent: true };
        for _ in 0..TRIES {
            let note = newest(pool, signer).await?;
            let size = Checkpoint::peek(&note)?.size;
            // Another process may have published since the last round: only a log that is still behind what the
            // witness has seen, when read after the witness's answer, has lost something.
            if seen.size > size {
                return Ok(seen);
            }
            match self.submit(witness, pool, &note).await? {
                CosignResponse::Cosigned(_) => return Ok(SeenElsewhere { size, ..seen }),
                CosignResponse::Larger(larger) => seen.size = larger,
                CosignResponse::Other(size) => {
                    return Ok(SeenElsewhere { size, consistent: false, ..seen });
                }
            }
        }
        Err(AskError::Restless)
    }

    /// Hands in one checkpoint, with the proof from wherever the witness stands.
    pub(super) async fn submit(
        &self,
        witness: &Witness,
        pool: &PgPool,
        note: &str,
    ) -> Result<CosignResponse, AskError> {
        let size = Checkpoint::peek(note)?.size;
        let mut old = 0;
        for _ in 0..TRIES {
            let proof = if old == 0 {
                Vec::new()
            } else {
                consistency(&mut *pool.acquire().await?, old, size).await?
            };
            let request = AddCheckpoint { old, proof, note: note.to_owned() }.to_text();
            let answer = self.client.post(witness.url.clone()).body(request).send().await?;
            let status = answer.status().as_u16();
            let kind = answer.headers().get(CONTENT_TYPE).cloned();
            if answer.content_length().is_some_and(|length| length > MAX_ANSWER as u64) {
                return Err(AskError::TooLong);
            }
            let text = answer.text().await?;
            if text.len() > MAX_ANSWER {
                return Err(AskError::TooLong);
            }
            match status {
                200 => {
                    let known = std::slice::from_ref(&witness.verifier);
                    return Ok(CosignResponse::Cosigned(cosignatures(note, &text, known)?));
                }
                409 if kind.as_ref().is_some_and(|kind| kind == "text/x.tlog.size") => {
                    let newest = text.trim_end().parse().map_err(|_| AskError::Status(status))?;
                    if newest > size {
                        return Ok(CosignResponse::Larger(newest));
                    }
                    if newest == old {
                        return Ok(CosignResponse::Other(newest));
                    }
                    old = newest;
                }
                // The same size and another root, or our own tree does not contain what it has cosigned.
                409 | 422 => return Ok(CosignResponse::Other(old)),
                _ => return Err(AskError::Status(status)),
            }
        }
        Err(AskError::Restless)
    }

    /// Hands in the newest checkpoint again and again; returns at once where there are no witnesses.
    pub async fn run(self, ledger: Ledger, pool: PgPool) {
        let mut done: BTreeMap<String, u64> = BTreeMap::new();
        while !self.list.is_empty() {
            let note = match ledger.checkpoint().await {
                Ok(note) => note,
                Err(error) => {
                    tracing::error!(%error, "there is no checkpoint that a witness could be shown");
                    tokio::time::sleep(INTERVAL).await;
                    continue;
                }
            };
            let size = Checkpoint::peek(&note).map_or(0, |checkpoint| checkpoint.size);
            for witness in self.list.iter() {
                let name = witness.verifier.name();
                if done.get(name) == Some(&size) {
                    continue;
                }
                match self.submit(witness, &pool, &note).await {
                    Ok(CosignResponse::Cosigned(lines)) => {
                        self.keep(name, size, lines.concat());
                        done.insert(name.to_owned(), size);
                        metrics::gauge!("ledger_witnessed_size", "witness" => name.to_owned())
                            .set(size as f64);
                    }
                    // Another process of this ledger was quicker.
                    Ok(CosignResponse::Larger(_)) => {}
                    Ok(CosignResponse::Other(size)) => {
                        metrics::counter!("ledger_witness_forks_total").increment(1);
                        tracing::error!(
                            witness = name,
                            size,
                            "a witness has cosigned another history"
                        );
                    }
                    Err(error) => failed(witness, &error),
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn keep(&self, name: &str, size: u64, lines: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.size > size {
            return;
        }
        if kept.size < size {
            *kept = LatestCosignatures { size, lines: BTreeMap::new() };
        }
        kept.lines.insert(name.to_owned(), lines);
    }

    /// The note with the cosignatures there are for its size.
    #[must_use]
    pub fn cosigned(&self, note: String) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if Checkpoint::peek(&note).is_ok_and(|checkpoint| checkpoint.size == kept.size) {
            kept.lines.values().fold(note, |note, lines| note + lines)
        } else {
            note
        }
    }
}

/// The newest checkpoint in the database; of the empty log, before its first event.
async fn newest(pool: &PgPool, signer: &NoteSigner) -> Result<String, AskError> {
    let head = head(&mut *pool.acquire().await?).await?;
    match head {
        Some(head) => String::from_utf8(head.checkpoint)
            .map_err(|_| audit::postgres::DatabaseError::Malformed { what: "checkpoint" }.into()),
        None => {
            let origin = signer.verifier().name().to_owned();
            Ok(Checkpoint { origin, size: 0, root: empty_root() }.to_note(signer)?)
        }
    }
}

fn failed(witness: &Witness, error: &AskError) {
    let name = witness.verifier.name();
    metrics::counter!("ledger_witness_failures_total", "witness" => name.to_owned()).increment(1);
    tracing::warn!(witness = name, error = audit::chain(error), "a witness was not reached");
}
