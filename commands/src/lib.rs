//! The write side: authorise, decide, seal, append. The only writer of the log.
//!
//! From the top down:
//!
//! * [`Ledger`]: the one way to write; `start` opens one, `execute` is the way of a command, [`Receipt`] what the caller
//!   holds in hand afterwards;
//! * `sequencer`: the one task that appends, many commands to a transaction;
//! * `open`: a log that is begun, or ends where this ledger left off; [`audit`]: everything that decides, compared with the
//!   signed log in one moment of the database;
//! * [`claims`]: what is taken and what is free, proved by tags in sealed buckets; [`recorded`]: which commands were done, by
//!   actor and under tags; [`data_keys`]: the key of each subject, bound to it, and compared with the log;
//! * `repository`, `snapshots`, `memory`: streams from the log, states of long ones, what a process remembers;
//! * `seal`, `signing`, `key_encryption`: events sealed and signed, and by which keys; [`keys`]: the ledger's secrets;
//! * `watch`, `time`, [`checkpoints`]: the log is watched, the clocks are compared, the last published checkpoint is kept
//!   outside the database;
//! * `log`: what goes into the log and what is known of it, in plain types;
//! * [`actor`], [`context`]: on whose behalf, why, under which command id; [`policy`]: who may do what;
//! * [`blobs`]: captures, sealed, outside the log; `weights`: those of the models;
//! * [`database`]: connections and the schema; `clock`: where the time comes from; `streams`: what the domain says of its
//!   streams;
//! * [`failpoints`]: where tests make the append path fail.

pub mod actor;
pub mod audit;
mod captures;
pub mod checkpoints;
pub mod claims;
mod clock;
mod config;
pub mod context;
pub mod data_keys;
pub mod database;
mod error;
mod execute;
pub mod failpoints;
mod key_encryption;
pub mod keys;
mod ledger;
mod log;
mod memory;
mod open;
pub mod policy;
mod random;
pub mod recorded;
mod repeats;
mod repository;
mod seal;
mod sequencer;
mod signing;
mod snapshots;
mod start;
mod streams;
mod time;
mod watch;
mod weights;

pub use actor::{Actor, ActorKind};
pub use blobs::{BlobError, Blobs, StoredBlob};
pub use captures::{SweepError, blobs};
pub use clock::{Clock, ClockShift, ManualClock};
pub use config::{LedgerConfig, SeenElsewhere};
pub use context::{Context, PurposeOfUse};
pub use data_keys::SubjectKey;
pub use error::{CommandError, Conflict, Unavailable};
#[cfg(feature = "bench")]
pub use execute::Sealed;
pub use execute::{
    AccessEntry, DISCLOSURES_MAX, DisclosureEntry, Receipt, ReceiptEvent, RetirementReason,
    SigningKeyState,
};
pub use key_encryption::{KeyEncryptionState, KeyHolder, WrapsOfKey};
pub use keys::{Keys, KeysError};
pub use ledger::{Ledger, Loaded, Rewrapped};
pub use open::OpenError;
pub use policy::{Authorised, Permission};
pub use signing::SigningError;
pub use streams::log_policy;
pub use weights::{Weights, WeightsError};
