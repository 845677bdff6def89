//! What stands in the documents, and what the queries find.

use std::time::Duration;

use domain::value::PartialDate;
use domain::{
    Appointment, AppointmentId, Patient, PatientId, PractitionerId, WoundEpisode, WoundId,
};
use jiff::Timestamp;
use projections::read_models::{
    AppointmentFilter, Page, PatientSearch, ReadError, ReadModel, ScanStatus,
};
use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, id};

macro_rules! reviewed {
    ($name:literal, $document:expr) => {
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/projections"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_json_snapshot!($name, $document); });
    };
}

#[sqlx::test(migrations = "../migrations")]
async fn a_patient_is_what_the_events_say(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    clinic.at("2026-01-06T08:00:00Z").rename(1, "O’Brien").await;
    clinic
        .execute::<Patient>(
            id(1),
            json!({ "edit-contacts": {
                "contacts": [{ "system": "email", "value": "anna@example.org", "use": "home" }],
                "addresses": [],
                "reason": "moved",
            }}),
        )
        .await;
    clinic
        .execute::<Patient>(
            id(1),
            json!({ "deactivate": { "reason": "moved-away", "note": "To Graz." } }),
        )
        .await;
    clinic.catch_up().await;
    let found = clinic.models.patient(PatientId::from_uuid(id(1)), None).await.expect("an answer");
    reviewed!("patients_v1", found.expect("the patient"));
    let missing = clinic.models.patient(PatientId::from_uuid(id(2)), None).await;
    assert_eq!(missing.expect("an answer"), None);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_appointment_is_what_the_events_say(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    clinic.book(1, 9).await;
    let move_it = json!({ "reschedule": {
        "time": { "start": "2026-03-10T10:30", "zone": "America/Chicago", "duration_minutes": 45 },
        "reason": "asked by phone",
    }});
    clinic.execute::<Appointment>(id(0x1001), move_it).await;
    let cancel = json!({ "cancel": { "reason": "patient-request", "note": "Will call again." } });
    clinic.at("2026-01-07T08:00:00Z").execute::<Appointment>(id(0x1001), cancel).await;
    let visit = json!({ "record-visit": {
        "patient_id": id(1),
        "started_at": "2019-06-01T10:00:00Z",
        "ended_at": "2019-06-01T10:15:00Z",
        "class": "AMB",
        "visit_type": { "system": "http://snomed.info/sct", "code": "185345009" },
        "status": "finished",
    }});
    clinic.execute::<Appointment>(id(0x1002), visit).await;
    clinic.catch_up().await;
    let one = |n| clinic.models.appointment(AppointmentId::from_uuid(id(n)), None);
    let booked = one(0x1001).await.expect("an answer");
    reviewed!("appointments_v1-booked", booked);
    let recorded = one(0x1002).await.expect("an answer");
    reviewed!("appointments_v1-recorded", recorded);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_wound_shows_its_scans_and_its_healing(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    clinic.open_wound(1).await;
    // The second scan arrives before the first: a device was offline.
    clinic.scan(1, 0x32, "2026-01-04T10:00:00Z", b"second").await;
    clinic.scan(1, 0x31, "2025-12-28T10:00:00Z", b"first").await;
    clinic.scan(1, 0x33, "2026-01-05T07:00:00Z", b"third").await;
    clinic.scan(1, 0x34, "2026-01-05T07:30:00Z", b"fourth").await;
    clinic.scan(1, 0x35, "2026-01-05T07:45:00Z", b"fifth").await;
    clinic.measured(1, 0x32, 750).await;
    clinic.measured(1, 0x31, 1_000).await;
    let confirm = json!({ "confirm-measurement": { "measurement_id": id(0x10_0032) } });
    clinic.execute::<WoundEpisode>(id(0x2001), confirm).await;
    let reject = json!({ "reject-scan": {
        "scan_id": id(0x33),
        "model_digest": domain::value::Digest([7; 32]),
        "reason": "no-wound-found",
        "detail": "the network saw none",
    }});
    clinic.execute::<WoundEpisode>(id(0x2001), reject).await;
    clinic.measured(1, 0x35, 10).await;
    let withdraw = json!({ "withdraw-measurement": {
        "measurement_id": id(0x10_0035),
        "reason": "entered-in-error",
    }});
    clinic.execute::<WoundEpisode>(id(0x2001), withdraw).await;
    let close = json!({ "close": { "reason": "transferred" } });
    clinic.at("2026-02-01T08:00:00Z").execute::<WoundEpisode>(id(0x2001), close).await;
    clinic.catch_up().await;
    let wound = clinic.models.wound(WoundId::from_uuid(id(0x2001)), None).await;
    let wound = wound.expect("an answer").expect("the wound");
    let statuses: Vec<ScanStatus> = wound.scans.iter().map(|scan| scan.status).collect();
    use ScanStatus::{Measured, Pending, Rejected, Withdrawn};
    assert_eq!(statuses, [Measured, Measured, Rejected, Pending, Withdrawn]);
    let course: Vec<_> = wound.healing.iter().map(|point| point.area_reduction_permille).collect();
    assert_eq!(course, [None, Some(250)]);
    reviewed!("wounds_v1", wound);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn patients_are_found_however_they_are_written(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    for n in 1..=5 {
        clinic.register(n).await;
    }
    clinic.rename(5, "Šimić").await;
    clinic.catch_up().await;
    let line = |text: &str| Some(text.parse().expect("a line"));
    let number = |text: &str| Some(text.parse().expect("a line"));
    let date = |text: &str| Some(text.parse::<PartialDate>().expect("a date"));
    let nobody = PatientSearch::default;
    let cases = [
        ("family in another spelling", PatientSearch { family: line("MULLER"), ..nobody() }, 4),
        ("family to the letter", PatientSearch { family: line("müller-3"), ..nobody() }, 1),
        (
            "family and given",
            PatientSearch { family: line("simi"), given: line("ann"), ..nobody() },
            1,
        ),
        ("given only", PatientSearch { given: line("anna maria"), ..nobody() }, 4),
        ("year of birth", PatientSearch { birth_date: date("1950"), ..nobody() }, 5),
        ("day of birth", PatientSearch { birth_date: date("1950-02-28"), ..nobody() }, 4),
        ("another year", PatientSearch { birth_date: date("1951"), ..nobody() }, 0),
        ("identifier of any system", PatientSearch { identifier: number("2"), ..nobody() }, 1),
        (
            "identifier of its system",
            PatientSearch {
                identifier: number("2"),
                system: "http://clinic.example/mrn".parse().ok(),
                ..nobody()
            },
            1,
        ),
        (
            "identifier of another system",
            PatientSearch { identifier: number("2"), system: "urn:other".parse().ok(), ..nobody() },
            0,
        ),
        (
            "inactive records",
            PatientSearch { family: line("m"), active: Some(false), ..nobody() },
            0,
        ),
    ];
    for (what, search, expected) in cases {
        let found = clinic.models.search_patients(&search, &Page::default()).await;
        assert_eq!(found.expect("an answer").items.len(), expected, "{what}");
    }
    for search in [nobody(), PatientSearch { family: line("-"), ..nobody() }] {
        let refused = clinic.models.search_patients(&search, &Page::default()).await;
        assert!(matches!(refused, Err(ReadError::EmptySearch)));
    }
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn lists_go_on_where_they_stopped(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    for n in 1..=5 {
        clinic.register(n).await;
        // The later patient has the earlier appointment.
        clinic.book(n, 20 - u8::try_from(n).expect("small")).await;
    }
    clinic.catch_up().await;
    let filter = AppointmentFilter {
        practitioner_id: Some(PractitionerId::from_uuid(id(0xd0c))),
        ..AppointmentFilter::default()
    };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = Page::new(Some(2), after);
        let found = clinic.models.appointments(&filter, &page).await.expect("an answer");
        assert!(found.items.len() <= 2);
        seen.extend(found.items.iter().map(|appointment| appointment.patient_id.as_uuid()));
        // A client gives the cursor back as text.
        match found.next {
            Some(next) => after = Some(next.to_string().parse().expect("a cursor")),
            None => break,
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1].map(id));

    let instant = |text: &str| text.parse::<Timestamp>().ok();
    let range = AppointmentFilter {
        from: instant("2026-03-16T14:00:00Z"),
        to: instant("2026-03-18T14:00:00Z"),
        ..filter
    };
    let found = clinic.models.appointments(&range, &Page::default()).await.expect("an answer");
    let days: Vec<String> = found.items.iter().map(|found| found.starts_at.to_string()).collect();
    assert_eq!(days, ["2026-03-16T14:00:00Z", "2026-03-17T14:00:00Z"], "the end is not within");

    let of_patient = AppointmentFilter {
        patient_id: Some(PatientId::from_uuid(id(3))),
        ..AppointmentFilter::default()
    };
    let found = clinic.models.appointments(&of_patient, &Page::default()).await.expect("an answer");
    assert_eq!(found.items.len(), 1);
    let nobody = clinic.models.appointments(&AppointmentFilter::default(), &Page::default()).await;
    assert!(matches!(nobody, Err(ReadError::NoResource)));
    let empty = AppointmentFilter { from: range.to, to: range.from, ..filter };
    let empty = clinic.models.appointments(&empty, &Page::default()).await;
    assert!(matches!(empty, Err(ReadError::EmptyRange)));
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_reader_waits_for_its_own_write(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    let projector = clinic.start(clinic.models.projector(ReadModel::PATIENTS));
    for name in ["Adler", "Berger", "Conrad"] {
        let receipt = clinic.rename(1, name).await;
        let position = receipt.position.expect("an event was recorded");
        let patient = PatientId::from_uuid(id(1));
        clinic
            .models
            .wait_for(ReadModel::PATIENTS, position, Duration::from_secs(30))
            .await
            .expect("the projector gets there");
        let found = clinic.models.patient(patient, Some(position)).await.expect("an answer");
        assert_eq!(found.map(|found| found.position), Some(position));
    }
    let future =
        clinic.models.wait_for(ReadModel::PATIENTS, 1_000_000, Duration::from_millis(50)).await;
    assert!(matches!(future, Err(ReadError::Behind { wanted: 1_000_000, .. })));
    projector.stop().await;
    clinic.close().await;
}
