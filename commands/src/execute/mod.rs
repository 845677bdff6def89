//! The way of a command, from the top down: what was done before is answered, everything else authorised, decided, sealed,
//! handed to the sequencer, and answered with a receipt.
//!
//! * `command`: on one stream; `looks`: who looked at what, many at once; `signing_keys`: the log's own events;
//! * `repeated`: the one rule of what a repetition is; `attempts`: the one retry loop;
//! * `spans`: what a trace shows of it;
//! * `load`: the state to decide on; `reliance`: how other streams stand that a decision relies on; `prepare`: deciding and
//!   sealing; `append`: the wait for the sequencer;
//! * `receipt`: a receipt is made; `receipts`: it is asked for later.

mod append;
mod attempts;
mod command;
mod load;
mod looks;
mod prepare;
mod receipt;
mod receipts;
mod reliance;
mod repeated;
#[cfg(feature = "bench")]
mod sealed;
mod signing_keys;
mod spans;

pub(crate) use looks::count_looks;
pub use looks::{AccessEntry, DISCLOSURES_MAX, DisclosureEntry};
pub use receipt::{Receipt, ReceiptEvent};
#[cfg(feature = "bench")]
pub use sealed::Sealed;
pub use signing_keys::{RetirementReason, SigningKeyState};
