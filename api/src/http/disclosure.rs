//! No look without a record: what is about to be shown, or was refused, is written down first.

use std::collections::BTreeMap;

use domain::PatientId;
use domain::disclosure::{DisclosureOutcome, MAX_DOCUMENTS};
use domain::value::Code;
use uuid::Uuid;

use super::call::Call;
use super::problem::Problem;
use crate::state::AppState;

/// Records, in one append, that documents of patients are shown (or refused) to the caller.
/// Answer only when this has returned.
///
/// # Errors
///
/// When the record cannot be made durable: then nothing may be shown.
pub(super) async fn record(
    state: &AppState,
    call: &Call,
    resource: &'static str,
    outcome: DisclosureOutcome,
    shown: impl IntoIterator<Item = (PatientId, Vec<Uuid>)>,
) -> Result<(), Problem> {
    let mut by_patient: BTreeMap<PatientId, Vec<Uuid>> = BTreeMap::new();
    for (patient, documents) in shown {
        by_patient.entry(patient).or_default().extend(documents);
    }
    if by_patient.is_empty() {
        return Ok(());
    }
    let resource = Code::new(resource).map_err(|_| Problem::internal())?;
    let mut entries = Vec::with_capacity(by_patient.len());
    for (patient_id, documents) in by_patient {
        // That there is nothing is told of somebody, too.
        let none: &[Uuid] = &[];
        let parts = documents.chunks(MAX_DOCUMENTS).chain(documents.is_empty().then_some(none));
        for documents in parts {
            let what = documents.iter().map(|id| Code::new(&id.to_string()));
            let what = what.collect::<Result<_, _>>().map_err(|_| Problem::internal())?;
            let resource = resource.clone();
            entries.push(commands::DisclosureEntry { patient_id, resource, what, outcome });
        }
    }
    state.ledger.disclose(entries, &call.aside()).await?;
    Ok(())
}
