//! Sealing: what hides an event's body and a capture, and what commits to it.
//!
//! The commitment and the identities work everywhere; encryption needs the feature `seal`.

use uuid::Uuid;

use crate::primitives::sha256;

#[cfg(feature = "seal")]
mod aead;
#[cfg(feature = "seal")]
mod wrap;

#[cfg(feature = "seal")]
pub use aead::{
    DataKey, open_blob, open_payload, open_snapshot, seal_blob, seal_payload, seal_snapshot,
};
#[cfg(feature = "seal")]
pub use wrap::{Binding, KeyWrap, LocalKeks, SubjectKey, SubjectKind, WRAP_VERSION, Wrapped};

/// The largest plaintext of an event.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// The largest capture.
pub const MAX_BLOB: usize = 256 * 1024 * 1024;

/// The largest state kept as a snapshot.
pub const MAX_SNAPSHOT: usize = 16 * 1024 * 1024;

/// What a sealed payload is longer than its plaintext: nonce 12, blinding 32, tag 16.
pub const OVERHEAD: usize = 12 + 32 + 16;

/// What can go wrong with sealing or opening.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// Larger than this format allows, or too short to be sealed.
    #[error("{0} bytes is not a size that can be sealed or opened")]
    Size(usize),
    /// The key is wrong, the bytes were changed, or they belong to another event, blob or key.
    #[error("the bytes do not open under this key and identity")]
    Refused,
    /// It opened, but is not what the statement committed to.
    #[error("the plaintext is not what the statement committed to")]
    Commitment,
    /// The wrapping key is not available.
    #[error("the data key is wrapped by {kek_id}, which is not one of the keys at hand")]
    UnknownKek {
        /// The key-encryption key that wrapped it.
        kek_id: String,
    },
}

/// What binds a sealed payload to its event: the associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventIdentity<'a> {
    /// The log.
    pub origin: &'a str,
    /// The event.
    pub event_id: Uuid,
    /// The kind of stream.
    pub stream_type: &'a str,
    /// The stream.
    pub stream_id: Uuid,
    /// The event's number in the stream.
    pub sequence: u64,
}

impl EventIdentity<'_> {
    /// The identity of the event a statement speaks of.
    #[must_use]
    pub fn of(statement: &crate::statement::Statement) -> EventIdentity<'_> {
        EventIdentity {
            origin: &statement.origin,
            event_id: statement.event_id,
            stream_type: &statement.stream_type,
            stream_id: statement.stream_id,
            sequence: statement.sequence,
        }
    }

    /// The associated data: a line each, since none of the texts can hold a newline.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        let Self { origin, event_id, stream_type, stream_id, sequence } = self;
        format!(
            "coherency/payload/v1\n{origin}\n{event_id}\n{stream_type}\n{stream_id}\n{sequence}\n"
        )
        .into_bytes()
    }
}

/// What binds a sealed snapshot to the one state it holds: the associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotIdentity<'a> {
    /// The log.
    pub origin: &'a str,
    /// The kind of stream.
    pub stream_type: &'a str,
    /// The stream.
    pub stream_id: Uuid,
    /// The last event that made the state; a stream that went another way has another one.
    pub event_id: Uuid,
    /// Its number in the stream.
    pub version: u64,
    /// The version of the state's own form.
    pub state_version: u32,
}

impl SnapshotIdentity<'_> {
    /// The associated data: a line each, since none of the texts can hold a newline.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        let Self { origin, stream_type, stream_id, event_id, version, state_version } = self;
        format!(
            "coherency/snapshot/v1\n{origin}\n{stream_type}\n{stream_id}\n{event_id}\n{version}\n{state_version}\n"
        )
        .into_bytes()
    }
}

/// A sealed payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// `nonce (12) || AES-256-GCM(blinding (32) || plaintext) || tag (16)`: what is stored.
    pub bytes: Vec<u8>,
    /// The commitment to the plaintext, for the statement.
    pub commitment: [u8; 32],
}

/// The hiding commitment: `SHA-256("coherency/commitment/v1\n" || blinding || plaintext)`.
#[must_use]
pub fn commit(blinding: &[u8; 32], plaintext: &[u8]) -> [u8; 32] {
    sha256(&[b"coherency/commitment/v1\n", blinding, plaintext])
}
