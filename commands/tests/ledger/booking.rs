//! Booking: one slot, one winner, and losers that hear everything.

use commands::{CommandError, Conflict};
use domain::Appointment;
use futures::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, Slot, cancel, context};

const STARTS: [&str; 20] = [
    "2031-03-03T09:00",
    "2031-03-04T09:00",
    "2031-03-05T09:00",
    "2031-03-06T09:00",
    "2031-03-07T09:00",
    "2031-03-10T09:00",
    "2031-03-11T09:00",
    "2031-03-12T09:00",
    "2031-03-13T09:00",
    "2031-03-14T09:00",
    "2031-03-17T09:00",
    "2031-03-18T09:00",
    "2031-03-19T09:00",
    "2031-03-20T09:00",
    "2031-03-21T09:00",
    "2031-03-24T09:00",
    "2031-03-25T09:00",
    "2031-03-26T09:00",
    "2031-03-27T09:00",
    "2031-03-28T09:00",
];

fn slot(patient: Uuid, start: &'static str) -> Slot {
    Slot { patient, practitioner: Uuid::from_u128(0xd0c), room: Uuid::from_u128(0x400), start }
}

fn busy(error: &CommandError) -> Vec<(&str, Uuid)> {
    let CommandError::ClaimConflict { conflicts } = error else {
        panic!("expected a claim conflict, got {error:?}")
    };
    conflicts
        .iter()
        .map(|conflict| match conflict {
            Conflict::Busy { resource, id, from, until } => {
                assert!(from < until);
                (resource.as_str(), *id)
            }
            Conflict::Unique { kind, .. } => panic!("nothing unique was asked for: {kind}"),
        })
        .collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn of_64_who_book_one_slot_exactly_one_gets_it(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let clinic = &clinic;
    let patients = join_all((0..64).map(|n| async move {
        let mrn = format!("A-{n}");
        clinic.register(&mrn).await
    }))
    .await;
    for start in STARTS {
        let outcomes = join_all(patients.iter().map(|patient| {
            let slot = slot(*patient, start);
            async move { clinic.book(&slot).await }
        }))
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{start}");
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            let expected =
                [("practitioner", Uuid::from_u128(0xd0c)), ("room", Uuid::from_u128(0x400))];
            assert_eq!(busy(error), expected);
        }
    }
    assert_eq!(clinic.count("SELECT count(*) FROM claims_busy").await, 3 * 20);
    // The genesis, the patients, practitioner and room, the winners; a loser left nothing behind.
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 1 + 64 + 2 + 20);
    assert_eq!(clinic.count("SELECT count(*) FROM commands").await, 1 + 64 + 2 + 20);
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_patient_cannot_be_at_two_places(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let patient = clinic.register("A-1").await;
    clinic.book(&slot(patient, STARTS[0])).await.expect("free");
    let elsewhere = Slot {
        practitioner: Uuid::from_u128(0xd0d),
        room: Uuid::from_u128(0x401),
        ..slot(patient, STARTS[0])
    };
    let error = clinic.book(&elsewhere).await.expect_err("the patient is busy");
    assert_eq!(busy(&error), [("patient", patient)]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_reschedule_takes_the_new_time_and_frees_the_old_or_changes_nothing(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let (first, second) = (clinic.register("A-1").await, clinic.register("A-2").await);
    let moving = clinic.book(&slot(first, STARTS[0])).await.expect("free").stream_id;
    clinic.book(&slot(second, STARTS[1])).await.expect("free");

    let taken = slot(first, STARTS[1]).reschedule();
    let error = clinic
        .ledger
        .execute::<Appointment>(moving, taken, &context())
        .await
        .expect_err("the time is taken");
    assert_eq!(busy(&error).len(), 2, "practitioner and room");
    clinic.book(&slot(second, STARTS[0])).await.expect_err("the old time stands");

    let free = slot(first, STARTS[2]).reschedule();
    clinic.ledger.execute::<Appointment>(moving, free, &context()).await.expect("moved");
    clinic.book(&slot(second, STARTS[0])).await.expect("the old time is free");
    clinic.book(&slot(second, STARTS[2])).await.expect_err("the new time is taken");
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_cancellation_frees_the_time(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let (first, second) = (clinic.register("A-1").await, clinic.register("A-2").await);
    let booked = clinic.book(&slot(first, STARTS[0])).await.expect("free").stream_id;
    clinic.ledger.execute::<Appointment>(booked, cancel(), &context()).await.expect("cancelled");
    clinic.book(&slot(second, STARTS[0])).await.expect("free again");
    assert_eq!(clinic.count("SELECT count(*) FROM claims_busy").await, 3);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_appointment_of_an_unknown_patient_is_refused(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let error = clinic.book(&slot(Uuid::from_u128(1), STARTS[0])).await.expect_err("unknown");
    assert!(matches!(error, CommandError::NotFound { what: "patient" }), "{error:?}");
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 1 + 2);
    assert_eq!(clinic.count("SELECT count(*) FROM claims_busy").await, 0);
}
