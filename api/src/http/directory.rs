//! The directory: practitioners, and the sites and rooms they work at. Nothing here is about any patient.

use axum::extract::State;
use commands::policy::may;
use domain::location::{
    DeactivateLocation, EditLocation, LocationKind, ReactivateLocation, RegisterLocation,
};
use domain::practitioner::{
    DeactivatePractitioner, EditPractitioner, EditPractitionerIdentifiers, ReactivatePractitioner,
    RegisterPractitioner,
};
use domain::value::{Line, SystemUri};
use domain::{LocationId, PractitionerId};
use projections::read_models::{
    LocationDocument, LocationEntry, LocationSearch, Page, PractitionerDocument, PractitionerSearch,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Document, Entries};
use super::command::{change, create};
use super::path::{Id, PathId};
use super::problem::Problem;
use super::query::Query;
use super::read;
use super::routes::Routes;
use crate::records::Look;
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    practitioners(routes.tag("directory"));
    locations(routes);
}

fn practitioners(routes: &mut Routes) {
    routes
        .post(
            "/v1/practitioners",
            "register_practitioner",
            create::<RegisterPractitioner>,
            "Registers a practitioner. A name or an identifier is required; an identifier belongs to one practitioner only.",
        )
        .get(
            "/v1/practitioners",
            "search_practitioners",
            search_practitioners,
            "The practitioners, by id. Those who match everything that is given.",
        )
        .get("/v1/practitioners/{id}", "practitioner", practitioner, "One practitioner.")
        .put(
            "/v1/practitioners/{id}",
            "edit_practitioner",
            change::<PractitionerId, EditPractitioner>,
            "Replaces name, qualifications and contacts.",
        )
        .put(
            "/v1/practitioners/{id}/identifiers",
            "edit_practitioner_identifiers",
            change::<PractitionerId, EditPractitionerIdentifiers>,
            "Replaces the identifiers.",
        )
        .post(
            "/v1/practitioners/{id}/deactivate",
            "deactivate_practitioner",
            change::<PractitionerId, DeactivatePractitioner>,
            "Takes the practitioner out of use. Nothing more is booked with them; what is booked stays.",
        )
        .post(
            "/v1/practitioners/{id}/reactivate",
            "reactivate_practitioner",
            change::<PractitionerId, ReactivatePractitioner>,
            "Brings the practitioner back into use.",
        );
}

fn locations(routes: &mut Routes) {
    routes
        .post(
            "/v1/locations",
            "register_location",
            create::<RegisterLocation>,
            "Registers a site or a room. A room is at a site that is in use, and has its time zone unless it says another.",
        )
        .get(
            "/v1/locations",
            "search_locations",
            search_locations,
            "The sites and rooms, by id. Those that match everything that is given.",
        )
        .get("/v1/locations/{id}", "location", location, "One site or room.")
        .put(
            "/v1/locations/{id}",
            "edit_location",
            change::<LocationId, EditLocation>,
            "Replaces name, site, address and time zone.",
        )
        .post(
            "/v1/locations/{id}/deactivate",
            "deactivate_location",
            change::<LocationId, DeactivateLocation>,
            "Takes the location out of use. Nothing more is booked there; what is booked stays.",
        )
        .post(
            "/v1/locations/{id}/reactivate",
            "reactivate_location",
            change::<LocationId, ReactivateLocation>,
            "Brings the location back into use.",
        );
}

impl PathId for PractitionerId {
    const WHAT: &'static str = "The practitioner";
}

impl PathId for LocationId {
    const WHAT: &'static str = "The site or room";
}

async fn practitioner(
    look: Look<may::ReadDirectory>,
    State(state): State<AppState>,
    Id(id): Id<PractitionerId>,
) -> Result<Document<PractitionerDocument>, Problem> {
    let document = state.records.practitioner(&look, id).await?.into_inner();
    Ok(Document { version: document.version, document })
}

/// Which practitioners.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PractitionerQuery {
    /// The family name begins with this, however it is written.
    family: Option<Line<100>>,
    /// The given names begin with this.
    given: Option<Line<100>>,
    /// An identifier.
    identifier: Option<Line<128>>,
    /// The system that issued the identifier; any, if left out.
    system: Option<SystemUri>,
    /// Only those in use, or only those who are not.
    active: Option<bool>,
    /// How many; 50 without it.
    #[schemars(range(min = 1, max = Page::LIMIT_MAX))]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

async fn search_practitioners(
    look: Look<may::ReadDirectory>,
    State(state): State<AppState>,
    Query(query): Query<PractitionerQuery>,
) -> Result<Entries<PractitionerDocument>, Problem> {
    let page = read::page(query.limit, query.after.as_deref())?;
    let search = PractitionerSearch {
        family: query.family,
        given: query.given,
        identifier: query.identifier,
        system: query.system,
        active: query.active,
    };
    let found = state.records.search_practitioners(&look, &search, &page).await?;
    Ok(Entries::of(found, |entry| entry.into_inner()))
}

/// A site or a room.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Location")]
struct LocationView {
    #[serde(flatten)]
    location: LocationDocument,
    /// The IANA zone of the clock on its wall: its own, or that of its site.
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_zone: Option<Line<64>>,
}

impl From<LocationEntry> for LocationView {
    fn from(entry: LocationEntry) -> Self {
        Self { location: entry.location, effective_zone: entry.zone }
    }
}

async fn location(
    look: Look<may::ReadDirectory>,
    State(state): State<AppState>,
    Id(id): Id<LocationId>,
) -> Result<Document<LocationView>, Problem> {
    let document: LocationView = state.records.location(&look, id).await?.into_inner().into();
    Ok(Document { version: document.location.version, document })
}

/// Which sites and rooms.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LocationQuery {
    /// The name begins with this, however it is written.
    name: Option<Line<100>>,
    /// The kind of place.
    kind: Option<LocationKind>,
    /// At this site.
    parent: Option<LocationId>,
    /// Only those in use, or only those that are not.
    active: Option<bool>,
    /// How many; 50 without it.
    #[schemars(range(min = 1, max = Page::LIMIT_MAX))]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

async fn search_locations(
    look: Look<may::ReadDirectory>,
    State(state): State<AppState>,
    Query(query): Query<LocationQuery>,
) -> Result<Entries<LocationView>, Problem> {
    let page = read::page(query.limit, query.after.as_deref())?;
    let search = LocationSearch {
        name: query.name,
        kind: query.kind,
        parent_id: query.parent,
        active: query.active,
    };
    let found = state.records.search_locations(&look, &search, &page).await?;
    Ok(Entries::of(found, |entry| entry.into_inner().into()))
}
