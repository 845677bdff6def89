//! Episodes of wounds: opening, looking, judging scans and measurements, closing.

use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use domain::value::Note;
use domain::wound::{
    CloseWound, ConfirmMeasurement, OpenWound, RejectScan, RejectionReason, WithdrawMeasurement,
    WithdrawalReason,
};
use domain::{WoundCommand, WoundEpisode};
use projections::healing::{self, HealingCourse};
use serde::Deserialize;
use uuid::Uuid;

use super::body::Fields;
use super::call::Call;
use super::path::{Id, Ids, Query};
use super::problem::Problem;
use super::{answer, read, schema};
use crate::state::AppState;

/// Opens the episode of a wound.
#[utoipa::path(
    post, path = "/v1/wounds", tag = "wounds",
    params(schema::IdempotencyKey, schema::PurposeOfUse),
    request_body = schema::OpenWound,
    responses(
        (status = 201, description = "Opened", body = schema::Receipt,
         headers(("Location" = String, description = "The episode"))),
    )
)]
pub(super) async fn open(
    State(state): State<AppState>,
    call: Call,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let chosen = fields.take_id()?;
    let command = WoundCommand::Open(fields.read::<OpenWound>()?);
    let id = call.new_id(&state, "wound", chosen);
    let receipt = state.ledger.execute::<WoundEpisode>(id, command, &call.context()).await;
    let receipt = receipt.map_err(Problem::of_creation)?;
    Ok(answer::created(&receipt, &format!("/v1/wounds/{id}")))
}

/// One wound, with its scans, measurements and healing course.
#[utoipa::path(
    get, path = "/v1/wounds/{id}", tag = "wounds",
    params(schema::WoundPath, schema::PurposeOfUse, schema::LedgerMinPosition),
    responses(
        (status = 200, description = "The wound", body = schema::WoundDocument,
         headers(("ETag" = String, description = "The version, for If-Match"))),
    )
)]
pub(super) async fn show(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
) -> Result<Response, Problem> {
    let wound = state.records.wound(&call.look(), id.into()).await?;
    answer::record(&wound, wound.version)
}

/// How a wound heals: its course, and the outlook where the measurements allow one.
#[utoipa::path(
    get, path = "/v1/wounds/{id}/healing", tag = "wounds",
    params(schema::WoundPath, schema::PurposeOfUse, schema::LedgerMinPosition),
    responses((status = 200, description = "Course and outlook", body = schema::HealingCourse))
)]
pub(super) async fn healing(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
) -> Result<Response, Problem> {
    let wound = state.records.wound(&call.look(), id.into()).await?;
    let version = wound.version;
    answer::record(&wound.map(|wound| HealingCourse::of(&wound)), version)
}

/// The healing course as a chart. It shows areas and days, and nothing of whose wound it is.
#[utoipa::path(
    get, path = "/v1/wounds/{id}/healing.svg", tag = "wounds",
    params(schema::WoundPath, schema::PurposeOfUse, schema::LedgerMinPosition),
    responses(
        (status = 200, description = "The chart", body = String, content_type = "image/svg+xml"),
    )
)]
pub(super) async fn healing_chart(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
) -> Result<Response, Problem> {
    const SVG: HeaderValue = HeaderValue::from_static("image/svg+xml");
    let wound = state.records.wound(&call.look(), id.into()).await?;
    let chart = healing::svg(&HealingCourse::of(&wound));
    Ok(([(CONTENT_TYPE, SVG)], chart).into_response())
}

/// The wounds of a patient.
#[utoipa::path(
    get, path = "/v1/patients/{id}/wounds", tag = "wounds",
    params(schema::PatientPath, schema::PageQuery, schema::PurposeOfUse, schema::LedgerMinPosition),
    responses(
        (status = 200, description = "A page of them", body = schema::WoundPage),
    )
)]
pub(super) async fn of_patient(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["limit", "after"])?;
    let after: Option<String> = query.get("after")?;
    let page = read::page(query.get("limit")?, after.as_deref())?;
    answer::page(&state.records.wounds_of(&call.look(), id.into(), &page).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejection {
    reason: RejectionReason,
    #[serde(default)]
    detail: Option<Note>,
}

/// Rejects a scan, as a person: it shows another wound, or cannot be judged.
#[utoipa::path(
    post, path = "/v1/wounds/{id}/scans/{scan_id}/reject", tag = "wounds",
    params(schema::ScanPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::RejectScan,
    responses((status = 200, description = "Rejected", body = schema::Receipt))
)]
pub(super) async fn reject_scan(
    State(state): State<AppState>,
    call: Call,
    Ids(id, scan_id): Ids,
    fields: Fields,
) -> Result<Response, Problem> {
    let Rejection { reason, detail } = fields.read()?;
    let scan_id = scan_id.into();
    let command = RejectScan { scan_id, model_digest: None, reason, detail };
    change(&state, &call, id, WoundCommand::RejectScan(command)).await
}

/// Confirms a measurement, as a clinician.
#[utoipa::path(
    post, path = "/v1/wounds/{id}/measurements/{measurement_id}/confirm", tag = "wounds",
    params(schema::MeasurementPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    responses((status = 200, description = "Confirmed", body = schema::Receipt))
)]
pub(super) async fn confirm_measurement(
    State(state): State<AppState>,
    call: Call,
    Ids(id, measurement_id): Ids,
    fields: Fields,
) -> Result<Response, Problem> {
    fields.nothing()?;
    let command = ConfirmMeasurement { measurement_id: measurement_id.into() };
    change(&state, &call, id, WoundCommand::ConfirmMeasurement(command)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Withdrawal {
    reason: WithdrawalReason,
}

/// Withdraws a measurement that should never have been recorded, a confirmed one too. It stays on record, and counts
/// no more.
#[utoipa::path(
    post, path = "/v1/wounds/{id}/measurements/{measurement_id}/withdraw", tag = "wounds",
    params(schema::MeasurementPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::WithdrawMeasurement,
    responses((status = 200, description = "Withdrawn", body = schema::Receipt))
)]
pub(super) async fn withdraw_measurement(
    State(state): State<AppState>,
    call: Call,
    Ids(id, measurement_id): Ids,
    fields: Fields,
) -> Result<Response, Problem> {
    let Withdrawal { reason } = fields.read()?;
    let command = WithdrawMeasurement { measurement_id: measurement_id.into(), reason };
    change(&state, &call, id, WoundCommand::WithdrawMeasurement(command)).await
}

/// Closes the episode.
#[utoipa::path(
    post, path = "/v1/wounds/{id}/close", tag = "wounds",
    params(schema::WoundPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::CloseWound,
    responses((status = 200, description = "Closed", body = schema::Receipt))
)]
pub(super) async fn close(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = WoundCommand::Close(fields.read::<CloseWound>()?);
    change(&state, &call, id, command).await
}

async fn change(
    state: &AppState,
    call: &Call,
    id: Uuid,
    command: WoundCommand,
) -> Result<Response, Problem> {
    let receipt = state.ledger.execute::<WoundEpisode>(id, command, &call.context()).await?;
    Ok(answer::done(&receipt))
}
