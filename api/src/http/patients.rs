//! Patients: registration, edits, a look at one, a search.

use axum::extract::State;
use axum::response::Response;
use domain::patient::{
    DeactivatePatient, EditContacts, EditDemographics, EditIdentifiers, RegisterPatient,
};
use domain::value::{Line, PartialDate, SystemUri};
use domain::{Patient, PatientCommand};
use projections::read_models::PatientSearch;
use serde::Deserialize;
use uuid::Uuid;

use super::body::Fields;
use super::call::Call;
use super::path::Id;
use super::problem::Problem;
use super::{answer, read, schema};
use crate::state::AppState;

/// Registers a patient. A name or an identifier is required; an identifier belongs to one patient only.
#[utoipa::path(
    post, path = "/v1/patients", tag = "patients",
    params(schema::IdempotencyKey, schema::PurposeOfUse),
    request_body = schema::RegisterPatient,
    responses(
        (status = 201, description = "Registered", body = schema::Receipt,
         headers(("Location" = String, description = "The patient"))),
    )
)]
pub(super) async fn register(
    State(state): State<AppState>,
    call: Call,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let chosen = fields.take_id()?;
    let command = PatientCommand::Register(fields.read::<RegisterPatient>()?);
    let id = call.new_id(&state, "patient", chosen);
    let receipt = state.ledger.execute::<Patient>(id, command, &call.context()).await?;
    Ok(answer::created(&receipt, &format!("/v1/patients/{id}")))
}

/// One patient. That it was looked at is recorded before the answer is sent.
#[utoipa::path(
    get, path = "/v1/patients/{id}", tag = "patients",
    params(schema::PatientPath, schema::PurposeOfUse, schema::LedgerMinPosition),
    responses(
        (status = 200, description = "The patient", body = schema::PatientDocument,
         headers(("ETag" = String, description = "The version, for If-Match"))),
    )
)]
pub(super) async fn show(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
) -> Result<Response, Problem> {
    let patient = state.records.patient(&call.look(), id.into()).await?;
    answer::record(&patient, patient.version)
}

/// What a search is by. It is a body and not a query string: names and numbers do not belong in URLs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    #[serde(default)]
    family: Option<Line<100>>,
    #[serde(default)]
    given: Option<Line<100>>,
    #[serde(default)]
    birth_date: Option<PartialDate>,
    #[serde(default)]
    identifier: Option<Line<128>>,
    #[serde(default)]
    system: Option<SystemUri>,
    #[serde(default)]
    active: Option<bool>,
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    after: Option<String>,
}

/// Searches patients. Everybody who is found is recorded as having been looked at.
#[utoipa::path(
    post, path = "/v1/patients/search", tag = "patients",
    params(schema::PurposeOfUse, schema::LedgerMinPosition),
    request_body = schema::PatientSearch,
    responses(
        (status = 200, description = "Who was found", body = schema::PatientPage),
    )
)]
pub(super) async fn search(
    State(state): State<AppState>,
    call: Call,
    fields: Fields,
) -> Result<Response, Problem> {
    let search: Search = fields.read()?;
    let page = read::page(search.limit, search.after.as_deref())?;
    let search = PatientSearch {
        family: search.family,
        given: search.given,
        birth_date: search.birth_date,
        identifier: search.identifier,
        system: search.system,
        active: search.active,
    };
    answer::page(&state.records.search_patients(&call.look(), &search, &page).await?)
}

/// Replaces name, gender, birth and death.
#[utoipa::path(
    put, path = "/v1/patients/{id}/demographics", tag = "patients",
    params(schema::PatientPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::EditDemographics,
    responses((status = 200, description = "Edited", body = schema::Receipt))
)]
pub(super) async fn edit_demographics(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = PatientCommand::EditDemographics(fields.read::<EditDemographics>()?);
    edit(&state, &call, id, command).await
}

/// Replaces contacts and addresses.
#[utoipa::path(
    put, path = "/v1/patients/{id}/contacts", tag = "patients",
    params(schema::PatientPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::EditContacts,
    responses((status = 200, description = "Edited", body = schema::Receipt))
)]
pub(super) async fn edit_contacts(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = PatientCommand::EditContacts(fields.read::<EditContacts>()?);
    edit(&state, &call, id, command).await
}

/// Replaces the identifiers.
#[utoipa::path(
    put, path = "/v1/patients/{id}/identifiers", tag = "patients",
    params(schema::PatientPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::EditIdentifiers,
    responses((status = 200, description = "Edited", body = schema::Receipt))
)]
pub(super) async fn edit_identifiers(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = PatientCommand::EditIdentifiers(fields.read::<EditIdentifiers>()?);
    edit(&state, &call, id, command).await
}

/// Takes the record out of use. Nothing is deleted.
#[utoipa::path(
    post, path = "/v1/patients/{id}/deactivate", tag = "patients",
    params(schema::PatientPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::DeactivatePatient,
    responses((status = 200, description = "Out of use", body = schema::Receipt))
)]
pub(super) async fn deactivate(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = PatientCommand::Deactivate(fields.read::<DeactivatePatient>()?);
    edit(&state, &call, id, command).await
}

async fn edit(
    state: &AppState,
    call: &Call,
    id: Uuid,
    command: PatientCommand,
) -> Result<Response, Problem> {
    let receipt = state.ledger.execute::<Patient>(id, command, &call.context()).await?;
    Ok(answer::done(&receipt))
}
