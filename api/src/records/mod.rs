//! The one door for reading records. Whoever is shown something of a patient, through whichever face, gets it here.
//!
//! A look goes one way: the permission is checked, the read model has seen the position that the caller names, the document is found,
//! the look is recorded durably, and only then is there a [`Shown`]. The read models, the cache and the store of captures
//! are private to this module, and a [`Shown`] is made in one place, `shown.rs`, after the look is recorded: so neither a
//! handler nor whoever adds a way to look can forget it. A refused look is recorded, too; and so is one that finds nobody, and
//! one at something else than a record, but in the clear, and without what was searched for.
//!
//! What holds nothing of any patient, the directory of practitioners and locations, comes out without a record of the look, by
//! a type of its own (`directory.rs`).
//!
//! Nobody reaches past the door to the stores:
//!
//! ```compile_fail
//! async fn around(state: &api::state::AppState, id: domain::PatientId) {
//!     let _ = state.records.models.patient(id, None).await;
//! }
//! ```
//!
//! and nobody says that something was shown that was not:
//!
//! ```compile_fail
//! fn forged(document: projections::read_models::PatientDocument) {
//!     let _ = api::records::Shown(document);
//! }
//! ```

mod captures;
mod custody;
mod denied;
mod directory;
mod error;
mod look;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use commands::policy::{Needed, may};
use commands::{Blobs, Ledger};
use domain::access::AccessOutcome;
use domain::{AppointmentId, Patient, PatientId, WoundId};
use projections::cache::CacheError;
use projections::read_models::{
    AppointmentDocument, AppointmentFilter, Listing, Page, PatientDocument, PatientSearch,
    ReadError, ReadModel, ReadModels, WoundDocument,
};
use sqlx::PgPool;
use tokio::sync::Semaphore;

pub use captures::CaptureToCome;
pub use denied::RecordOf;
pub use directory::{Entry, OfNoPatient};
pub use error::RecordsError;
pub use look::{Asking, Look};
pub use shown::Shown;

/// What is asked of whoever looks at a patient, at an appointment, at a wound.
type LookAtPatient = Look<may::ReadPatient>;
type LookAtAppointment = Look<may::ReadAppointments>;
type LookAtWound = Look<may::ReadWounds>;

/// The records of patients, for reading. Cheap to clone.
#[derive(Clone)]
pub struct Records {
    ledger: Ledger,
    models: ReadModels,
    captures: Blobs,
    pool: PgPool,
    waits: Arc<Semaphore>,
    patience: Duration,
}

impl Records {
    /// The records in `models` and `captures`, of the log of `ledger` in `pool`. So many looks as `waits` has permits wait
    /// for a position at the same time, each for `patience`.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        models: ReadModels,
        captures: Blobs,
        pool: PgPool,
        waits: Arc<Semaphore>,
        patience: Duration,
    ) -> Records {
        Records { ledger, models, captures, pool, waits, patience }
    }

    /// One patient.
    ///
    /// # Errors
    /// When there is none, the caller may not look, or the look cannot be recorded.
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "patient", read = "patient"))]
    pub async fn patient(
        &self,
        look: &LookAtPatient,
        id: PatientId,
    ) -> Result<Shown<PatientDocument>, RecordsError> {
        let seen = self.enter(look, ReadModel::PATIENTS, RecordOf::Patient(id.as_uuid())).await?;
        let found = self.models.patient(id, seen).await;
        let found = self.found(look, "patient", id.as_uuid(), found).await?;
        self.show(look, "patient", [(found.id, vec![id.as_uuid()])], found).await
    }

    /// One appointment.
    ///
    /// # Errors
    /// As [`Records::patient`].
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "appointment", read = "appointment"))]
    pub async fn appointment(
        &self,
        look: &LookAtAppointment,
        id: AppointmentId,
    ) -> Result<Shown<AppointmentDocument>, RecordsError> {
        let seen =
            self.enter(look, ReadModel::APPOINTMENTS, RecordOf::Appointment(id.as_uuid())).await?;
        let found = self.models.appointment(id, seen).await;
        let found = self.found(look, "appointment", id.as_uuid(), found).await?;
        self.show(look, "appointment", [(found.patient_id, vec![id.as_uuid()])], found).await
    }

    /// One wound.
    ///
    /// # Errors
    /// As [`Records::patient`].
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "wound", read = "wound"))]
    pub async fn wound(
        &self,
        look: &LookAtWound,
        id: WoundId,
    ) -> Result<Shown<WoundDocument>, RecordsError> {
        let seen = self.enter(look, ReadModel::WOUNDS, RecordOf::Wound(id.as_uuid())).await?;
        let found = self.models.wound(id, seen).await;
        let found = self.found(look, "wound", id.as_uuid(), found).await?;
        self.show(look, "wound", [(found.patient_id, vec![id.as_uuid()])], found).await
    }

    /// The patients who match. Each who is found is recorded as having been looked at.
    ///
    /// # Errors
    /// As [`Records::patient`]; and when the search has no criterion.
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "patient", read = "patient-search"))]
    pub async fn search_patients(
        &self,
        look: &LookAtPatient,
        search: &PatientSearch,
        page: &Page,
    ) -> Result<Shown<Listing<PatientDocument>>, RecordsError> {
        const SEARCH: &str = "patient-search";
        self.enter(look, ReadModel::PATIENTS, RecordOf::Nobody).await?;
        let Listing { items, next } = self.models.search_patients(search, page).await?;
        if items.is_empty() {
            // That no patient matches is an answer, too. What was searched for may name a person, and is not kept.
            self.access(look, SEARCH, [], AccessOutcome::NothingFound).await?;
        }
        let about = |patient: &PatientDocument| (patient.id, patient.id.as_uuid());
        let shown = self.show_list(look, SEARCH, about, items).await?;
        Ok(shown.map(|items| Listing { items, next }))
    }

    /// The appointments of a practitioner or a patient.
    ///
    /// # Errors
    /// As [`Records::patient`]; and when the list is of nobody.
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "appointment", read = "appointment-list"))]
    pub async fn appointments(
        &self,
        look: &LookAtAppointment,
        filter: &AppointmentFilter,
        page: &Page,
    ) -> Result<Shown<Listing<AppointmentDocument>>, RecordsError> {
        const LIST: &str = "appointment-list";
        let patient = filter.patient_id;
        let of = patient.map_or(RecordOf::Nobody, |id| RecordOf::Patient(id.as_uuid()));
        self.enter(look, ReadModel::APPOINTMENTS, of).await?;
        let Listing { items, next } = self.models.appointments(filter, page).await?;
        let about = |item: &AppointmentDocument| (item.patient_id, item.id.as_uuid());
        let shown = self.show_list(look, LIST, about, items).await?;
        let shown = shown.map(|items| Listing { items, next });
        if !shown.items.is_empty() {
            return Ok(shown);
        }
        // That there is nothing is an answer about a person, too.
        match patient {
            Some(patient) if self.is_registered(patient).await? => {
                self.show(look, LIST, [(patient, Vec::new())], Listing::clone(&shown)).await
            }
            _ => {
                let who = patient.map(|id| id.as_uuid());
                let who = who.or(filter.practitioner_id.map(|id| id.as_uuid()));
                self.access(look, LIST, who, AccessOutcome::NothingFound).await?;
                Ok(shown)
            }
        }
    }

    /// The wounds of a patient.
    ///
    /// # Errors
    /// As [`Records::patient`].
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "wound", read = "wound-list"))]
    pub async fn wounds_of(
        &self,
        look: &LookAtWound,
        patient: PatientId,
        page: &Page,
    ) -> Result<Shown<Listing<WoundDocument>>, RecordsError> {
        self.enter(look, ReadModel::WOUNDS, RecordOf::Patient(patient.as_uuid())).await?;
        let found = self.models.wounds_of(patient, page).await?;
        if found.items.is_empty() && !self.is_registered(patient).await? {
            // No wounds is an answer about a patient; no patient is another.
            return self.nothing_found(look, "patient", patient.as_uuid()).await;
        }
        let wounds = found.items.iter().map(|wound| wound.id.as_uuid()).collect();
        self.show(look, "wound-list", [(patient, wounds)], found).await
    }

    /// Asks the read models for a sign of life.
    ///
    /// # Errors
    /// When they do not answer.
    pub async fn ping(&self) -> Result<(), ReadError> {
        self.models.ping().await
    }

    /// Asks the cache for a sign of life.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ping_cache(&self) -> Result<(), CacheError> {
        self.models.ping_cache().await
    }

    /// The first position that some read model has not seen.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn seen_by_all(&self) -> Result<u64, ReadError> {
        let mut next = u64::MAX;
        for model in self.models.all() {
            next = next.min(self.models.position(model).await?);
        }
        Ok(next)
    }

    /// Refuses who may not look, and waits until what the caller names can be seen.
    async fn enter<P: Needed>(
        &self,
        look: &Look<P>,
        model: ReadModel,
        of: RecordOf,
    ) -> Result<Option<u64>, RecordsError> {
        self.authorise(look, P::PERMISSION, of).await?;
        self.reach(look, model).await
    }

    /// As [`Records::enter`], for what is read from the log itself, which has every position that it has.
    async fn enter_log<P: Needed>(&self, look: &Look<P>, of: RecordOf) -> Result<(), RecordsError> {
        self.authorise(look, P::PERMISSION, of).await?;
        match look.min_position {
            Some(position) => self.is_in_log(position).await,
            None => Ok(()),
        }
    }

    /// Whether the log has such a patient, erased or not.
    async fn is_registered(&self, patient: PatientId) -> Result<bool, RecordsError> {
        Ok(self.ledger.exists::<Patient>(patient.as_uuid()).await?)
    }

    /// Waits until the read model has seen the position that the caller named, and answers that position.
    async fn reach(&self, look: &Asking, model: ReadModel) -> Result<Option<u64>, RecordsError> {
        let Some(position) = look.min_position else { return Ok(None) };
        self.is_in_log(position).await?;
        // Whoever is there already does not wait, however many do.
        let patience = match self.waits.try_acquire() {
            Ok(waits) => (self.patience, Some(waits)),
            Err(_) => (Duration::ZERO, None),
        };
        self.models.wait_for(model, position, patience.0).await?;
        Ok(Some(position))
    }

    async fn is_in_log(&self, position: u64) -> Result<(), RecordsError> {
        if position >= self.ledger.size() && position >= self.size().await? {
            return Err(RecordsError::BeyondLog);
        }
        Ok(())
    }

    /// The size of the log in the database: other processes append to it too.
    async fn size(&self) -> Result<u64, RecordsError> {
        let size = sqlx::query_scalar::<_, i64>("SELECT size FROM ledger_head");
        let size = size.fetch_one(&self.pool).await.map_err(RecordsError::Log)?;
        Ok(u64::try_from(size).unwrap_or_default())
    }
}
