//! The custody of a patient's record: holds, erasure, purge. It says nothing that the record says, and yet of whom there is
//! a hold, and who was a patient: so a look at it is recorded.

use commands::policy::may;
use commands::{CommandError, Loaded};
use domain::access::AccessOutcome;
use domain::disclosure::DisclosureOutcome;
use domain::{Custody, Patient, PatientId};

use super::Records;
use super::denied::RecordOf;
use super::error::RecordsError;
use super::look::Look;
use super::shown::Shown;

impl Records {
    /// The custody of a patient's record, as the log tells it; that of a record nothing happened to is empty.
    ///
    /// # Errors
    /// When there is no such patient, the caller may not look, or the look cannot be recorded.
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(correlation.id = %look.correlation_id, stream.type = "custody", read = "custody"))]
    pub async fn custody(
        &self,
        look: &Look<may::ReadCustody>,
        id: PatientId,
    ) -> Result<Shown<Loaded<Custody>>, RecordsError> {
        const RESOURCE: &str = "custody";
        self.enter_log(look, RecordOf::Patient(id.as_uuid())).await?;
        let custody = match self.ledger.load::<Custody>(id.as_uuid()).await? {
            Some(loaded) => loaded,
            None if self.ledger.exists::<Patient>(id.as_uuid()).await? => {
                Loaded { aggregate: Custody::default(), version: 0 }
            }
            None => return self.nothing_found(look, "patient", id.as_uuid()).await,
        };
        let about = [(id, vec![id.as_uuid()])];
        match self.record(look, RESOURCE, DisclosureOutcome::Disclosed, about).await {
            // Its accounting is gone with the record; what is left is what is shown here.
            Err(RecordsError::Ledger(CommandError::Erased)) => {
                self.access(look, RESOURCE, [id.as_uuid()], AccessOutcome::Allowed).await?;
            }
            recorded => recorded?,
        }
        Ok(Shown::recorded(custody))
    }
}
