//! Which rows are planned, which are refused and why, and in what order they run.

use domain::value::Line;

use super::{Format, Options, Planned, TableError, plan};
use crate::import::ids::PlainIds;
use crate::import::plan::Named;

const SCHEDULE: &str = "appointment_id,slot_id,scheduling_date,appointment_date,appointment_time,status,patient_id,sex";
const ATTENDANCE: &str = "PatientId,AppointmentID,Gender,ScheduledDay,AppointmentDay,Age,No-show";

fn planned(header: &str, rows: &[&str]) -> Result<Planned, TableError> {
    let text = format!("{header}\n{}\n", rows.join("\n"));
    let options = Options {
        zone: Line::new("Europe/London").expect("a zone is a line"),
        source: "test".to_owned(),
        patients_listed: false,
    };
    plan(&mut text.as_bytes(), &PlainIds, &options)
}

#[test]
fn a_schedule_runs_in_the_order_of_booking() {
    let rows = [
        "00017,1,2024-12-10,2025-01-01,08:00:00,attended,03401,Female",
        "00009,1,2024-12-01,2025-01-01,08:00:00,cancelled,03402,Male",
        "00010,2,2024-12-01,2025-01-01,08:15:00,did not attend,03403,Male",
    ];
    let planned = planned(SCHEDULE, &rows).expect("the header is known");
    assert_eq!(planned.format, Format::Schedule);
    assert!(planned.refused.is_empty());
    let order: Vec<(u64, usize)> =
        planned.plans.iter().map(|plan| (plan.line, plan.steps.len())).collect();
    // Registration and booking, and then the cancellation, the no-show, or check-in and fulfilment.
    assert_eq!(order, [(3, 3), (4, 3), (2, 4)]);
    assert!(planned.plans.iter().all(|plan| plan.lane == "2025-01-01"));
    // The table names no one: all of it is one practitioner, whom each row needs in the directory.
    let named = &planned.plans[0].named;
    assert_eq!(named.len(), 1);
    assert!(planned.plans.iter().all(|plan| &plan.named == named));
    let Named::Practitioner(_, register) = &named[0] else { panic!("a practitioner") };
    let key = register.identifiers[0].claim_key();
    assert_eq!(key, "urn:import:test:practitioner|schedule");
}

#[test]
fn dirty_rows_are_refused_with_column_and_reason_and_the_rest_goes_on() {
    let good = "29872499824296,5642903,F,2016-04-29T18:38:08Z,2016-04-29T00:00:00Z,62,No";
    let cases = [
        ("9377952927E-5,1,F,2016-04-29T18:38:08Z,2016-04-29T00:00:00Z,62,No", "PatientId"),
        ("1,5E2,F,2016-04-29T18:38:08Z,2016-04-29T00:00:00Z,62,No", "AppointmentID"),
        ("1,2,X,2016-04-29T18:38:08Z,2016-04-29T00:00:00Z,62,No", "Gender"),
        ("1,2,F,2016-04-29T18:38:08Z,2016-04-29T00:00:00Z,-1,No", "Age"),
        ("1,2,F,2016-04-29T18:38:08Z,2016-04-29T00:00:00Z,123,No", "Age"),
        ("1,2,F,2016-04-30T00:00:01Z,2016-04-29T00:00:00Z,62,No", "AppointmentDay"),
        ("1,2,F,2016-04-31T00:00:01Z,2016-05-29T00:00:00Z,62,No", "ScheduledDay"),
        ("1,2,F,2016-04-29T18:38:08Z,2016-04-29T00:00:00Z,62,Maybe", "No-show"),
        ("1,2,F,2016-04-29T18:38:08Z", "row"),
    ];
    for (row, column) in cases {
        let planned = planned(ATTENDANCE, &[good, row, good]).expect("the header is known");
        assert_eq!(planned.plans.len(), 2, "{column}");
        let (line, refusal) = &planned.refused[0];
        assert_eq!((*line, refusal.field.as_str()), (3, column));
    }
    let cases = [
        ("1,1,2025-01-02,2025-01-01,08:00:00,attended,1,Female", "scheduling_date"),
        ("1,1,2025-01-01,2025-01-01,8 o'clock,attended,1,Female", "appointment_time"),
        ("1,1,2025-01-01,2025-02-30,08:00:00,attended,1,Female", "appointment_date"),
        ("1,1,2025-01-01,2025-01-01,08:00:00,vanished,1,Female", "status"),
        (",1,2025-01-01,2025-01-01,08:00:00,attended,1,Female", "appointment_id"),
    ];
    for (row, column) in cases {
        let planned = planned(SCHEDULE, &[row]).expect("the header is known");
        assert_eq!(planned.refused[0].1.field, column);
    }
}

#[test]
fn a_table_of_another_kind_is_refused() {
    let refused = planned("ID,Session,StartTime,PayTime", &[]).map(|_| ());
    assert!(matches!(refused, Err(TableError::UnknownHeader { .. })));
}
