//! Ids derived from a source's own ids, so that importing again meets what is there.

use commands::Ledger;
use uuid::Uuid;

/// Derives ids by a keyed hash: the same source gives the same id, and an id tells nothing of its source.
pub trait Ids {
    /// The id of the thing of this kind that the source calls `source`.
    fn derive(&self, kind: &str, source: &str) -> Uuid;
}

impl Ids for Ledger {
    fn derive(&self, kind: &str, source: &str) -> Uuid {
        self.derived_id(kind, source)
    }
}

#[cfg(test)]
pub(crate) struct PlainIds;

#[cfg(test)]
impl Ids for PlainIds {
    fn derive(&self, kind: &str, source: &str) -> Uuid {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(format!("{kind}|{source}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Uuid::from_bytes(bytes)
    }
}
