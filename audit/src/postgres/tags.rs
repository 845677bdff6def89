//! Tags of events: by them a process that holds the ledger's key knows an event again without checking its signature.

use std::fmt;

use crate::mac::{MacKey, TAG_LEN};
use crate::merkle::Hash;

/// Makes and checks the tags of one log's events. The signer of an event tags its leaf, which is made of header, statement and
/// signature: a tag that holds says that this ledger signed just these bytes.
#[derive(Clone)]
pub struct EventTags(MacKey);

impl fmt::Debug for EventTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventTags")
    }
}

impl EventTags {
    /// The tags of the log with this origin, under a key that no store holds.
    #[must_use]
    pub fn new(key: &MacKey, origin: &str) -> EventTags {
        EventTags(key.derive(origin))
    }

    /// The tag of an event that was signed just now.
    #[must_use]
    pub fn tag(&self, leaf: &Hash) -> [u8; TAG_LEN] {
        self.0.tag(&[leaf.as_bytes()])
    }

    /// Whether it is the tag of the event with this leaf.
    #[must_use]
    pub fn holds(&self, leaf: &Hash, tag: &[u8]) -> bool {
        self.0.verify(&[leaf.as_bytes()], tag)
    }
}
