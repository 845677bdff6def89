//! What is left of a document about somebody who was erased: nothing but ids and a position.
//!
//! A tombstone is newer than whatever it replaces, so that no older event brings the document back; and it has none of the
//! fields that lists and searches go by, so that none of them finds it.

use bson::{RawDocument, RawDocumentBuf};
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
    /// Reads what is stored; `None` if it is neither.
    pub(super) fn read(raw: &RawDocument) -> Option<Kept<V>> {
        if is_tombstone(raw) {
            bson::deserialize_from_slice(raw.as_bytes()).ok().map(Kept::Erased)
        } else {
            bson::deserialize_from_slice(raw.as_bytes()).ok().map(Kept::Live)
        }
    }

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

    pub(super) fn to_bson(&self) -> Option<RawDocumentBuf> {
        match self {
            Kept::Live(document) => bson::serialize_to_raw_document_buf(document).ok(),
            Kept::Erased(tombstone) => bson::serialize_to_raw_document_buf(tombstone).ok(),
        }
    }

    pub(super) fn to_json(&self) -> Option<serde_json::Value> {
        match self {
            Kept::Live(document) => serde_json::to_value(document).ok(),
            Kept::Erased(tombstone) => serde_json::to_value(tombstone).ok(),
        }
    }
}

/// Whether a stored document is a tombstone.
pub(super) fn is_tombstone(raw: &RawDocument) -> bool {
    matches!(raw.get(ERASED), Ok(Some(_)))
}
