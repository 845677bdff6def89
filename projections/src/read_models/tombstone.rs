//! What is left of a document about an erased subject: nothing but ids and a position.
//!
//! A tombstone is newer than whatever it replaces, so that no older event brings the document back; and it has none of the
//! fields that lists and searches use, so that none of them finds it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text::plain;
use super::view::View;

/// The field that tells a tombstone from a document: whose it was.
pub(super) const ERASED: &str = "erased";

/// What is left of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tombstone {
    /// The document.
    #[serde(rename = "_id", with = "plain")]
    pub(super) id: Uuid,
    /// Whose it was.
    #[serde(with = "plain")]
    pub(super) erased: Uuid,
    /// The position of the event that showed it: the erasure's, in the end.
    pub(super) position: u64,
}

/// What a read model keeps under an id.
pub(crate) enum Kept<V: View> {
    /// A document.
    Live(V::Document),
    /// What is left of one.
    Erased(Tombstone),
}

impl<V: View> Kept<V> {
    pub(super) fn position(&self) -> u64 {
        match self {
            Kept::Live(document) => V::position(document),
            Kept::Erased(tombstone) => tombstone.position,
        }
    }

    /// Whose document it is, or was.
    pub(super) fn subject(&self) -> Uuid {
        match self {
            Kept::Live(document) => V::subject(document),
            Kept::Erased(tombstone) => tombstone.erased,
        }
    }

    /// Under which id it is kept.
    pub(super) fn id(&self) -> Uuid {
        match self {
            Kept::Live(document) => V::id(document),
            Kept::Erased(tombstone) => tombstone.id,
        }
    }

    pub(super) fn to_json(&self) -> Option<String> {
        match self {
            Kept::Live(document) => serde_json::to_string(document).ok(),
            Kept::Erased(tombstone) => serde_json::to_string(tombstone).ok(),
        }
    }
}
