//! Patients: registration, edits, a look at one, a search.

use axum::extract::State;
use commands::policy::may;
use domain::PatientId;
use domain::patient::{
    DeactivatePatient, EditContacts, EditDemographics, EditIdentifiers, RegisterPatient,
};
use domain::value::{Line, PartialDate, SystemUri};
use projections::read_models::{Page, PatientDocument, PatientSearch};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::{PageOf, Record};
use super::body::Body;
use super::command::{change, create};
use super::path::Id;
use super::problem::Problem;
use super::read;
use super::routes::Routes;
use crate::records::Look;
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes
        .tag("patients")
        .post(
            "/v1/patients",
            "register",
            create::<RegisterPatient>,
            "Registers a patient. A name or an identifier is required; an identifier belongs to one patient only.",
        )
        .post(
            "/v1/patients/search",
            "search",
            search,
            "Searches patients. Everybody who is found is recorded as having been looked at.",
        )
        .get(
            "/v1/patients/{id}",
            "show",
            show,
            "One patient. That it was looked at is recorded before the answer is sent.",
        )
        .put(
            "/v1/patients/{id}/demographics",
            "edit_demographics",
            change::<PatientId, EditDemographics>,
            "Replaces name, gender, birth and death.",
        )
        .put(
            "/v1/patients/{id}/contacts",
            "edit_contacts",
            change::<PatientId, EditContacts>,
            "Replaces contacts and addresses.",
        )
        .put(
            "/v1/patients/{id}/identifiers",
            "edit_identifiers",
            change::<PatientId, EditIdentifiers>,
            "Replaces the identifiers.",
        )
        .post(
            "/v1/patients/{id}/deactivate",
            "deactivate",
            change::<PatientId, DeactivatePatient>,
            "Takes the record out of use. Nothing is deleted.",
        );
}

async fn show(
    look: Look<may::ReadPatient>,
    State(state): State<AppState>,
    Id(id): Id<PatientId>,
) -> Result<Record<PatientDocument>, Problem> {
    let record = state.records.patient(&look, id).await?;
    Ok(Record { version: record.version, record })
}

/// What is known of the patient sought. Everything given must hold; something must be given.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PatientSearch")]
struct Search {
    /// The family name begins with this, however it is written.
    #[serde(default)]
    family: Option<Line<100>>,
    /// The given names begin with this.
    #[serde(default)]
    given: Option<Line<100>>,
    /// The birth date, as precisely as it is known.
    #[serde(default)]
    birth_date: Option<PartialDate>,
    /// An identifier.
    #[serde(default)]
    identifier: Option<Line<128>>,
    /// The system that issued the identifier; any, if left out.
    #[serde(default)]
    system: Option<SystemUri>,
    /// Only active, or only inactive records.
    #[serde(default)]
    active: Option<bool>,
    /// How many; 50 without it.
    #[serde(default)]
    #[schemars(range(min = 1, max = Page::LIMIT_MAX))]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default)]
    after: Option<String>,
}

async fn search(
    look: Look<may::ReadPatient>,
    State(state): State<AppState>,
    Body(search): Body<Search>,
) -> Result<PageOf<PatientDocument>, Problem> {
    let page = read::page(search.limit, search.after.as_deref())?;
    let search = PatientSearch {
        family: search.family,
        given: search.given,
        birth_date: search.birth_date,
        identifier: search.identifier,
        system: search.system,
        active: search.active,
    };
    Ok(PageOf(state.records.search_patients(&look, &search, &page).await?))
}
