//! Appointments: booking, moving, cancelling, and what became of them.

use axum::extract::State;
use commands::policy::may;
use domain::appointment::{
    BookAppointment, CancelAppointment, CheckIn, EnteredInError, Fulfil, MarkNoShow,
    RescheduleAppointment,
};
use domain::{AppointmentId, PatientId, PractitionerId};
use projections::read_models::{AppointmentDocument, AppointmentFilter, Page};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::{PageOf, Record};
use super::command::{change, create};
use super::path::Id;
use super::problem::Problem;
use super::query::{Instant, Query};
use super::read;
use super::routes::Routes;
use crate::records::Look;
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes
        .tag("appointments")
        .post(
            "/v1/appointments",
            "book",
            create::<BookAppointment>,
            "Books a visit. It takes the time of practitioner, room and patient, or of none of them.",
        )
        .get(
            "/v1/appointments",
            "list",
            list,
            "The appointments of a practitioner or a patient, by start.",
        )
        .get("/v1/appointments/{id}", "show", show, "One appointment.")
        .post(
            "/v1/appointments/{id}/reschedule",
            "reschedule",
            change::<AppointmentId, RescheduleAppointment>,
            "Moves an appointment. It takes the new time and gives the old one back, or keeps the old one.",
        )
        .post(
            "/v1/appointments/{id}/cancel",
            "cancel",
            change::<AppointmentId, CancelAppointment>,
            "Cancels an appointment and gives its time back.",
        )
        .post(
            "/v1/appointments/{id}/check-in",
            "check_in",
            change::<AppointmentId, CheckIn>,
            "Records that the patient arrived.",
        )
        .post(
            "/v1/appointments/{id}/fulfil",
            "fulfil",
            change::<AppointmentId, Fulfil>,
            "Records that the visit took place.",
        )
        .post(
            "/v1/appointments/{id}/no-show",
            "no_show",
            change::<AppointmentId, MarkNoShow>,
            "Records that the patient did not come. Not before the start.",
        )
        .post(
            "/v1/appointments/{id}/entered-in-error",
            "entered_in_error",
            change::<AppointmentId, EnteredInError>,
            "Takes back what should never have been entered. It stays readable as such.",
        );
}

async fn show(
    look: Look<may::ReadAppointments>,
    State(state): State<AppState>,
    Id(id): Id<AppointmentId>,
) -> Result<Record<AppointmentDocument>, Problem> {
    let record = state.records.appointment(&look, id).await?;
    Ok(Record { version: record.version, record })
}

/// Whose appointments, and when.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Of this practitioner. Give this or `patient`, or both.
    practitioner: Option<PractitionerId>,
    /// Of this patient.
    patient: Option<PatientId>,
    /// Beginning at this instant or later.
    from: Option<Instant>,
    /// Beginning before this instant.
    to: Option<Instant>,
    /// How many; 50 without it.
    #[schemars(range(min = 1, max = Page::LIMIT_MAX))]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

async fn list(
    look: Look<may::ReadAppointments>,
    State(state): State<AppState>,
    Query(filter): Query<Filter>,
) -> Result<PageOf<AppointmentDocument>, Problem> {
    let page = read::page(filter.limit, filter.after.as_deref())?;
    let filter = AppointmentFilter {
        practitioner_id: filter.practitioner,
        patient_id: filter.patient,
        from: filter.from.map(|from| from.0),
        to: filter.to.map(|to| to.0),
    };
    Ok(PageOf(state.records.appointments(&look, &filter, &page).await?))
}
