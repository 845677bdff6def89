//! What may happen in the clinic.
//!
//! Aggregates decide what may happen; they are listed once, at the end of this page's source, and each is a variant of
//! [`Event`]. Each takes commands and answers with events or a typed refusal. Nothing here does I/O, reads a clock or draws
//! a random number: the time and every id come from outside.
//!
//! * [`value`]: the value types, which cannot hold nonsense;
//! * [`ids`], [`clock`]: ids and the time a decision is made at;
//! * [`stream`]: what every aggregate offers the write side: its subject, its claims, its media;
//! * `schema`, a feature: what the types look like in JSON;
//! * [`event`]: how stored events are read, those of older versions too.

#![forbid(unsafe_code)]

pub mod access;
pub mod account;
pub mod appointment;
mod catalog;
pub mod clock;
pub mod custody;
pub mod disclosure;
pub mod event;
pub mod ids;
pub mod location;
pub mod model;
pub mod patient;
pub mod practitioner;
#[cfg(feature = "schema")]
pub mod schema;
pub mod stream;
pub mod value;
pub mod wound;

pub use access::{Access, AccessCommand, AccessEvent};
pub use account::{Account, AccountCommand, AccountError, AccountEvent, AccountId};
pub use appointment::{
    Appointment, AppointmentCommand, AppointmentError, AppointmentEvent, AppointmentId,
};
pub use catalog::{ERASURE, RECORD};
pub use clock::Now;
pub use custody::{Custody, CustodyCommand, CustodyError, CustodyEvent, HoldId};
pub use disclosure::{
    Disclosure, DisclosureCommand, DisclosureError, DisclosureEvent, DisclosureId,
};
pub use event::{UnknownEvent, upcasters};
pub use location::{Location, LocationCommand, LocationError, LocationEvent, LocationId, RoomId};
pub use model::{ModelCard, ModelCommand, ModelError, ModelEvent, ModelRegistry};
pub use patient::{Patient, PatientCommand, PatientError, PatientEvent, PatientId};
pub use practitioner::{
    Practitioner, PractitionerCommand, PractitionerError, PractitionerEvent, PractitionerId,
};
pub use stream::{
    BlobReference, Claim, ClaimChange, MediaRef, Refusal, RefusalKind, Reliance, Resource,
    ResourceKind, Standing, Stream, StreamKind, StreamVisitor,
};
pub use wound::{
    MeasurementId, ScanId, WoundCommand, WoundEpisode, WoundError, WoundEvent, WoundId,
};

catalog::aggregates! {
    /// Of a patient.
    Patient: Patient,
    /// Of an appointment.
    Appointment: Appointment,
    /// Of an episode of a wound.
    Wound: WoundEpisode,
    /// Of an account.
    Account: Account,
    /// A look at a record.
    Disclosure: Disclosure,
    /// A hold on a record, or its erasure.
    Custody: Custody,
    /// What happened to the models that measure wounds.
    Model: ModelRegistry,
    /// Of a practitioner.
    Practitioner: Practitioner,
    /// Of a site, a room or another place.
    Location: Location,
    /// A look at what is no patient's record.
    Access: Access,
}
