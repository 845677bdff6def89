//! Episodes of wounds: opening, looking, judging scans and measurements, closing.

use axum::extract::State;
use commands::policy::may;
use domain::value::Note;
use domain::wound::{
    CloseWound, ConfirmMeasurement, OpenWound, RejectScan, RejectionReason, WithdrawMeasurement,
    WithdrawalReason,
};
use domain::{MeasurementId, PatientId, ScanId, WoundId};
use projections::healing::{self, HealingCourse};
use projections::read_models::WoundDocument;
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::{Done, File, Kind, PageOf, Record};
use super::body::{Body, Nothing};
use super::caller::Command;
use super::command::{change, create};
use super::path::{Id, Ids};
use super::problem::Problem;
use super::query::{PageQuery, Query};
use super::routes::Routes;
use crate::records::Look;
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes
        .tag("wounds")
        .get("/v1/patients/{id}/wounds", "of_patient", of_patient, "The wounds of a patient.")
        .post("/v1/wounds", "open", create::<OpenWound>, "Opens the episode of a wound.")
        .get(
            "/v1/wounds/{id}",
            "show",
            show,
            "One wound, with its scans, measurements and healing course. Lengths are in micrometres, areas in square \
             micrometres, volumes in nanolitres: whole numbers, with one standard deviation beside each.",
        )
        .get(
            "/v1/wounds/{id}/healing",
            "healing",
            course,
            "How a wound heals. Its course, and the outlook where the measurements allow one.",
        )
        .get(
            "/v1/wounds/{id}/healing.svg",
            "healing_chart",
            chart,
            "The healing course as a chart. It shows areas and days, and nothing of whose wound it is.",
        )
        .post(
            "/v1/wounds/{id}/scans/{scan_id}/reject",
            "reject_scan",
            reject_scan,
            "Rejects a scan, as a person. It shows another wound, or cannot be judged.",
        )
        .post(
            "/v1/wounds/{id}/measurements/{measurement_id}/confirm",
            "confirm_measurement",
            confirm_measurement,
            "Confirms a measurement, as a clinician.",
        )
        .post(
            "/v1/wounds/{id}/measurements/{measurement_id}/withdraw",
            "withdraw_measurement",
            withdraw_measurement,
            "Withdraws a measurement that should never have been recorded, a confirmed one too. It stays on record, and \
             counts no more.",
        )
        .post(
            "/v1/wounds/{id}/close",
            "close",
            change::<WoundId, CloseWound>,
            "Closes the episode.",
        );
}

async fn show(
    look: Look<may::ReadWounds>,
    State(state): State<AppState>,
    Id(id): Id<WoundId>,
) -> Result<Record<WoundDocument>, Problem> {
    let record = state.records.wound(&look, id).await?;
    Ok(Record { version: record.version, record })
}

async fn course(
    look: Look<may::ReadWounds>,
    State(state): State<AppState>,
    Id(id): Id<WoundId>,
) -> Result<Record<HealingCourse>, Problem> {
    let wound = state.records.wound(&look, id).await?;
    let version = wound.version;
    Ok(Record { record: wound.map(|wound| HealingCourse::of(&wound)), version })
}

/// The healing course as a chart.
struct Chart;

impl Kind for Chart {
    const MEDIA_TYPE: &'static str = "image/svg+xml";
    const IS_TEXT: bool = true;
    const DESCRIPTION: &'static str = "The chart";
}

async fn chart(
    look: Look<may::ReadWounds>,
    State(state): State<AppState>,
    Id(id): Id<WoundId>,
) -> Result<File<Chart>, Problem> {
    let wound = state.records.wound(&look, id).await?;
    Ok(File::of(healing::svg(&HealingCourse::of(&wound))))
}

async fn of_patient(
    look: Look<may::ReadWounds>,
    State(state): State<AppState>,
    Id(id): Id<PatientId>,
    Query(query): Query<PageQuery>,
) -> Result<PageOf<WoundDocument>, Problem> {
    Ok(PageOf(state.records.wounds_of(&look, id, &query.page()?).await?))
}

/// Rejects a scan, as a person.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RejectScan")]
struct Rejection {
    /// Why.
    reason: RejectionReason,
    /// More about why; required for `other`.
    #[serde(default)]
    detail: Option<Note>,
}

async fn reject_scan(
    by: Command<RejectScan>,
    Ids(id, scan_id): Ids<WoundId, ScanId>,
    Body(Rejection { reason, detail }): Body<Rejection>,
) -> Result<Done, Problem> {
    let command = RejectScan { scan_id, model_digest: None, reason, detail };
    Ok(Done(by.execute(id.as_uuid(), command).await?))
}

async fn confirm_measurement(
    by: Command<ConfirmMeasurement>,
    Ids(id, measurement_id): Ids<WoundId, MeasurementId>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Done, Problem> {
    Ok(Done(by.execute(id.as_uuid(), ConfirmMeasurement { measurement_id }).await?))
}

/// Withdraws a measurement.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WithdrawMeasurement")]
struct Withdrawal {
    /// Why. `model-withdrawn` is the worker's.
    reason: WithdrawalReason,
}

async fn withdraw_measurement(
    by: Command<WithdrawMeasurement>,
    Ids(id, measurement_id): Ids<WoundId, MeasurementId>,
    Body(Withdrawal { reason }): Body<Withdrawal>,
) -> Result<Done, Problem> {
    let command = WithdrawMeasurement { measurement_id, reason };
    Ok(Done(by.execute(id.as_uuid(), command).await?))
}
