//! Snapshots of long streams: they change how fast a stream is loaded, and nothing else.

use std::fmt::Debug;

use audit::statement::Digest;
use commands::policy::Authorised;
use commands::{Clock, CommandError, Keys, Ledger, LedgerConfig};
use domain::{
    Account, AccountCommand, Appointment, Disclosure, Patient, Stream, WoundCommand, WoundEpisode,
};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, Slot, cancel, context, list, open_wound, patient, rename};

fn command<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a command")
}

/// Another process, which knows nothing but the database.
async fn process(pool: &PgPool, keys: &Keys, every: u64) -> Ledger {
    let config = LedgerConfig { snapshot_every: every, ..LedgerConfig::new(ORIGIN) };
    let opened = Ledger::open(pool.clone(), keys.clone(), Clock::system(), config).await;
    opened.expect("the ledger opens")
}

struct Long {
    clinic: Clinic,
    owner: PgPool,
    every: u64,
}

impl Long {
    async fn open(options: PgConnectOptions, every: u64) -> Long {
        let owner = PgPoolOptions::new().max_connections(2).connect_with(options.clone());
        let owner = owner.await.expect("the owner connects");
        let mut clinic = Clinic::open(options).await;
        clinic.ledger = process(&clinic.pool, &clinic.keys, every).await;
        Long { clinic, owner, every }
    }

    async fn execute(&self, sql: &str) -> u64 {
        self.owner.execute(sql).await.expect("only the owner can").rows_affected()
    }

    /// The version of the snapshot of a stream, 0 if it has none.
    async fn kept(&self, id: Uuid) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(max(version), 0) FROM snapshots WHERE aggregate_id = $1",
        )
        .bind(id)
        .fetch_one(&self.owner)
        .await
        .expect("the snapshots")
    }

    /// Loads as a new process does, and lets it finish what it does in the background.
    async fn load<A: Stream + 'static>(&self, id: Uuid) -> Result<(u64, A), CommandError> {
        let cold = process(&self.clinic.pool, &self.clinic.keys, self.every).await;
        let loaded = cold.load::<A>(id).await;
        cold.close().await;
        loaded.map(|loaded| {
            let loaded = loaded.expect("it is there");
            (loaded.version, loaded.aggregate)
        })
    }

    /// Loads every event: no process finds a snapshot of a form it does not know.
    async fn replay<A: Stream + 'static>(&self, id: Uuid) -> (u64, A) {
        self.execute("UPDATE snapshots SET state_version = state_version + 1000").await;
        let cold = process(&self.clinic.pool, &self.clinic.keys, u64::MAX).await;
        let loaded = cold.load::<A>(id).await.expect("readable").expect("it is there");
        // Meanwhile the process that keeps snapshots may have kept one of these again.
        self.execute(
            "DELETE FROM snapshots AS put_away USING snapshots AS fresh \
             WHERE put_away.aggregate_type = fresh.aggregate_type \
             AND put_away.aggregate_id = fresh.aggregate_id \
             AND put_away.state_version = fresh.state_version + 1000",
        )
        .await;
        self.execute(
            "UPDATE snapshots SET state_version = state_version - 1000 WHERE state_version >= 1000",
        )
        .await;
        (loaded.version, loaded.aggregate)
    }

    /// Does one thing after another, and compares the two ways to load at every version.
    async fn compare<A>(&self, id: Uuid, commands: Vec<A::Command>)
    where
        A: Stream + PartialEq + Debug + 'static,
        A::Command: Authorised + Serialize + Clone,
    {
        for (command, version) in commands.into_iter().zip(1..) {
            let ledger = process(&self.clinic.pool, &self.clinic.keys, self.every).await;
            // As the process that has it in memory, which takes a snapshot after an append.
            ledger.load::<A>(id).await.expect("readable");
            ledger.execute::<A>(id, command, &context()).await.expect("done");
            ledger.close().await;
            let due = if A::KEEPS_SNAPSHOTS { version - version % self.every } else { 0 };
            assert_eq!(self.kept(id).await as u64, due, "{} at version {version}", A::TYPE);
            let (snapshot, replay) =
                (self.load::<A>(id).await.expect("readable"), self.replay::<A>(id).await);
            assert_eq!(snapshot, replay, "{} at version {version}", A::TYPE);
            assert_eq!(replay.0, version);
        }
    }
}

fn scan(n: u128) -> WoundCommand {
    command(json!({"record-scan": {
        "scan_id": Uuid::from_u128(n),
        "capture": {"blob_id": Uuid::from_u128(n), "sha256": Digest([n as u8; 32]), "size": 9,
                    "media_type": "application/vnd.coherency.capture+tar"},
        "captured_at": "2026-01-01T00:00:00Z",
    }}))
}

fn account() -> Vec<AccountCommand> {
    let register = json!({"register": {"login": "worker", "display_name": "A worker",
        "kind": "service"}});
    let (grant, revoke) = (
        json!({"grant-role": {"role": "service"}}),
        json!({"revoke-role": {"role": "service", "reason": "no longer"}}),
    );
    [register, grant.clone(), revoke.clone(), grant, revoke].map(command).into()
}

async fn every_aggregate(long: &Long) {
    let patient_id = long.clinic.ledger.new_id();
    let names = ["Eins", "Zwei", "Drei", "Vier", "Fünf", "Sechs"].map(rename);
    let life = std::iter::once(patient("Mustermann", "A-1")).chain(names).collect();
    long.compare::<Patient>(patient_id, life).await;
    let slot = |start| Slot {
        patient: patient_id,
        practitioner: Uuid::from_u128(1),
        room: Uuid::from_u128(2),
        start,
    };
    let [first, second, third] =
        ["2031-03-03T09:00", "2031-03-03T10:00", "2031-03-03T11:00"].map(slot);
    list(&long.clinic.ledger, &first).await;
    let visit = vec![first.book(), second.reschedule(), third.reschedule(), cancel()];
    long.compare::<Appointment>(long.clinic.ledger.new_id(), visit).await;
    let wound = std::iter::once(open_wound(patient_id)).chain((1..6).map(scan)).collect();
    long.compare::<WoundEpisode>(long.clinic.ledger.new_id(), wound).await;
    long.compare::<Account>(long.clinic.ledger.new_id(), account()).await;
    // A look is one event, and nobody decides on it again.
    let look =
        command(json!({"patient_id": patient_id, "resource": "patient", "outcome": "disclosed"}));
    let receipt = long.clinic.ledger.disclose(vec![look], &context()).await.expect("recorded");
    for _ in 0..2 {
        let look = long.load::<Disclosure>(receipt.stream_id).await.expect("readable");
        assert_eq!(look, long.replay::<Disclosure>(receipt.stream_id).await);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_snapshot_at_every_version_loads_what_a_replay_does(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    every_aggregate(&Long::open(options, 1).await).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_snapshot_and_the_events_after_it_load_what_a_replay_does(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let long = Long::open(options, 3).await;
    every_aggregate(&long).await;
    let clear: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM snapshots
          WHERE position('Vier' IN encode(sealed, 'escape')) > 0 OR key_id IS NULL",
    )
    .fetch_one(&long.owner)
    .await
    .expect("the snapshots");
    assert_eq!(clear, 0, "a state stands in the clear");
    long.clinic.assert_sound().await;
}

/// A patient with two names more than a snapshot holds.
async fn long_patient(long: &Long, mrn: &str) -> Uuid {
    let id = long.clinic.register(mrn).await;
    for family in ["Eins", "Zwei", "Drei", "Vier", "Fünf"] {
        let done = long.clinic.ledger.execute::<Patient>(id, rename(family), &context()).await;
        done.expect("edited");
    }
    // It is written in the background.
    for _ in 0..500 {
        if long.kept(id).await == 4 {
            return id;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no snapshot was written")
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_wrong_with_a_snapshot_costs_a_replay(_: PgPoolOptions, options: PgConnectOptions) {
    let long = Long::open(options, 4).await;
    let (id, other) = (long_patient(&long, "A-1").await, long_patient(&long, "A-2").await);
    let whole = long.replay::<Patient>(id).await;
    let of = format!("WHERE aggregate_id = '{id}'");
    for damage in [
        format!("sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) {of}"),
        format!("sealed = substring(sealed FOR 10) {of}"),
        format!("sealed = '' {of}"),
        format!("sealed = (SELECT sealed FROM snapshots WHERE aggregate_id = '{other}') {of}"),
        format!("version = 3 {of}"),
        format!("version = 5 {of}"),
        format!("version = 600 {of}"),
        format!("key_id = '{other}' {of}"),
        format!("subject = '{other}' {of}"),
        format!("mac = set_byte(mac, 0, get_byte(mac, 0) # 1) {of}"),
        format!("mac = (SELECT mac FROM snapshots WHERE aggregate_id = '{other}') {of}"),
        format!("state_version = 99 {of}"),
    ] {
        assert_eq!(long.execute(&format!("UPDATE snapshots SET {damage}")).await, 1, "{damage}");
        assert_eq!(long.load::<Patient>(id).await.expect("readable"), whole, "{damage}");
        // Whoever had to replay keeps the state anew, so that the next one need not.
        assert_eq!(long.kept(id).await, 6, "{damage}");
        assert_eq!(long.load::<Patient>(id).await.expect("readable"), whole, "{damage}");
        long.execute(&format!("DELETE FROM snapshots {of}")).await;
        let ledger = process(&long.clinic.pool, &long.clinic.keys, 1).await;
        ledger.load::<Patient>(id).await.expect("readable");
        ledger.close().await;
    }
    let done = long.clinic.ledger.execute::<Patient>(id, rename("Ende"), &context()).await;
    assert_eq!(done.expect("edited").version, 7);
    long.clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn with_a_snapshot_no_older_event_is_read(_: PgPoolOptions, options: PgConnectOptions) {
    let long = Long::open(options, 4).await;
    let id = long_patient(&long, "A-1").await;
    let whole = long.replay::<Patient>(id).await;
    long.execute("ALTER TABLE events DISABLE TRIGGER USER").await;
    let damaged = format!(
        "UPDATE events SET payload = 'x' WHERE aggregate_id = '{id}' AND sequence BETWEEN 1 AND 4"
    );
    assert_eq!(long.execute(&damaged).await, 4);
    assert_eq!(long.load::<Patient>(id).await.expect("from the snapshot"), whole);
    // Dropped, it is missed by nobody but the clock; here, the whole stream has to be read, and is damaged.
    long.execute("TRUNCATE snapshots").await;
    let error = long.load::<Patient>(id).await.expect_err("the log is damaged");
    assert!(matches!(error, CommandError::Damaged(_)), "{error:?}");
}

/// Whatever part of a stream a load reads in which step, none of its events can be left out.
#[sqlx::test(migrations = "../migrations")]
async fn a_stream_without_one_of_its_events_is_not_loaded(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let long = Long::open(options, 3).await;
    let id = long.clinic.register("A-1").await;
    for number in 2..=11 {
        let renamed = rename(&format!("Name-{number}"));
        long.clinic.ledger.execute::<Patient>(id, renamed, &context()).await.expect("edited");
    }
    let whole = long.replay::<Patient>(id).await;
    assert_eq!(whole.0, 11);
    long.execute("ALTER TABLE events DISABLE TRIGGER USER; CREATE TABLE saved AS TABLE events")
        .await;
    for every in [1, 2, 3, 5, 10, 11, 12, 1_000] {
        let open = async || {
            // No process finds one that another has made.
            long.execute("TRUNCATE snapshots").await;
            process(&long.clinic.pool, &long.clinic.keys, every).await
        };
        let cold = open().await;
        let loaded = cold.load::<Patient>(id).await.expect("readable").expect("it is there");
        assert_eq!((loaded.version, loaded.aggregate), whole, "{every}");
        cold.close().await;
        for missing in 1..11 {
            let of = format!("aggregate_id = '{id}' AND sequence = {missing}");
            let cold = open().await;
            assert_eq!(long.execute(&format!("DELETE FROM events WHERE {of}")).await, 1);
            let error = cold.load::<Patient>(id).await.expect_err("an event is missing");
            // Whichever is first to see it, the load or the watch.
            assert_eq!(error.code(), "log-damaged", "{every}, {missing}: {error:?}");
            cold.close().await;
            let back = format!("INSERT INTO events SELECT * FROM saved WHERE {of}");
            assert_eq!(long.execute(&back).await, 1);
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn dropping_all_snapshots_changes_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    let long = Long::open(options, 4).await;
    let id = long_patient(&long, "A-1").await;
    let before = long.load::<Patient>(id).await.expect("readable");
    let audited = long.clinic.assert_sound().await;
    long.execute("TRUNCATE snapshots").await;
    assert_eq!(long.load::<Patient>(id).await.expect("readable"), before);
    assert_eq!(long.kept(id).await, 6, "and it is kept again");
    assert_eq!(long.clinic.assert_sound().await.root, audited.root);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_that_is_gone_closes_the_snapshot_too(_: PgPoolOptions, options: PgConnectOptions) {
    let long = Long::open(options, 4).await;
    let id = long_patient(&long, "A-1").await;
    long.execute("UPDATE keyring.data_keys SET wrapped = NULL, destroyed_at = now()").await;
    let error = long.load::<Patient>(id).await.expect_err("no key");
    assert_eq!(error.code(), "key-missing", "{error:?}");
}
