//! The one door for reading records. Whoever is shown something of a patient, through whichever face, gets it here.
//!
//! A look goes one way: the permission is checked, the read model has seen the position that the caller names, the document is found,
//! the look is recorded durably, and only then is there a [`Shown`]. The read models, the cache and the store of captures
//! are private to this module, and nothing outside it makes a [`Shown`]: so no handler can forget to record.
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
mod error;
mod look;
mod recording;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use commands::policy::{Permission, authorise};
use commands::{Blobs, Ledger};
use domain::disclosure::DisclosureOutcome;
use domain::{AppointmentId, PatientId, WoundId};
use projections::cache::CacheError;
use projections::read_models::{
    AppointmentDocument, AppointmentFilter, Listing, Page, PatientDocument, PatientSearch,
    ReadError, ReadModel, ReadModels, WoundDocument,
};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use error::RecordsError;
pub use look::Look;
pub use shown::Shown;

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
    pub async fn patient(
        &self,
        look: &Look,
        id: PatientId,
    ) -> Result<Shown<PatientDocument>, RecordsError> {
        authorise(&look.actor, Permission::ReadPatient)?;
        let seen = self.reach(look, ReadModel::PATIENTS).await?;
        let patient = self.models.patient(id, seen).await?;
        let patient = patient.ok_or(RecordsError::NotFound { what: "patient" })?;
        self.record(look, "patient", [(patient.id, vec![id.as_uuid()])]).await?;
        Ok(Shown::recorded(patient))
    }

    /// One appointment.
    ///
    /// # Errors
    /// As [`Records::patient`].
    pub async fn appointment(
        &self,
        look: &Look,
        id: AppointmentId,
    ) -> Result<Shown<AppointmentDocument>, RecordsError> {
        authorise(&look.actor, Permission::ReadAppointments)?;
        let seen = self.reach(look, ReadModel::APPOINTMENTS).await?;
        let appointment = self.models.appointment(id, seen).await?;
        let appointment = appointment.ok_or(RecordsError::NotFound { what: "appointment" })?;
        self.record(look, "appointment", [(appointment.patient_id, vec![id.as_uuid()])]).await?;
        Ok(Shown::recorded(appointment))
    }

    /// One wound.
    ///
    /// # Errors
    /// As [`Records::patient`].
    pub async fn wound(
        &self,
        look: &Look,
        id: WoundId,
    ) -> Result<Shown<WoundDocument>, RecordsError> {
        authorise(&look.actor, Permission::ReadWounds)?;
        let seen = self.reach(look, ReadModel::WOUNDS).await?;
        let wound = self.models.wound(id, seen).await?;
        let wound = wound.ok_or(RecordsError::NotFound { what: "wound" })?;
        self.record(look, "wound", [(wound.patient_id, vec![id.as_uuid()])]).await?;
        Ok(Shown::recorded(wound))
    }

    /// The patients who match. Each who is found is recorded as having been looked at.
    ///
    /// # Errors
    /// As [`Records::patient`]; and when the search has no criterion.
    pub async fn search_patients(
        &self,
        look: &Look,
        search: &PatientSearch,
        page: &Page,
    ) -> Result<Shown<Listing<PatientDocument>>, RecordsError> {
        authorise(&look.actor, Permission::ReadPatient)?;
        self.reach(look, ReadModel::PATIENTS).await?;
        let found = self.models.search_patients(search, page).await?;
        let about = |patient: &PatientDocument| (patient.id, patient.id.as_uuid());
        let items = self.record_list(look, "patient-search", found.items, about).await?;
        Ok(Shown::recorded(Listing { items, next: found.next }))
    }

    /// The appointments of a practitioner or a patient.
    ///
    /// # Errors
    /// As [`Records::patient`]; and when the list is of nobody.
    pub async fn appointments(
        &self,
        look: &Look,
        filter: &AppointmentFilter,
        page: &Page,
    ) -> Result<Shown<Listing<AppointmentDocument>>, RecordsError> {
        authorise(&look.actor, Permission::ReadAppointments)?;
        self.reach(look, ReadModel::APPOINTMENTS).await?;
        let found = self.models.appointments(filter, page).await?;
        let about = |item: &AppointmentDocument| (item.patient_id, item.id.as_uuid());
        let items = self.record_list(look, "appointment-list", found.items, about).await?;
        if let Some(patient) = filter.patient_id.filter(|_| items.is_empty()) {
            // That there is nothing is told of a patient, too.
            if !self.ledger.erased_among(&[patient.as_uuid()]).await?.is_empty() {
                return Err(RecordsError::Read(ReadError::Erased));
            }
            if self.models.patient(patient, None).await?.is_some() {
                self.record(look, "appointment-list", [(patient, Vec::new())]).await?;
            }
        }
        Ok(Shown::recorded(Listing { items, next: found.next }))
    }

    /// The wounds of a patient.
    ///
    /// # Errors
    /// As [`Records::patient`].
    pub async fn wounds_of(
        &self,
        look: &Look,
        patient: PatientId,
        page: &Page,
    ) -> Result<Shown<Listing<WoundDocument>>, RecordsError> {
        authorise(&look.actor, Permission::ReadWounds)?;
        self.reach(look, ReadModel::WOUNDS).await?;
        let found = self.models.wounds_of(patient, page).await?;
        if found.items.is_empty() && self.models.patient(patient, None).await?.is_none() {
            // No wounds is an answer about a patient; no patient is another.
            return Err(RecordsError::NotFound { what: "patient" });
        }
        let wounds = found.items.iter().map(|wound| wound.id.as_uuid()).collect();
        self.record(look, "wound-list", [(patient, wounds)]).await?;
        Ok(Shown::recorded(found))
    }

    /// Records that the caller was not let, of a patient.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub async fn denied(
        &self,
        look: &Look,
        resource: &'static str,
        patient: PatientId,
        document: Uuid,
    ) -> Result<(), RecordsError> {
        let about = [(patient, vec![document])];
        self.write_down(look, resource, DisclosureOutcome::Denied, about).await
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

    /// Waits until the read model has seen the position that the caller named, and answers that position.
    async fn reach(&self, look: &Look, model: ReadModel) -> Result<Option<u64>, RecordsError> {
        let Some(position) = look.min_position else { return Ok(None) };
        if position >= self.ledger.size() && position >= self.size().await? {
            return Err(RecordsError::BeyondLog);
        }
        // Whoever is there already does not wait, however many do.
        let patience = match self.waits.try_acquire() {
            Ok(waits) => (self.patience, Some(waits)),
            Err(_) => (Duration::ZERO, None),
        };
        self.models.wait_for(model, position, patience.0).await?;
        Ok(Some(position))
    }

    /// The size of the log in the database: other processes append to it too.
    async fn size(&self) -> Result<u64, RecordsError> {
        let size = sqlx::query_scalar::<_, i64>("SELECT size FROM ledger_head");
        let size = size.fetch_one(&self.pool).await.map_err(RecordsError::Log)?;
        Ok(u64::try_from(size).unwrap_or_default())
    }
}
