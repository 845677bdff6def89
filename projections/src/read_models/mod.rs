//! The read models: Mongo documents made from the log, the queries over them, and waiting for a position.
//!
//! | collection | one document for each | type |
//! | --- | --- | --- |
//! | `patients_v2` | patient | [`PatientDocument`] |
//! | `appointments_v2` | booked or historical visit | [`AppointmentDocument`] |
//! | `wounds_v2` | wound episode, with its scans, measurements and healing course | [`WoundDocument`] |
//! | `practitioners_v1` | practitioner in the directory | [`PractitionerDocument`] |
//! | `locations_v1` | site, room or other place in the directory | [`LocationDocument`] |
//!
//! The store is not believed. A document is kept as bytes with a tag (`stored`), compared with what is known of its stream
//! whenever it is read (`store`), and made from the log where it does not hold (`rebuild`); a slow walk over the whole log
//! finds what is never read ([`Pace`]).
//!
//! Each is declared once ([`View`]) and stands in one registry ([`ReadModel::ALL`]); projector, rebuild, purge, comparison,
//! cache and readiness rely on that. The documents' shape is a contract: their snapshots are reviewed, and another
//! shape is another version,
//! built beside the old one. Of an erased subject, a tombstone is left. They hold PHI, which is why they are neither
//! logged nor shown by `Debug`.

mod appointment;
mod compare;
mod comparison;
mod erasure;
mod error;
mod location;
mod models;
mod page;
mod patient;
mod practitioner;
mod projector;
mod purge;
mod query;
mod rebuild;
mod registry;
mod store;
mod stored;
mod text;
mod tombstone;
mod view;
mod wound;

use std::time::Duration;

use mongodb::Database;
use mongodb::options::ClientOptions;

pub use appointment::{AppointmentDocument, Cancellation, StatusChange, VisitDetails};
pub use compare::Difference;
pub use comparison::Pace;
pub use erasure::Purged;
pub use error::ReadError;
pub use location::{Closing, LocationDocument, LocationEntry, LocationSearch};
pub use models::ReadModels;
pub use page::{Cursor, InvalidCursor, Listing, Page};
pub use patient::{Deactivation, Matching, PatientDocument};
pub use practitioner::{Leaving, PractitionerDocument, PractitionerSearch};
pub use query::{AppointmentFilter, PatientSearch};
pub use registry::ReadModel;
pub use view::{FoldError, View};
pub use wound::{
    CaptureDocument, ClosingDocument, HealingPoint, MeasurementDocument, RejectionDocument,
    ScanDocument, ScanStatus, WoundDocument,
};

use crate::cache::Cache;
use crate::event::EventLog;
use crate::tags::Tags;
use store::Source;

registry::read_models! {
    /// `patients_v2`.
    PATIENTS = patient::Patients;
    /// `appointments_v2`.
    APPOINTMENTS = appointment::Appointments;
    /// `wounds_v2`.
    WOUNDS = wound::Wounds;
    /// `practitioners_v1`.
    PRACTITIONERS = practitioner::Practitioners;
    /// `locations_v1`.
    LOCATIONS = location::Locations;
}

/// How long the driver may look for a server. The default, half a minute, would outlast every request.
const SERVER_SELECTION: Duration = Duration::from_secs(3);

impl ReadModels {
    /// The read models in `database` at `uri`, made of `log` and carrying tags of `tags`. The connection is made when it
    /// is first used.
    pub async fn connect(
        uri: &str,
        database: &str,
        cache: Option<Cache>,
        tags: Tags,
        log: EventLog,
    ) -> Result<ReadModels, ReadError> {
        let mut options =
            ClientOptions::parse(uri).await.map_err(ReadError::store("read the URI"))?;
        options.app_name.get_or_insert_with(|| "ledger".to_owned());
        options.server_selection_timeout.get_or_insert(SERVER_SELECTION);
        let client = mongodb::Client::with_options(options)
            .map_err(ReadError::store("make a client from the URI"))?;
        Ok(ReadModels::new(client.database(database), cache, tags, log))
    }

    /// The read models in a database that is already open.
    pub fn new(database: Database, cache: Option<Cache>, tags: Tags, log: EventLog) -> ReadModels {
        ReadModels::of(&ReadModel::ALL, Source::new(database, tags, log), cache)
    }
}
