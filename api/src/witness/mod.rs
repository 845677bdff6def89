//! Witnesses (C2SP tlog-witness): whom the ledger asks to remember its checkpoints, and one of our own.
//!
//! A witness is another process, best of another operator, that remembers the newest checkpoint of each log
//! it knows and cosigns only what continues it. So it tells a restored backup from the log even where the
//! ledger's own folder of checkpoints was restored with it.

mod client;
mod server;
mod views;

pub use client::{Witness, WitnessAddressError, Witnesses};
pub use server::{StateError, WitnessState, router};
pub use views::WitnessView;
