//! What a C2SP witness is asked (`add-checkpoint` of tlog-witness), and when it may say yes.
//!
//! A witness remembers one checkpoint of each log. It cosigns another only if the log signed it and the
//! remembered one is proved to be a prefix of it. So it never vouches for two histories of one log.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::encoding;
use crate::merkle::{self, Hash, MAX_SIZE};
use crate::note::{self, MAX_NOTE, NoteError, NoteVerifier};

/// The most hashes of a consistency proof in a request.
pub const MAX_LINES: usize = 63;

/// The longest request that is read.
pub const MAX_REQUEST: usize = MAX_NOTE + 64 * 64;

/// A request: the checkpoint, and the proof that it continues the one of size `old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size the witness is thought to have cosigned last; 0 if none.
    pub old: u64,
    /// The consistency proof from that size.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub note: String,
}

/// Why a witness does not cosign. Each is answered with its own HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: not a request of this protocol.
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
    /// 404: not a log this witness knows.
    #[error("this witness does not know the log")]
    UnknownLog,
    /// 403: not signed by a known key of the log.
    #[error("the checkpoint is not signed by a known key of the log")]
    NotSigned,
    /// 409: the witness remembers another size; the client may try again from there.
    #[error("the newest checkpoint cosigned here has size {size}")]
    OtherSize {
        /// The remembered size; 0 if none.
        size: u64,
    },
    /// 409: the same size with another root, which is a fork.
    #[error("a checkpoint of size {size} with another root was cosigned here")]
    OtherRoot {
        /// The remembered size.
        size: u64,
    },
    /// 422: the proof does not show that the remembered checkpoint is a prefix.
    #[error("the consistency proof does not hold")]
    Inconsistent,
}

impl Refusal {
    /// The HTTP status of tlog-witness.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::NotSigned => 403,
            Self::UnknownLog => 404,
            Self::OtherSize { .. } | Self::OtherRoot { .. } => 409,
            Self::Inconsistent => 422,
        }
    }
}

impl AddCheckpoint {
    /// The body of the request.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&format!("{hash}\n"));
        }
        text.push('\n');
        text.push_str(&self.note);
        text
    }

    /// Reads the body of a request. Nothing is verified yet.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = Refusal::Malformed;
        if text.len() > MAX_REQUEST {
            return Err(malformed("too long"));
        }
        let (head, note) =
            text.split_once("\n\n").ok_or(malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(encoding::decimal)
            .filter(|old| *old <= MAX_SIZE)
            .ok_or(malformed("the first line is not `old` and a size"))?;
        let proof = lines
            .take(MAX_LINES + 1)
            .map(|line| Hash::from_base64(line).ok_or(malformed("a line of the proof is no hash")))
            .collect::<Result<Vec<_>, _>>()?;
        if proof.len() > MAX_LINES {
            return Err(malformed("the proof has more than 63 lines"));
        }
        Ok(Self { old, proof, note: note.to_owned() })
    }

    /// The origin the checkpoint names, which has not been checked yet.
    pub fn origin(&self) -> Result<String, Refusal> {
        Ok(self.peek()?.origin)
    }

    fn peek(&self) -> Result<Checkpoint, Refusal> {
        Checkpoint::peek(&self.note).map_err(|_| Refusal::Malformed("not a checkpoint"))
    }

    /// Whether a witness that remembers `latest` may cosign: the checkpoint, if so.
    ///
    /// `known` are the keys of the log the checkpoint names; none if the log is unknown.
    pub fn consider(
        &self,
        known: &[NoteVerifier],
        latest: Option<&Checkpoint>,
    ) -> Result<Checkpoint, Refusal> {
        let origin = self.peek()?.origin;
        if !known.iter().any(|key| key.name() == origin) {
            return Err(Refusal::UnknownLog);
        }
        let checkpoint = Checkpoint::from_note(&self.note, known).map_err(|error| match error {
            CheckpointError::Note(NoteError::Unsigned | NoteError::BadSignature { .. })
            | CheckpointError::NotByTheLog { .. } => Refusal::NotSigned,
            _ => Refusal::Malformed("not a checkpoint"),
        })?;
        if self.old > checkpoint.size {
            return Err(Refusal::Malformed("the old size is larger than the checkpoint's"));
        }
        let size = latest.map_or(0, |latest| latest.size);
        if self.old != size {
            return Err(Refusal::OtherSize { size });
        }
        let old_root = latest.map_or_else(merkle::empty_root, |latest| latest.root);
        if size == checkpoint.size && old_root != checkpoint.root {
            return Err(Refusal::OtherRoot { size });
        }
        let held = if size == 0 {
            // Everything continues the empty tree, which needs no proof and takes none.
            self.proof.is_empty()
        } else {
            let new = (checkpoint.size, &checkpoint.root);
            merkle::verify_consistency(size, new.0, &self.proof, &old_root, new.1).is_ok()
        };
        if held { Ok(checkpoint) } else { Err(Refusal::Inconsistent) }
    }
}

/// The lines of a witness's answer that are cosignatures of the note by one of the known witnesses.
///
/// # Errors
///
/// When the answer holds none, or a wrong one.
pub fn cosignatures(
    note: &str,
    answer: &str,
    witnesses: &[NoteVerifier],
) -> Result<Vec<String>, NoteError> {
    let text = note::unverified_text(note)?;
    let mut lines = Vec::new();
    for line in answer.lines() {
        let alone = format!("{text}\n{line}\n");
        match note::open(&alone, witnesses) {
            Ok(_) => lines.push(format!("{line}\n")),
            Err(NoteError::Unsigned) => {}
            Err(error) => return Err(error),
        }
    }
    if lines.is_empty() { Err(NoteError::Unsigned) } else { Ok(lines) }
}
