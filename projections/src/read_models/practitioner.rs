//! `practitioners_v1`: the directory's entry of a practitioner as it stands, and the search for one.

use bson::{Document, doc};
use domain::practitioner::{LeavingReason, Qualification};
use domain::value::{ContactPoint, HumanName, Identifier, Line, Note, SystemUri};
use domain::{Event, PractitionerEvent, PractitionerId};
use jiff::Timestamp;
use mongodb::IndexModel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ReadError;
use super::models::ReadModels;
use super::page::{Listing, Page};
use super::patient::{Matching, family_key, given_key, identifier_key};
use super::query::prefix;
use super::text::{instant, plain};
use super::view::{FoldError, View};
use crate::cache::CacheKind;
use crate::event::RecordedEvent;

/// A practitioner's entry. Its value types show no content in `Debug`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PractitionerDocument {
    /// The practitioner.
    #[serde(rename = "_id", with = "plain")]
    #[schemars(rename = "id", with = "PractitionerId")]
    pub id: PractitionerId,
    /// The version of the entry: the number of its last event, for `If-Match`.
    pub version: u64,
    /// The position of that event in the log.
    pub position: u64,
    /// Whether the practitioner is in use: only then something is booked with them.
    pub active: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<HumanName>,
    /// Identifiers with the systems that issued them.
    pub identifiers: Vec<Identifier>,
    /// What the practitioner is qualified for.
    pub qualifications: Vec<Qualification>,
    /// How to reach the practitioner at work.
    pub contacts: Vec<ContactPoint>,
    /// When the practitioner was registered.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub registered_at: Timestamp,
    /// When the entry last changed.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub updated_at: Timestamp,
    /// What the entry is found by.
    #[schemars(skip)]
    pub matching: Matching,
}

/// Why a practitioner is not in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leaving {
    /// The reason.
    pub reason: LeavingReason,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// The view behind `practitioners_v1`.
pub(crate) struct Practitioners;

impl View for Practitioners {
    const NAME: &'static str = "practitioners";
    const VERSION: u32 = 1;
    const STREAM: &'static str = domain::Practitioner::STREAM_TYPE;
    const SUBJECT: &'static str = "_id";
    const CACHE: CacheKind = CacheKind::new("practitioner");
    type Document = PractitionerDocument;

    fn indexes() -> Vec<IndexModel> {
        [
            doc! { "matching.family": 1, "matching.given": 1 },
            doc! { "matching.given": 1 },
            doc! { "matching.identifiers": 1 },
        ]
        .map(|keys| IndexModel::builder().keys(keys).build())
        .into()
    }

    fn fields(document: &PractitionerDocument) -> Document {
        doc! { "active": document.active, "matching": document.matching.fields() }
    }

    fn id(document: &PractitionerDocument) -> Uuid {
        document.id.as_uuid()
    }

    fn version(document: &PractitionerDocument) -> u64 {
        document.version
    }

    fn position(document: &PractitionerDocument) -> u64 {
        document.position
    }

    fn subject(document: &PractitionerDocument) -> Uuid {
        document.id.as_uuid()
    }

    fn fold(
        document: Option<PractitionerDocument>,
        recorded: &RecordedEvent,
        event: &Event,
    ) -> Result<PractitionerDocument, FoldError> {
        let Event::Practitioner(event) = event else {
            return Err(FoldError::Contradiction(
                "it is not an event of a practitioner".to_owned(),
            ));
        };
        let mut document = match (document, event) {
            (_, PractitionerEvent::PractitionerRegistered(event)) => PractitionerDocument {
                id: PractitionerId::from_uuid(recorded.stream_id),
                version: 0,
                position: 0,
                active: true,
                leaving: None,
                name: event.profile.name.clone(),
                identifiers: event.identifiers.clone(),
                qualifications: event.profile.qualifications.clone(),
                contacts: event.profile.contacts.clone(),
                registered_at: recorded.recorded_at,
                updated_at: recorded.recorded_at,
                matching: Matching::default(),
            },
            (Some(document), _) => document,
            (None, _) => return Err(FoldError::Missing),
        };
        match event {
            PractitionerEvent::PractitionerRegistered(_) => {}
            PractitionerEvent::PractitionerEdited(event) => {
                document.name = event.after.name.clone();
                document.qualifications = event.after.qualifications.clone();
                document.contacts = event.after.contacts.clone();
            }
            PractitionerEvent::PractitionerIdentifiersEdited(event) => {
                document.identifiers = event.after.clone();
            }
            PractitionerEvent::PractitionerDeactivated(event) => {
                document.active = false;
                document.leaving = Some(Leaving { reason: event.reason, note: event.note.clone() });
            }
            PractitionerEvent::PractitionerReactivated(_) => {
                document.active = true;
                document.leaving = None;
            }
        }
        document.matching = Matching::of(document.name.as_ref(), &document.identifiers);
        document.version = recorded.sequence;
        document.position = recorded.position;
        document.updated_at = recorded.recorded_at;
        Ok(document)
    }
}

/// What is known of the practitioner sought. Everything given must hold; nothing given finds all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PractitionerSearch {
    /// The family name begins with this, however it is written.
    pub family: Option<Line<100>>,
    /// The given names begin with this.
    pub given: Option<Line<100>>,
    /// An identifier.
    pub identifier: Option<Line<128>>,
    /// The system that issued the identifier; any, if left out.
    pub system: Option<SystemUri>,
    /// Only those in use, or only those who are not.
    pub active: Option<bool>,
}

impl PractitionerSearch {
    fn identifier_key(&self) -> Option<String> {
        let system = self.system.as_ref().map(SystemUri::as_str);
        self.identifier.as_ref().map(|value| identifier_key(system, value))
    }

    fn filter(&self, page: &Page) -> Document {
        let mut filter = Document::new();
        let family = family_key(self.family.clone());
        let given = given_key(self.given.iter().cloned().collect());
        for (field, key) in [("matching.family", family), ("matching.given", given)] {
            if let Some(key) = key {
                filter.insert(field, prefix(&key));
            }
        }
        if let Some(key) = self.identifier_key() {
            filter.insert("matching.identifiers", key);
        }
        if let Some(active) = self.active {
            filter.insert("active", active);
        }
        if let Some(after) = page.after() {
            filter.insert("_id", doc! { "$gt": after.key() });
        }
        filter
    }

    /// Whether a document is one that was asked for: what the store gives back is not believed to be.
    fn matches(&self, found: &PractitionerDocument) -> bool {
        let begins = |held: &Option<String>, sought: Option<String>| {
            sought.is_none_or(|key| held.as_ref().is_some_and(|held| held.starts_with(&key)))
        };
        let Matching { family, given, identifiers } = &found.matching;
        begins(family, family_key(self.family.clone()))
            && begins(given, given_key(self.given.iter().cloned().collect()))
            && self.identifier_key().is_none_or(|key| identifiers.contains(&key))
            && self.active.is_none_or(|active| found.active == active)
    }
}

impl ReadModels {
    /// One practitioner; see [`ReadModels::patient`].
    pub async fn practitioner(
        &self,
        id: PractitionerId,
        at_least: Option<u64>,
    ) -> Result<Option<PractitionerDocument>, ReadError> {
        self.one::<Practitioners>(id.as_uuid(), at_least).await
    }

    /// The practitioners who match, by id.
    pub async fn search_practitioners(
        &self,
        search: &PractitionerSearch,
        page: &Page,
    ) -> Result<Listing<PractitionerDocument>, ReadError> {
        let filter = search.filter(page);
        let found =
            self.list::<Practitioners>(filter, "_id", page, |it| search.matches(it)).await?;
        Ok(Listing::from_surplus(found, page, |practitioner| practitioner.id.to_string()))
    }
}
