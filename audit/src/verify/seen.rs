//! What an auditor has seen before: a checkpoint or a receipt, told apart by content.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::merkle::{self, Hash};
use crate::note::{self, MAX_NOTE, NoteError, NoteVerifier};
use crate::proof::{ProofError, Receipt, verify_receipt};

/// Why a file is neither a checkpoint nor a receipt.
#[derive(Debug, thiserror::Error)]
pub enum SeenError {
    /// It begins like JSON, but is not a receipt.
    #[error("it is not a receipt")]
    Receipt(#[from] ProofError),
    /// It is not a checkpoint.
    #[error("it is not a checkpoint")]
    Checkpoint(#[from] CheckpointError),
    /// It is not even text.
    #[error("it is not a checkpoint")]
    Note(#[from] NoteError),
}

/// A checkpoint seen before, alone or in a receipt. Read, but not verified: which keys count is for the log to say.
#[derive(Clone, Debug)]
pub struct Seen {
    name: String,
    note: String,
    checkpoint: Checkpoint,
    receipt: Option<Receipt>,
}

impl Seen {
    /// Reads a checkpoint or a receipt; `name` is what the report calls it.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, SeenError> {
        let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        let receipt = match begins {
            Some(b'{') => Some(Receipt::parse(bytes)?),
            _ => None,
        };
        let note = match &receipt {
            Some(receipt) => receipt.checkpoint.clone(),
            None if bytes.len() > MAX_NOTE => {
                return Err(NoteError::Malformed("too long").into());
            }
            None => note::text_of(bytes)?.to_owned(),
        };
        let checkpoint = Checkpoint::peek(&note)?;
        Ok(Self { name: name.to_owned(), note, checkpoint, receipt })
    }

    /// What the report calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says, which is not verified.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Whether it is a receipt.
    #[must_use]
    pub fn is_receipt(&self) -> bool {
        self.receipt.is_some()
    }

    /// The leaves a receipt proves, by position.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (u64, Hash)> {
        let events = self.receipt.iter().flat_map(|receipt| &receipt.events);
        events.map(|event| (event.position, merkle::leaf_hash(event.jws.as_bytes())))
    }

    /// Checks signatures: the checkpoint's by a key that counts at its size, a receipt's events by any key given.
    pub(crate) fn verify(
        &self,
        active: &[NoteVerifier],
        all: &[NoteVerifier],
    ) -> Result<(), ProofError> {
        Checkpoint::from_note(&self.note, active)?;
        match &self.receipt {
            Some(receipt) => verify_receipt(receipt, all).map(|_| ()),
            None => Ok(()),
        }
    }
}
