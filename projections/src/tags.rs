//! What makes the stores' answers believable: a tag over everything that is kept in MongoDB or Redis.
//!
//! An attacker who can write to these stores can write any document, checkpoint or entry, but has no key. What does
//! not verify is counted, never shown, and made again from the log.

use std::sync::Arc;

use audit::mac::{MacKey, TAG_LEN};

/// What a tag is about. Two things of different kinds never share a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tagged {
    /// A document of a read model.
    Document,
    /// What is left of a document about an erased subject.
    Tombstone,
    /// Where a projector stands.
    Checkpoint,
    /// An entry of the cache.
    CacheEntry,
    /// An epoch of the cache.
    CacheEpoch,
}

impl Tagged {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Tagged::Document => b"document",
            Tagged::Tombstone => b"tombstone",
            Tagged::Checkpoint => b"checkpoint",
            Tagged::CacheEntry => b"cache-entry",
            Tagged::CacheEpoch => b"cache-epoch",
        }
    }
}

/// Makes and checks the tags of one ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tags {
    key: MacKey,
    origin: Arc<str>,
}

impl Tags {
    /// Tags under a key that no store holds, for the log of this origin.
    pub fn new(key: MacKey, origin: &str) -> Tags {
        Tags { key, origin: origin.into() }
    }

    /// The tag of something.
    pub(crate) fn tag(&self, what: Tagged, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        self.key.tag(&self.framed(what, parts))
    }

    /// Whether a stored tag is that of the parts.
    pub(crate) fn verify(&self, what: Tagged, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.key.verify(&self.framed(what, parts), tag)
    }

    fn framed<'a>(&'a self, what: Tagged, parts: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let mut framed = Vec::with_capacity(parts.len() + 2);
        framed.extend([self.origin.as_bytes(), what.as_bytes()]);
        framed.extend_from_slice(parts);
        framed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_holds_for_its_kind_origin_and_parts_alone() {
        let tags = Tags::new(MacKey::from_bytes([1; 32]), "a.example/log");
        let tag = tags.tag(Tagged::Document, &[b"x", b"y"]);
        assert!(tags.verify(Tagged::Document, &[b"x", b"y"], &tag));
        assert!(!tags.verify(Tagged::Tombstone, &[b"x", b"y"], &tag));
        assert!(!tags.verify(Tagged::Document, &[b"x"], &tag));
        let other = Tags::new(MacKey::from_bytes([1; 32]), "b.example/log");
        assert!(!other.verify(Tagged::Document, &[b"x", b"y"], &tag));
        let other = Tags::new(MacKey::from_bytes([2; 32]), "a.example/log");
        assert!(!other.verify(Tagged::Document, &[b"x", b"y"], &tag));
    }
}
