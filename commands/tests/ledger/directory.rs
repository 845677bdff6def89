//! Bookings rely on the directory: with whom and where is in use when the booking gets into the log, and not a moment before.

use commands::{Clock, CommandError, Conflict, Ledger, Receipt};
use domain::{
    Appointment, Location, LocationCommand, Patient, Practitioner, PractitionerCommand, RefusalKind,
};
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, Slot, context, practitioner, room};

const PRACTITIONER: Uuid = Uuid::from_u128(0xd0c);
const ROOM: Uuid = Uuid::from_u128(0x400);
const START: &str = "2031-03-03T09:00";

fn command<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a command")
}

fn deactivate<T: serde::de::DeserializeOwned>(reason: &str) -> T {
    command(json!({"deactivate": {"reason": reason}}))
}

fn reactivate<T: serde::de::DeserializeOwned>() -> T {
    command(json!({"reactivate": {"reason": "in use again"}}))
}

async fn keep(ledger: &Ledger, command: PractitionerCommand) -> Result<Receipt, CommandError> {
    ledger.execute::<Practitioner>(PRACTITIONER, command, &context()).await
}

async fn place(
    ledger: &Ledger,
    id: Uuid,
    command: LocationCommand,
) -> Result<Receipt, CommandError> {
    ledger.execute::<Location>(id, command, &context()).await
}

async fn book(ledger: &Ledger, slot: &Slot) -> Result<Receipt, CommandError> {
    ledger.execute::<Appointment>(ledger.new_id(), slot.book(), &context()).await
}

/// The kind, the code and the field of a refusal.
fn refused<T: std::fmt::Debug>(
    outcome: Result<T, CommandError>,
) -> (RefusalKind, &'static str, &'static str) {
    match outcome {
        Err(CommandError::Refused { kind, code, field: Some(field), .. }) => (kind, code, field),
        other => panic!("expected a refusal that names a field, got {other:?}"),
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_booked_with_or_moved_to_whom_the_directory_does_not_have_in_use(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    use RefusalKind::{Conflict, Invalid};
    let clinic = Clinic::open(options).await;
    let ledger = &clinic.ledger;
    let patient = clinic.register("A-1").await;
    let slot = Slot { patient, practitioner: PRACTITIONER, room: ROOM, start: START };
    let unknown = (Invalid, "unknown-practitioner", "practitioner_id");
    assert_eq!(refused(book(ledger, &slot).await), unknown);
    keep(ledger, practitioner("Behandler")).await.expect("registered");
    assert_eq!(refused(book(ledger, &slot).await), (Invalid, "unknown-room", "room_id"));
    let site = json!({"register": {"kind": "site", "name": "Haus", "zone": "UTC"}});
    place(ledger, Uuid::from_u128(0x500), command(site)).await.expect("registered");
    let at_a_site = Slot { room: Uuid::from_u128(0x500), ..slot.clone() };
    assert_eq!(refused(book(ledger, &at_a_site).await), (Invalid, "room-is-site", "room_id"));
    place(ledger, ROOM, room("Zimmer 1")).await.expect("registered");
    let events = "SELECT count(*) FROM events WHERE aggregate_type = 'appointment'";
    assert_eq!(clinic.count(events).await, 0, "a refused booking leaves nothing behind");
    let booked = book(ledger, &slot).await.expect("both are in use").stream_id;

    keep(ledger, deactivate("on-leave")).await.expect("deactivated");
    let later = Slot { start: "2031-03-04T09:00", ..slot };
    let inactive = (Conflict, "inactive-practitioner", "practitioner_id");
    assert_eq!(refused(book(ledger, &later).await), inactive);
    let moved = ledger.execute::<Appointment>(booked, later.reschedule(), &context()).await;
    assert_eq!(refused(moved), inactive);
    keep(ledger, reactivate()).await.expect("reactivated");
    place(ledger, ROOM, deactivate("maintenance")).await.expect("deactivated");
    assert_eq!(refused(book(ledger, &later).await), (Conflict, "inactive-room", "room_id"));
    place(ledger, ROOM, reactivate()).await.expect("reactivated");
    book(ledger, &later).await.expect("both are in use again");

    // What was booked before stands, and is loaded and closed whoever has left since.
    keep(ledger, deactivate("left")).await.expect("deactivated");
    let done =
        ledger.execute::<Appointment>(booked, command(json!({"check-in": {}})), &context()).await;
    done.expect("whoever was booked before is seen");
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_room_is_at_a_site_that_is_in_use(_: PgPoolOptions, options: PgConnectOptions) {
    use RefusalKind::{Conflict, Invalid};
    let clinic = Clinic::open(options).await;
    let ledger = &clinic.ledger;
    let (site, other) = (Uuid::from_u128(0x500), Uuid::from_u128(0x501));
    let at = |parent: Uuid| -> LocationCommand {
        command(json!({"register": {"kind": "room", "name": "Zimmer 1", "parent_id": parent}}))
    };
    let unknown = (Invalid, "unknown-parent", "parent_id");
    assert_eq!(refused(place(ledger, ROOM, at(site)).await), unknown);
    // Not even its own site.
    assert_eq!(refused(place(ledger, ROOM, at(ROOM)).await), unknown);
    let house = || command(json!({"register": {"kind": "site", "name": "Haus", "zone": "UTC"}}));
    place(ledger, site, house()).await.expect("registered");
    place(ledger, ROOM, at(site)).await.expect("at a site");
    let of_a_room = place(ledger, other, at(ROOM)).await;
    assert_eq!(refused(of_a_room), (Invalid, "parent-is-no-site", "parent_id"));
    place(ledger, site, deactivate("closed")).await.expect("deactivated");
    assert_eq!(
        refused(place(ledger, other, at(site)).await),
        (Conflict, "inactive-parent", "parent_id")
    );
    clinic.assert_sound().await;
}

/// Two processes, each with a memory of its own, and neither is told what the other appends.
#[sqlx::test(migrations = "../migrations")]
async fn what_another_process_has_changed_is_known_when_it_counts(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let one = Clinic::open(options.clone()).await;
    let two = Clinic::open_with(options, one.keys.clone(), Clock::system()).await;
    let patient = one.register("A-1").await;
    let slot = |start| Slot { patient, practitioner: PRACTITIONER, room: ROOM, start };
    one.book(&slot(START)).await.expect("free");
    two.book(&slot("2031-03-04T09:00")).await.expect("free");
    keep(&one.ledger, deactivate("left")).await.expect("deactivated");
    let inactive = (RefusalKind::Conflict, "inactive-practitioner", "practitioner_id");
    assert_eq!(refused(book(&two.ledger, &slot("2031-03-05T09:00")).await), inactive);
    // And the other way round: no refusal is made of what is remembered.
    keep(&one.ledger, reactivate()).await.expect("reactivated");
    book(&two.ledger, &slot("2031-03-05T09:00")).await.expect("in use again");
    two.assert_sound().await;
}

/// Bookings of two processes against somebody who takes the practitioner out of use and back: in the log, no booking stands
/// behind a deactivation.
#[sqlx::test(migrations = "../migrations")]
async fn no_booking_gets_in_behind_a_deactivation(_: PgPoolOptions, options: PgConnectOptions) {
    const ROUNDS: usize = 12;
    const BOOKINGS: usize = 24;
    let one = Clinic::open(options.clone()).await;
    let two = Clinic::open_with(options, one.keys.clone(), Clock::system()).await;
    let numbers: Vec<String> = (0..BOOKINGS).map(|n| format!("A-{n}")).collect();
    let patients: Vec<Uuid> = join_all(numbers.iter().map(|number| one.register(number))).await;
    keep(&one.ledger, practitioner("Behandler")).await.expect("registered");
    let (mut booked, mut refusals) = (0, 0);
    for round in 0..ROUNDS {
        let bookings = patients.iter().enumerate().map(|(n, patient)| {
            let ledger = if n % 2 == 0 { &one.ledger } else { &two.ledger };
            // Each at a time of its own, so that nothing but the directory is in the way.
            let minutes = (round * BOOKINGS + n) * 10;
            let day = jiff::civil::date(2031, 3, 3).at(0, 0, 0, 0);
            let start = day.saturating_add(jiff::Span::new().minutes(minutes as i64));
            let booking = json!({"book": {"patient_id": patient, "practitioner_id": PRACTITIONER,
                "time": {"start": start, "zone": "UTC", "duration_minutes": 10}}});
            async move {
                // Some come before, some after the deactivation, most beside it.
                tokio::time::sleep(std::time::Duration::from_micros(400 * n as u64)).await;
                let id = ledger.new_id();
                ledger.execute::<Appointment>(id, command(booking), &context()).await
            }
        });
        let leaving = async {
            tokio::time::sleep(std::time::Duration::from_millis(4)).await;
            let ledger = if round % 2 == 0 { &one.ledger } else { &two.ledger };
            keep(ledger, deactivate("on-leave")).await.expect("deactivated");
        };
        let (outcomes, ()) = futures::join!(join_all(bookings), leaving);
        for outcome in outcomes {
            match outcome {
                Ok(_) => booked += 1,
                Err(error) if error.code() == "inactive-practitioner" => refusals += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        keep(&one.ledger, reactivate()).await.expect("reactivated");
    }
    assert_eq!(booked + refusals, ROUNDS * BOOKINGS);
    assert!(booked > 0 && refusals > 0, "{booked} booked, {refusals} refused: no contention");
    let stands = "SELECT event_type FROM events WHERE event_type IN
        ('AppointmentBooked', 'PractitionerDeactivated', 'PractitionerReactivated') ORDER BY position";
    let events: Vec<String> =
        sqlx::query_scalar(stands).fetch_all(&one.pool).await.expect("the events");
    let mut in_use = true;
    for event in events {
        match event.as_str() {
            "AppointmentBooked" => assert!(in_use, "a booking behind a deactivation"),
            other => in_use = other == "PractitionerReactivated",
        }
    }
    one.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_identifier_belongs_to_one_practitioner(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let who = || -> PractitionerCommand {
        command(json!({"register": {"identifiers":
            [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "17"}]}}))
    };
    let both =
        join_all(
            [1, 2].map(|n| {
                let ledger = &clinic.ledger;
                async move {
                    ledger.execute::<Practitioner>(Uuid::from_u128(n), who(), &context()).await
                }
            }),
        )
        .await;
    let (won, lost): (Vec<_>, Vec<_>) = both.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 1));
    let Some(Err(CommandError::ClaimConflict { conflicts })) = lost.into_iter().next() else {
        panic!("expected a claim conflict")
    };
    assert!(
        matches!(&conflicts[..], [Conflict::Unique { kind, .. }] if kind == "practitioner-identifier"),
        "{conflicts:?}"
    );
    // A patient may have the same number: it is another list.
    let patient = json!({"register": {"identifiers":
        [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "17"}]}});
    let id = clinic.ledger.new_id();
    let done = clinic.ledger.execute::<Patient>(id, command(patient), &context()).await;
    done.expect("registered");
    // But an id is that of one of them only, and no record is kept under a practitioner's key.
    let taken = clinic.ledger.execute::<Practitioner>(id, who(), &context()).await;
    assert_eq!(taken.expect_err("a patient's id").code(), "id-taken");
    let practitioner = won.into_iter().next().and_then(Result::ok).expect("one won").stream_id;
    let visit = json!({"record-visit": {"patient_id": practitioner, "class": "AMB",
        "started_at": "2020-01-01T08:00:00Z", "status": "finished"}});
    let visit = clinic.ledger.execute::<Appointment>(id, command(visit), &context()).await;
    assert_eq!(visit.expect_err("a practitioner is no patient").code(), "id-taken");
    let report = clinic.assert_sound().await;
    assert!(report.plaintexts > 0, "the practitioner's payload opens under its key");
}
