//! Times of visits at their limits, overlaps, and points in time as JSON gives them.

use domain::appointment::{BookAppointment, RecordVisit};
use domain::value::{RequestedTime, VisitTime, VisitTimeError, describe};
use jiff::tz::Offset;
use proptest::prelude::*;
use serde_json::{Value, from_value, json};

use crate::support::{at, requested, uuid, val};

fn resolved(start: &str, minutes: u32) -> VisitTime {
    VisitTime::resolve(&requested(start, "America/Chicago", minutes)).expect("a valid time")
}

#[test]
fn a_visit_time_keeps_what_was_agreed() {
    let time = resolved("2026-03-10T15:00", 45);
    assert_eq!((time.zone(), time.duration_minutes()), ("America/Chicago", 45));
    assert_eq!((time.start(), time.offset()), (val("2026-03-10T15:00"), Offset::constant(-5)));
    assert_eq!(time.starts_at(), at("2026-03-10T20:00:00Z"));
    assert_eq!(time.ends_at(), at("2026-03-10T20:45:00Z"));
    for minutes in [1, VisitTime::MAX_DURATION_MINUTES] {
        assert_eq!(resolved("2026-03-10T15:00", minutes).duration_minutes(), minutes);
    }
    assert_eq!(VisitTime::MAX_DURATION_MINUTES, 1440);
}

#[test]
fn visits_that_touch_do_not_overlap() {
    let visit = resolved("2026-03-10T15:00", 30);
    let table = [
        ("2026-03-10T15:00", 30, true),
        ("2026-03-10T14:30", 30, false),
        ("2026-03-10T14:30", 31, true),
        ("2026-03-10T15:30", 30, false),
        ("2026-03-10T15:29", 30, true),
        ("2026-03-10T15:10", 5, true),
        ("2026-03-10T14:00", 180, true),
        ("2026-03-11T15:00", 30, false),
    ];
    for (start, minutes, overlap) in table {
        let other = resolved(start, minutes);
        assert_eq!(visit.overlaps(&other), overlap, "{start} for {minutes} minutes");
        assert_eq!(other.overlaps(&visit), overlap, "{start} for {minutes} minutes");
    }
}

/// A stored time of this many minutes whose parts agree.
fn stored(minutes: i64) -> Value {
    let starts_at = at("2026-03-10T21:00:00Z");
    json!({
        "start": "2026-03-10T15:00:00", "zone": "America/Chicago", "duration_minutes": minutes,
        "offset_seconds": -21600, "starts_at": starts_at,
        "ends_at": starts_at + jiff::SignedDuration::from_mins(minutes),
    })
}

#[test]
fn a_stored_time_is_bounded_and_its_parts_agree() {
    for minutes in [1, 30, 1440] {
        assert!(from_value::<VisitTime>(stored(minutes)).is_ok(), "{minutes}");
    }
    for minutes in [0, 1441] {
        let error = from_value::<VisitTime>(stored(minutes)).expect_err("out of range").to_string();
        assert_eq!(error, VisitTimeError::Duration { max: 1440 }.to_string());
    }
    for (field, value) in [
        ("starts_at", json!("2026-03-10T21:00:00.000000001Z")),
        ("ends_at", json!("2026-03-10T21:29:59.999999999Z")),
        ("offset_seconds", json!(-21601)),
        ("offset_seconds", json!(100_000)),
        ("start", json!("2026-03-10T15:00:01")),
    ] {
        let mut changed = stored(30);
        changed[field] = value;
        let error = from_value::<VisitTime>(changed).expect_err(field).to_string();
        assert_eq!(error, VisitTimeError::Contradiction.to_string(), "{field}");
    }
}

#[test]
fn times_are_read_as_they_are_written() {
    let time = |start: &str| {
        from_value::<RequestedTime>(json!({"start": start, "zone": "UTC", "duration_minutes": 30}))
    };
    for (start, expected) in [
        ("2026-03-10T12:00", "2026-03-10T12:00"),
        ("2026-03-10T12:00:07.5", "2026-03-10T12:00:07.5"),
    ] {
        assert_eq!(time(start).ok().map(|time| time.start), Some(val(expected)));
    }
    for start in
        ["2026-03-10 12:00", "2026-03-10t12:00", "2026-03-10T12:00z", "2026-03-10T", "T12:00"]
    {
        assert!(time(start).is_err(), "{start}");
    }

    let visit = json!({
        "patient_id": uuid(1), "started_at": "2019-06-01T08:00:00Z", "class": "AMB",
        "ended_at": "2019-06-01T10:15:00+02:00", "status": "finished",
    });
    let read: RecordVisit = from_value(visit.clone()).expect("a visit");
    assert_eq!(read.started_at, at("2019-06-01T08:00:00Z"));
    assert_eq!(read.ended_at, Some(at("2019-06-01T08:15:00Z")));
    let mut open = visit.clone();
    open["ended_at"] = Value::Null;
    assert_eq!(from_value::<RecordVisit>(open).expect("a visit").ended_at, None);
    for (field, value) in [
        ("started_at", json!("2019-06-01T08:00:00 secret")),
        ("started_at", Value::Null),
        ("started_at", json!(1_559_376_000)),
        ("ended_at", json!("secret")),
    ] {
        let mut changed = visit.clone();
        changed[field] = value;
        let error = serde_json::from_str::<RecordVisit>(&changed.to_string()).expect_err(field);
        assert!(!describe(&error).contains("secret"), "{field}");
    }
    let booking = json!({
        "patient_id": uuid(1), "practitioner_id": uuid(2),
        "time": {"start": "2026-03-10T12:00", "zone": "UTC", "duration_minutes": 30},
        "requested_at": "2026-03-01T12:00:00Z",
    });
    let read: BookAppointment = from_value(booking).expect("a booking");
    assert_eq!(read.requested_at, Some(at("2026-03-01T12:00:00Z")));
}

proptest! {
    /// Overlapping means that some minute belongs to both, and it is mutual.
    #[test]
    fn visits_overlap_if_they_share_a_minute(
        starts in (0i64..300, 0i64..300), lengths in (1u32..200, 1u32..200),
    ) {
        let visit = |start: i64, minutes| {
            let start = format!("2026-03-10T{:02}:{:02}", 8 + start / 60, start % 60);
            resolved(&start, minutes)
        };
        let (one, other) = (visit(starts.0, lengths.0), visit(starts.1, lengths.1));
        let minutes = |start: i64, length: u32| start..start + i64::from(length);
        let (first, second) = (minutes(starts.0, lengths.0), minutes(starts.1, lengths.1));
        let shared = first.clone().any(|minute| second.contains(&minute));
        prop_assert_eq!(one.overlaps(&other), shared);
        prop_assert_eq!(other.overlaps(&one), shared);
    }
}
