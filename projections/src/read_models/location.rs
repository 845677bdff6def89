//! `locations_v1`: the directory's entry of a location as it stands, and the search for one.

use std::collections::HashMap;

use bson::{Document, doc};
use domain::location::{ClosingReason, LocationKind, Place};
use domain::value::{Address, Line, Note};
use domain::{Event, LocationEvent, LocationId};
use jiff::Timestamp;
use mongodb::IndexModel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ReadError;
use super::models::ReadModels;
use super::page::{Listing, Page};
use super::patient::family_key;
use super::query::prefix;
use super::text::{instant, plain};
use super::view::{FoldError, View};
use crate::cache::CacheKind;
use crate::event::RecordedEvent;

/// The subject of a location: none. No subject has this id, so no erasure ever concerns a location.
const NOBODY: Uuid = Uuid::nil();

/// A location's entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocationDocument {
    /// The location.
    #[serde(rename = "_id", with = "plain")]
    #[schemars(rename = "id", with = "LocationId")]
    pub id: LocationId,
    /// The version of the entry: the number of its last event, for `If-Match`.
    pub version: u64,
    /// The position of that event in the log.
    pub position: u64,
    /// Whether the location is in use: only then something is booked there.
    pub active: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
    /// What kind of place it is.
    pub kind: LocationKind,
    /// What it is called.
    pub name: Line<100>,
    /// The site it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<LocationId>,
    /// Its postal address, if it is not its site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The IANA zone of the clock on its wall, if it is not its site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Line<64>>,
    /// When the location was registered.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub registered_at: Timestamp,
    /// When the entry last changed.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub updated_at: Timestamp,
    /// The name as a search folds it: without case, marks and punctuation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub matching: Option<String>,
}

/// Why a location is not in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closing {
    /// The reason.
    pub reason: ClosingReason,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

impl LocationDocument {
    fn take(&mut self, place: &Place) {
        let Place { name, parent_id, address, zone } = place.clone();
        self.matching = family_key(Some(name.clone()));
        self.name = name;
        self.parent_id = parent_id;
        self.address = address;
        self.zone = zone;
    }
}

/// A location with what it has of its site.
#[derive(Debug, Clone, PartialEq)]
pub struct LocationEntry {
    /// The location.
    pub location: LocationDocument,
    /// The IANA zone of the clock on its wall: its own, or that of its site.
    pub zone: Option<Line<64>>,
}

/// The view behind `locations_v1`.
pub(crate) struct Locations;

impl View for Locations {
    const NAME: &'static str = "locations";
    const VERSION: u32 = 1;
    const STREAM: &'static str = domain::Location::STREAM_TYPE;
    const SUBJECT: &'static str = "subject";
    const CACHE: CacheKind = CacheKind::new("location");
    type Document = LocationDocument;

    fn indexes() -> Vec<IndexModel> {
        [doc! { "matching": 1 }, doc! { "parent_id": 1 }]
            .map(|keys| IndexModel::builder().keys(keys).build())
            .into()
    }

    fn fields(document: &LocationDocument) -> Document {
        let mut fields = doc! {
            "subject": NOBODY.to_string(),
            "active": document.active,
            "kind": document.kind.as_str(),
        };
        if let Some(parent) = document.parent_id {
            fields.insert("parent_id", parent.to_string());
        }
        if let Some(key) = &document.matching {
            fields.insert("matching", key);
        }
        fields
    }

    fn id(document: &LocationDocument) -> Uuid {
        document.id.as_uuid()
    }

    fn version(document: &LocationDocument) -> u64 {
        document.version
    }

    fn position(document: &LocationDocument) -> u64 {
        document.position
    }

    fn subject(_document: &LocationDocument) -> Uuid {
        NOBODY
    }

    fn fold(
        document: Option<LocationDocument>,
        recorded: &RecordedEvent,
        event: &Event,
    ) -> Result<LocationDocument, FoldError> {
        let Event::Location(event) = event else {
            return Err(FoldError::Contradiction("it is not an event of a location".to_owned()));
        };
        let mut document = match (document, event) {
            (_, LocationEvent::LocationRegistered(event)) => LocationDocument {
                id: LocationId::from_uuid(recorded.stream_id),
                version: 0,
                position: 0,
                active: true,
                closing: None,
                kind: event.kind,
                name: event.place.name.clone(),
                parent_id: None,
                address: None,
                zone: None,
                registered_at: recorded.recorded_at,
                updated_at: recorded.recorded_at,
                matching: None,
            },
            (Some(document), _) => document,
            (None, _) => return Err(FoldError::Missing),
        };
        match event {
            LocationEvent::LocationRegistered(event) => document.take(&event.place),
            LocationEvent::LocationEdited(event) => document.take(&event.after),
            LocationEvent::LocationDeactivated(event) => {
                document.active = false;
                document.closing = Some(Closing { reason: event.reason, note: event.note.clone() });
            }
            LocationEvent::LocationReactivated(_) => {
                document.active = true;
                document.closing = None;
            }
        }
        document.version = recorded.sequence;
        document.position = recorded.position;
        document.updated_at = recorded.recorded_at;
        Ok(document)
    }
}

/// What is known of the location sought. Everything given must hold; nothing given finds all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocationSearch {
    /// The name begins with this, however it is written.
    pub name: Option<Line<100>>,
    /// The kind of place.
    pub kind: Option<LocationKind>,
    /// At this site.
    pub parent_id: Option<LocationId>,
    /// Only those in use, or only those that are not.
    pub active: Option<bool>,
}

impl LocationSearch {
    fn filter(&self, page: &Page) -> Document {
        let mut filter = Document::new();
        if let Some(key) = family_key(self.name.clone()) {
            filter.insert("matching", prefix(&key));
        }
        if let Some(kind) = self.kind {
            filter.insert("kind", kind.as_str());
        }
        if let Some(parent) = self.parent_id {
            filter.insert("parent_id", parent.to_string());
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
    fn matches(&self, found: &LocationDocument) -> bool {
        let begins = |key: String| found.matching.as_ref().is_some_and(|it| it.starts_with(&key));
        family_key(self.name.clone()).is_none_or(begins)
            && self.kind.is_none_or(|kind| found.kind == kind)
            && self.parent_id.is_none_or(|parent| found.parent_id == Some(parent))
            && self.active.is_none_or(|active| found.active == active)
    }
}

impl ReadModels {
    /// One location; see [`ReadModels::patient`].
    pub async fn location(
        &self,
        id: LocationId,
        at_least: Option<u64>,
    ) -> Result<Option<LocationEntry>, ReadError> {
        match self.one::<Locations>(id.as_uuid(), at_least).await? {
            Some(location) => Ok(self.with_zones(vec![location]).await?.pop()),
            None => Ok(None),
        }
    }

    /// The locations that match, by id.
    pub async fn search_locations(
        &self,
        search: &LocationSearch,
        page: &Page,
    ) -> Result<Listing<LocationEntry>, ReadError> {
        let filter = search.filter(page);
        let found = self.list::<Locations>(filter, "_id", page, |it| search.matches(it)).await?;
        let Listing { items, next } =
            Listing::from_surplus(found, page, |location| location.id.to_string());
        Ok(Listing { items: self.with_zones(items).await?, next })
    }

    /// Gives those without a time zone the zone of their site.
    async fn with_zones(
        &self,
        locations: Vec<LocationDocument>,
    ) -> Result<Vec<LocationEntry>, ReadError> {
        let mut sites: HashMap<LocationId, Option<Line<64>>> = HashMap::new();
        let mut entries = Vec::with_capacity(locations.len());
        for location in locations {
            let zone = match (&location.zone, location.parent_id) {
                (Some(zone), _) => Some(zone.clone()),
                (None, None) => None,
                (None, Some(site)) => match sites.get(&site) {
                    Some(zone) => zone.clone(),
                    None => {
                        let found = self.one::<Locations>(site.as_uuid(), None).await?;
                        let zone = found.and_then(|site| site.zone);
                        sites.entry(site).or_insert(zone).clone()
                    }
                },
            };
            entries.push(LocationEntry { location, zone });
        }
        Ok(entries)
    }
}
