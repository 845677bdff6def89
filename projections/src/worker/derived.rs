//! Ids that follow from what they are for, so that work done again is known again.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The id that the same words always come to (`UUIDv8`): the first half of their SHA-256. The words begin with what
/// the id is for, and its version.
#[must_use]
pub fn derived_id(words: &str) -> Uuid {
    let digest = Sha256::digest(words);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
