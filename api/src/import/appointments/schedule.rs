//! A row of a schedule: a booking and what became of it.

use domain::AppointmentId;
use domain::appointment::{
    AppointmentCommand, BookAppointment, CancelAppointment, CancellationReason, CheckIn, Fulfil,
    MarkNoShow,
};
use domain::value::{Note, RequestedTime};
use jiff::civil::Time;

use super::row::Row;
use crate::import::plan::{LineRefusal, Plan, Step};

/// The length of a slot, in minutes.
const SLOT_MINUTES: u32 = 15;

/// The plan, and the key by which the rows are put into the order in which they were booked.
pub(super) fn plan(row: &Row<'_>) -> Result<(String, Plan), LineRefusal> {
    let number = row.digits("appointment_id")?;
    let (patient_id, identifier) = row.patient(row.digits("patient_id")?)?;
    let booked_on = row.day("scheduling_date")?;
    let day = row.day("appointment_date")?;
    if booked_on > day {
        return Err(row.invalid("scheduling_date", "is after the day of the appointment"));
    }
    let time = row.cell("appointment_time");
    let time: Time = time
        .parse()
        .map_err(|_| row.invalid("appointment_time", "is not a time of day: give HH:MM:SS"))?;
    let what_became = what_became(row)?;

    let source = &row.options.source;
    let (practitioner_id, practitioner) = row.practitioner("schedule")?;
    let booking = BookAppointment {
        patient_id,
        practitioner_id,
        room_id: None,
        time: RequestedTime {
            start: day.to_datetime(time),
            zone: row.options.zone.clone(),
            duration_minutes: SLOT_MINUTES,
            fold: None,
        },
        reason: None,
        requested_at: None,
    };
    let id = AppointmentId::from_uuid(row.ids.derive("appointment", &format!("{source}|{number}")));
    let mut steps = Vec::with_capacity(4);
    if !row.options.patients_listed {
        steps.push(row.registration(patient_id, identifier, row.gender("sex")?));
    }
    let commands = std::iter::once(AppointmentCommand::Book(booking)).chain(what_became);
    steps.extend(commands.map(|command| Step::Appointment(id, command)));
    // Appointments of different days cannot conflict.
    let named = vec![practitioner];
    let plan = Plan { line: row.line, lane: day.to_string(), named, steps };
    Ok((format!("{booked_on} {number:0>20}"), plan))
}

fn what_became(row: &Row<'_>) -> Result<Vec<AppointmentCommand>, LineRefusal> {
    match row.cell("status") {
        "attended" => {
            Ok(vec![AppointmentCommand::CheckIn(CheckIn {}), AppointmentCommand::Fulfil(Fulfil {})])
        }
        "did not attend" => Ok(vec![AppointmentCommand::MarkNoShow(MarkNoShow {})]),
        "cancelled" => {
            let note = Note::new("cancelled in the imported schedule, which gives no reason");
            let command = CancelAppointment {
                reason: CancellationReason::Other,
                note: Some(note.map_err(|error| row.invalid("status", error))?),
            };
            Ok(vec![AppointmentCommand::Cancel(command)])
        }
        "unknown" | "scheduled" => Ok(Vec::new()),
        _ => Err(row.invalid(
            "status",
            "is none of attended, did not attend, cancelled, scheduled, unknown",
        )),
    }
}
