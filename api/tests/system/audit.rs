//! Damage of every kind, done with the rights of the database's owner, and found by `ledger audit verify`,
//! which names the position.

use std::fs;
use std::path::Path;

use commands::{Actor, Context, Ledger, PurposeOfUse};
use domain::{Appointment, AppointmentCommand, Patient, PatientCommand};
use serde_json::{Value, json};
use sqlx::Executor as _;
use uuid::Uuid;

use crate::support::{Instance, Random, below, list};

/// The types of the columns of `events` but its tag, each with the SQL that flips bit `{bit}` of a value.
const COLUMNS: [(&str, Flip); 15] = [
    ("position", Flip::Number),
    ("event_id", Flip::Uuid),
    ("aggregate_type", Flip::Text),
    ("aggregate_id", Flip::Uuid),
    ("sequence", Flip::Number),
    ("event_type", Flip::Text),
    ("event_version", Flip::Text),
    ("subject", Flip::Uuid),
    ("command_id", Flip::Uuid),
    ("recorded_at", Flip::Time),
    ("header", Flip::Bytes),
    ("statement", Flip::Bytes),
    ("signature", Flip::Bytes),
    ("payload", Flip::Bytes),
    ("leaf_hash", Flip::Bytes),
];

#[derive(Clone, Copy)]
enum Flip {
    Bytes,
    Number,
    Text,
    Time,
    Uuid,
}

impl Flip {
    /// The expression that is `column` with one bit of it flipped. `chance` chooses which.
    fn sql(self, column: &str, chance: u64) -> String {
        let flipped = |bytes: &str, bit: &str| {
            format!("set_bit({bytes}, {bit}, 1 - get_bit({bytes}, {bit}))")
        };
        match self {
            Flip::Bytes => {
                flipped(column, &format!("({chance} % (octet_length({column}) * 8))::int"))
            }
            // High enough that no other row has the number, so that no constraint is in the way.
            Flip::Number => format!("{column} # (1::bigint << {})", 20 + chance % 30),
            // One of the low four bits of a byte: still ASCII.
            Flip::Text => {
                let bytes = format!("convert_to({column}, 'UTF8')");
                let bit =
                    format!("({} % octet_length({bytes}) * 8 + {})::int", chance >> 8, chance % 4);
                format!("convert_from({}, 'UTF8')", flipped(&bytes, &bit))
            }
            Flip::Time => {
                let base = "timestamptz '2000-01-01 00:00:00+00'";
                let micros = format!("(extract(epoch FROM ({column} - {base})) * 1000000)::bigint");
                let bit = chance % 40;
                format!("{base} + ({micros} # (1::bigint << {bit})) * interval '1 microsecond'")
            }
            Flip::Uuid => {
                let bytes = format!("uuid_send({column})");
                format!("encode({}, 'hex')::uuid", flipped(&bytes, &(chance % 128).to_string()))
            }
        }
    }
}

/// Patients and bookings enough for a complete tile, through the write side.
async fn fill(ledger: &Ledger) {
    let context = || Context::new(Actor::importer(), PurposeOfUse::Hoperat);
    let day = jiff::civil::date(2031, 3, 3).at(8, 0, 0, 0);
    list(ledger, [Uuid::from_u128(7)]).await;
    for number in 0..140_i64 {
        let id = ledger.new_id();
        let command = json!({ "register": { "name": { "family": format!("Audited-{number}") },
            "identifiers": [{ "system": "urn:example:mrn", "value": format!("A-{number}") }] } });
        let command: PatientCommand = serde_json::from_value(command).expect("a command");
        ledger.execute::<Patient>(id, command, &context()).await.expect("registered");
        let start = day.saturating_add(jiff::Span::new().minutes(15 * number));
        let command = json!({ "book": { "patient_id": id, "practitioner_id": Uuid::from_u128(7),
            "time": { "start": start, "zone": "UTC", "duration_minutes": 15 } } });
        let command: AppointmentCommand = serde_json::from_value(command).expect("a command");
        let booked = ledger.execute::<Appointment>(ledger.new_id(), command, &context()).await;
        booked.expect("booked");
    }
}

async fn filled() -> Instance {
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    fill(&ledger).await;
    ledger.close().await;
    instance
}

/// Does damage that no trigger stands in the way of.
async fn damage(instance: &Instance, sql: &str) {
    let mut connection = instance.pool.acquire().await.expect("a connection");
    let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
    connection.execute(script.as_str()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Keeps the tables as they are, to be put back after each damage.
async fn keep(instance: &Instance) {
    for table in TABLES {
        damage(instance, &format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
}

const TABLES: [&str; 5] = ["events", "commands", "checkpoints", "tiles", "ledger_head"];

/// The copies are tables that nobody reviewed, which is a finding by itself.
async fn let_go(instance: &Instance) {
    for table in TABLES {
        damage(instance, &format!("DROP TABLE kept_{table}")).await;
    }
}

async fn put_back(instance: &Instance, table: &str) {
    damage(instance, &format!("DELETE FROM {table}; INSERT INTO {table} TABLE kept_{table}")).await;
}

/// What `ledger audit verify` says of the database: its exit status, and the first finding.
async fn verdict(instance: &Instance) -> (i32, Value) {
    let ran = instance.run(["--json", "audit", "verify"]).await;
    let report = ran.json();
    (ran.status, report["findings"][0].clone())
}

async fn report_of(instance: &Instance) -> (i32, Value) {
    let ran = instance.run(["--json", "audit", "verify"]).await;
    (ran.status, ran.json())
}

/// What is said of the objects of the database.
fn objects(report: &Value) -> impl Iterator<Item = &Value> {
    let beside = report["beside"].as_array().into_iter().flatten();
    let of_objects = beside.filter(|one| one["what"] == "objects of the database");
    of_objects.flat_map(|one| one["findings"].as_array().into_iter().flatten())
}

async fn found_at(instance: &Instance, position: i64, what: &str) {
    let (status, finding) = verdict(instance).await;
    assert_eq!(status, 3, "{what} at {position} was not found");
    assert_eq!(finding["position"], position, "{what}: {finding}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_in_any_column_of_an_event_is_found_and_its_position_named() {
    let instance = filled().await;
    assert_eq!(verdict(&instance).await, (0, Value::Null));
    keep(&instance).await;
    let size = u64::try_from(instance.events().await).expect("a size");
    assert_eq!(size, 282);
    let stored = "SELECT count(*) FROM information_schema.columns
                   WHERE table_schema = 'public' AND table_name = 'events'";
    assert_eq!(instance.count(stored).await, COLUMNS.len() as i64 + 1, "no column is left out");

    let mut random = Random::new(6);
    for (column, flip) in COLUMNS {
        // The binary once, and then, because it takes less time, what it calls.
        for trial in 0..5 {
            // The genesis is about nobody, so its subject has no bit to flip.
            let first = u64::from(column == "subject");
            let position = random.within(first..size) as i64;
            let flipped = flip.sql(column, random.within(0..1 << 40));
            let sql = format!("UPDATE events SET {column} = {flipped} WHERE position = {position}");
            damage(&instance, &sql).await;
            if trial == 0 {
                found_at(&instance, position, column).await;
            } else {
                let report = instance.audit().await;
                let first = report.first_damage().map(|finding| finding.position as i64);
                assert_eq!(first, Some(position), "{column}: {:?}", report.findings);
            }
            put_back(&instance, "events").await;
        }
    }
    // The tag is the ledger's own and no part of the evidence: it is told of beside the log.
    for _ in 0..3 {
        let position = random.within(0..size) as i64;
        let flipped = Flip::Bytes.sql("tag", random.within(0..1 << 40));
        let sql = format!("UPDATE events SET tag = {flipped} WHERE position = {position}");
        damage(&instance, &sql).await;
        let (status, report) = report_of(&instance).await;
        assert_eq!((status, &report["findings"][0]), (3, &Value::Null));
        let beside = report["beside"].as_array().expect("a list");
        let tags = beside.iter().find(|one| one["what"] == "tags of events").expect("compared");
        assert_eq!(tags["findings"][0]["position"], position, "{tags}");
        put_back(&instance, "events").await;
    }
    let_go(&instance).await;
    assert_eq!(verdict(&instance).await, (0, Value::Null), "everything is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_rows_swapped_payloads_and_other_tables_are_found() {
    let instance = filled().await;
    keep(&instance).await;
    for position in [0, 1, 117, 256, 281] {
        damage(&instance, &format!("DELETE FROM events WHERE position = {position}")).await;
        found_at(&instance, position, "a removed row").await;
        put_back(&instance, "events").await;
    }
    for (one, other) in [(3, 4), (17, 203)] {
        let swap = format!(
            "UPDATE events e SET payload = k.payload FROM kept_events k
              WHERE (e.position, k.position) IN (({one}, {other}), ({other}, {one}))"
        );
        damage(&instance, &swap).await;
        found_at(&instance, one, "swapped payloads").await;
        put_back(&instance, "events").await;
    }
    // The tail cut off, and everything that would tell of it put back to what it was.
    let cut = "DELETE FROM events WHERE position = 281; DELETE FROM checkpoints WHERE size = 282";
    damage(&instance, cut).await;
    found_at(&instance, 281, "a cut tail").await;
    let (status, report) = report_of(&instance).await;
    let copies: Vec<&Value> = objects(&report).collect();
    assert_eq!((status, copies.len() > TABLES.len()), (3, true), "{copies:?}");
    assert!(
        copies.iter().all(|found| found["object"].as_str().is_some_and(|of| of.contains("kept_")))
    );
    put_back(&instance, "events").await;
    put_back(&instance, "checkpoints").await;

    let bytes = |column: &str| Flip::Bytes.sql(column, 1_234_567);
    for (table, column, value) in [
        ("commands", "first_position", "first_position + 1".to_owned()),
        ("commands", "event_count", "event_count + 1".to_owned()),
        ("commands", "log_size", "log_size + 1".to_owned()),
        ("checkpoints", "note", bytes("note")),
        ("tiles", "hashes", bytes("hashes")),
        ("ledger_head", "origin", "'other'".to_owned()),
        ("ledger_head", "size", "size - 1".to_owned()),
        ("ledger_head", "frontier", bytes("frontier")),
        ("ledger_head", "checkpoint", bytes("checkpoint")),
        ("ledger_head", "last_recorded_at", "last_recorded_at + interval '1 second'".to_owned()),
    ] {
        let one = format!("(ctid = (SELECT min(ctid) FROM {table}))");
        damage(&instance, &format!("UPDATE {table} SET {column} = {value} WHERE {one}")).await;
        let report = instance.audit().await;
        assert!(report.first_damage().is_some(), "{table}.{column}");
        put_back(&instance, table).await;
    }
    let_go(&instance).await;
    assert_eq!(verdict(&instance).await, (0, Value::Null), "everything is as it was");
}

async fn verify_export(instance: &Instance, folder: &Path) -> (i32, Value) {
    let key = instance.verifier_key();
    let mut command = instance.command(["--json", "audit", "verify", "--key", key.as_str()]);
    // An auditor has the folder and the key, and nothing else.
    for name in ["DATABASE_URL", "LEDGER_AUDITOR_DATABASE_URL", "LEDGER_KEYS_DIR", "LEDGER_ORIGIN"]
    {
        command.env_remove(name);
    }
    command.arg(folder);
    let ran = instance.finish(command).await;
    (ran.status, ran.json()["findings"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_verifies_offline_and_a_changed_byte_in_any_of_its_files_is_found() {
    let instance = filled().await;
    let folder = instance.path("export");
    let text = folder.to_str().expect("text");
    instance.run(["--json", "audit", "export", text]).await.succeeded();
    assert_eq!(verify_export(&instance, &folder).await, (0, Value::Null));

    let mut random = Random::new(7);
    let files = below(&folder);
    // Checkpoint and keys; of 282 events a whole and a begun tile, bundle and payloads each, and the tile above.
    assert_eq!(files.len(), 2 + 2 * 3 + 1, "{files:?}");
    for file in &files {
        let good = fs::read(file).expect("the file");
        let mut bad = good.clone();
        let at = random.within(0..bad.len() as u64) as usize;
        bad[at] ^= 1 << random.within(0..8);
        fs::write(file, bad).expect("written");
        let (status, finding) = verify_export(&instance, &folder).await;
        assert_eq!(status, 3, "byte {at} of {}", file.display());
        assert!(finding["position"].is_u64(), "{finding}");
        fs::remove_file(file).expect("removed");
        let (status, _) = verify_export(&instance, &folder).await;
        assert_eq!(status, 3, "{} is missing", file.display());
        fs::write(file, good).expect("written");
    }
    fs::write(folder.join("stranger"), "?").expect("written");
    assert_eq!(verify_export(&instance, &folder).await.0, 3, "a file that belongs to no export");
    fs::remove_file(folder.join("stranger")).expect("removed");
    assert_eq!(verify_export(&instance, &folder).await, (0, Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_on_a_database_says_what_it_compared_and_what_not() {
    let instance = filled().await;
    let said = instance.run(["audit", "verify"]).await.succeeded().stdout;
    for told in [
        "as of      size 282, ",
        "compared   with nothing earlier",
        "420 claims",
        "0 snapshots, ",
        "0 rows set aside",
        "282 tags of events",
        "not compared  checkpoints kept outside (there is no ",
        "not compared  witnesses (LEDGER_WITNESSES names none)",
        "note       superusers can do anything here",
        "verdict    sound as of this size",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    // Somebody who has the log's public key and nothing else is told what that leaves out.
    let key = instance.verifier_key();
    let mut command = instance.command(["audit", "verify", "--key", key.as_str()]);
    command.env_remove("LEDGER_KEYS_DIR").env_remove("LEDGER_ORIGIN");
    let said = instance.finish(command).await.succeeded().stdout;
    for told in [
        "not compared  claims (no keys are at hand)",
        "not compared  snapshots (their tags: no keys are at hand)",
        "not compared  checkpoints kept outside (LEDGER_CHECKPOINTS names no folder)",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    for (sql, told) in [
        (
            "ALTER TABLE events DISABLE TRIGGER append_only",
            "trigger public.events append_only: changed",
        ),
        (
            "DELETE FROM claims_busy WHERE lower(during) = (SELECT min(lower(during)) FROM claims_busy)",
            "position 3, appointment/",
        ),
        (
            "DELETE FROM checkpoints WHERE size = 100",
            "position 99: checkpoint: the checkpoint of size 100",
        ),
    ] {
        damage(&instance, sql).await;
        let ran = instance.run(["audit", "verify"]).await;
        assert_eq!(ran.status, 3, "{sql}: {}", ran.stdout);
        assert!(
            ran.stdout.contains(told) && ran.stdout.contains("verdict    DAMAGED, first at "),
            "{told}: {}",
            ran.stdout
        );
    }
    // Where not even the log can be read, the message names what was done to its table.
    damage(&instance, "ALTER TABLE events RENAME TO mine").await;
    let ran = instance.run(["audit", "verify"]).await;
    assert_eq!(ran.status, 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("not as it was made"), "{}", ran.stderr);
}
