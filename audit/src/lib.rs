//! Evidence and the log: what is signed, how it is kept, and how anybody checks it.
//!
//! This crate knows bytes, not medicine. The format it implements is written down, completely
//! enough for a second implementation, in `docs/evidence.md`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`json`] | the one reader of JSON that is signed or exported |
//! | [`merkle`] | the RFC 9162 tree: hashes, compact range, inclusion and consistency proofs |
//! | [`tiles`] | tiles of 256 hashes, their paths, and the builder that completes them |
//! | [`note`], [`checkpoint`] | C2SP signed notes and tree heads |
//! | [`jws`] | one JWS per event, keys as JWK |
//! | [`statement`] | the signed statement of an event |
//! | [`mac`] | tags of what is derived from the log and kept in a store |
//! | [`cache`] | a bounded cache, of opened data keys and of whatever else a process remembers |
//! | [`seal`] | commitments, sealed payloads and blobs, wrapped data keys |
//! | [`custody`] | holds, erasures and whose key sealed what, as a verifier without keys follows them |
//! | [`system`], [`keyring`] | the log's own events, and which key counts at which position |
//! | [`proof`] | receipts and C2SP proof files |
//! | [`witness`] | what a witness is asked, and what it answers |
//! | [`export`] | the whole log as a folder of tlog-tiles |
//! | [`verify`] | the verifier |
//! | `postgres` | the log's tables, read-only, and the verification of a database |
//!
//! Nothing here reads a clock or draws randomness: both are passed in.

pub mod cache;
mod chain;
pub mod checkpoint;
pub mod custody;
mod encoding;
pub mod export;
pub mod json;
pub mod jws;
pub mod keyring;
pub mod mac;
pub mod merkle;
pub mod note;
#[cfg(feature = "postgres")]
pub mod postgres;
mod primitives;
pub mod proof;
pub mod seal;
pub mod statement;
pub mod system;
pub mod tiles;
pub mod verify;
pub mod witness;

pub use chain::chain;

/// The version of the log's format, as it stands in the genesis event.
pub const FORMAT: &str = "coherency-ledger/v1";
