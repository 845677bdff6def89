//! Refused looks: who may not look is recorded in the accounting of the patient concerned.

use commands::CommandError;
use commands::policy::{Permission, Subject};
use domain::disclosure::DisclosureOutcome;
use domain::{Appointment, Patient, Stream, WoundEpisode};
use uuid::Uuid;

use super::Records;
use super::error::RecordsError;
use super::look::Asking;

/// Whose record a look is about, by what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordOf {
    /// Nobody's, or it does not say.
    Nobody,
    /// A patient.
    Patient(Uuid),
    /// The patient of an appointment.
    Appointment(Uuid),
    /// The patient of a wound.
    Wound(Uuid),
}

impl RecordOf {
    /// The same, as the policy is asked about it.
    pub(crate) fn subject(self) -> Option<Subject> {
        match self {
            RecordOf::Nobody => None,
            RecordOf::Patient(id) => Some(Subject::of::<Patient>(id)),
            RecordOf::Appointment(id) => Some(Subject::of::<Appointment>(id)),
            RecordOf::Wound(id) => Some(Subject::of::<WoundEpisode>(id)),
        }
    }
}

impl Records {
    /// Refuses who may not look, after the refusal is recorded.
    pub(super) async fn authorise(
        &self,
        look: &Asking,
        permission: Permission,
        of: RecordOf,
    ) -> Result<(), RecordsError> {
        let asked = look.asks(permission).about(of.subject());
        match self.ledger.policy().decide(&asked).granted() {
            Ok(_) => Ok(()),
            Err(denied) => match self.denied(look, of).await {
                // Without any role one cannot even be recorded; and of an erased record there is no accounting, which the
                // caller may not learn either.
                Ok(())
                | Err(RecordsError::Ledger(CommandError::Denied { .. } | CommandError::Erased)) => {
                    Err(denied.into())
                }
                Err(unrecorded) => Err(unrecorded),
            },
        }
    }

    /// Records that a look was refused, in the accounting of the patient concerned, if there is such a patient.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub async fn denied(&self, look: &Asking, of: RecordOf) -> Result<(), RecordsError> {
        let (resource, id, patient) = match of {
            RecordOf::Nobody => return Ok(()),
            RecordOf::Patient(id) => ("patient", id, self.subject::<Patient>(id).await?),
            RecordOf::Appointment(id) => {
                ("appointment", id, self.subject::<Appointment>(id).await?)
            }
            RecordOf::Wound(id) => ("wound", id, self.subject::<WoundEpisode>(id).await?),
        };
        let Some(patient) = patient else { return Ok(()) };
        let about = [(patient.into(), vec![id])];
        self.record(look, resource, DisclosureOutcome::Denied, about).await
    }

    async fn subject<A: Stream + 'static>(&self, id: Uuid) -> Result<Option<Uuid>, RecordsError> {
        let loaded = self.ledger.load::<A>(id).await?;
        Ok(loaded.and_then(|loaded| loaded.aggregate.subject(id)))
    }
}
