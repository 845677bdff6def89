//! The queries. Every list is bounded and sorted, and continues at a cursor; no query needs more than
//! one index, and none uses `$or`, which some servers answer by scanning the collection.

use bson::{Bson, Document, RawDocumentBuf, doc};
use domain::value::{Line, PartialDate, SystemUri};
use domain::{AppointmentId, PatientId, PractitionerId, WoundId};
use futures::TryStreamExt;
use jiff::Timestamp;
use tracing::warn;

use super::appointment::{AppointmentDocument, Appointments};
use super::page::{Listing, Page};
use super::patient::{self, PatientDocument, Patients};
use super::text::instant;
use super::tombstone::Kept;
use super::view::View;
use super::wound::{WoundDocument, Wounds};
use super::{ReadError, ReadModels};
use crate::cache::{Entry, Lookup};
use crate::runtime::chain;

/// What is known of the patient sought. Everything given must hold. `Debug` shows no content.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PatientSearch {
    /// The family name begins with this, however it is written.
    pub family: Option<Line<100>>,
    /// The given names begin with this.
    pub given: Option<Line<100>>,
    /// The birth date, as precisely as it is known.
    pub birth_date: Option<PartialDate>,
    /// An identifier.
    pub identifier: Option<Line<128>>,
    /// The system that issued the identifier; any, if left out.
    pub system: Option<SystemUri>,
    /// Only active, or only inactive records.
    pub active: Option<bool>,
}

impl std::fmt::Debug for PatientSearch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PatientSearch(…)")
    }
}

impl PatientSearch {
    fn filter(&self) -> Result<Document, ReadError> {
        let mut filter = Document::new();
        let family = patient::family_key(self.family.clone());
        let given = patient::given_key(self.given.iter().cloned().collect());
        for (field, key) in [("matching.family", family), ("matching.given", given)] {
            if let Some(key) = key {
                filter.insert(field, prefix(&key));
            }
        }
        if let Some(date) = self.birth_date {
            filter.insert("birth_date", prefix(&date.to_string()));
        }
        if let Some(value) = &self.identifier {
            let system = self.system.as_ref().map(SystemUri::as_str);
            filter.insert("matching.identifiers", patient::identifier_key(system, value));
        }
        if filter.is_empty() {
            return Err(ReadError::EmptySearch);
        }
        if let Some(active) = self.active {
            filter.insert("active", active);
        }
        Ok(filter)
    }
}

/// Everything that begins with `text`. The upper bound is the last character there is.
fn prefix(text: &str) -> Bson {
    Bson::Document(doc! { "$gte": text, "$lt": format!("{text}\u{10FFFF}") })
}

/// Whose appointments, and when. A practitioner or a patient must be given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppointmentFilter {
    /// Of this practitioner.
    pub practitioner_id: Option<PractitionerId>,
    /// Of this patient.
    pub patient_id: Option<PatientId>,
    /// Beginning at this instant or later.
    pub from: Option<Timestamp>,
    /// Beginning before this instant.
    pub to: Option<Timestamp>,
}

impl AppointmentFilter {
    fn filter(&self, page: &Page) -> Result<Document, ReadError> {
        let mut filter = Document::new();
        if let Some(practitioner) = self.practitioner_id {
            filter.insert("practitioner_id", practitioner.to_string());
        }
        if let Some(patient) = self.patient_id {
            filter.insert("patient_id", patient.to_string());
        }
        if filter.is_empty() {
            return Err(ReadError::NoResource);
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(ReadError::EmptyRange);
        }
        let mut range = Document::new();
        if let Some(from) = self.from {
            range.insert("$gte", instant::text(from));
        }
        if let Some(to) = self.to {
            range.insert("$lt", instant::text(to));
        }
        if let Some(after) = page.after() {
            range.insert("$gt", after.key());
        }
        if !range.is_empty() {
            filter.insert("sort_key", range);
        }
        Ok(filter)
    }
}

impl ReadModels {
    /// One patient. `at_least`: the position the caller has waited for, so that nothing older is
    /// taken from the cache.
    pub async fn patient(
        &self,
        id: PatientId,
        at_least: Option<u64>,
    ) -> Result<Option<PatientDocument>, ReadError> {
        self.one::<Patients>(&id.to_string(), at_least).await
    }

    /// One appointment; see [`ReadModels::patient`].
    pub async fn appointment(
        &self,
        id: AppointmentId,
        at_least: Option<u64>,
    ) -> Result<Option<AppointmentDocument>, ReadError> {
        self.one::<Appointments>(&id.to_string(), at_least).await
    }

    /// One wound episode; see [`ReadModels::patient`].
    pub async fn wound(
        &self,
        id: WoundId,
        at_least: Option<u64>,
    ) -> Result<Option<WoundDocument>, ReadError> {
        self.one::<Wounds>(&id.to_string(), at_least).await
    }

    /// The patients who match, by id.
    pub async fn search_patients(
        &self,
        search: &PatientSearch,
        page: &Page,
    ) -> Result<Listing<PatientDocument>, ReadError> {
        let mut filter = search.filter()?;
        if let Some(after) = page.after() {
            filter.insert("_id", doc! { "$gt": after.key() });
        }
        let found = self.list::<Patients>(filter, "_id", page).await?;
        Ok(Listing::from_surplus(found, page, |patient| patient.id.to_string()))
    }

    /// The appointments of a practitioner or a patient, by start.
    pub async fn appointments(
        &self,
        filter: &AppointmentFilter,
        page: &Page,
    ) -> Result<Listing<AppointmentDocument>, ReadError> {
        let found = self.list::<Appointments>(filter.filter(page)?, "sort_key", page).await?;
        Ok(Listing::from_surplus(found, page, |appointment| appointment.sort_key.clone()))
    }

    /// The wounds of a patient, by id.
    pub async fn wounds_of(
        &self,
        patient: PatientId,
        page: &Page,
    ) -> Result<Listing<WoundDocument>, ReadError> {
        let mut filter = doc! { "patient_id": patient.to_string() };
        if let Some(after) = page.after() {
            filter.insert("_id", doc! { "$gt": after.key() });
        }
        let found = self.list::<Wounds>(filter, "_id", page).await?;
        Ok(Listing::from_surplus(found, page, |wound| wound.id.to_string()))
    }

    /// By id: from the cache if it is there, or else from the store, filling the cache.
    async fn one<V: View>(
        &self,
        id: &str,
        at_least: Option<u64>,
    ) -> Result<Option<V::Document>, ReadError> {
        let mut ticket = None;
        if let Some(cache) = &self.cache {
            match cache.get::<V::Document>(V::CACHE, id).await {
                Ok(Lookup::Hit { position, document })
                    if at_least.is_none_or(|wanted| position >= wanted) =>
                {
                    metrics::counter!("cache_hits_total", "kind" => V::CACHE.as_str()).increment(1);
                    return Ok(Some(document));
                }
                // What is there may be the newest, but that is not certain: the store decides.
                Ok(Lookup::Hit { .. }) => {}
                Ok(Lookup::Miss(granted)) => ticket = Some((cache, granted)),
                Err(error) => {
                    warn!(
                        error = chain(&error),
                        "the cache did not answer: reading from the store"
                    );
                }
            }
            metrics::counter!("cache_misses_total", "kind" => V::CACHE.as_str()).increment(1);
        }
        let collection = self.database.collection::<RawDocumentBuf>(&V::collection_name());
        let found = collection.find_one(doc! { "_id": id }).await;
        let Some(raw) = found.map_err(|error| unreadable::<V>(error, "find a document"))? else {
            return Ok(None);
        };
        let document = match Kept::<V>::read(&raw) {
            Some(Kept::Live(document)) => document,
            Some(Kept::Erased(_)) => return Err(ReadError::Erased),
            None => return Err(ReadError::Unreadable { collection: V::collection_name() }),
        };
        if let (Some((cache, granted)), Ok(json)) = (ticket, serde_json::to_string(&document)) {
            let entry = Entry { id: id.to_owned(), position: V::position(&document), json };
            if let Err(error) = cache.refill(granted, V::CACHE, &entry).await {
                warn!(error = chain(&error), "filling the cache failed");
            }
        }
        Ok(Some(document))
    }

    /// One document more than the page holds, sorted by `key`.
    async fn list<V: View>(
        &self,
        filter: Document,
        key: &str,
        page: &Page,
    ) -> Result<Vec<V::Document>, ReadError> {
        let collection = self.database.collection::<V::Document>(&V::collection_name());
        let found = collection
            .find(filter)
            .sort(doc! { key: 1 })
            .limit(i64::from(page.limit()) + 1)
            .await
            .map_err(ReadError::store("list documents"))?;
        found.try_collect().await.map_err(|error| unreadable::<V>(error, "list documents"))
    }
}

/// The driver's message about a document it cannot read may quote that document, so it is dropped.
fn unreadable<V: View>(error: mongodb::error::Error, doing: &'static str) -> ReadError {
    match *error.kind {
        mongodb::error::ErrorKind::BsonDeserialization(_) => {
            ReadError::Unreadable { collection: V::collection_name() }
        }
        _ => ReadError::Store { doing, source: error },
    }
}
