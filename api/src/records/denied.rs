//! Refused looks, and refused commands that tell something: both are recorded, in the accounting of the patient concerned
//! where there is one.

use std::collections::BTreeSet;

use commands::policy::{Permission, Subject};
use commands::{CommandError, Conflict};
use domain::access::AccessOutcome;
use domain::disclosure::DisclosureOutcome;
use domain::patient::IDENTIFIER_CLAIM;
use domain::{
    Appointment, Custody, Patient, PatientId, RefusalKind, ResourceKind, Stream, WoundEpisode,
};
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
    /// Whose record a stream is part of. Custody is in the clear, under the patient's own id.
    fn stream<A: Stream>(id: Uuid) -> RecordOf {
        match A::TYPE {
            Patient::STREAM_TYPE | Custody::STREAM_TYPE => RecordOf::Patient(id),
            Appointment::STREAM_TYPE => RecordOf::Appointment(id),
            WoundEpisode::STREAM_TYPE => RecordOf::Wound(id),
            _ => RecordOf::Nobody,
        }
    }

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
            Err(denied) => {
                self.denied(look, permission, of).await?;
                Err(denied.into())
            }
        }
    }

    /// Records that something was refused: in the accounting of the patient concerned, or, where there is no such patient
    /// or the record was erased, beside it.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub async fn denied(
        &self,
        look: &Asking,
        permission: Permission,
        of: RecordOf,
    ) -> Result<(), RecordsError> {
        let (resource, id, patient) = match of {
            RecordOf::Nobody => {
                return self.access(look, permission.as_str(), [], AccessOutcome::Denied).await;
            }
            RecordOf::Patient(id) => ("patient", id, self.subject::<Patient>(id).await?),
            RecordOf::Appointment(id) => {
                ("appointment", id, self.subject::<Appointment>(id).await?)
            }
            RecordOf::Wound(id) => ("wound", id, self.subject::<WoundEpisode>(id).await?),
        };
        if let Some(patient) = patient {
            let about = [(patient.into(), vec![id])];
            match self.record(look, resource, DisclosureOutcome::Denied, about).await {
                Err(RecordsError::Ledger(CommandError::Erased)) => {}
                recorded => return recorded,
            }
        }
        self.access(look, permission.as_str(), [id], AccessOutcome::Denied).await
    }

    /// Records what a caller learns from a command that is not done: that a record is in another state, that a patient has
    /// an identifier or is busy, that there is no such patient. That the input itself is wrong tells nothing.
    ///
    /// # Errors
    /// When that cannot be recorded: then it may not be told.
    pub async fn record_refusal<A: Stream + 'static>(
        &self,
        look: &Asking,
        id: Uuid,
        error: &CommandError,
    ) -> Result<(), RecordsError> {
        let (outcome, conflicts) = match error {
            CommandError::Denied { permission } => {
                return self.denied(look, *permission, RecordOf::stream::<A>(id)).await;
            }
            CommandError::ClaimConflict { conflicts } => (AccessOutcome::Allowed, &conflicts[..]),
            CommandError::VersionConflict { .. }
            | CommandError::Erased
            | CommandError::Refused {
                kind: RefusalKind::Conflict | RefusalKind::Missing(_), ..
            } => (AccessOutcome::Allowed, &[][..]),
            CommandError::NotFound { .. } => (AccessOutcome::NothingFound, &[][..]),
            _ => return Ok(()),
        };
        let mut patients: BTreeSet<PatientId> =
            conflicts.iter().filter_map(patient_of).map(PatientId::from_uuid).collect();
        let own = match (outcome, RecordOf::stream::<A>(id)) {
            (AccessOutcome::NothingFound, _) | (_, RecordOf::Nobody) => None,
            (_, RecordOf::Patient(id)) => self.subject::<Patient>(id).await?,
            (_, RecordOf::Appointment(id)) => self.subject::<Appointment>(id).await?,
            (_, RecordOf::Wound(id)) => self.subject::<WoundEpisode>(id).await?,
        };
        patients.extend(own.map(PatientId::from_uuid));
        let resource = format!("{}-command", A::TYPE);
        let mut is_recorded = !patients.is_empty();
        // One by one, so that an erased record among them keeps no other accounting from having it.
        for patient in patients {
            let about = [(patient, vec![id])];
            match self.record(look, &resource, DisclosureOutcome::Disclosed, about).await {
                Err(RecordsError::Ledger(CommandError::Erased)) => is_recorded = false,
                recorded => recorded?,
            }
        }
        if is_recorded {
            return Ok(());
        }
        let taken = conflicts.iter().map(|conflict| match conflict {
            Conflict::Busy { id, .. } => *id,
            Conflict::Unique { holder, .. } => *holder,
        });
        self.access(look, &resource, std::iter::once(id).chain(taken), outcome).await
    }

    async fn subject<A: Stream + 'static>(&self, id: Uuid) -> Result<Option<Uuid>, RecordsError> {
        let loaded = match self.ledger.load::<A>(id).await {
            // What it was of is not known any more, and concerns nobody.
            Err(CommandError::Erased) => None,
            loaded => loaded?,
        };
        Ok(loaded.and_then(|loaded| loaded.aggregate.subject(id)))
    }
}

/// The patient whom a conflict tells something of.
fn patient_of(conflict: &Conflict) -> Option<Uuid> {
    match conflict {
        Conflict::Busy { resource, id, .. } => {
            (resource == ResourceKind::Patient.as_str()).then_some(*id)
        }
        Conflict::Unique { kind, holder } => (kind == IDENTIFIER_CLAIM).then_some(*holder),
    }
}
