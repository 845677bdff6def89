//! The queries, and what those of read models that keep their own beside their view are made of. Every list is
//! bounded and sorted, and continues at a cursor; no query needs more than one index, and none uses `$or`, which some
//! servers answer by scanning the collection.

use std::collections::HashSet;

use bson::{Bson, Document, RawDocumentBuf, doc};
use domain::value::{Line, PartialDate, SystemUri};
use domain::{AppointmentId, PatientId, PractitionerId, WoundId};
use futures::TryStreamExt;
use jiff::Timestamp;
use tracing::warn;
use uuid::Uuid;

use super::appointment::{AppointmentDocument, Appointments};
use super::error::ReadError;
use super::models::ReadModels;
use super::page::{Listing, Page};
use super::patient::{self, PatientDocument, Patients};
use super::store::{Found, Store, note_damage};
use super::stored::{Damage, canonical};
use super::text::instant;
use super::tombstone::Kept;
use super::view::View;
use super::wound::{WoundDocument, Wounds};
use crate::cache::{Entry, Lookup};

/// How many documents are asked for by their ids at once.
const IDS_PER_FIND: usize = 256;

/// How often a list is read again after damaged documents in it were replaced.
const LIST_ROUNDS: u32 = 3;

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

    /// Whether a document is one that was asked for: what the store gives back is not believed to be.
    fn matches(&self, found: &PatientDocument) -> bool {
        let begins = |held: &Option<String>, sought: Option<String>| {
            sought.is_none_or(|key| held.as_ref().is_some_and(|held| held.starts_with(&key)))
        };
        let system = self.system.as_ref().map(SystemUri::as_str);
        let identifier = self.identifier.as_ref().map(|it| patient::identifier_key(system, it));
        let born = |date: PartialDate| {
            found.birth_date.is_some_and(|held| held.to_string().starts_with(&date.to_string()))
        };
        begins(&found.matching.family, patient::family_key(self.family.clone()))
            && begins(
                &found.matching.given,
                patient::given_key(self.given.iter().cloned().collect()),
            )
            && self.birth_date.is_none_or(born)
            && identifier.is_none_or(|key| found.matching.identifiers.contains(&key))
            && self.active.is_none_or(|active| found.active == active)
    }
}

/// Everything that begins with `text`. The upper bound is the last character there is.
pub(super) fn prefix(text: &str) -> Bson {
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

    /// As [`PatientSearch::matches`].
    fn matches(&self, found: &AppointmentDocument) -> bool {
        self.practitioner_id.is_none_or(|id| found.practitioner_id == Some(id))
            && self.patient_id.is_none_or(|id| found.patient_id == id)
            && self.from.is_none_or(|from| instant::text(from) <= found.sort_key)
            && self.to.is_none_or(|to| found.sort_key < instant::text(to))
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
        self.one::<Patients>(id.as_uuid(), at_least).await
    }

    /// One appointment; see [`ReadModels::patient`].
    pub async fn appointment(
        &self,
        id: AppointmentId,
        at_least: Option<u64>,
    ) -> Result<Option<AppointmentDocument>, ReadError> {
        self.one::<Appointments>(id.as_uuid(), at_least).await
    }

    /// One wound episode; see [`ReadModels::patient`].
    pub async fn wound(
        &self,
        id: WoundId,
        at_least: Option<u64>,
    ) -> Result<Option<WoundDocument>, ReadError> {
        self.one::<Wounds>(id.as_uuid(), at_least).await
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
        let found = self.list::<Patients>(filter, "_id", page, |it| search.matches(it)).await?;
        Ok(Listing::from_surplus(found, page, |patient| patient.id.to_string()))
    }

    /// The appointments of a practitioner or a patient, by start. Those of a patient are complete whatever the store leaves
    /// out; of a practitioner's, one that is hidden in the store is missing until the comparison with the log comes to it.
    pub async fn appointments(
        &self,
        filter: &AppointmentFilter,
        page: &Page,
    ) -> Result<Listing<AppointmentDocument>, ReadError> {
        let asked = filter.filter(page)?;
        let key = |appointment: &AppointmentDocument| appointment.sort_key.clone();
        let found = match filter.patient_id {
            Some(patient) => {
                let mut all = self.all_of::<Appointments>(patient.as_uuid()).await?;
                all.retain(|it| filter.matches(it));
                page.of(all, key)
            }
            None => {
                self.list::<Appointments>(asked, "sort_key", page, |it| filter.matches(it)).await?
            }
        };
        Ok(Listing::from_surplus(found, page, key))
    }

    /// The wounds of a patient, by id; complete whatever the store leaves out.
    pub async fn wounds_of(
        &self,
        patient: PatientId,
        page: &Page,
    ) -> Result<Listing<WoundDocument>, ReadError> {
        let key = |wound: &WoundDocument| wound.id.to_string();
        let mut all = self.all_of::<Wounds>(patient.as_uuid()).await?;
        all.retain(|it| it.patient_id == patient);
        Ok(Listing::from_surplus(page.of(all, key), page, key))
    }

    /// Every document about a subject, in no order. Which there are, the log says: the store can hide none of them. Of
    /// an erased subject none is shown.
    async fn all_of<V: View>(&self, subject: Uuid) -> Result<Vec<V::Document>, ReadError> {
        let store = self.store::<V>();
        let known = &store.source.known;
        let streams = known.streams_of(subject, V::STREAM).await.map_err(ReadError::Log)?;
        if known.erased(&[subject]).await.map_err(ReadError::Log)?.contains(&subject) {
            // What was put back past the projector is replaced, though it is never shown.
            for id in streams {
                store.checked(id).await?;
            }
            return Ok(Vec::new());
        }
        let mut all = Vec::with_capacity(streams.len());
        for ids in streams.chunks(IDS_PER_FIND) {
            let texts: Vec<String> = ids.iter().map(Uuid::to_string).collect();
            let raws = store.raw(doc! { "_id": { "$in": texts } }).await;
            let raws = raws.map_err(ReadError::store("list documents"))?;
            // What was damaged was made from the log meanwhile, and is read one by one like what is missing.
            let found = all_sound(&store, raws).await?.unwrap_or_default();
            let there: HashSet<Uuid> = found.iter().map(V::id).collect();
            all.extend(found);
            for id in ids.iter().filter(|id| !there.contains(id)) {
                // None: the projector has not come to it yet.
                if let Some(Kept::Live(document)) = store.checked(*id).await? {
                    all.push(document);
                }
            }
        }
        Ok(all)
    }

    /// By id: from the cache if it is there, or else from the store, filling the cache.
    pub(super) async fn one<V: View>(
        &self,
        id: Uuid,
        at_least: Option<u64>,
    ) -> Result<Option<V::Document>, ReadError> {
        let store = self.store::<V>();
        let mut ticket = None;
        // The position of a cached document that is not the newest.
        let mut outdated = None;
        if let Some(cache) = &self.cache {
            // Asked for first: what is known then must be in whatever is read afterwards.
            let last = store.last(id).await?;
            match cache.get::<V::Document>(V::CACHE, &id.to_string()).await {
                Ok(Lookup::Hit { position, document, ticket: granted }) => {
                    let hit = Found::Kept(Kept::<V>::Live(document));
                    let doubt = store.doubt(&hit, last).await?;
                    let new_enough = at_least.is_none_or(|wanted| position >= wanted);
                    match (doubt, hit) {
                        (None, Found::Kept(Kept::Live(document)))
                            if new_enough
                                && V::id(&document) == id
                                && V::position(&document) == position =>
                        {
                            metrics::counter!("cache_hits_total", "kind" => V::CACHE.as_str())
                                .increment(1);
                            return Ok(Some(document));
                        }
                        // What is there may be the newest, but that is not certain: the store decides.
                        (None, _) => {}
                        (Some(Damage::Older | Damage::Erased), _) => outdated = Some(position),
                        (Some(doubt), _) => {
                            cache.damaged(V::CACHE, &id.to_string(), doubt.as_str());
                        }
                    }
                    ticket = Some((cache, granted));
                }
                Ok(Lookup::Miss(granted)) => ticket = Some((cache, granted)),
                Err(error) => {
                    warn!(
                        error = audit::chain(&error),
                        "the cache did not answer: reading from the store"
                    );
                }
            }
            metrics::counter!("cache_misses_total", "kind" => V::CACHE.as_str()).increment(1);
        }
        let kept = store.checked(id).await?;
        if let (Some(position), Some(kept), Some((cache, _))) = (outdated, &kept, &ticket)
            && position < kept.position()
            && kept.position() < store.reached().await?
        {
            // The projector has replaced the entry, and it is there again: a write was lost, or it was put back past
            // the projector.
            cache.damaged(V::CACHE, &id.to_string(), Damage::Older.as_str());
        }
        let document = match kept {
            None => return Ok(None),
            Some(Kept::Live(document)) => document,
            Some(Kept::Erased(_)) => return Err(ReadError::Erased),
        };
        if let (Some((cache, granted)), Ok(json)) = (ticket, serde_json::to_string(&document)) {
            let entry = Entry { id: id.to_string(), position: V::position(&document), json };
            if let Err(error) = cache.refill(granted, V::CACHE, &entry).await {
                warn!(error = audit::chain(&error), "filling the cache failed");
            }
        }
        Ok(Some(document))
    }

    /// One document more than the page holds, sorted by `key`. Every one is checked as if it were read alone; where one does
    /// not hold, it is made from the log and the list is read again.
    pub(super) async fn list<V: View>(
        &self,
        filter: Document,
        key: &str,
        page: &Page,
        matches: impl Fn(&V::Document) -> bool,
    ) -> Result<Vec<V::Document>, ReadError> {
        let store = self.store::<V>();
        for _ in 0..LIST_ROUNDS {
            let found = store
                .collection::<RawDocumentBuf>()
                .find(filter.clone())
                .sort(doc! { key: 1 })
                .limit(i64::from(page.limit()) + 1)
                .await
                .map_err(ReadError::store("list documents"))?;
            let raws: Vec<RawDocumentBuf> =
                found.try_collect().await.map_err(ReadError::store("list documents"))?;
            if let Some(documents) = all_sound(&store, raws).await? {
                // A collection can be replaced by a view of it that answers as it likes.
                if documents.iter().all(&matches) {
                    return Ok(documents);
                }
                break;
            }
        }
        Err(ReadError::Damaged { collection: V::collection_name() })
    }
}

/// The documents of a list if they all hold; `None` if some did not, and were replaced. Of an erased subject nothing
/// is listed, even if the projector has not come to it yet.
async fn all_sound<V: View>(
    store: &Store<V>,
    raws: Vec<RawDocumentBuf>,
) -> Result<Option<Vec<V::Document>>, ReadError> {
    let known = &store.source.known;
    let (mut kept, mut damaged) = (Vec::with_capacity(raws.len()), false);
    for raw in raws {
        let id = raw.get("_id").ok().flatten().and_then(|id| canonical(&id.try_into().ok()?));
        match (store.read(raw), id) {
            (Found::Kept(Kept::Live(document)), _) => kept.push(document),
            (Found::Damaged(..), Some(id)) => {
                store.checked(id).await?;
                damaged = true;
            }
            (Found::Damaged(why, raw), None) => {
                note_damage::<V>("not an id", why);
                store
                    .remove(&raw)
                    .await
                    .map_err(|_| ReadError::Damaged { collection: V::collection_name() })?;
                damaged = true;
            }
            // A tombstone has none of the fields that lists use.
            (Found::Kept(Kept::Erased(_)) | Found::Nothing, _) => {
                return Err(ReadError::Damaged { collection: V::collection_name() });
            }
        }
    }
    let ids: Vec<Uuid> = kept.iter().map(V::id).collect();
    let subjects: Vec<Uuid> = kept.iter().map(V::subject).collect();
    let last = known.last_positions(V::STREAM, &ids).await.map_err(ReadError::Log)?;
    let erased = known.erased(&subjects).await.map_err(ReadError::Log)?;
    let mut reached = None;
    let mut sound = Vec::with_capacity(kept.len());
    for document in kept {
        let (id, position) = (V::id(&document), V::position(&document));
        let last = last.get(&id).copied();
        let is_erased = erased.contains(&V::subject(&document));
        if is_erased {
            // Left out; replaced, if the projector should have done so.
            store.checked(id).await?;
            continue;
        }
        let held = last.is_some_and(|last| position <= last)
            || known.reaches(position).await.map_err(ReadError::Log)?;
        if !held || last.is_none_or(|last| position < last) {
            let reached = match reached {
                Some(reached) => reached,
                None => *reached.insert(store.reached().await?),
            };
            // Of what the projector has not come to yet, the older state is the answer.
            let lags = held && last.is_some_and(|last| last >= reached);
            if !lags {
                let checked = store.checked(id).await?;
                let same =
                    matches!(&checked, Some(Kept::Live(now)) if V::position(now) == position);
                damaged |= !same;
            }
        }
        sound.push(document);
    }
    Ok((!damaged).then_some(sound))
}
