//! `ledger receipt`: checking a receipt with nothing but the log's public key. No server, no database.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use audit::checkpoint::Checkpoint;
use audit::jws::{JwkSet, PublicKey};
use audit::note::NoteVerifier;
use audit::proof::{ProofError, Receipt as Proofs, VerifiedReceipt, verify_receipt};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{Output, read_text};
use super::verdict::Verdict;

#[derive(Debug, Subcommand)]
pub(super) enum Receipt {
    /// Check a receipt: signatures, inclusion in the log, and that it says what was signed
    Verify(Verify),
}

/// Checks a receipt as the server answered it.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A key of the log that you trust: a verifier key (origin+id+key, as `ledger keys public` prints it), or a
    /// file with such keys, one a line, or with a JWK Set (then with --origin). May be given several times
    #[arg(long, env = "LEDGER_VERIFIER_KEY", required = true, value_name = "VKEY|FILE")]
    key: Vec<String>,
    /// The log's name, for keys of a JWK Set
    #[arg(long, env = "LEDGER_ORIGIN", value_name = "NAME")]
    origin: Option<String>,
    /// A checkpoint of the same size from another source: it must have the same root
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The receipt
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
struct ReceiptOutput<'a> {
    valid: bool,
    origin: &'a str,
    size: u64,
    root: String,
    events: Vec<EventOutput<'a>>,
    keys: Vec<String>,
    compared: bool,
}

#[derive(Serialize)]
struct EventOutput<'a> {
    position: u64,
    event_type: &'a str,
    event_id: uuid::Uuid,
    recorded_at: String,
}

/// What is wrong with a receipt.
#[derive(Debug, thiserror::Error)]
enum ReceiptProblem {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the checkpoint in {} has another root for the same size: the log was forked", .0.display())]
    Forked(PathBuf),
}

impl Receipt {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let Receipt::Verify(verify) = self;
        verify.run(output)
    }
}

impl Verify {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let mut keys = Vec::new();
        for key in &self.key {
            keys.extend(read_keys(key, self.origin.as_deref())?);
        }
        let text = read_text(&self.file)?;
        let receipt: Proofs = match Proofs::parse(text.as_bytes()) {
            Ok(receipt) => receipt,
            Err(error) => {
                let reason = with_causes(&error.into());
                return wrong(
                    output,
                    &format!("{} is not a receipt: {reason}", self.file.display()),
                );
            }
        };
        match self.check(&receipt, &keys)? {
            Ok(verified) => {
                let said = receipt_output(&receipt, &verified, &keys, self.checkpoint.is_some());
                output.result(&said, |output| print(&said, output))?;
                Ok(Verdict::InOrder)
            }
            Err(reason) => wrong(output, &with_causes(&reason)),
        }
    }

    fn check(
        &self,
        receipt: &Proofs,
        keys: &[NoteVerifier],
    ) -> anyhow::Result<Result<VerifiedReceipt, ReceiptProblem>> {
        let verified = match verify_receipt(receipt, keys) {
            Ok(verified) => verified,
            Err(error) => return Ok(Err(error.into())),
        };
        if let Some(file) = &self.checkpoint {
            let seen = Checkpoint::from_note(&read_text(file)?, keys)
                .with_context(|| format!("{} is no checkpoint of this log", file.display()))?;
            let own = &verified.checkpoint;
            if seen.origin != own.origin || seen.size != own.size {
                bail!(
                    "{} speaks of {} events of {}, the receipt's of {} of {}: only checkpoints of one size can \
                     be compared offline",
                    file.display(),
                    seen.size,
                    seen.origin,
                    own.size,
                    own.origin
                );
            }
            if seen.root != own.root {
                return Ok(Err(ReceiptProblem::Forked(file.clone())));
            }
        }
        Ok(Ok(verified))
    }
}

fn wrong(output: &Output, reason: &str) -> anyhow::Result<Verdict> {
    let said = serde_json::json!({ "valid": false, "reason": reason });
    output.result(&said, |output| output.line(format!("NOT valid: {reason}")))?;
    Ok(Verdict::Findings)
}

fn with_causes(error: &ReceiptProblem) -> String {
    audit::chain(error)
}

fn receipt_output<'a>(
    receipt: &'a Proofs,
    verified: &'a VerifiedReceipt,
    keys: &[NoteVerifier],
    compared: bool,
) -> ReceiptOutput<'a> {
    let events = receipt.events.iter().zip(&verified.statements);
    let events = events.map(|(event, statement)| EventOutput {
        position: event.position,
        event_type: &statement.event_type,
        event_id: statement.event_id,
        recorded_at: statement.recorded_at.to_string(),
    });
    let signed = audit::note::open(&receipt.checkpoint, keys).map(|note| note.signed_by);
    ReceiptOutput {
        valid: true,
        origin: &verified.checkpoint.origin,
        size: verified.checkpoint.size,
        root: verified.checkpoint.root.to_string(),
        events: events.collect(),
        keys: signed.unwrap_or_default().iter().map(ToString::to_string).collect(),
        compared,
    }
}

fn print(said: &ReceiptOutput<'_>, output: &Output) {
    for event in &said.events {
        let (position, kind, at) = (event.position, event.event_type, &event.recorded_at);
        output.line(format!("position {position}: {kind}, recorded at {at}"));
    }
    output.line(format!("log        {}, {} events", said.origin, said.size));
    output.line(format!("root       {}", said.root));
    for key in &said.keys {
        output.line(format!("key        {key}"));
    }
    if said.compared {
        output.line("checkpoint the same as the one given");
    }
    output.line(match said.events.len() {
        0 => {
            "verdict    valid: the command changed nothing, and the checkpoint is signed".to_owned()
        }
        _ => "verdict    valid: signed, and in the log".to_owned(),
    });
}

/// Keys out of a verifier key, or out of a file.
fn read_keys(given: &str, origin: Option<&str>) -> anyhow::Result<Vec<NoteVerifier>> {
    let parsed = match NoteVerifier::parse(given) {
        Ok(key) => return Ok(vec![key]),
        Err(error) => error,
    };
    let file = Path::new(given);
    if !file.is_file() {
        return Err(
            anyhow::Error::new(parsed).context("--key is neither a verifier key nor a file")
        );
    }
    let text = read_text(file)?;
    if !text.trim_start().starts_with('{') {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(NoteVerifier::parse).collect::<Result<Vec<_>, _>>();
        return keys.with_context(|| format!("{given} holds something else than verifier keys"));
    }
    let origin = origin.context("a JWK Set does not say which log it is of: give --origin")?;
    let set = JwkSet::parse(text.as_bytes())
        .with_context(|| format!("{given} is no JWK Set of this ledger"))?;
    let keys = set.keys.iter().map(|jwk| {
        let key = PublicKey::from_jwk(jwk).with_context(|| format!("{given} holds a bad key"))?;
        Ok(NoteVerifier::new(origin, key.to_bytes())?)
    });
    keys.collect()
}
