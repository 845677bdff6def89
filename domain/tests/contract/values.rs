//! Value types: what they refuse, what they keep, and that no error repeats what was given.

use domain::appointment::{AppointmentStatus, CancellationReason};
use domain::patient::{EditContacts, RegisterPatient};
use domain::value::{
    Address, AddressParts, Code, ContactPoint, Digest, Fold, Gender, HumanName, HumanNameParts,
    Identifier, Line, Note, PartialDate, PartialDateError, RequestedTime, SystemUri, TextError,
    VisitTime, VisitTimeError, describe,
};
use domain::{Now, PatientId};
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;
use serde_json::{Value, from_value, json};

use crate::support::{at, name, now, requested, val};

#[test]
fn text_is_trimmed_normalised_bounded_and_clean() {
    assert_eq!(Line::<10>::new("  Zoe\u{308} ").as_deref(), Ok("Zoë"));
    let table = [
        ("", TextError::Empty),
        (" \t ", TextError::Empty),
        ("a\u{0}b", TextError::Control),
        ("a\nb", TextError::Control),
        ("a\u{202e}b", TextError::Control),
        ("12345678901", TextError::TooLong { max: 10 }),
    ];
    for (text, error) in table {
        assert_eq!(Line::<10>::new(text), Err(error), "{text:?}");
    }
    assert_eq!(Line::<10>::new(&"x".repeat(1_000_000)), Err(TextError::TooLong { max: 10 }));
    // The limit counts characters, not bytes.
    assert!(Line::<10>::new("山田太郎山田太郎山田").is_ok());
    assert_eq!(Note::new("two\nlines").as_deref(), Ok("two\nlines"));
    assert_eq!(Note::new("a\u{7}b"), Err(TextError::Control));
}

fn named(family: &str, given: &[&str]) -> HumanName {
    HumanName::try_from(HumanNameParts {
        family: Some(val(family)),
        given: given.iter().map(|given| val(given)).collect(),
        ..HumanNameParts::default()
    })
    .expect("a valid name")
}

#[test]
fn names_are_kept_as_given_and_folded_for_matching() {
    assert_eq!(name().display(), "Dr. Ada Zoë Sample PhD");
    assert_eq!(name().matching_key(), "sample ada zoe");
    let table = [
        (named("O'Brien", &["Seán"]), named("O’BRIEN", &["SEAN"])),
        (named("Müller-Lüdenscheidt", &[]), named("MULLER LUDENSCHEIDT", &[])),
        (named("ﬁsher", &["Ａda"]), named("Fisher", &["Ada"])),
        (named("山田", &["太郎"]), named("山田", &["太郎"])),
    ];
    for (one, other) in table {
        assert_eq!(one.matching_key(), other.matching_key());
    }
    assert_ne!(named("Ray", &["Al"]).matching_key(), named("Raya", &["L"]).matching_key());
}

/// Each JSON is refused for the type, with a text that has the reason and none of the input.
fn refused<T: serde::de::DeserializeOwned>(table: &[(Value, &str)]) {
    for (input, reason) in table {
        let text = input.to_string();
        let error = serde_json::from_str::<T>(&text).err();
        let error = describe(&error.unwrap_or_else(|| panic!("{reason}: must be refused")));
        assert!(error.contains(reason), "{error:?} must contain {reason:?}");
        assert!(!error.contains("secret") && !error.contains("4711"), "the input is repeated");
    }
}

#[test]
fn json_is_validated_and_errors_do_not_repeat_it() {
    refused::<HumanName>(&[
        (json!({}), "the name is empty"),
        (json!({"prefix": ["secret"]}), "the name is empty"),
        (json!({"family": "secret\u{0}"}), "not allowed here"),
        (json!({"family": "secret".repeat(100)}), "at most 100 characters"),
        (json!({"given": vec!["secret"; 11]}), "too many parts"),
        (json!({"family": 4711}), "expected a string"),
        (json!({"family": {"a": "secret"}}), "expected a string"),
        (json!({"family": true}), "expected a string"),
        (json!({"family": 4711.5}), "expected a string"),
        (json!({"family": "x", "secret": 1}), "unknown field, expected"),
        (json!("secret"), "invalid type: string, expected"),
        (json!("secret\", expected"), "invalid type: string, expected"),
        (json!(4711), "invalid type: integer, expected"),
        (json!({"family": "x", "use": "secret"}), "unknown code: use one of usual"),
    ]);
    refused::<Identifier>(&[
        (json!({"value": "secret"}), "missing field `system`"),
        (json!({"system": "secret", "value": "1"}), "not an absolute URI"),
        (json!({"system": "urn:x", "value": ""}), "the text is empty"),
        (json!({"system": "urn:x", "value": "1", "type": "sec ret"}), "not a code"),
    ]);
    refused::<ContactPoint>(&[
        (json!({"system": "pigeon-secret", "value": "1"}), "unknown code"),
        (json!({"system": "phone", "value": "secret"}), "three digits"),
        (json!({"system": "email", "value": "secret"}), "not an e-mail address"),
        (json!({"system": "email", "value": "a@secret@b"}), "not an e-mail address"),
    ]);
    refused::<Address>(&[
        (json!({}), "the address is empty"),
        (json!({"use": "home"}), "the address is empty"),
        (json!({"lines": vec!["secret"; 7]}), "too many lines"),
        (json!({"postal_code": "secret".repeat(9)}), "at most 20"),
    ]);
    refused::<PartialDate>(&[
        (json!("secret"), "not a date"),
        (json!("4711-01-01"), "out of range"),
        (json!(4711), "expected a string"),
        (json!(null), "expected a string"),
    ]);
    refused::<Gender>(&[(json!("secret"), "use one of female, male, other, unknown")]);
    refused::<CancellationReason>(&[(json!("secret"), "use one of patient-request")]);
    refused::<Digest>(&[(json!("secret"), "64 hexadecimal digits")]);
    refused::<PatientId>(&[(json!("secret"), "not an id"), (json!(4711), "expected a string")]);
    let time = |start: &str| json!({"start": start, "zone": "UTC", "duration_minutes": 30});
    refused::<RequestedTime>(&[
        (time("secret"), "not a local time"),
        (time("2026-03-10"), "not a local time"),
        (time("2026-02-30T12:00"), "not a local time"),
        (time("2026-03-10T12:00Z"), "not a local time"),
        (time("2026-03-10T12:00-06:00"), "not a local time"),
        (time("2026-03-10T12:00[UTC]"), "not a local time"),
        (json!({"start": "2026-03-10T12:00", "zone": "UTC", "duration_minutes": "secret"}), "u32"),
        (json!({"start": "2026-03-10T12:00", "zone": "UTC", "duration_minutes": -4711}), "u32"),
        (json!({"start": "2026-03-10T12:00", "zone": "UTC", "duration_minutes": 4711.5}), "u32"),
    ]);
    refused::<RegisterPatient>(&[
        (json!({"secret": true}), "unknown field, expected"),
        (json!({"birth_date": "1948-13"}), "there is no such date"),
        (json!({"name": true}), "invalid type: boolean, expected"),
        (json!({"gender": null}), "expected a string"),
    ]);
    refused::<EditContacts>(&[(json!({"contacts": []}), "missing field `reason`")]);
}

#[test]
fn json_is_kept() {
    let input = json!({
        "name": {"family": "Sample", "given": ["Ada"], "use": "official"},
        "birth_date": "1948-05",
        "identifiers": [{"system": "urn:oid:1.2.3", "value": "A|1", "type": "MR"}],
    });
    let command: RegisterPatient = from_value(input).expect("a valid registration");
    assert_eq!(command.gender, Gender::Unknown);
    assert_eq!(command.identifiers[0].claim_key(), "urn:oid:1.2.3|A|1");
    let again = serde_json::to_string(&command).expect("serialisable");
    assert!(serde_json::from_str::<RegisterPatient>(&again).expect("readable") == command);
}

#[test]
fn systems_are_absolute_uris_without_the_separator() {
    for uri in ["http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.3.25", "mailto:x"] {
        assert!(SystemUri::new(uri).is_ok(), "{uri}");
    }
    let long = format!("urn:{}", "x".repeat(SystemUri::MAX));
    for uri in ["", "mrn", ":x", "urn:", "1a:b", "urn:a b", "urn:a|b", "urn:é", long.as_str()] {
        assert!(SystemUri::new(uri).is_err(), "{uri}");
    }
}

#[test]
fn codes_are_visible_and_bounded() {
    assert!(Code::new("AMB").is_ok());
    for code in ["", "a b", "é", &"x".repeat(Code::MAX + 1)] {
        assert!(Code::new(code).is_err());
    }
    for &status in AppointmentStatus::ALL {
        assert_eq!(val::<AppointmentStatus>(status.as_str()), status);
    }
}

#[test]
fn an_address_needs_a_part() {
    let some = AddressParts { country: Some(val("US")), ..AddressParts::default() };
    assert!(Address::try_from(some).is_ok());
    assert!(Address::try_from(AddressParts::default()).is_err());
}

#[test]
fn partial_dates_keep_their_precision() {
    let table = [
        ("1948", Ok(("1948-01-01", "1948-12-31"))),
        ("1948-02", Ok(("1948-02-01", "1948-02-29"))),
        ("1949-02", Ok(("1949-02-01", "1949-02-28"))),
        ("1948-02-29", Ok(("1948-02-29", "1948-02-29"))),
        ("1949-02-29", Err(PartialDateError::NoSuchDay)),
        ("1948-13", Err(PartialDateError::NoSuchDay)),
        ("1948-00", Err(PartialDateError::NoSuchDay)),
        ("1948-1-1", Err(PartialDateError::Form)),
        ("1948-01-01T00:00", Err(PartialDateError::Form)),
        ("1948-01-01-01", Err(PartialDateError::Form)),
        ("+948", Err(PartialDateError::Form)),
        ("", Err(PartialDateError::Form)),
        ("-1948", Err(PartialDateError::Form)),
        ("1849", Err(PartialDateError::YearOutOfRange)),
        ("2201", Err(PartialDateError::YearOutOfRange)),
    ];
    for (text, expected) in table {
        let date: Result<PartialDate, _> = text.parse();
        let range = date.map(|date| (date.earliest(), date.latest()));
        let expected = expected.map(|(from, to)| (val::<Date>(from), val::<Date>(to)));
        assert_eq!(range, expected, "{text}");
        if let Ok(date) = date {
            assert_eq!(date.to_string(), text);
        }
    }
}

#[test]
fn a_day_is_future_only_where_it_has_begun_nowhere() {
    let noon = now();
    assert!(!val::<PartialDate>("2026-03-02").is_future(&noon));
    assert!(val::<PartialDate>("2026-03-03").is_future(&noon));
    let morning = Now(at("2026-03-01T09:59:59Z"));
    assert!(val::<PartialDate>("2026-03-02").is_future(&morning));
    assert!(!val::<PartialDate>("2026").is_future(&morning));
}

#[test]
fn a_fold_is_told_apart() {
    let mut time = requested("2026-11-01T01:30", "America/Chicago", 60);
    assert_eq!(VisitTime::resolve(&time), Err(VisitTimeError::Ambiguous));
    for (fold, instant) in
        [(Fold::Earlier, "2026-11-01T06:30:00Z"), (Fold::Later, "2026-11-01T07:30:00Z")]
    {
        time.fold = Some(fold);
        let resolved = VisitTime::resolve(&time).expect("a fold told apart");
        assert_eq!(resolved.starts_at(), at(instant));
        assert_eq!(resolved.ends_at(), at(instant) + SignedDuration::from_hours(1));
    }
}

#[test]
fn stored_times_are_believed_unless_their_parts_contradict_each_other() {
    // An offset Chicago does not have now: rules change, what was agreed stays.
    let stored = json!({
        "start": "2026-03-10T15:00:00", "zone": "America/Chicago", "duration_minutes": 30,
        "offset_seconds": -21600, "starts_at": "2026-03-10T21:00:00Z", "ends_at": "2026-03-10T21:30:00Z",
    });
    assert!(from_value::<VisitTime>(stored.clone()).is_ok());
    for (field, value) in [
        ("starts_at", json!("2026-03-10T20:00:00Z")),
        ("ends_at", json!("2026-03-10T21:31:00Z")),
        ("offset_seconds", json!(i32::MAX)),
        ("duration_minutes", json!(0)),
    ] {
        let mut changed = stored.clone();
        changed[field] = value;
        assert!(from_value::<VisitTime>(changed).is_err(), "{field}");
    }
}

const ZONES: [&str; 7] = [
    "America/Chicago",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
    "UTC",
];

fn local_times() -> impl Strategy<Value = DateTime> {
    let fields = (1990i16..2040, 1i8..=12, 1i8..=28, 0i8..24, 0i8..60);
    fields.prop_map(|(year, month, day, hour, minute)| {
        Date::constant(year, month, day).at(hour, minute, 0, 0)
    })
}

proptest! {
    #[test]
    fn a_visit_time_means_what_the_wall_clock_shows(
        start in local_times(), zone in 0..ZONES.len(), duration_minutes in 1u32..=1440,
    ) {
        let zone = ZONES[zone];
        let mut time = RequestedTime { start, zone: val(zone), duration_minutes, fold: None };
        let rules = TimeZoneDatabase::bundled().get(zone).expect("a zone of the database");
        let check = |time: &VisitTime| {
            assert_eq!(rules.to_datetime(time.starts_at()), start);
            let duration = time.ends_at().duration_since(time.starts_at());
            assert_eq!(duration, SignedDuration::from_mins(duration_minutes.into()));
            let json = serde_json::to_string(time).expect("serialisable");
            assert_eq!(&serde_json::from_str::<VisitTime>(&json).expect("readable"), time);
        };
        match VisitTime::resolve(&time) {
            Ok(resolved) => check(&resolved),
            Err(VisitTimeError::Ambiguous) => {
                let mut at_fold = |fold| {
                    time.fold = Some(fold);
                    VisitTime::resolve(&time).expect("a fold told apart")
                };
                let (earlier, later) = (at_fold(Fold::Earlier), at_fold(Fold::Later));
                check(&earlier);
                check(&later);
                prop_assert!(earlier.starts_at() < later.starts_at());
            }
            Err(VisitTimeError::Gap) => {
                // No instant shows this local time.
                let near = rules.to_timestamp(start).expect("a time near the gap");
                prop_assert_ne!(rules.to_datetime(near), start);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn partial_dates_round_trip(year in 1850i16..=2200, month in 1i8..=12, day in 1i8..=31) {
        let dates = [
            PartialDate::from_year(year),
            PartialDate::from_year_month(year, month),
            Date::new(year, month, day)
                .map_err(|_| PartialDateError::NoSuchDay)
                .and_then(PartialDate::from_date),
        ];
        for date in dates.into_iter().flatten() {
            prop_assert_eq!(val::<PartialDate>(&date.to_string()), date);
            prop_assert!(date.earliest() <= date.latest());
            prop_assert_eq!(date.earliest().year(), year);
            prop_assert_eq!(date.latest().year(), year);
        }
    }

    #[test]
    fn nothing_makes_the_parsers_panic(text in "\\PC{0,40}") {
        let _ = text.parse::<PartialDate>();
        let _ = text.parse::<Digest>();
        let _ = text.parse::<SystemUri>();
        let _ = text.parse::<domain::account::LoginName>();
        if let Ok(line) = text.parse::<Line<40>>() {
            prop_assert_eq!(Line::<40>::new(&line), Ok(line.clone()), "normalising twice changes nothing");
        }
    }
}
