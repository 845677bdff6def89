//! The custody of a patient's record: legal holds, erasure, and what both came to.
//!
//! Nothing here is PHI, and yet it tells who is a patient: a look at it is recorded as one at the record.

use axum::extract::State;
use commands::Loaded;
use commands::policy::may;
use domain::custody::{
    Authority, CaseReference, Erase, Hold, HoldReason, PlaceHold, PurgeRecorded, ReleaseHold,
    ReleaseReason, SubjectErased,
};
use domain::{HoldId, PatientId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Created, Document, Done, Plain};
use super::body::{Body, New};
use super::caller::Command;
use super::command::change;
use super::path::{Id, Ids};
use super::problem::Problem;
use super::routes::Routes;
use crate::records::Look;
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes
        .tag("custody")
        .post(
            "/v1/patients/{id}/holds",
            "place_hold",
            place_hold,
            "Places a legal hold. Until every hold is released, the record cannot be erased.",
        )
        .get(
            "/v1/patients/{id}/holds",
            "holds",
            holds,
            "The holds on a record, released ones included.",
        )
        .post(
            "/v1/patients/{id}/holds/{hold_id}/release",
            "release_hold",
            release_hold,
            "Releases a legal hold.",
        )
        .post(
            "/v1/patients/{id}/erase",
            "erase",
            change::<PatientId, Erase>,
            "Erases the record for good. Its data key is destroyed: what can be proved stays provable; what it said cannot \
             be read any more. A legal hold refuses it.",
        )
        .get(
            "/v1/patients/{id}/custody",
            "show",
            show,
            "The custody of a record. Its holds, and whether it was erased and purged.",
        );
}

/// Places a legal hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlaceHold")]
struct NewHold {
    /// Why.
    reason: HoldReason,
    /// On whose authority.
    authority: Authority,
    /// The number of the case. It is kept in the clear and outlives the record: it must not name the person.
    case_reference: CaseReference,
}

async fn place_hold(
    by: Command<PlaceHold>,
    Id(id): Id<PatientId>,
    New { id: chosen, body }: New<NewHold>,
) -> Result<Created, Problem> {
    let NewHold { reason, authority, case_reference } = body;
    let hold = by.new_id("hold", chosen);
    let command = PlaceHold { hold_id: hold.into(), reason, authority, case_reference };
    let receipt = by.execute(id.as_uuid(), command).await?;
    Ok(Created { receipt, at: format!("/v1/patients/{id}/holds/{hold}") })
}

/// Releases a legal hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReleaseHold")]
struct Release {
    /// Why.
    reason: ReleaseReason,
    /// On whose authority.
    authority: Authority,
}

async fn release_hold(
    by: Command<ReleaseHold>,
    Ids(id, hold_id): Ids<PatientId, HoldId>,
    Body(Release { reason, authority }): Body<Release>,
) -> Result<Done, Problem> {
    let command = ReleaseHold { hold_id, reason, authority };
    Ok(Done(by.execute(id.as_uuid(), command).await?))
}

/// A legal hold.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HoldDocument")]
struct HoldView {
    /// The hold.
    id: HoldId,
    /// Why.
    reason: HoldReason,
    /// On whose authority.
    authority: Authority,
    /// The number of the case.
    case_reference: CaseReference,
    /// When it was placed.
    placed_at: Timestamp,
    /// How it was released; until then it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<ReleaseView>,
}

/// How a hold was released.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HoldRelease")]
struct ReleaseView {
    /// Why.
    reason: ReleaseReason,
    /// On whose authority.
    authority: Authority,
    /// When.
    at: Timestamp,
}

impl HoldView {
    fn of(hold: &Hold) -> HoldView {
        let placed = &hold.placed;
        HoldView {
            id: placed.hold_id,
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

/// Holds on a record.
#[derive(Serialize, JsonSchema)]
struct HoldList {
    /// All of them, released ones included.
    items: Vec<HoldView>,
}

/// The custody of a record.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CustodyDocument")]
struct CustodyView {
    /// The patient.
    id: PatientId,
    /// Every hold there ever was.
    holds: Vec<HoldView>,
    /// How the record was erased, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    erasure: Option<SubjectErased>,
    /// What was purged after the erasure, once that is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    purge: Option<PurgeRecorded>,
    /// The number of the last event of custody.
    version: u64,
}

async fn holds(
    look: Look<may::ReadCustody>,
    State(state): State<AppState>,
    Id(id): Id<PatientId>,
) -> Result<Plain<HoldList>, Problem> {
    let shown = state.records.custody(&look, id).await?;
    Ok(Plain(HoldList { items: shown.aggregate.holds().map(HoldView::of).collect() }))
}

async fn show(
    look: Look<may::ReadCustody>,
    State(state): State<AppState>,
    Id(id): Id<PatientId>,
) -> Result<Document<CustodyView>, Problem> {
    let shown = state.records.custody(&look, id).await?;
    let Loaded { aggregate: custody, version } = &*shown;
    let version = *version;
    let document = CustodyView {
        id,
        holds: custody.holds().map(HoldView::of).collect(),
        erasure: custody.erasure().cloned(),
        purge: custody.purge().cloned(),
        version,
    };
    Ok(Document { document, version })
}
