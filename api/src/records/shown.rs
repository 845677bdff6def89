//! No look without a record: what is about to be shown, or was refused, is written down first. Only here is a [`Shown`]
//! made, so whoever adds a way to look cannot forget to record it.

use std::collections::BTreeMap;
use std::ops::Deref;

use commands::policy::Permission;
use commands::{AccessEntry, CommandError, DisclosureEntry};
use domain::PatientId;
use domain::access::AccessOutcome;
use domain::disclosure::{DisclosureOutcome, MAX_DOCUMENTS, ONE};
use domain::value::Code;
use projections::read_models::ReadError;
use uuid::Uuid;

use super::Records;
use super::error::RecordsError;
use super::look::Asking;

/// Something of a patient that may be shown, because the look at it is durably recorded. Only [`Records`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<T>(T);

impl<T> Shown<T> {
    /// Another view of the same, such as a chart of it.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Shown<U> {
        Shown(view(self.0))
    }

    /// What may be shown, as the look at it is recorded.
    pub(super) fn recorded(what: T) -> Shown<T> {
        Shown(what)
    }

    /// What belongs to the same look, such as the capture of a shown wound's scan.
    pub(super) fn with<U>(&self, belonging: U) -> Shown<U> {
        Shown(belonging)
    }
}

impl<T> Deref for Shown<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Records {
    /// Records that something of patients is shown, in one append, and gives it to be shown.
    pub(super) async fn show<T>(
        &self,
        look: &Asking,
        resource: &'static str,
        about: impl IntoIterator<Item = (PatientId, Vec<Uuid>)>,
        what: T,
    ) -> Result<Shown<T>, RecordsError> {
        self.record(look, resource, DisclosureOutcome::Disclosed, about).await?;
        Ok(Shown::recorded(what))
    }

    /// As [`Records::show`], for the items of a list, each with its patient and its id. A read model that is behind may
    /// still hold a record that was erased: that is left out, and what stays is shown.
    pub(super) async fn show_list<T>(
        &self,
        look: &Asking,
        resource: &'static str,
        about: impl Fn(&T) -> (PatientId, Uuid),
        mut items: Vec<T>,
    ) -> Result<Shown<Vec<T>>, RecordsError> {
        let shown = |items: &[T]| -> Vec<(PatientId, Vec<Uuid>)> {
            let each = items.iter().map(&about);
            each.map(|(patient, document)| (patient, vec![document])).collect()
        };
        let outcome = DisclosureOutcome::Disclosed;
        match self.record(look, resource, outcome, shown(&items)).await {
            Err(RecordsError::Ledger(CommandError::Erased)) => {}
            recorded => return recorded.map(|()| Shown::recorded(items)),
        }
        let patients: Vec<Uuid> = items.iter().map(|item| about(item).0.as_uuid()).collect();
        let erased = self.ledger.erased_among(&patients).await?;
        items.retain(|item| !erased.contains(&about(item).0.as_uuid()));
        self.show(look, resource, shown(&items), items).await
    }

    /// Records looks, or that they were refused.
    pub(super) async fn record(
        &self,
        look: &Asking,
        resource: &str,
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
                let (count, repeats) = (ONE, None);
                entries.push(DisclosureEntry {
                    patient_id,
                    resource,
                    what,
                    outcome,
                    count,
                    repeats,
                });
            }
        }
        Ok(self.ledger.record_disclosures(entries, &look.context()).await?)
    }

    /// Records a look at what is no patient's record.
    pub(super) async fn access(
        &self,
        look: &Asking,
        resource: &str,
        what: impl IntoIterator<Item = Uuid>,
        outcome: AccessOutcome,
    ) -> Result<(), RecordsError> {
        let what = what.into_iter().map(|id| Code::new(&id.to_string()));
        let what = what.collect::<Result<_, _>>().map_err(|_| RecordsError::Form)?;
        self.access_to(look, resource, what, outcome).await
    }

    async fn access_to(
        &self,
        look: &Asking,
        resource: &str,
        what: Vec<Code>,
        outcome: AccessOutcome,
    ) -> Result<(), RecordsError> {
        let resource = Code::new(resource).map_err(|_| RecordsError::Form)?;
        let entry = AccessEntry { resource, what, outcome, count: ONE, repeats: None };
        Ok(self.ledger.record_access(entry, &look.context()).await?)
    }

    /// Records that an allowed caller is about to see what is no patient's record: accounts, models, the log.
    ///
    /// # Errors
    /// When that cannot be recorded: then it may not be shown.
    pub async fn allowed(
        &self,
        look: &Asking,
        permission: Permission,
        what: Vec<Code>,
    ) -> Result<(), RecordsError> {
        self.access_to(look, permission.as_str(), what, AccessOutcome::Allowed).await
    }

    /// Records that there is no such thing, and says so.
    pub(super) async fn nothing_found<T>(
        &self,
        look: &Asking,
        what: &'static str,
        id: Uuid,
    ) -> Result<T, RecordsError> {
        self.access(look, what, [id], AccessOutcome::NothingFound).await?;
        Err(RecordsError::NotFound { what })
    }

    /// What was found under an id. That nothing was, or that the record was erased, is an answer about a person, too.
    pub(super) async fn found<T>(
        &self,
        look: &Asking,
        what: &'static str,
        id: Uuid,
        found: Result<Option<T>, ReadError>,
    ) -> Result<T, RecordsError> {
        match found {
            Ok(Some(found)) => Ok(found),
            Ok(None) => self.nothing_found(look, what, id).await,
            Err(ReadError::Erased) => {
                self.access(look, what, [id], AccessOutcome::Allowed).await?;
                Err(ReadError::Erased.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
