//! What may happen in the clinic.
//!
//! Seven aggregates decide what may happen: [`Patient`], [`Appointment`], [`WoundEpisode`], [`Account`],
//! [`Disclosure`], [`Custody`] and [`ModelRegistry`]. Each takes commands and answers with events or a typed refusal. Nothing here does I/O,
//! reads a clock or draws a random number: the time and every id come from outside.
//!
//! * [`value`]: the value types, which cannot hold nonsense;
//! * [`ids`], [`clock`]: ids and the time a decision is made at;
//! * [`stream`]: what every aggregate offers the write side: its subject, its claims, its media;
//! * `schema`, a feature: what the types look like in JSON;
//! * [`event`]: any event of the log, and how stored events of older versions are read.

#![forbid(unsafe_code)]

pub mod account;
pub mod appointment;
mod catalog;
pub mod clock;
pub mod custody;
pub mod disclosure;
pub mod event;
pub mod ids;
pub mod model;
pub mod patient;
#[cfg(feature = "schema")]
pub mod schema;
pub mod stream;
pub mod value;
pub mod wound;

pub use account::{Account, AccountCommand, AccountError, AccountEvent};
pub use appointment::{Appointment, AppointmentCommand, AppointmentError, AppointmentEvent};
pub use catalog::{ERASURE, RECORD, STREAM_KINDS};
pub use clock::Now;
pub use custody::{Custody, CustodyCommand, CustodyError, CustodyEvent};
pub use disclosure::{Disclosure, DisclosureCommand, DisclosureError, DisclosureEvent};
pub use event::{Event, UnknownEvent, upcasters};
pub use ids::{
    AccountId, AppointmentId, DisclosureId, HoldId, MeasurementId, PatientId, PractitionerId,
    RoomId, ScanId, WoundId,
};
pub use model::{ModelCard, ModelCommand, ModelError, ModelEvent, ModelRegistry};
pub use patient::{Patient, PatientCommand, PatientError, PatientEvent};
pub use stream::{
    BlobReference, Claim, ClaimChange, MediaRef, Refusal, RefusalKind, Resource, ResourceKind,
    Stream, StreamKind,
};
pub use wound::{WoundCommand, WoundEpisode, WoundError, WoundEvent};
