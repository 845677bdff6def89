//! A row of attendance: a past day, and whether the patient came.

use domain::AppointmentId;
use domain::appointment::{AppointmentCommand, RecordVisit, VisitStatus};
use domain::value::Code;
use jiff::tz::TimeZone;

use super::row::Row;
use crate::import::plan::{LineRefusal, Plan, Step};

/// The oldest age anybody has reached is 122.
const MAX_AGE_YEARS: i32 = 122;

pub(super) fn plan(row: &Row<'_>) -> Result<Plan, LineRefusal> {
    let (patient_id, identifier) = row.patient(row.digits("PatientId")?)?;
    let number = row.digits("AppointmentID")?;
    let age: i32 = row
        .cell("Age")
        .parse()
        .map_err(|_| row.invalid("Age", "is not a whole number of years"))?;
    if !(0..=MAX_AGE_YEARS).contains(&age) {
        return Err(row.invalid("Age", format!("is not between 0 and {MAX_AGE_YEARS} years")));
    }
    let (booked_on, day) = (row.day("ScheduledDay")?, row.day("AppointmentDay")?);
    if booked_on > day {
        return Err(row.invalid("AppointmentDay", "is before the day it was booked on"));
    }
    let status = match row.cell("No-show") {
        "No" => VisitStatus::Finished,
        "Yes" => VisitStatus::NoShow,
        _ => return Err(row.invalid("No-show", "is neither Yes nor No")),
    };
    let zone = TimeZone::get(row.options.zone.as_str())
        .map_err(|_| row.invalid("zone", "is not an IANA time zone"))?;
    let started_at = day
        .to_zoned(zone)
        .map_err(|_| row.invalid("AppointmentDay", "is out of range"))?
        .timestamp();
    let visit = RecordVisit {
        patient_id,
        practitioner_id: None,
        room_id: None,
        started_at,
        ended_at: None,
        class: Code::new("AMB").map_err(|error| row.invalid("class", error))?,
        visit_type: None,
        reason: None,
        status,
    };
    let source = format!("{}|{number}", row.options.source);
    let id = AppointmentId::from_uuid(row.ids.derive("visit", &source));
    let steps = vec![
        row.registration(patient_id, identifier, row.gender("Gender")?),
        Step::Appointment(id, AppointmentCommand::RecordVisit(visit)),
    ];
    Ok(Plan { line: row.line, lane: patient_id.to_string(), named: Vec::new(), steps })
}
