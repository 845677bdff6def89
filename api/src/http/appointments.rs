//! Appointments: booking, moving, cancelling, and what became of them.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use domain::appointment::{
    BookAppointment, CancelAppointment, CheckIn, EnteredInError, Fulfil, MarkNoShow,
    RescheduleAppointment,
};
use domain::{Appointment, AppointmentCommand};
use projections::read_models::AppointmentFilter;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::body::Fields;
use super::call::Call;
use super::path::{Id, Query};
use super::problem::Problem;
use super::{answer, read, schema};
use crate::state::AppState;

/// Books a visit. It takes the time of practitioner, room and patient, or of none of them.
#[utoipa::path(
    post, path = "/v1/appointments", tag = "appointments",
    params(schema::IdempotencyKey, schema::PurposeOfUse),
    request_body = schema::BookAppointment,
    responses(
        (status = 201, description = "Booked", body = schema::Receipt,
         headers(("Location" = String, description = "The appointment"))),
    )
)]
pub(super) async fn book(
    State(state): State<AppState>,
    call: Call,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let chosen = fields.take_id()?;
    let command = AppointmentCommand::Book(fields.read::<BookAppointment>()?);
    let id = call.new_id(&state, "appointment", chosen);
    let receipt = state.ledger.execute::<Appointment>(id, command, &call.context()).await;
    let receipt = receipt.map_err(Problem::of_creation)?;
    Ok(answer::created(&receipt, &format!("/v1/appointments/{id}")))
}

/// One appointment.
#[utoipa::path(
    get, path = "/v1/appointments/{id}", tag = "appointments",
    params(schema::AppointmentPath, schema::PurposeOfUse, schema::LedgerMinPosition),
    responses(
        (status = 200, description = "The appointment", body = schema::AppointmentDocument,
         headers(("ETag" = String, description = "The version, for If-Match"))),
    )
)]
pub(super) async fn show(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
) -> Result<Response, Problem> {
    let appointment = state.records.appointment(&call.look(), id.into()).await?;
    answer::record(&appointment, appointment.version)
}

/// The appointments of a practitioner or a patient, by start.
#[utoipa::path(
    get, path = "/v1/appointments", tag = "appointments",
    params(schema::AppointmentQuery, schema::PurposeOfUse, schema::LedgerMinPosition),
    responses(
        (status = 200, description = "A page of them", body = schema::AppointmentPage),
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    const KNOWN: &[&str] = &["practitioner", "patient", "from", "to", "limit", "after"];
    let query = Query::parse(query.as_deref(), KNOWN)?;
    let filter = AppointmentFilter {
        practitioner_id: query.get("practitioner")?,
        patient_id: query.get("patient")?,
        from: query.get("from")?,
        to: query.get("to")?,
    };
    let after: Option<String> = query.get("after")?;
    let page = read::page(query.get("limit")?, after.as_deref())?;
    answer::page(&state.records.appointments(&call.look(), &filter, &page).await?)
}

/// Moves an appointment: it takes the new time and gives the old one back, or keeps the old one.
#[utoipa::path(
    post, path = "/v1/appointments/{id}/reschedule", tag = "appointments",
    params(schema::AppointmentPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::RescheduleAppointment,
    responses((status = 200, description = "Moved", body = schema::Receipt))
)]
pub(super) async fn reschedule(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let make = |body: RescheduleAppointment| AppointmentCommand::Reschedule(body);
    change(&state, &call, id, fields, make).await
}

/// Cancels an appointment and gives its time back.
#[utoipa::path(
    post, path = "/v1/appointments/{id}/cancel", tag = "appointments",
    params(schema::AppointmentPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::CancelAppointment,
    responses((status = 200, description = "Cancelled", body = schema::Receipt))
)]
pub(super) async fn cancel(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let make = |body: CancelAppointment| AppointmentCommand::Cancel(body);
    change(&state, &call, id, fields, make).await
}

/// Records that the patient arrived.
#[utoipa::path(
    post, path = "/v1/appointments/{id}/check-in", tag = "appointments",
    params(schema::AppointmentPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    responses((status = 200, description = "Checked in", body = schema::Receipt))
)]
pub(super) async fn check_in(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    change(&state, &call, id, fields, |body: CheckIn| AppointmentCommand::CheckIn(body)).await
}

/// Records that the visit took place.
#[utoipa::path(
    post, path = "/v1/appointments/{id}/fulfil", tag = "appointments",
    params(schema::AppointmentPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    responses((status = 200, description = "Fulfilled", body = schema::Receipt))
)]
pub(super) async fn fulfil(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    change(&state, &call, id, fields, |body: Fulfil| AppointmentCommand::Fulfil(body)).await
}

/// Records that the patient did not come. Not before the start.
#[utoipa::path(
    post, path = "/v1/appointments/{id}/no-show", tag = "appointments",
    params(schema::AppointmentPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    responses((status = 200, description = "Noted", body = schema::Receipt))
)]
pub(super) async fn no_show(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    change(&state, &call, id, fields, |body: MarkNoShow| AppointmentCommand::MarkNoShow(body)).await
}

/// Takes back what should never have been entered. It stays readable as such.
#[utoipa::path(
    post, path = "/v1/appointments/{id}/entered-in-error", tag = "appointments",
    params(schema::AppointmentPath, schema::IdempotencyKey, schema::IfMatch, schema::PurposeOfUse),
    request_body = schema::EnteredInError,
    responses((status = 200, description = "Taken back", body = schema::Receipt))
)]
pub(super) async fn entered_in_error(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let make = |body: EnteredInError| AppointmentCommand::EnteredInError(body);
    change(&state, &call, id, fields, make).await
}

async fn change<T: DeserializeOwned>(
    state: &AppState,
    call: &Call,
    id: Uuid,
    fields: Fields,
    make: impl FnOnce(T) -> AppointmentCommand,
) -> Result<Response, Problem> {
    let command = make(fields.read()?);
    let receipt = state.ledger.execute::<Appointment>(id, command, &call.context()).await?;
    Ok(answer::done(&receipt))
}
