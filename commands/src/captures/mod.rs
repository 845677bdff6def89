//! Captures: stored outside the log, named by its events, swept and purged.
//!
//! * [`blobs`]: the store; `sweep`: which captures the log names, and what goes when no event names it any more.

pub mod blobs;
mod sweep;

pub use sweep::SweepError;
