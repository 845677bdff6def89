//! Tables of appointments: which rows are accepted and which are refused follows from the CSV alone, and is
//! computed here a second time by the rules that the import documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use api::import::appointments::{self, Options, TableError};
use api::import::{self, Report};
use commands::Ledger;
use csv::StringRecord;
use domain::value::Line;

use crate::support::{Instance, data, text};

fn options(source: &str, patients_listed: bool) -> Options {
    let zone = Line::new("Europe/London").expect("a zone is a line");
    Options { zone, source: source.to_owned(), patients_listed }
}

async fn import(ledger: &Ledger, table: &str, options: &Options, limit: usize) -> Report {
    let planned = appointments::plan(&mut table.as_bytes(), ledger, options).expect("a table");
    let plans = planned.plans.into_iter().take(limit).collect();
    let mut report = import::run(ledger, "file", plans, &|_| ()).await.expect("to its end");
    report.refuse_all("file", planned.refused);
    report
}

fn lines_of(report: &Report) -> BTreeMap<u64, &str> {
    let lines: BTreeMap<u64, &str> =
        report.refusals.iter().map(|line| (line.line, line.code.as_str())).collect();
    assert_eq!(lines.len(), report.refusals.len(), "one refusal a line");
    for line in &report.refusals {
        assert!(!line.field.is_empty() && !line.reason.is_empty() && !line.reason.contains('\n'));
    }
    lines
}

/// A row of the schedule, as this test understands it.
struct Row {
    line: u64,
    booked: (String, String),
    start: (String, u32),
    status: String,
}

const SLOT_MINUTES: u32 = 15;

fn column(header: &StringRecord, name: &str) -> usize {
    header.iter().position(|column| column == name).expect("a column")
}

/// The lines that must be refused, with the code: a row that says nothing sensible, or one whose slot was held
/// when it was booked, in the order of booking. Whoever cancelled or did not come holds nothing.
fn refusals(table: &str) -> (u64, BTreeMap<u64, &'static str>) {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(table.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let at = |name| column(&header, name);
    let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let (mut refused, mut rows, mut count) = (BTreeMap::new(), Vec::new(), 0);
    for (index, record) in reader.into_records().enumerate() {
        let record = record.expect("a record");
        let line = index as u64 + 2;
        count += 1;
        if record.len() != header.len() {
            refused.insert(line, "row-shape");
            continue;
        }
        let cell = |name| record[at(name)].to_owned();
        let (booked, day, time) =
            (cell("scheduling_date"), cell("appointment_date"), cell("appointment_time"));
        let clock: Vec<u32> = time.split(':').filter_map(|part| part.parse().ok()).collect();
        let known = ["attended", "did not attend", "cancelled", "unknown", "scheduled"];
        let sensible = number(&cell("appointment_id"))
            && number(&cell("patient_id"))
            && booked.parse::<jiff::civil::Date>().is_ok_and(|_| booked <= day)
            && clock.len() == 3
            && known.contains(&cell("status").as_str());
        if !sensible {
            refused.insert(line, "invalid-value");
            continue;
        }
        rows.push(Row {
            line,
            booked: (booked, format!("{:0>20}", cell("appointment_id"))),
            start: (day, clock[0] * 60 + clock[1]),
            status: cell("status"),
        });
    }
    rows.sort_by(|a, b| (&a.booked, a.line).cmp(&(&b.booked, b.line)));
    // One practitioner, so whoever wants a patient's time wants the practitioner's as well.
    let mut held: BTreeSet<(String, u32)> = BTreeSet::new();
    for Row { line, start: (day, minute), status, .. } in rows {
        let overlaps = (minute.saturating_sub(SLOT_MINUTES - 1)..minute + SLOT_MINUTES)
            .any(|other| held.contains(&(day.clone(), other)));
        if overlaps {
            refused.insert(line, "claim-conflict");
        } else if status != "cancelled" && status != "did not attend" {
            held.insert((day, minute));
        }
    }
    (count, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_is_taken_as_the_rules_say() {
    let Some(folder) = data("appointments") else { return };
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let options = options("medscheduler", true);
    let patients = text(&folder.join("medscheduler-patients.csv.gz"));
    let listed = patients.lines().count() as u64 - 1;
    let report = import(&ledger, &patients, &options, usize::MAX).await;
    assert_eq!((report.accepted, report.refused), (listed, 0), "{:?}", report.refusals.first());

    let table = text(&folder.join("medscheduler-appointments.csv.gz"));
    let (count, expected) = refusals(&table);
    assert_eq!((count, expected.len()), (6477, 0), "cancelled slots are given to others");
    let report = import(&ledger, &table, &options, usize::MAX).await;
    assert_eq!(lines_of(&report), expected);
    assert_eq!((report.lines, report.accepted), (count, count));
    let of = |status: &str| {
        table.lines().filter(|line| line.contains(&format!(",{status},"))).count() as i64
    };
    let (attended, absent, cancelled) = (of("attended"), of("did not attend"), of("cancelled"));
    for (kind, count) in [
        ("PatientRegistered", listed as i64),
        ("PractitionerRegistered", 1),
        ("AppointmentBooked", 6477),
        ("AppointmentCheckedIn", attended),
        ("AppointmentFulfilled", attended),
        ("AppointmentNoShow", absent),
        ("AppointmentCancelled", cancelled),
    ] {
        let sql = format!("SELECT count(*) FROM events WHERE event_type = '{kind}'");
        assert_eq!(instance.count(&sql).await, count, "{kind}");
    }
    // Two claims, practitioner and patient, for each row that holds its time.
    let held = 2 * (6477 - absent - cancelled);
    assert_eq!(instance.count("SELECT count(*) FROM claims_busy").await, held);
    ledger.close().await;
}

/// Every second cancellation becomes an attended visit, so that slots are wanted twice, and some rows are spoilt.
fn perturbed(table: &str, days_before: &str) -> String {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    writer.write_record(&header).expect("a record");
    let at = |name| column(&header, name);
    let mut cancelled = 0;
    let records = reader.into_records().map(|record| record.expect("a record"));
    let early = records.filter(|record| &record[at("appointment_date")] < days_before);
    for (index, record) in early.enumerate() {
        let mut cells: Vec<String> = record.iter().map(str::to_owned).collect();
        if cells[at("status")] == "cancelled" {
            cancelled += 1;
            if cancelled % 2 == 0 {
                "attended".clone_into(&mut cells[at("status")]);
            }
        }
        match index % 211 {
            20 => "9377952927E-5".clone_into(&mut cells[at("patient_id")]),
            60 => "2025-12-31".clone_into(&mut cells[at("scheduling_date")]),
            100 => "half past nine".clone_into(&mut cells[at("appointment_time")]),
            140 => "vanished".clone_into(&mut cells[at("status")]),
            180 => drop(cells.pop()),
            _ => {}
        }
        writer.write_record(&cells).expect("a record");
    }
    String::from_utf8(writer.into_inner().expect("a table")).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_with_slots_wanted_twice_is_refused_on_exactly_those_lines() {
    let Some(folder) = data("appointments") else { return };
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let table = perturbed(&text(&folder.join("medscheduler-appointments.csv.gz")), "2025-03-01");
    let (count, expected) = refusals(&table);
    let with = |code: &str| expected.values().filter(|other| **other == code).count();
    assert!(with("claim-conflict") > 50, "{}", with("claim-conflict"));
    assert!(with("invalid-value") > 15 && with("row-shape") > 3);
    let report = import(&ledger, &table, &options("perturbed", false), usize::MAX).await;
    assert_eq!(lines_of(&report), expected);
    assert_eq!(report.lines, count);
    assert_eq!(report.accepted, count - expected.len() as u64);
    let booked = "SELECT count(*) FROM events WHERE event_type = 'AppointmentBooked'";
    assert_eq!(instance.count(booked).await, report.accepted as i64, "a loser books nothing");
    ledger.close().await;
    instance.assert_sound().await;
}

/// The dirty rows of the no-show data: identifiers a spreadsheet has rewritten, impossible ages, and visits
/// before the day they were booked on.
fn dirty(table: &str) -> BTreeMap<u64, &'static str> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let cell = |record: &StringRecord, name| record[column(&header, name)].to_owned();
    let digits = |text: String| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    reader
        .into_records()
        .map(|record| record.expect("a record"))
        .zip(2..)
        .filter(|(record, _)| {
            let clean = digits(cell(record, "PatientId"))
                && digits(cell(record, "AppointmentID"))
                && cell(record, "Age").parse::<i32>().is_ok_and(|age| (0..=122).contains(&age))
                && cell(record, "ScheduledDay")[..10] <= cell(record, "AppointmentDay")[..10];
            !clean
        })
        .map(|(_, line)| (line, "invalid-value"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dirty_rows_of_the_no_show_data_are_refused_one_line_each() {
    let Some(folder) = data("appointments") else { return };
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let table = text(&folder.join("noshow-2016.csv.gz"));
    let expected = dirty(&table);
    assert_eq!(expected.len(), 8);
    // All rows are planned; a slice of them is executed, because the rest only takes longer.
    let report = import(&ledger, &table, &options("noshow", false), 1_000).await;
    assert_eq!(lines_of(&report), expected);
    assert_eq!((report.accepted, report.refused), (1_000, 8));
    assert_eq!(report.recorded["visits"], 1_000);
    let fields: Vec<&str> = report.refusals.iter().map(|line| line.field.as_str()).collect();
    assert_eq!(fields.iter().filter(|field| **field == "PatientId").count(), 3);
    assert_eq!(fields.iter().filter(|field| **field == "AppointmentDay").count(), 5);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_kind_are_refused_by_their_header() {
    let Some(folder) = data("appointments") else { return };
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    for name in ["hangu-clinic.csv.gz", "hangu-clinic-address.csv", "medscheduler-slots.csv.gz"] {
        let table = text(&folder.join(name));
        let refused = appointments::plan(&mut table.as_bytes(), &ledger, &options("x", false));
        let Err(TableError::UnknownHeader { expected }) = refused.map(|_| ()) else {
            panic!("{name} was taken")
        };
        assert!(expected.contains("appointment_id,slot_id"));
        let path = folder.join(name);
        let path: &Path = &path;
        let arguments = ["--json", "import", "appointments", path.to_str().expect("text")];
        let ran = instance.run(arguments).await;
        assert_eq!(ran.status, 1, "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("header"), "{}", ran.stderr);
    }
    assert_eq!(instance.events().await, 1);
    ledger.close().await;
}
