//! The write side: authorise, decide, seal, append. The only writer of the log.
//!
//! * [`Ledger`]: the one way to write; [`Receipt`]: what the caller holds in hand afterwards;
//! * [`actor`], [`context`]: on whose behalf, why, under which command id; [`policy`]: who may do what;
//! * `snapshots`: states of long streams, a cache beside the log; `watch`: drives the watch over the log;
//! * `sequencer`: the one task that appends, many commands to a transaction; `log`: what goes into the log and what is known
//!   of it, in plain types;
//! * [`claims`]: what is taken and what is free, proved by tags in sealed buckets;
//! * [`data_keys`]: the key of each subject, bound to it, and compared with the log;
//! * [`recorded`]: which commands were done, by actor and under tags;
//! * [`audit`]: everything that decides, compared with the signed log in one moment of the database;
//! * [`checkpoints`]: the last published checkpoint, kept outside the database;
//! * [`keys`]: the ledger's secrets; [`blobs`]: captures, sealed, outside the log; [`weights`]: those of the models;
//! * [`database`]: connections and the schema; [`clock`]: where the time comes from; `time`: which time an event gets;
//! * [`failpoints`]: where tests make the append path fail.

pub mod actor;
pub mod audit;
pub mod blobs;
mod cache;
pub mod checkpoints;
pub mod claims;
pub mod clock;
pub mod config;
pub mod context;
pub mod data_keys;
pub mod database;
pub mod error;
pub mod failpoints;
mod key_encryption;
pub mod keys;
mod ledger;
mod lenient;
mod log;
mod memory;
mod open;
pub mod policy;
mod random;
mod receipt;
pub mod recorded;
mod repository;
mod seal;
mod sequencer;
mod signing;
mod snapshots;
mod streams;
mod sweep;
mod time;
mod watch;
pub mod weights;

pub use actor::{Actor, ActorKind};
pub use blobs::{BlobError, Blobs, StoredBlob};
pub use clock::{Clock, ClockShift, ManualClock};
pub use config::{LedgerConfig, SeenElsewhere};
pub use context::{Context, PurposeOfUse};
pub use data_keys::SubjectKey;
pub use error::{CommandError, Conflict, Unavailable};
pub use key_encryption::{KeyEncryptionState, KeyHolder, WrapsOfKey};
pub use keys::{Keys, KeysError};
#[cfg(feature = "bench")]
pub use ledger::Sealed;
pub use ledger::{
    DISCLOSURES_MAX, DisclosureEntry, Ledger, Loaded, RetirementReason, Rewrapped, SigningKeyState,
};
pub use open::OpenError;
pub use policy::{Authorised, Permission};
pub use receipt::{Receipt, ReceiptEvent};
pub use signing::SigningError;
pub use streams::log_policy;
pub use sweep::SweepError;
pub use weights::{Weights, WeightsError};
