//! The key of a unique claim as it is stored, and the count of what was found damaged.

use crate::keys::Keys;

/// A key as it is stored: a keyed hash, because an MRN or a log-in name never stands in the clear.
pub(crate) fn claim_key(keys: &Keys, kind: &str, key: &str) -> [u8; 32] {
    keys.index(&[b"claim", kind.as_bytes(), key.as_bytes()])
}

/// Counts what was found wrong, by the kind of claim it is about.
pub(crate) fn damaged(kind: &str) {
    metrics::counter!("ledger_claims_damaged_total", "kind" => kind.to_owned()).increment(1);
}
