//! The read models: Mongo documents made from the log, the queries over them, and waiting for a position.
//!
//! | collection | one document for each | type |
//! | --- | --- | --- |
//! | `patients_v2` | patient | [`PatientDocument`] |
//! | `appointments_v2` | booked or historical visit | [`AppointmentDocument`] |
//! | `wounds_v2` | wound episode, with its scans, measurements and healing course | [`WoundDocument`] |
//!
//! The store is not believed. A document is kept as bytes with a tag (`stored`), compared with what is known of its stream
//! whenever it is read (`store`), and made from the log where it does not hold (`rebuild`); a slow walk over the whole log
//! finds what nobody reads ([`Pace`]).
//!
//! The documents' shape is a contract: their snapshots are reviewed, and another shape is another version,
//! built beside the old one. Of somebody who was erased, a tombstone is left. They hold PHI, which is why they are neither logged nor shown by `Debug`.

mod appointment;
mod compare;
mod page;
mod patient;
mod purge;
mod query;
mod rebuild;
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
pub use compare::{Difference, Pace};
pub use page::{Cursor, InvalidCursor, Listing, Page};
pub use patient::{Deactivation, Matching, PatientDocument};
pub use purge::Purged;
pub use query::{AppointmentFilter, PatientSearch};
pub use wound::{
    CaptureDocument, ClosingDocument, HealingPoint, MeasurementDocument, RejectionDocument,
    ScanDocument, ScanStatus, WoundDocument,
};

use crate::cache::{Cache, CacheError};
use crate::event::{EventError, EventLog, RecordedEvent};
use crate::known::KnownPositions;
use crate::runtime::Projector;
use crate::tags::Tags;
use store::{Source, Store};
use view::{View, ViewProjector};

/// How long the driver may look for a server. The default, half a minute, would outlast every request.
const SERVER_SELECTION: Duration = Duration::from_secs(3);

/// Why a read model gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store did not answer.
    #[error("the read store failed while trying to {doing}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What the driver said.
        #[source]
        source: mongodb::error::Error,
    },
    /// The log, with which documents are compared, did not answer.
    #[error("the log could not be asked what a document must be")]
    Log(#[source] EventError),
    /// A stored document is not what it must be, and could not be made from the log now.
    #[error("a document of {collection} is damaged and could not be made from the log yet")]
    Damaged {
        /// The collection.
        collection: String,
    },
    /// The document was about somebody who was erased.
    #[error("the record was erased")]
    Erased,
    /// A document about somebody who was erased is still there.
    #[error("a document of an erased record is left in {collection}; rebuild the read model")]
    NotPurged {
        /// The collection.
        collection: String,
    },
    /// The cache did not answer where it had to.
    #[error("the cache failed")]
    Cache(#[source] CacheError),
    /// A search without any criterion would list everybody.
    #[error("the search is empty: give a family name, a given name, a birth date or an identifier")]
    EmptySearch,
    /// A list of appointments must be of somebody.
    #[error("the list is of nobody: give a practitioner or a patient")]
    NoResource,
    /// A range that ends before it begins.
    #[error("the range is empty: its end must come after its beginning")]
    EmptyRange,
    /// The projector did not get to the position in time.
    #[error("read model {projector} stands at {position} and did not reach {wanted} in time")]
    Behind {
        /// The projector.
        projector: String,
        /// Where it stands: the next position it will read.
        position: u64,
        /// The position that was to be seen.
        wanted: u64,
    },
}

impl ReadError {
    pub(crate) fn store(doing: &'static str) -> impl FnOnce(mongodb::error::Error) -> ReadError {
        move |source| ReadError::Store { doing, source }
    }
}

/// A wound episode from its own events, outside of any store. `None` if they begin with nothing readable.
pub(crate) fn fold_wound(events: &[RecordedEvent]) -> Option<WoundDocument> {
    events.iter().fold(None, |document, recorded| match &recorded.event {
        Some(event) => wound::Wounds::fold(document, recorded, event).ok(),
        None => document,
    })
}

/// The read models' names, for waiting and for rebuilding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadModel {
    /// `patients_v2`.
    Patients,
    /// `appointments_v2`.
    Appointments,
    /// `wounds_v2`.
    Wounds,
}

impl ReadModel {
    /// All of them.
    pub const ALL: [ReadModel; 3] =
        [ReadModel::Patients, ReadModel::Appointments, ReadModel::Wounds];

    /// The type of the streams it shows.
    pub fn stream_type(self) -> &'static str {
        match self {
            ReadModel::Patients => patient::Patients::STREAM,
            ReadModel::Appointments => appointment::Appointments::STREAM,
            ReadModel::Wounds => wound::Wounds::STREAM,
        }
    }

    /// The id of its projector, `name:version`: the key of its checkpoint.
    pub fn projector_id(self) -> String {
        fn id<V: View>() -> String {
            format!("{}:{}", V::NAME, V::VERSION)
        }
        match self {
            ReadModel::Patients => id::<patient::Patients>(),
            ReadModel::Appointments => id::<appointment::Appointments>(),
            ReadModel::Wounds => id::<wound::Wounds>(),
        }
    }
}

/// The read models of one Mongo database, with the cache before them. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels {
    source: Source,
    cache: Option<Cache>,
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
        ReadModels { source: Source::new(database, tags, log), cache }
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
        match model {
            ReadModel::Patients => self.view::<patient::Patients>(),
            ReadModel::Appointments => self.view::<appointment::Appointments>(),
            ReadModel::Wounds => self.view::<wound::Wounds>(),
        }
    }

    /// The projectors of all read models.
    pub fn projectors(&self) -> Vec<Arc<dyn Projector>> {
        ReadModel::ALL.into_iter().map(|model| self.projector(model)).collect()
    }

    fn view<V: View>(&self) -> Arc<dyn Projector> {
        Arc::new(ViewProjector::<V>::new(self.source.clone(), self.cache.clone()))
    }

    fn store<V: View>(&self) -> Store<V> {
        Store::new(self.source.clone())
    }

    /// Where a read model stands: the next position it will read.
    pub async fn position(&self, model: ReadModel) -> Result<u64, ReadError> {
        let stored = self.source.checkpoints.load(&model.projector_id()).await;
        let stored = stored.map_err(ReadError::store("read a checkpoint"))?.unwrap_or_default();
        self.source.note(model, stored);
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
        self.source.note(model, reached);
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
