//! Clocks that are wrong, and a log whose last event is ahead of all of them.

use commands::{Clock, CommandError, Keys, Unavailable};
use domain::Patient;
use jiff::{SignedDuration, Timestamp};
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::clinic::{Clinic, context, owner, patient, rename};

const DAY: i64 = 24 * 3600;
/// A quarter of an hour, a day, a year.
const WRONG: [i64; 3] = [15 * 60, DAY, 365 * DAY];

/// The time of the last event, in microseconds.
const LATEST: &str = "SELECT (extract(epoch FROM max(recorded_at)) * 1000000)::bigint FROM events";

#[sqlx::test(migrations = "../migrations")]
async fn a_wrong_clock_records_nothing_and_stops_nobody(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let right = Clinic::open(options.clone()).await;
    let (clock, shift) = Clock::shifted();
    let wrong = Clinic::open_with(options, right.keys.clone(), clock).await;
    let id = right.register("A-1").await;
    wrong.ledger.execute::<Patient>(id, rename("Eins"), &context()).await.expect("it is right");
    for seconds in WRONG {
        for (seconds, code) in [(seconds, "clock-ahead"), (-seconds, "clock-behind")] {
            shift.set(SignedDuration::from_secs(seconds));
            let before = right.count("SELECT count(*) FROM events").await;
            let refused = wrong.ledger.execute::<Patient>(id, rename("Zwei"), &context()).await;
            let error = refused.expect_err("the clock is wrong");
            assert_eq!(error.code(), code, "{seconds} s");
            let CommandError::Unavailable(
                Unavailable::ClockAhead { by } | Unavailable::ClockBehind { by },
            ) = error
            else {
                panic!("{error:?}")
            };
            assert!((by.as_secs() - seconds.abs()).abs() <= 2, "{by:?} of {seconds} s");
            assert_eq!(wrong.ledger.clock_fault(), Some(code));
            assert_eq!(right.ledger.clock_fault(), None);
            assert_eq!(right.count("SELECT count(*) FROM events").await, before);
            let done = right.ledger.execute::<Patient>(id, rename("Drei"), &context()).await;
            done.unwrap_or_else(|error| panic!("{seconds} s: {error:?}"));
            right.ledger.execute::<Patient>(id, rename("Vier"), &context()).await.expect("again");
        }
    }
    // Within what clocks may differ nothing is refused, and times do not run back.
    for seconds in [4, -4, 4, -4] {
        shift.set(SignedDuration::from_secs(seconds));
        wrong.ledger.execute::<Patient>(id, rename("Fünf"), &context()).await.expect("borne");
        right.ledger.execute::<Patient>(id, rename("Sechs"), &context()).await.expect("borne");
    }
    shift.set(SignedDuration::ZERO);
    wrong.ledger.execute::<Patient>(id, rename("Sieben"), &context()).await.expect("set right");
    let sound = right.assert_sound().await;
    assert!(sound.events > 20);
}

/// What a process of an older comparison, or none, would append is refused by the database.
#[sqlx::test(migrations = "../migrations")]
async fn the_database_takes_no_event_from_the_future(_: PgPoolOptions, options: PgConnectOptions) {
    let start = Timestamp::now();
    // Compared with nobody.
    let (clock, hands) = Clock::manual(start);
    let clinic = Clinic::open_with(options, Keys::ephemeral(), clock).await;
    let id = clinic.register("A-1").await;
    for seconds in WRONG {
        hands.set(Timestamp::now() + SignedDuration::from_secs(seconds));
        let refused = clinic.ledger.execute::<Patient>(id, rename("Zwei"), &context()).await;
        assert_eq!(refused.expect_err("too late").code(), "clock-ahead", "{seconds} s");
        assert_eq!(clinic.count("SELECT count(*) FROM events").await, 2);
        // With others in one batch, each is told apart.
        let together = futures::future::join_all((0..4).map(|n| {
            let command = patient("Mustermann", &format!("B-{seconds}-{n}"));
            let (ledger, context) = (&clinic.ledger, context());
            async move { ledger.execute::<Patient>(ledger.new_id(), command, &context).await }
        }));
        for refused in together.await {
            assert_eq!(refused.expect_err("too late").code(), "clock-ahead");
        }
    }
    hands.set(Timestamp::now() + SignedDuration::from_secs(6));
    clinic.ledger.execute::<Patient>(id, rename("Zwei"), &context()).await.expect("borne");
    hands.set(Timestamp::now());
    clinic.ledger.execute::<Patient>(id, rename("Drei"), &context()).await.expect("right again");
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_event_a_year_ahead_stops_nobody(_: PgPoolOptions, options: PgConnectOptions) {
    // A log of before there was a bound.
    let owner = owner(options.clone()).await;
    let bound = |interval: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION clock_bound() RETURNS interval LANGUAGE sql STABLE
             RETURN interval '{interval}'"
        )
    };
    let (clock, hands) = Clock::manual(Timestamp::now());
    let ahead = Clinic::open_with(options.clone(), Keys::ephemeral(), clock).await;
    let id = ahead.register("A-1").await;
    owner.execute(bound("2 years").as_str()).await.expect("the owner may");
    hands.set(Timestamp::now() + SignedDuration::from_secs(365 * DAY));
    ahead.ledger.execute::<Patient>(id, rename("Zukunft"), &context()).await.expect("appended");
    owner.execute(bound("10 seconds").as_str()).await.expect("the owner may");
    let latest = ahead.count(LATEST).await;

    // Servers whose clocks are right, one of which knew the log before and one not.
    let keys = ahead.keys.clone();
    let first = Clinic::open_with(options.clone(), keys.clone(), Clock::system()).await;
    let second = Clinic::open_with(options, keys, Clock::system()).await;
    for turn in 0..10 {
        for (server, clinic) in [&first, &second].into_iter().enumerate() {
            let name = format!("Name {turn} {server}");
            let done = clinic.ledger.execute::<Patient>(id, rename(&name), &context()).await;
            done.unwrap_or_else(|error| panic!("turn {turn}: {error:?}"));
            clinic.register(&format!("B-{turn}-{server}")).await;
        }
    }
    for clinic in [&first, &second] {
        let ahead = clinic.ledger.last_event_ahead().expect("it is told");
        assert!(ahead.as_secs() > 364 * DAY, "{ahead:?}");
        assert_eq!(clinic.ledger.clock_fault(), None);
    }
    assert_eq!(first.count(LATEST).await, latest, "nobody goes further than it has gone");
    first.assert_sound().await;
}

/// What the head says of time is not signed: it may stop commands, and never gives an event its time.
#[sqlx::test(migrations = "../migrations")]
async fn a_forged_time_of_the_head_gets_into_no_event(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options.clone()).await;
    let id = clinic.register("A-1").await;
    let before = "SELECT (extract(epoch FROM last_recorded_at) * 1000000)::bigint FROM ledger_head";
    let before = clinic.count(before).await;
    let set = "UPDATE ledger_head SET last_recorded_at = timestamptz '2999-01-01'";
    clinic.owner.execute(set).await.expect("only the owner can");
    let other = Clinic::open_with(options, clinic.keys.clone(), Clock::system()).await;
    let refused = other.ledger.execute::<Patient>(id, rename("Zwei"), &context()).await;
    let error = refused.expect_err("every event is older than that");
    assert!(error.to_string().contains("not available"), "{error}");
    assert!(
        matches!(error, CommandError::Unavailable(Unavailable::LogAhead { .. })),
        "it does not say that a stream kept changing: {error:?}"
    );
    let year_2100 = 4_102_444_800_000_000;
    assert!(clinic.count(LATEST).await < year_2100);
    let back = format!(
        "UPDATE ledger_head SET last_recorded_at = timestamptz 'epoch' + {before} * interval '1 microsecond'"
    );
    clinic.owner.execute(back.as_str()).await.expect("only the owner can");
    other.ledger.execute::<Patient>(id, rename("Drei"), &context()).await.expect("goes on");
    clinic.assert_sound().await;
}
