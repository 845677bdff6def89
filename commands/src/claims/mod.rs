//! Claims that can be believed: what is taken, and what is free, proved by keys that no store holds.
//!
//! * `row`: one claim as it is stored; `key`: the keyed hash that stands for a unique key;
//! * `tag`: in which of the buckets a claim lies, the digest of a bucket, and the seal of them all;
//! * `known`: the digests this process has proved, which is what it decides by; `write`: what an append changes;
//! * `replay`: the claims as a replay of the log makes them; `compare`: how the tables differ from that, told as a
//!   `finding`; `rebuild`: making them again.

mod compare;
mod finding;
mod key;
mod known;
mod rebuild;
mod replay;
mod row;
mod tag;
mod write;

pub use compare::compare;
pub use finding::{ClaimFinding, ClaimsReport, Difference};
pub use rebuild::{Rebuilt, rebuild};
pub use replay::ClaimsError;

pub(crate) use key::{claim_key, damaged};
pub(crate) use known::{BucketChange, ClaimsState, Proof, SealedHead};
pub(crate) use row::{ClaimRow, Holder, ROW_COLUMNS, days_to_read, read_row};
pub(crate) use tag::{Bucket, ClaimTags, Sum};
pub(crate) use write::{ClaimsWrite, add_rows};
