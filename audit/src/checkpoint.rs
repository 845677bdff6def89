//! Checkpoints: the log's tree head as a C2SP signed note, without extension lines.

use serde::Serialize;

use crate::encoding;
use crate::merkle::{Hash, MAX_SIZE};
use crate::note::{self, NoteError, NoteSigner, NoteVerifier};

/// What can be wrong with a checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it.
    #[error("the checkpoint's note is not valid")]
    Note(#[from] NoteError),
    /// The text within the note.
    #[error("the checkpoint is malformed: {0}")]
    Malformed(&'static str),
    /// Signed, but not by the log itself: the key's name must be the origin.
    #[error("the checkpoint of {origin} is not signed under that name")]
    NotByTheLog {
        /// The log the text speaks of.
        origin: String,
    },
}

/// A tree head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// The log's identity.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: origin, size and root, a line each.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Reads the signed text.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let body = text
            .strip_suffix('\n')
            .ok_or(CheckpointError::Malformed("the last line has no newline"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed("expected origin, size and root"));
        };
        if !note::is_key_name(origin) {
            return Err(CheckpointError::Malformed("the origin is not a valid name"));
        }
        let size = encoding::decimal(size)
            .filter(|size| *size <= MAX_SIZE)
            .ok_or(CheckpointError::Malformed("the size is not a plain decimal number"))?;
        let root = Hash::from_base64(root)
            .ok_or(CheckpointError::Malformed("the root is not 32 bytes of base64"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Signs the checkpoint. The signer's name must be the origin.
    pub fn to_note(&self, signer: &NoteSigner) -> Result<String, CheckpointError> {
        if signer.verifier().name() != self.origin {
            return Err(CheckpointError::NotByTheLog { origin: self.origin.clone() });
        }
        Ok(signer.sign(&self.to_text())?)
    }

    /// Reads a note without checking any signature: only for finding out which keys to check it with.
    pub fn peek(note: &str) -> Result<Self, CheckpointError> {
        match note::open(note, &[]) {
            Ok(_) | Err(NoteError::Unsigned) => Self::from_text(note::unverified_text(note)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a signed checkpoint; one of the known keys must have signed it under the origin.
    pub fn from_note(note: &str, known: &[NoteVerifier]) -> Result<Self, CheckpointError> {
        let opened = note::open(note, known)?;
        let checkpoint = Self::from_text(opened.text)?;
        let by_the_log = |key: &NoteVerifier| key.is_of_a_log() && key.name() == checkpoint.origin;
        if opened.signed_by.iter().any(by_the_log) {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::NotByTheLog { origin: checkpoint.origin })
        }
    }
}
