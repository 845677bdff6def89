//! Claims that can be believed: what is taken, and what is free, proved by keys that no store holds.
//!
//! * `row`: one claim as it is stored, and in which of the buckets it lies;
//! * `tag`: the digest of a bucket, and the seal of them all;
//! * `known`: the digests this process has proved, which is what it decides by;
//! * `replay`: the claims as a replay of the log makes them; `compare`: how the tables differ from that; `rebuild`: making
//!   them again.

mod compare;
mod known;
mod rebuild;
mod replay;
mod row;
mod tag;

pub use compare::{ClaimFinding, ClaimsReport, Difference, compare};
pub use rebuild::{Rebuilt, rebuild};
pub use replay::ClaimsError;

pub(crate) use known::{BucketChange, ClaimsState, Proof, SealedHead};
pub(crate) use rebuild::add_rows;
pub(crate) use row::{CLAIM_MAX, ClaimRow, Holder, ROW_COLUMNS, days_to_read, read_row};
pub(crate) use tag::{Bucket, ClaimTags, Sum};

use crate::keys::Keys;

/// A key as it is stored: a keyed hash, because an MRN or a log-in name never stands in the clear.
pub(crate) fn claim_key(keys: &Keys, kind: &str, key: &str) -> [u8; 32] {
    keys.index(&[b"claim", kind.as_bytes(), key.as_bytes()])
}

/// Counts what was found wrong, by the kind of claim it is about.
pub(crate) fn damaged(kind: &str) {
    metrics::counter!("ledger_claims_damaged_total", "kind" => kind.to_owned()).increment(1);
}
