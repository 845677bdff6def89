//! No look without a record: what is about to be shown, or was refused, is written down first.

use std::collections::BTreeMap;

use axum::http::StatusCode;
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

/// As [`record`], for the items of a list, each with its patient and its id. A read model that is behind may still show
/// somebody who was erased: that is left out, and what stays is answered.
///
/// # Errors
///
/// As [`record`].
pub(super) async fn record_list<T>(
    state: &AppState,
    call: &Call,
    resource: &'static str,
    mut items: Vec<T>,
    about: impl Fn(&T) -> (PatientId, Uuid),
) -> Result<Vec<T>, Problem> {
    let shown = |items: &[T]| -> Vec<(PatientId, Vec<Uuid>)> {
        let each = items.iter().map(&about);
        each.map(|(patient, document)| (patient, vec![document])).collect()
    };
    let outcome = DisclosureOutcome::Disclosed;
    match record(state, call, resource, outcome, shown(&items)).await {
        Err(problem) if problem.status() == StatusCode::GONE => {}
        recorded => return recorded.map(|()| items),
    }
    let patients: Vec<Uuid> = items.iter().map(|item| about(item).0.as_uuid()).collect();
    let erased = state.ledger.erased_among(&patients).await?;
    items.retain(|item| !erased.contains(&about(item).0.as_uuid()));
    record(state, call, resource, outcome, shown(&items)).await?;
    Ok(items)
}
