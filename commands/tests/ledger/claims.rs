//! Claims under attack: whoever can write every row, and has no key, gets no double booking, no second number and nobody else's
//! log-in name; and it is noticed.

use commands::claims::{ClaimsReport, Difference, compare, rebuild};
use commands::{Clock, CommandError, Receipt};
use domain::account::{AccountCommand, LOGIN_CLAIM};
use domain::{Account, Appointment, Custody, Patient};
use futures::future::join_all;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use crate::clinic::{
    Clinic, ORIGIN, Slot, cancel, context, erase, identify, list, officer, patient, rename,
};

const START: &str = "2031-03-10T15:00";

/// What an attack is meant to gain, or to spoil.
const LOGIN: &str = "erika";

fn slot(patient: Uuid, start: &'static str) -> Slot {
    Slot { patient, practitioner: Uuid::from_u128(0xd0c), room: Uuid::from_u128(0x100), start }
}

fn register(login: &str) -> AccountCommand {
    let register = json!({ "register": {
        "login": login, "display_name": "Somebody", "kind": "service" } });
    serde_json::from_value(register).expect("a command")
}

async fn owner(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new().connect_with(options.clone()).await.expect("the owner connects")
}

/// As somebody who may do everything in the database, triggers and constraints included.
async fn attack(owner: &PgPool, sql: &str) {
    let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
    owner.execute(script.as_str()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn compared(clinic: &Clinic) -> ClaimsReport {
    compare(&clinic.pool, &clinic.keys, ORIGIN).await.expect("the log can be replayed")
}

fn code(outcome: &Result<Receipt, CommandError>) -> &'static str {
    match outcome {
        Ok(_) => "done",
        Err(error) => error.code(),
    }
}

/// A clinic where something is to be had: a booked time, a number, a log-in name.
struct Scene {
    clinic: Clinic,
    owner: PgPool,
    booked: Uuid,
    other: Uuid,
    account: Uuid,
}

impl Scene {
    async fn set(options: &PgConnectOptions) -> Scene {
        let clinic = Clinic::open(options.clone()).await;
        let owner = owner(options).await;
        let (booked, other) = (clinic.register("A-1").await, clinic.register("A-2").await);
        let mut accounts = Vec::new();
        for login in [LOGIN, "mallory"] {
            let id = clinic.ledger.new_id();
            let done = clinic.ledger.execute::<Account>(id, register(login), &context()).await;
            done.expect("registered");
            accounts.push(id);
        }
        // An older state of every table, which was genuine.
        for table in ["unique", "busy", "buckets", "seal"] {
            let sql = format!("CREATE TABLE older_{table} AS TABLE claims_{table}");
            owner.execute(sql.as_str()).await.expect("kept");
        }
        clinic.book(&slot(booked, START)).await.expect("free");
        Scene { clinic, owner, booked, other, account: accounts[0] }
    }

    /// Tries to get what is taken; tells how each try ended.
    async fn grab(&self) -> [&'static str; 4] {
        let Clinic { ledger, .. } = &self.clinic;
        let time = self.clinic.book(&slot(self.other, START)).await;
        let moved = Slot { start: "2031-03-10T15:15", ..slot(self.other, START) };
        let moved = self.clinic.book(&moved).await;
        let again = patient("Mustermann", "A-1");
        let number = ledger.execute::<Patient>(ledger.new_id(), again, &context()).await;
        let login = ledger.execute::<Account>(ledger.new_id(), register(LOGIN), &context()).await;
        [code(&time), code(&moved), code(&number), code(&login)]
    }

    /// Whom a log-in name leads to: the right account, or nobody is told.
    async fn log_in(&self) -> &'static str {
        match self.clinic.ledger.holder(LOGIN_CLAIM, LOGIN).await {
            Ok(Some(id)) if id == self.account => "erika",
            Ok(Some(_)) => "somebody else",
            Ok(None) => "nobody",
            Err(error) => error.code(),
        }
    }
}

/// What is done to the tables, and which of the four grabs and the log-in is then answered by damage instead of a conflict.
const ATTACKS: &[(&str, &str, [bool; 5])] = &[
    (
        "one time",
        "DELETE FROM claims_busy WHERE resource_kind = 'practitioner'",
        [true, true, false, false, false],
    ),
    (
        "one number",
        "DELETE FROM claims_unique WHERE kind = 'patient-identifier'",
        [false, false, true, false, false],
    ),
    (
        "the log-in names",
        "DELETE FROM claims_unique WHERE kind = 'login'",
        [false, false, false, true, true],
    ),
    (
        "all rows",
        "DELETE FROM claims_busy; DELETE FROM claims_unique",
        [true, true, true, true, true],
    ),
    (
        "all rows with their buckets",
        "TRUNCATE claims_busy, claims_unique, claims_buckets",
        [true, true, true, true, true],
    ),
    (
        "everything with the seal",
        "TRUNCATE claims_busy, claims_unique, claims_buckets, claims_seal",
        [true, true, true, true, true],
    ),
    (
        "exchanged log-in names",
        "UPDATE claims_unique u SET aggregate_id = (SELECT aggregate_id FROM claims_unique o
          WHERE o.kind = 'login' AND o.aggregate_id <> u.aggregate_id) WHERE kind = 'login'",
        [false, false, false, true, true],
    ),
    (
        "other holders of a time",
        "UPDATE claims_busy SET aggregate_id = gen_random_uuid()",
        [true, true, false, false, false],
    ),
    (
        "an hour later",
        "UPDATE claims_busy SET during = tstzrange(lower(during) + interval '1 hour', upper(during) + interval '1 hour')",
        [true, true, false, false, false],
    ),
    (
        "a year later",
        "UPDATE claims_busy SET during = tstzrange(lower(during) + interval '1 year', upper(during) + interval '1 year')",
        [true, true, false, false, false],
    ),
    (
        "the bounds of a range",
        "UPDATE claims_busy SET during = tstzrange(lower(during), upper(during), '(]')",
        [true, true, false, false, false],
    ),
    (
        "no bounds at all",
        "UPDATE claims_busy SET during = tstzrange('-infinity', 'infinity')",
        [true, true, false, false, false],
    ),
    (
        "another resource",
        "UPDATE claims_busy SET resource_id = gen_random_uuid()",
        [true, true, false, false, false],
    ),
    (
        "other buckets",
        "UPDATE claims_busy SET bucket = (bucket + 1) % 65536",
        [true, true, false, false, false],
    ),
    (
        "no bucket",
        "UPDATE claims_busy SET bucket = -1; UPDATE claims_unique SET bucket = 70000",
        [true; 5],
    ),
    (
        "a digest of no bucket",
        "INSERT INTO claims_buckets SELECT 70000, size, digest FROM claims_buckets LIMIT 1",
        [false; 5],
    ),
    (
        "another kind",
        "UPDATE claims_unique SET kind = 'x' WHERE kind = 'login'",
        [false, false, false, true, true],
    ),
    ("other keys", "UPDATE claims_unique SET key = sha256(key)", [false, false, true, true, true]),
    (
        "another type of holder",
        "UPDATE claims_unique SET aggregate_type = 'patient' WHERE kind = 'login'",
        [false, false, false, true, true],
    ),
    (
        "an older genuine state",
        "TRUNCATE claims_unique, claims_busy, claims_buckets, claims_seal;
         INSERT INTO claims_unique TABLE older_unique; INSERT INTO claims_busy TABLE older_busy;
         INSERT INTO claims_buckets TABLE older_buckets; INSERT INTO claims_seal TABLE older_seal",
        [true, true, true, true, true],
    ),
];

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_granted_that_is_taken_whatever_is_done_to_the_rows(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let scene = Scene::set(&options).await;
    assert_eq!(scene.grab().await, ["claim-conflict"; 4]);
    assert_eq!(scene.log_in().await, "erika");
    assert!(compared(&scene.clinic).await.is_sound());
    for (n, (what, sql, damaged)) in ATTACKS.iter().enumerate() {
        attack(&scene.owner, sql).await;
        let grabs = scene.grab().await;
        for (grab, damaged) in grabs.iter().zip(damaged) {
            let expected = if *damaged { "claims-damaged" } else { "claim-conflict" };
            assert_eq!(*grab, expected, "{what}: {grabs:?}");
        }
        let expected = if damaged[4] { "claims-damaged" } else { "erika" };
        assert_eq!(scene.log_in().await, expected, "{what}");
        // What needs no claim goes on.
        let name = format!("N-{n}");
        let (command, context) = (rename(&name), context());
        let renamed = scene.clinic.ledger.execute::<Patient>(scene.booked, command, &context);
        renamed.await.unwrap_or_else(|error| panic!("{what}: {error:?}"));

        let report = compared(&scene.clinic).await;
        assert!(!report.is_sound(), "{what}: the comparison finds it");
        let repaired = rebuild(&scene.clinic.pool, &scene.clinic.keys, ORIGIN).await;
        assert_eq!(repaired.expect("repaired").before.findings, report.findings, "{what}");
        assert!(compared(&scene.clinic).await.is_sound(), "{what}: repaired");
        // A process that found the seal broken looks again after a second.
        tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
        assert_eq!(scene.log_in().await, "erika", "{what}: repaired");
        assert_eq!(scene.grab().await, ["claim-conflict"; 4], "{what}: repaired");
    }
    scene.clinic.assert_sound().await;
}

/// Nothing is decided on the size that the seal names, and the next append writes it anew; until then it is told.
#[sqlx::test(migrations = "../migrations")]
async fn a_seal_of_another_size_is_noticed(_: PgPoolOptions, options: PgConnectOptions) {
    let scene = Scene::set(&options).await;
    assert!(compared(&scene.clinic).await.is_sound());
    attack(&scene.owner, "UPDATE claims_seal SET size = size + 1").await;
    assert!(!compared(&scene.clinic).await.is_sound());
    assert_eq!(scene.grab().await, ["claim-conflict"; 4]);
    let repaired = rebuild(&scene.clinic.pool, &scene.clinic.keys, ORIGIN).await.expect("repaired");
    assert!(!repaired.before.is_sound());
    assert!(compared(&scene.clinic).await.is_sound());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_claim_that_nobody_was_granted_is_not_believed(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let scene = Scene::set(&options).await;
    let free = || slot(scene.other, "2031-03-12T15:00");
    for (bucket, what) in [("bucket", "in the bucket of a genuine one"), ("7", "in any bucket")] {
        // The practitioner's time two days later, for a stream that there is not.
        let fake = format!(
            "INSERT INTO claims_busy (bucket, resource_kind, resource_id, during, aggregate_type, aggregate_id)
             SELECT {bucket}, resource_kind, resource_id,
                    tstzrange(lower(during) + interval '2 days', upper(during) + interval '2 days'),
                    aggregate_type, gen_random_uuid()
               FROM claims_busy WHERE resource_kind = 'practitioner'"
        );
        attack(&scene.owner, &fake).await;
        let refused = scene.clinic.book(&free()).await.expect_err("it is in the way");
        assert_eq!(refused.code(), "claims-damaged", "{what}: and not as if the time were taken");
        let report = compared(&scene.clinic).await;
        let foreign: Vec<_> =
            report.findings.iter().map(|found| (found.difference, found.kind.as_str())).collect();
        assert_eq!(foreign, [(Difference::Foreign, "practitioner")], "{what}");
        rebuild(&scene.clinic.pool, &scene.clinic.keys, ORIGIN).await.expect("repaired");
    }
    scene.clinic.book(&free()).await.expect("free");
    let columns = "INSERT INTO claims_unique (bucket, kind, key, aggregate_type, aggregate_id)
                   SELECT bucket, kind, sha256(key), aggregate_type, gen_random_uuid() FROM claims_unique WHERE kind = 'login'";
    attack(&scene.owner, columns).await;
    assert_eq!(
        scene.log_in().await,
        "claims-damaged",
        "nothing is told of a bucket with a row too many"
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn an_older_state_put_back_is_refused_by_a_process_that_has_just_started(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let Scene { clinic, owner, other, account, .. } = Scene::set(&options).await;
    let keys = clinic.keys.clone();
    clinic.ledger.clone().close().await;
    attack(
        &owner,
        "TRUNCATE claims_unique, claims_busy, claims_buckets, claims_seal;
         INSERT INTO claims_unique TABLE older_unique; INSERT INTO claims_busy TABLE older_busy;
         INSERT INTO claims_buckets TABLE older_buckets; INSERT INTO claims_seal TABLE older_seal",
    )
    .await;
    assert_eq!(
        clinic.count("SELECT count(*) FROM claims_busy").await,
        0,
        "the booking is forgotten"
    );
    // The seal is of an older head, so the claims are made from the log before anything is decided.
    let fresh = Clinic::open_with(options, keys, Clock::system()).await;
    assert_eq!(fresh.count("SELECT count(*) FROM claims_busy").await, 3);
    let taken = fresh.book(&slot(other, START)).await;
    assert_eq!(code(&taken), "claim-conflict");
    assert_eq!(fresh.ledger.holder(LOGIN_CLAIM, LOGIN).await.expect("told"), Some(account));
    assert!(compared(&fresh).await.is_sound());
}

#[sqlx::test(migrations = "../migrations")]
async fn rows_from_before_there_were_buckets_are_taken_over_as_the_log_has_them(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let Scene { clinic, owner, booked, other, .. } = Scene::set(&options).await;
    clinic.ledger.execute::<Custody>(booked, erase(), &officer()).await.expect("erased");
    clinic.book(&slot(other, START)).await.expect("the time is free again");
    let keys = clinic.keys.clone();
    clinic.ledger.clone().close().await;
    // As the migration leaves them, with one that was lost and one that nobody was granted.
    attack(
        &owner,
        "TRUNCATE claims_buckets, claims_seal;
         UPDATE claims_unique SET bucket = -1; UPDATE claims_busy SET bucket = -1;
         DELETE FROM claims_busy WHERE resource_kind = 'room';
         INSERT INTO claims_unique VALUES ('login', sha256('x'), 'account', gen_random_uuid(), -1)",
    )
    .await;
    let migrated = Clinic::open_with(options, keys, Clock::system()).await;
    assert!(compared(&migrated).await.is_sound());
    assert_eq!(migrated.count("SELECT count(*) FROM claims_unique").await, 3);
    assert_eq!(migrated.count("SELECT count(*) FROM claims_busy").await, 3);
    assert_eq!(code(&migrated.book(&slot(other, START)).await), "claim-conflict");
}

#[sqlx::test(migrations = "../migrations")]
async fn claims_change_only_by_the_functions_and_only_with_an_event(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let Scene { clinic, .. } = Scene::set(&options).await;
    for table in ["claims_unique", "claims_busy", "claims_buckets", "claims_seal"] {
        for sql in [
            format!("DELETE FROM {table}"),
            format!("INSERT INTO {table} SELECT * FROM {table}"),
            format!("TRUNCATE {table}"),
        ] {
            let refused = sqlx::query(&sql).execute(&clinic.pool).await.expect_err(&sql);
            let code = refused.as_database_error().and_then(|error| error.code());
            assert_eq!(code.as_deref(), Some("42501"), "{sql}: {refused}");
        }
    }
    let change = |gone: &str, released: &str| {
        format!(
            "SELECT change_claims(0, 9, NULL, {gone}, {released},
               '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}')"
        )
    };
    let none = "'{}', '{}', '{}'";
    let a_name = "(SELECT ARRAY[bucket] FROM claims_unique LIMIT 1), (SELECT ARRAY[kind] FROM claims_unique LIMIT 1), \
                  (SELECT ARRAY[key] FROM claims_unique LIMIT 1)";
    let a_time = "(SELECT array_agg(aggregate_id) FROM claims_busy)";
    for sql in [change(a_name, "'{}'"), change(none, a_time)] {
        let refused = sqlx::query(&sql).execute(&clinic.pool).await.expect_err(&sql);
        let code = refused.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {refused}");
    }
    sqlx::query(&change(none, "'{}'")).execute(&clinic.pool).await.expect("it changes nothing");
    let sealed = sqlx::query("SELECT seal_claims(1, 'x')").execute(&clinic.pool).await;
    let code = sealed.expect_err("not the head's size");
    assert_eq!(code.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"));
}

/// Numbers that look random and are the same each time (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

const STARTS: [&str; 6] = [
    "2031-03-03T09:00",
    "2031-03-03T09:15",
    "2031-03-03T09:30",
    "2031-03-03T23:45",
    "2031-03-04T00:00",
    "2031-03-04T09:00",
];

#[sqlx::test(migrations = "../migrations")]
async fn whatever_two_processes_do_the_tables_are_what_a_replay_makes(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let first = Clinic::open(options.clone()).await;
    let second = Clinic::open_with(options.clone(), first.keys.clone(), Clock::system()).await;
    let mut dice = Dice(0xc1a1_35ee);
    let mut patients: Vec<Uuid> = Vec::new();
    for n in 0..6 {
        patients.push(first.register(&format!("P-{n}")).await);
    }
    let mut visits: Vec<Uuid> = Vec::new();
    let (mut done, mut refused) = (0, 0);
    for round in 0..48 {
        // Both at once, so that batches meet batches of the other process.
        let steps: Vec<(u64, u64, u64, u64)> =
            (0..8).map(|_| (dice.roll(12), dice.roll(6), dice.roll(6), dice.roll(1_000))).collect();
        let outcomes = join_all(steps.iter().enumerate().map(|(n, (what, whom, when, pick))| {
            let ledger = if n % 2 == 0 { &first.ledger } else { &second.ledger };
            let patient_id = patients[*whom as usize];
            let visit = visits.get(*pick as usize % visits.len().max(1)).copied();
            let slot = Slot {
                patient: patient_id,
                practitioner: Uuid::from_u128(0xd00 + u128::from(pick % 2)),
                room: Uuid::from_u128(0x100),
                start: STARTS[*when as usize],
            };
            let id = ledger.new_id();
            async move {
                list(ledger, &slot).await;
                let outcome = match (what, visit) {
                    (0..=5, _) | (6..=8, None) => {
                        ledger.execute::<Appointment>(id, slot.book(), &context()).await
                    }
                    (6, Some(visit)) => {
                        ledger.execute::<Appointment>(visit, cancel(), &context()).await
                    }
                    (7..=8, Some(visit)) => {
                        ledger.execute::<Appointment>(visit, slot.reschedule(), &context()).await
                    }
                    (9..=10, _) => {
                        let numbers = [format!("N-{when}"), format!("M-{}", pick % 4)];
                        let command = identify(&numbers.each_ref().map(String::as_str));
                        ledger.execute::<Patient>(patient_id, command, &context()).await
                    }
                    _ if round % 8 == 7 => {
                        ledger.execute::<Custody>(patient_id, erase(), &officer()).await
                    }
                    _ => {
                        let command = patient("Neu", &format!("M-{}", pick % 4));
                        ledger.execute::<Patient>(id, command, &context()).await
                    }
                };
                (*what, id, outcome)
            }
        }))
        .await;
        for (what, id, outcome) in outcomes {
            match outcome {
                Ok(_) => {
                    done += 1;
                    if what <= 5 {
                        visits.push(id);
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(
                        !matches!(error.code(), "claims-damaged" | "unavailable" | "log-damaged"),
                        "round {round}: {error:?}"
                    );
                }
            }
        }
        let report = compared(&first).await;
        assert!(report.is_sound(), "round {round}: {:?}", report.findings);
    }
    assert!(done > 30 && refused > 30, "{done} done, {refused} refused");
    let third = Clinic::open_with(options, first.keys.clone(), Clock::system()).await;
    assert_eq!(third.count("SELECT count(*) FROM claims_seal").await, 1);
    third.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_erasure_waits_until_the_claims_of_the_record_can_be_told(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let Scene { clinic, owner, booked, other, .. } = Scene::set(&options).await;
    attack(&owner, "UPDATE claims_busy SET during = tstzrange(lower(during), upper(during) + interval '1 hour')").await;
    let refused = clinic.ledger.execute::<Custody>(booked, erase(), &officer()).await;
    assert_eq!(code(&refused), "claims-damaged");
    rebuild(&clinic.pool, &clinic.keys, ORIGIN).await.expect("repaired");
    clinic.ledger.execute::<Custody>(booked, erase(), &officer()).await.expect("erased");
    assert!(compared(&clinic).await.is_sound());
    clinic.book(&slot(other, START)).await.expect("free again");
}
