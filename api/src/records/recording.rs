//! No look without a record: what is about to be shown, or was refused, is written down first.

use std::collections::BTreeMap;

use commands::{CommandError, DisclosureEntry};
use domain::PatientId;
use domain::disclosure::{DisclosureOutcome, MAX_DOCUMENTS};
use domain::value::Code;
use uuid::Uuid;

use super::{Look, Records, RecordsError};

impl Records {
    /// Records, in one append, that documents of patients are shown. Show them only when this has returned.
    pub(super) async fn record(
        &self,
        look: &Look,
        resource: &'static str,
        shown: impl IntoIterator<Item = (PatientId, Vec<Uuid>)>,
    ) -> Result<(), RecordsError> {
        self.write_down(look, resource, DisclosureOutcome::Disclosed, shown).await
    }

    /// As [`Records::record`], for the items of a list, each with its patient and its id. A read model that is behind may
    /// still show somebody who was erased: that is left out, and what stays is shown.
    pub(super) async fn record_list<T>(
        &self,
        look: &Look,
        resource: &'static str,
        mut items: Vec<T>,
        about: impl Fn(&T) -> (PatientId, Uuid),
    ) -> Result<Vec<T>, RecordsError> {
        let shown = |items: &[T]| -> Vec<(PatientId, Vec<Uuid>)> {
            let each = items.iter().map(&about);
            each.map(|(patient, document)| (patient, vec![document])).collect()
        };
        match self.record(look, resource, shown(&items)).await {
            Err(RecordsError::Ledger(CommandError::Erased)) => {}
            recorded => return recorded.map(|()| items),
        }
        let patients: Vec<Uuid> = items.iter().map(|item| about(item).0.as_uuid()).collect();
        let erased = self.ledger.erased_among(&patients).await?;
        items.retain(|item| !erased.contains(&about(item).0.as_uuid()));
        self.record(look, resource, shown(&items)).await?;
        Ok(items)
    }

    pub(super) async fn write_down(
        &self,
        look: &Look,
        resource: &'static str,
        outcome: DisclosureOutcome,
        about: impl IntoIterator<Item = (PatientId, Vec<Uuid>)>,
    ) -> Result<(), RecordsError> {
        let mut by_patient: BTreeMap<PatientId, Vec<Uuid>> = BTreeMap::new();
        for (patient, documents) in about {
            by_patient.entry(patient).or_default().extend(documents);
        }
        if by_patient.is_empty() {
            return Ok(());
        }
        let resource = Code::new(resource).map_err(|_| RecordsError::Form)?;
        let mut entries = Vec::with_capacity(by_patient.len());
        for (patient_id, documents) in by_patient {
            // That there is nothing is told of a patient, too.
            let none: &[Uuid] = &[];
            let parts = documents.chunks(MAX_DOCUMENTS).chain(documents.is_empty().then_some(none));
            for documents in parts {
                let what = documents.iter().map(|id| Code::new(&id.to_string()));
                let what = what.collect::<Result<_, _>>().map_err(|_| RecordsError::Form)?;
                let resource = resource.clone();
                entries.push(DisclosureEntry { patient_id, resource, what, outcome });
            }
        }
        self.ledger.disclose(entries, &look.context()).await?;
        Ok(())
    }
}
