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
//! finds what nobody reads ([`Pace`]).
//!
//! Each is declared once ([`View`]) and stands in one registry ([`ReadModel::ALL`]); projector, rebuild, purge, comparison,
//! cache and readiness go by that. The documents' shape is a contract: their snapshots are reviewed, and another shape is another version,
//! built beside the old one. Of somebody who was erased, a tombstone is left. They hold PHI, which is why they are neither logged nor shown by `Debug`.

mod appointment;
mod compare;
mod comparison;
mod erasure;
mod error;
mod location;
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

use std::sync::Arc;
use std::time::Duration;

use mongodb::Database;
use mongodb::options::ClientOptions;

pub use appointment::{AppointmentDocument, Cancellation, StatusChange, VisitDetails};
pub use compare::Difference;
pub use comparison::Pace;
pub use erasure::Purged;
pub use error::ReadError;
pub use location::{Closing, LocationDocument, LocationEntry, LocationSearch};
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

use crate::cache::{Cache, CacheError};
use crate::event::EventLog;
use crate::known::KnownPositions;
use crate::runtime::Projector;
use crate::tags::Tags;
use store::{Source, Store};

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

/// The read models of one Mongo database, with the cache before them. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels {
    source: Source,
    cache: Option<Cache>,
    all: Arc<[ReadModel]>,
}

impl std::fmt::Debug for ReadModels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let database = self.source.database.name();
        formatter.debug_struct("ReadModels").field("database", &database).finish_non_exhaustive()
    }
}

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
        ReadModels { source: Source::new(database, tags, log), cache, all: ReadModel::ALL.into() }
    }

    /// The same, with one read model more.
    #[must_use]
    pub fn with(mut self, model: ReadModel) -> ReadModels {
        self.all = self.all.iter().copied().chain([model]).collect();
        self
    }

    /// Every read model there is.
    pub fn all(&self) -> impl Iterator<Item = ReadModel> + '_ {
        self.all.iter().copied()
    }

    /// The same, comparing documents with what is known from elsewhere instead of with the rows of the log alone.
    #[must_use]
    pub fn knowing(mut self, known: Arc<dyn KnownPositions>) -> ReadModels {
        self.source.known = known;
        self
    }

    /// The Mongo database.
    pub fn database(&self) -> &Database {
        &self.source.database
    }

    /// What makes and checks the tags.
    pub fn tags(&self) -> &Tags {
        &self.source.tags
    }

    /// The projector of one read model, to be run by a [`crate::runtime::Runtime`].
    pub fn projector(&self, model: ReadModel) -> Arc<dyn Projector> {
        model.declared().projector(&self.source, self.cache.as_ref())
    }

    /// The projectors of all read models.
    pub fn projectors(&self) -> Vec<Arc<dyn Projector>> {
        self.all().map(|model| self.projector(model)).collect()
    }

    fn store<V: View>(&self) -> Store<V> {
        Store::new(self.source.clone())
    }

    /// Where a read model stands: the next position it will read.
    pub async fn position(&self, model: ReadModel) -> Result<u64, ReadError> {
        let stored = self.source.checkpoints.load(&model.projector_id()).await;
        let stored = stored.map_err(ReadError::store("read a checkpoint"))?.unwrap_or_default();
        self.source.note(model.name(), stored);
        Ok(stored)
    }

    /// Waits until the event at `position` can be seen in `model`, for at most `timeout`.
    pub async fn wait_for(
        &self,
        model: ReadModel,
        position: u64,
        timeout: Duration,
    ) -> Result<(), ReadError> {
        let projector = model.projector_id();
        let reached = self.source.checkpoints.wait_for(&projector, position, timeout).await;
        let reached = reached.map_err(ReadError::store("wait for a position"))?;
        self.source.note(model.name(), reached);
        // What the log does not hold, nobody has seen.
        let held = || async { self.source.known.reaches(position).await.map_err(ReadError::Log) };
        if reached > position && held().await? {
            Ok(())
        } else {
            Err(ReadError::Behind { projector, position: reached, wanted: position })
        }
    }

    /// Asks the store for a sign of life.
    pub async fn ping(&self) -> Result<(), ReadError> {
        self.source
            .database
            .run_command(bson::doc! { "ping": 1 })
            .await
            .map_err(ReadError::store("answer a ping"))?;
        Ok(())
    }

    /// Asks the cache for a sign of life, if there is one.
    pub async fn ping_cache(&self) -> Result<(), CacheError> {
        match &self.cache {
            Some(cache) => cache.ping().await,
            None => Ok(()),
        }
    }
}
