//! Import of appointment tables as CSV, recognised by their header.
//!
//! * A **schedule** (medscheduler): one practitioner's slots of fifteen minutes. Rows are executed in the
//!   order in which they were booked (scheduling date, then appointment id), because a cancelled booking
//!   held its slot before the one that took it over; a row is refused where its slot or its patient is
//!   taken. `attended` books, checks in and fulfils; `did not attend` books and marks the no-show;
//!   `cancelled` books and cancels; `unknown` books.
//! * A **patient list** (medscheduler): registrations, to be given together with the schedule.
//! * **Attendance** (the no-show data): days without a time, so historical visits, which claim no one's time.

mod attendance;
mod options;
mod patients;
mod row;
mod schedule;

use std::io::BufRead;

pub use options::Options;

use super::ids::Ids;
use super::plan::{LineRefusal, Plan};

/// The formats, by their header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Who the patients are; read first.
    Patients,
    /// Slots and bookings.
    Schedule,
    /// Past days and whether the patient came.
    Attendance,
}

impl Format {
    const ALL: [Format; 3] = [Format::Patients, Format::Schedule, Format::Attendance];

    /// The columns the format needs.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Format::Patients => &["patient_id", "name", "sex", "dob"],
            Format::Schedule => &[
                "appointment_id",
                "slot_id",
                "scheduling_date",
                "appointment_date",
                "appointment_time",
                "status",
                "patient_id",
                "sex",
            ],
            Format::Attendance => &[
                "PatientId",
                "AppointmentID",
                "Gender",
                "ScheduledDay",
                "AppointmentDay",
                "Age",
                "No-show",
            ],
        }
    }
}

/// What a file asks for.
pub struct Planned {
    /// What the file is.
    pub format: Format,
    /// One plan for each row that can be executed, in the order of execution.
    pub plans: Vec<Plan>,
    /// The rows that cannot, and why.
    pub refused: Vec<(u64, LineRefusal)>,
}

/// Why a file cannot be read as a table of appointments.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The header is not a known one.
    #[error("the header is none this import knows: it needs the columns {expected}")]
    UnknownHeader {
        /// The columns of each format.
        expected: String,
    },
    /// The file cannot be read.
    #[error("cannot read the table")]
    Read(#[from] csv::Error),
}

/// Which format a table is, by its header.
pub fn format(reader: &mut dyn BufRead) -> Result<Format, TableError> {
    recognise(csv::Reader::from_reader(reader).headers()?)
}

fn recognise(header: &csv::StringRecord) -> Result<Format, TableError> {
    let has = |column: &&str| header.iter().any(|name| name == *column);
    let known = Format::ALL.into_iter().find(|format| format.columns().iter().all(has));
    known.ok_or_else(|| {
        let expected = Format::ALL.map(|format| format.columns().join(",")).join(" or ");
        TableError::UnknownHeader { expected }
    })
}

/// Reads a table and plans each row.
pub fn plan(
    reader: &mut dyn BufRead,
    ids: &dyn Ids,
    options: &Options,
) -> Result<Planned, TableError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let header = reader.headers()?.clone();
    let format = recognise(&header)?;
    let mut planned = Planned { format, plans: Vec::new(), refused: Vec::new() };
    let mut order = Vec::new();
    for record in reader.into_records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => match (error.position().map(csv::Position::line), error.kind()) {
                (Some(line), csv::ErrorKind::Utf8 { .. }) => {
                    planned
                        .refused
                        .push((line, LineRefusal::new("not-utf8", "row", "is not UTF-8 text")));
                    continue;
                }
                _ => return Err(error.into()),
            },
        };
        let line = record.position().map_or(0, csv::Position::line);
        let row = row::Row { header: &header, record: &record, line, ids, options };
        let outcome = row.complete().and_then(|()| match format {
            Format::Patients => patients::plan(&row).map(|plan| (String::new(), plan)),
            Format::Schedule => schedule::plan(&row),
            Format::Attendance => attendance::plan(&row).map(|plan| (String::new(), plan)),
        });
        match outcome {
            Ok((booked, plan)) => {
                order.push(booked);
                planned.plans.push(plan);
            }
            Err(refusal) => planned.refused.push((line, refusal)),
        }
    }
    // A stable sort: a schedule goes into the order of booking, anything else stays in the file's.
    let mut plans: Vec<_> = order.into_iter().zip(planned.plans).collect();
    plans.sort_by(|(a, _), (b, _)| a.cmp(b));
    planned.plans = plans.into_iter().map(|(_, plan)| plan).collect();
    Ok(planned)
}

#[cfg(test)]
mod tests;
