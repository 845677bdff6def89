//! Receipts, and C2SP tlog-proof files: what a client keeps and checks without the server.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::encoding;
use crate::json::{self, JsonError, Members, Value};
use crate::jws::{self, JwsError, PublicKey};
use crate::merkle::{self, Hash, MAX_PROOF, MAX_SIZE, MerkleError};
use crate::note::{MAX_NOTE, NoteVerifier};
use crate::seal::{self, MAX_PAYLOAD, OVERHEAD};
use crate::statement::{Digest, MAX_NAME, Statement, StatementError};

/// The most events one receipt may hold.
pub const MAX_RECEIPT_EVENTS: usize = 4096;

/// The longest receipt that is read.
pub const MAX_RECEIPT: usize = 64 * 1024 * 1024;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
const MAX_EXTRA: usize = 64 * 1024;

/// What can be wrong with a proof file or a receipt.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The proof file.
    #[error("the proof file is malformed: {0}")]
    Malformed(&'static str),
    /// Its checkpoint.
    #[error("the checkpoint does not hold")]
    Checkpoint(#[from] CheckpointError),
    /// The way from the leaf to the root.
    #[error("position {position} is not in the log the checkpoint speaks of")]
    Inclusion {
        /// The position.
        position: u64,
        /// Why.
        #[source]
        source: MerkleError,
    },
    /// The signature of an event.
    #[error("the signature of position {position} does not hold")]
    Signature {
        /// The position.
        position: u64,
        /// Why.
        #[source]
        source: JwsError,
    },
    /// Signed by a key that is not trusted here.
    #[error("position {position} is signed by the key {kid}, which is not trusted here")]
    UntrustedKey {
        /// The position.
        position: u64,
        /// Its thumbprint.
        kid: String,
    },
    /// The statement of an event.
    #[error("the statement of position {position} is not valid")]
    Statement {
        /// The position.
        position: u64,
        /// Why.
        #[source]
        source: StatementError,
    },
    /// The receipt says something else than what was signed.
    #[error("the receipt's {field} is not what was signed")]
    Disagrees {
        /// Which field.
        field: &'static str,
    },
    /// Not JSON with exactly the members of a receipt.
    #[error("the receipt cannot be read")]
    Json(#[from] JsonError),
    /// A member of the receipt outside its bounds.
    #[error("the receipt's {field} is not valid: {problem}")]
    Field {
        /// Which member.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More events than [`MAX_RECEIPT_EVENTS`].
    #[error("a receipt of {0} events is too long")]
    TooLong(usize),
}

/// A proof that one leaf is in a log (C2SP tlog-proof).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data that the proof does not cover.
    pub extra: Option<Vec<u8>>,
    /// The leaf's position.
    pub index: u64,
    /// The inclusion proof.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

impl TlogProof {
    /// The text of a `.tlog-proof` file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", encoding::base64(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            text.push_str(&format!("{hash}\n"));
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a `.tlog-proof` file. Nothing is verified yet.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let malformed = ProofError::Malformed;
        if text.len() > MAX_NOTE + MAX_EXTRA * 2 {
            return Err(malformed("too long"));
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(malformed("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(encoded) => {
                let extra = encoding::from_base64(encoded)
                    .filter(|extra| extra.len() <= MAX_EXTRA)
                    .ok_or(malformed("the extra data is not base64, or too long"))?;
                lines.next();
                Some(extra)
            }
        };
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(encoding::decimal)
            .filter(|index| *index < MAX_SIZE)
            .ok_or(malformed("no line `index N`"))?;
        let hashes = lines
            .take(MAX_PROOF + 1)
            .map(|line| {
                Hash::from_base64(line).ok_or(malformed("a hash is not 32 bytes of base64"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if hashes.len() > MAX_PROOF {
            return Err(malformed("too many hashes"));
        }
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Checks the checkpoint's signature and the way from the leaf to its root.
    pub fn verify(&self, leaf: &Hash, known: &[NoteVerifier]) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::from_note(&self.checkpoint, known)?;
        merkle::verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)
            .map_err(|source| ProofError::Inclusion { position: self.index, source })?;
        Ok(checkpoint)
    }
}

/// One event of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReceiptEvent {
    /// Its position in the log.
    pub position: u64,
    /// The event.
    pub event_id: Uuid,
    /// The kind of event.
    pub event_type: String,
    /// The compact JWS: header, statement and signature.
    pub jws: String,
    /// The inclusion proof in the tree of the receipt's checkpoint.
    pub proof: Vec<Hash>,
}

/// What the writer of a command is given once it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The command.
    pub command_id: Uuid,
    /// The stream of the last event (of the command, if it made no event).
    pub stream_type: String,
    /// The stream of the last event (of the command, if it made no event).
    pub stream_id: Uuid,
    /// The stream's version after the command: the last event's sequence.
    pub version: u64,
    /// The last event's position; null where the command changed nothing.
    pub position: Option<u64>,
    /// The events, in the order of their positions.
    pub events: Vec<ReceiptEvent>,
    /// A signed checkpoint that covers the events.
    pub checkpoint: String,
    /// Whether this answers a repetition of a command that was accepted before.
    pub replayed: bool,
}

impl ReceiptEvent {
    fn read(value: Value<'_>) -> Result<Self, JsonError> {
        const MEMBERS: [&str; 5] = ["position", "event_id", "event_type", "jws", "proof"];
        let mut members = Members::exactly(value, "an event of the receipt", &MEMBERS)?;
        let hash = |value| {
            let text = json::text(value, "proof")?;
            Hash::from_base64(&text).ok_or(json::shape("proof", "hashes of 32 bytes in base64"))
        };
        Ok(Self {
            position: members.number("position")?,
            event_id: members.uuid("event_id")?,
            event_type: members.text("event_type")?,
            jws: members.text("jws")?,
            proof: members.list("proof")?.into_iter().map(hash).collect::<Result<_, _>>()?,
        })
    }
}

impl Receipt {
    /// Reads a receipt: exactly its members, each within its bounds. Nothing is verified yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        const MEMBERS: [&str; 8] = [
            "command_id",
            "stream_type",
            "stream_id",
            "version",
            "position",
            "events",
            "checkpoint",
            "replayed",
        ];
        if bytes.len() > MAX_RECEIPT {
            return Err(ProofError::Field { field: "size", problem: "more than 64 MiB" });
        }
        let mut members = Members::exactly(json::parse(bytes)?, "the receipt", &MEMBERS)?;
        let events = members.list("events")?;
        if events.len() > MAX_RECEIPT_EVENTS {
            return Err(ProofError::TooLong(events.len()));
        }
        Ok(Self {
            command_id: members.uuid("command_id")?,
            stream_type: members.text("stream_type")?,
            stream_id: members.uuid("stream_id")?,
            version: members.number("version")?,
            position: members.number_or_null("position")?,
            events: events.into_iter().map(ReceiptEvent::read).collect::<Result<_, _>>()?,
            checkpoint: members.text("checkpoint")?,
            replayed: members.bool("replayed")?,
        })
    }

    /// A `.tlog-proof` file for each event; the leaf is the event's compact JWS.
    #[must_use]
    pub fn to_proofs(&self) -> Vec<TlogProof> {
        self.events
            .iter()
            .map(|event| TlogProof {
                extra: None,
                index: event.position,
                hashes: event.proof.clone(),
                checkpoint: self.checkpoint.clone(),
            })
            .collect()
    }
}

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// The tree head that covers the events.
    pub checkpoint: Checkpoint,
    /// What was signed, in the order of the events.
    pub statements: Vec<Statement>,
}

/// Checks a receipt with nothing but the log's keys: every signature, every inclusion proof, and
/// that the receipt says what was signed.
pub fn verify_receipt(
    receipt: &Receipt,
    known: &[NoteVerifier],
) -> Result<VerifiedReceipt, ProofError> {
    if receipt.events.len() > MAX_RECEIPT_EVENTS {
        return Err(ProofError::TooLong(receipt.events.len()));
    }
    let checkpoint = Checkpoint::from_note(&receipt.checkpoint, known)?;
    if receipt.events.is_empty() {
        // A command that changed nothing has no last event whose stream could be compared.
        let bounded = receipt.stream_type.len() <= MAX_NAME && receipt.version <= MAX_SIZE;
        let named = receipt.stream_type.bytes().all(|byte| byte.is_ascii_graphic());
        if !(bounded && named) {
            return Err(ProofError::Field { field: "stream", problem: "not a stream's name" });
        }
    }
    let mut statements = Vec::with_capacity(receipt.events.len());
    let mut previous = None;
    for (event, proof) in receipt.events.iter().zip(receipt.to_proofs()) {
        let position = event.position;
        if previous.is_some_and(|previous: u64| Some(position) != previous.checked_add(1)) {
            return Err(ProofError::Disagrees { field: "order of events" });
        }
        previous = Some(position);
        let leaf = merkle::leaf_hash(event.jws.as_bytes());
        merkle::verify_inclusion(&leaf, position, checkpoint.size, &proof.hashes, &checkpoint.root)
            .map_err(|source| ProofError::Inclusion { position, source })?;
        let statement = verify_event(event, &checkpoint.origin, known)?;
        let agreements = [
            ("origin", statement.origin == checkpoint.origin),
            ("event_id", statement.event_id == event.event_id),
            ("event_type", statement.event_type == event.event_type),
            ("command_id", statement.command_id == receipt.command_id),
        ];
        if let Some((field, _)) = agreements.into_iter().find(|(_, agrees)| !agrees) {
            return Err(ProofError::Disagrees { field });
        }
        statements.push(statement);
    }
    if receipt.position != previous {
        return Err(ProofError::Disagrees { field: "position" });
    }
    if let Some(last) = statements.last() {
        if last.stream_type != receipt.stream_type || last.stream_id != receipt.stream_id {
            return Err(ProofError::Disagrees { field: "stream" });
        }
        if last.sequence != receipt.version {
            return Err(ProofError::Disagrees { field: "version" });
        }
    }
    Ok(VerifiedReceipt { checkpoint, statements })
}

fn verify_event(
    event: &ReceiptEvent,
    origin: &str,
    known: &[NoteVerifier],
) -> Result<Statement, ProofError> {
    let position = event.position;
    let signature = |source| ProofError::Signature { position, source };
    let parts = jws::parse_compact(&event.jws).map_err(signature)?;
    let kid = jws::kid(&parts.header).map_err(signature)?;
    let key = known
        .iter()
        .filter(|verifier| verifier.name() == origin)
        .filter_map(|verifier| PublicKey::from_bytes(&verifier.key()).ok())
        .find(|key| key.thumbprint() == kid)
        .ok_or_else(|| ProofError::UntrustedKey { position, kid: kid.to_owned() })?;
    key.verify(&parts.header, &parts.statement, &parts.signature).map_err(signature)?;
    Statement::parse(&parts.statement).map_err(|source| ProofError::Statement { position, source })
}

/// Checks what a sealed event said, for whom its blinding and plaintext were given to: against the commitment in the
/// statement, whose signature and place in the log the caller has checked.
#[must_use]
pub fn verify_plaintext(statement: &Statement, blinding: &[u8], plaintext: &[u8]) -> bool {
    let Ok(blinding) = <&[u8; 32]>::try_from(blinding) else { return false };
    let commitment = Digest(seal::commit(blinding, plaintext));
    let size = plaintext.len() as u64 + OVERHEAD as u64;
    plaintext.len() <= MAX_PAYLOAD
        && statement.payload.size == size
        && statement.payload.commitment == Some(commitment)
}
