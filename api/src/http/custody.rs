//! The custody of a patient's record: legal holds, erasure, and what both came to.
//!
//! Nothing here is PHI, so a look at it is no look at the record.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use commands::{CommandError, Loaded};
use domain::custody::{
    Authority, CaseReference, Erase, Hold, HoldReason, PlaceHold, PurgeRecorded, ReleaseHold,
    ReleaseReason, SubjectErased,
};
use domain::{Custody, CustodyCommand, Patient};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::body::Fields;
use super::call::Call;
use super::path::{Id, Ids};
use super::problem::Problem;
use super::{answer, schema};
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHold {
    reason: HoldReason,
    authority: Authority,
    case_reference: CaseReference,
}

/// Places a legal hold. Until every hold is released, the record cannot be erased.
#[utoipa::path(
    post, path = "/v1/patients/{id}/holds", tag = "custody",
    params(schema::PatientPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::PlaceHold,
    responses(
        (status = 201, description = "Placed", body = schema::Receipt,
         headers(("Location" = String, description = "The hold"))),
    )
)]
pub(super) async fn place_hold(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let chosen = fields.take_id()?;
    let NewHold { reason, authority, case_reference } = fields.read()?;
    let hold = call.new_id(&state, "hold", chosen);
    let command = PlaceHold { hold_id: hold.into(), reason, authority, case_reference };
    let command = CustodyCommand::PlaceHold(command);
    let receipt = state.ledger.execute::<Custody>(id, command, &call.context()).await?;
    Ok(answer::created(&receipt, &format!("/v1/patients/{id}/holds/{hold}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    reason: ReleaseReason,
    authority: Authority,
}

/// Releases a legal hold.
#[utoipa::path(
    post, path = "/v1/patients/{id}/holds/{hold_id}/release", tag = "custody",
    params(schema::HoldPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::ReleaseHold,
    responses((status = 200, description = "Released", body = schema::Receipt))
)]
pub(super) async fn release_hold(
    State(state): State<AppState>,
    call: Call,
    Ids(id, hold_id): Ids,
    fields: Fields,
) -> Result<Response, Problem> {
    let Release { reason, authority } = fields.read()?;
    let command = ReleaseHold { hold_id: hold_id.into(), reason, authority };
    let command = CustodyCommand::ReleaseHold(command);
    let receipt = state.ledger.execute::<Custody>(id, command, &call.context()).await?;
    Ok(answer::done(&receipt))
}

/// Erases the record for good: its data key is destroyed. What can be proved stays provable; what it said cannot be
/// read any more. A legal hold refuses it.
#[utoipa::path(
    post, path = "/v1/patients/{id}/erase", tag = "custody",
    params(schema::PatientPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::Erase,
    responses((status = 200, description = "Erased", body = schema::Receipt))
)]
pub(super) async fn erase(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = CustodyCommand::Erase(fields.read::<Erase>()?);
    let receipt = state.ledger.execute::<Custody>(id, command, &call.context()).await?;
    Ok(answer::done(&receipt))
}

#[derive(Serialize)]
struct HoldView {
    id: Uuid,
    reason: HoldReason,
    authority: Authority,
    case_reference: CaseReference,
    placed_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<ReleaseView>,
}

#[derive(Serialize)]
struct ReleaseView {
    reason: ReleaseReason,
    authority: Authority,
    at: Timestamp,
}

impl HoldView {
    fn of(hold: &Hold) -> HoldView {
        let placed = &hold.placed;
        HoldView {
            id: placed.hold_id.as_uuid(),
            reason: placed.reason,
            authority: placed.authority,
            case_reference: placed.case_reference.clone(),
            placed_at: placed.at,
            released: hold.released.as_ref().map(|released| ReleaseView {
                reason: released.reason,
                authority: released.authority,
                at: released.at,
            }),
        }
    }
}

#[derive(Serialize)]
struct HoldList {
    items: Vec<HoldView>,
}

#[derive(Serialize)]
struct CustodyView {
    id: Uuid,
    holds: Vec<HoldView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erasure: Option<SubjectErased>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purge: Option<PurgeRecorded>,
    version: u64,
}

/// The holds on a record, released ones included.
#[utoipa::path(
    get, path = "/v1/patients/{id}/holds", tag = "custody",
    params(schema::PatientPath),
    responses((status = 200, description = "All of them", body = schema::HoldList))
)]
pub(super) async fn holds(
    State(state): State<AppState>,
    _call: Call,
    Id(id): Id,
) -> Result<Response, Problem> {
    let custody = custody(&state, id).await?.aggregate;
    Ok(Json(HoldList { items: custody.holds().map(HoldView::of).collect() }).into_response())
}

/// The custody of a record: its holds, and whether it was erased and purged.
#[utoipa::path(
    get, path = "/v1/patients/{id}/custody", tag = "custody",
    params(schema::PatientPath),
    responses(
        (status = 200, description = "The custody", body = schema::CustodyDocument,
         headers(("ETag" = String, description = "The version, for If-Match"))),
    )
)]
pub(super) async fn show(
    State(state): State<AppState>,
    _call: Call,
    Id(id): Id,
) -> Result<Response, Problem> {
    let Loaded { aggregate: custody, version } = custody(&state, id).await?;
    let view = CustodyView {
        id,
        holds: custody.holds().map(HoldView::of).collect(),
        erasure: custody.erasure().cloned(),
        purge: custody.purge().cloned(),
        version,
    };
    answer::document(&view, version)
}

/// The custody of a patient's record as the log tells it; that of a record nothing happened to is empty.
async fn custody(state: &AppState, id: Uuid) -> Result<Loaded<Custody>, CommandError> {
    if let Some(loaded) = state.ledger.load::<Custody>(id).await? {
        return Ok(loaded);
    }
    match state.ledger.exists::<Patient>(id).await? {
        true => Ok(Loaded { aggregate: Custody::default(), version: 0 }),
        false => Err(CommandError::NotFound { what: "patient" }),
    }
}
