//! What `ledger audit verify` sees in a database beside the log itself: each forgery with every right of the owner, and a superuser's,
//! is named at its place; what nobody touched is sound.

use std::collections::BTreeMap;

use audit::verify::{FindingKind, Options, Trust};
use commands::audit::{Comparison, DatabaseReport, verify};
use commands::database::{self, Login};
use commands::keys::{KeyFolder, SecretName};
use commands::{Actor, Clock, Context, Keys, PurposeOfUse, RetirementReason};
use domain::{Account, AccountCommand, Custody, Patient};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor as _, PgPool};
use tempfile::TempDir;
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, Slot, context, erase, officer, rename};

/// A log with a history, and who audits it.
struct Audited {
    clinic: Clinic,
    auditor: PgPool,
    folder: TempDir,
    patient: Uuid,
    other: Uuid,
    account: Uuid,
}

const KEPT: [&str; 10] = [
    "events",
    "checkpoints",
    "commands",
    "ledger_head",
    "claims_unique",
    "claims_busy",
    "claims_buckets",
    "claims_seal",
    "snapshots",
    "stray_checkpoints",
];

impl Audited {
    async fn open(options: PgConnectOptions) -> Audited {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Keys::generate(folder.path()).expect("keys");
        let login = database::trial(&options, Login::Auditor).await.expect("the rights");
        let clinic = Clinic::open_with(options, keys, Clock::system()).await;
        let auditor = PgPoolOptions::new().connect_with(login).await.expect("the auditor connects");
        let patient = clinic.register("A-1").await;
        let other = clinic.register("A-2").await;
        let room = Uuid::from_u128(2);
        let slot =
            Slot { patient, practitioner: Uuid::from_u128(1), room, start: "2031-03-03T09:00" };
        clinic.book(&slot).await.expect("booked");
        let account = clinic.ledger.new_id();
        let register =
            json!({"register": {"login": "worker", "display_name": "A worker", "kind": "service"}});
        let register: AccountCommand = serde_json::from_value(register).expect("a command");
        clinic.ledger.execute::<Account>(account, register, &context()).await.expect("an account");
        Audited { clinic, auditor, folder, patient, other, account }
    }

    async fn verdict_with(&self, keys: Option<&Keys>) -> DatabaseReport {
        let trust = Trust::any_of(ORIGIN, self.clinic.keys.verifiers(ORIGIN).expect("keys"));
        let options = Options { threads: 1, ..Options::default() };
        verify(&self.auditor, &trust, options, keys, |_| ()).await.expect("readable")
    }

    async fn verdict(&self) -> DatabaseReport {
        self.verdict_with(Some(&self.clinic.keys)).await
    }

    async fn assert_sound(&self) -> DatabaseReport {
        let report = self.verdict().await;
        assert!(report.is_sound(), "{:?} {:?}", report.log.findings, beside(&report));
        let left_out: Vec<_> = report.beside.iter().filter_map(Comparison::left_out).collect();
        assert!(left_out.is_empty(), "{left_out:?}");
        report
    }

    /// As somebody whom no trigger stops.
    async fn attack(&self, sql: &str) {
        let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
        let done = self.clinic.owner.execute(sqlx::raw_sql(&script)).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// In a schema of its own, which is a finding by itself.
    async fn keep(&self) {
        let tables =
            KEPT.map(|table| format!("CREATE TABLE kept.{table} AS TABLE public.{table};"));
        self.attack(&format!("CREATE SCHEMA kept; {}", tables.concat())).await;
    }

    async fn put_back(&self) {
        let tables = KEPT
            .map(|table| format!("DELETE FROM {table}; INSERT INTO {table} TABLE kept.{table};"));
        self.attack(&tables.concat()).await;
    }

    async fn number(&self, sql: &str) -> u64 {
        let number: i64 = sqlx::query_scalar(sql).fetch_one(&self.clinic.owner).await.expect(sql);
        number as u64
    }
}

/// Position, kind and object.
type Named = (Option<u64>, String, String);

/// What was found beside the log, by what was compared: position, kind and object of each.
fn beside(report: &DatabaseReport) -> BTreeMap<&'static str, Vec<Named>> {
    let mut found = BTreeMap::new();
    for comparison in &report.beside {
        let findings = comparison.findings.iter().filter(|found| !found.object.contains("kept"));
        let findings: Vec<_> = findings
            .map(|found| (found.position, found.kind.clone(), found.object.clone()))
            .collect();
        if !findings.is_empty() {
            found.insert(comparison.what, findings);
        }
    }
    found
}

#[sqlx::test(migrations = "../migrations")]
async fn what_nobody_touched_is_sound(_: PgPoolOptions, options: PgConnectOptions) {
    let audited = Audited::open(options).await;
    let fresh = audited.assert_sound().await;
    assert_eq!(fresh.log.size, Some(7));
    let Clinic { ledger, .. } = &audited.clinic;
    // Long enough for a snapshot, which is compared as well.
    for number in 0..130 {
        let renamed = rename(&format!("Name-{number}"));
        ledger.execute::<Patient>(audited.other, renamed, &context()).await.expect("renamed");
    }
    ledger.execute::<Custody>(audited.patient, erase(), &officer()).await.expect("erased");
    audited.assert_sound().await;

    let operator = || Context::new(Actor::bootstrap(), PurposeOfUse::Sysadmin);
    let old = ledger.signing_keys().await.expect("the keys")[0].kid.clone();
    KeyFolder::new(audited.folder.path()).add(SecretName::EventSigning).expect("added");
    ledger.activate_key(&operator()).await.expect("activated");
    audited.clinic.register("B-1").await;
    ledger.retire_key(&old, RetirementReason::Superseded, &operator()).await.expect("retired");
    audited.clinic.register("B-2").await;
    for _ in 0..500 {
        if audited.number("SELECT count(*) FROM snapshots").await > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let report = audited.assert_sound().await;
    let counts: BTreeMap<_, _> =
        report.beside.iter().map(|one| (one.what, one.compared.expect("compared"))).collect();
    assert_eq!(counts["snapshots"], 1);
    assert_eq!(Some(counts["tags of events"]), report.log.size, "each event has its tag");
    assert_eq!(counts["claims"], 4, "three numbers and a log-in name, no times of the erased");
    assert!(counts["objects of the database"] > 200);

    // Without keys it says what that leaves out.
    let without = audited.verdict_with(None).await;
    assert!(without.is_sound(), "{:?}", beside(&without));
    let worth = without.basis().join("\n");
    for told in [
        "not compared  claims (no keys are at hand)",
        "not compared  snapshots (their tags",
        "not compared  tags of events (no keys are at hand)",
    ] {
        assert!(worth.contains(told), "{worth}");
    }
    assert!(worth.contains("nothing earlier") && worth.contains("superusers"), "{worth}");
}

#[sqlx::test(migrations = "../migrations")]
async fn every_forged_row_beside_the_log_is_named(_: PgPoolOptions, options: PgConnectOptions) {
    let audited = Audited::open(options).await;
    let Audited { patient, other, account, .. } = audited;
    audited.keep().await;
    let at = format!("SELECT position FROM events WHERE aggregate_id = '{patient}'");
    let (at, booked) = (
        audited.number(&at).await,
        audited.number("SELECT position FROM events WHERE aggregate_type = 'appointment'").await,
    );
    let appointment: Uuid =
        sqlx::query_scalar("SELECT aggregate_id FROM events WHERE aggregate_type = 'appointment'")
            .fetch_one(&audited.clinic.owner)
            .await
            .expect("the appointment");
    let (patients, others) = (format!("patient/{patient}"), format!("patient/{other}"));
    let appointments = format!("appointment/{appointment}");
    let snapshot = |kind: &str, id: Uuid, version: u64| {
        format!(
            "INSERT INTO snapshots (aggregate_type, aggregate_id, state_version, version, subject, key_id, sealed, mac)
             SELECT '{kind}', '{id}', 1, {version}, subject, key_id, '\\x7b7d', decode(repeat('00', 32), 'hex')
               FROM keyring.data_keys WHERE subject = '{patient}'"
        )
    };
    let accounts = format!("account/{account}");
    let custody = format!("custody/{patient}");
    for (sql, what, found) in [
        (format!("DELETE FROM claims_unique WHERE aggregate_id = '{patient}'"), "claims", (Some(at), "missing", &patients)),
        (format!("UPDATE claims_unique SET aggregate_id = '{other}' WHERE aggregate_id = '{patient}'"), "claims", (Some(at), "changed", &patients)),
        (
            format!("INSERT INTO claims_unique (bucket, kind, key, aggregate_type, aggregate_id)
                     SELECT bucket, kind, sha256(key), aggregate_type, aggregate_id FROM claims_unique WHERE aggregate_id = '{other}'"),
            "claims",
            (None, "foreign", &others),
        ),
        ("DELETE FROM claims_busy".to_owned(), "claims", (Some(booked), "missing", &appointments)),
        (
            "UPDATE claims_busy SET during = tstzrange(lower(during), upper(during) - interval '1 minute')".to_owned(),
            "claims",
            (Some(booked), "changed", &appointments),
        ),
        ("UPDATE claims_seal SET tag = sha256(tag)".to_owned(), "claims", (None, "digest", &"seal".to_owned())),
        ("UPDATE claims_buckets SET digest = sha256(digest)".to_owned(), "claims", (None, "digest", &"bucket".to_owned())),
        (format!("UPDATE events SET tag = sha256(tag) WHERE position = {at}"), "tags of events", (Some(at), "tag", &"event".to_owned())),
        (format!("UPDATE events SET tag = NULL WHERE position = {at}"), "tags of events", (Some(at), "missing", &"event".to_owned())),
        (
            format!("UPDATE events SET tag = (SELECT tag FROM events WHERE position = {booked}) WHERE position = {at}"),
            "tags of events",
            (Some(at), "tag", &"event".to_owned()),
        ),
        (snapshot("patient", patient, 1), "snapshots", (Some(at), "forged", &patients)),
        (snapshot("patient", patient, 2), "snapshots", (None, "foreign", &patients)),
        (snapshot("patient", other, 1).replace(&format!("subject = '{patient}'"), &format!("subject = '{account}'")), "snapshots", (Some(at + 1), "forged", &others)),
        (snapshot("account", account, 1), "snapshots", (Some(booked + 1), "foreign", &accounts)),
        (snapshot("custody", patient, 1), "snapshots", (None, "foreign", &custody)),
        (
            "INSERT INTO stray_checkpoints (size, note) VALUES (7, 'x')".to_owned(),
            "rows set aside",
            (Some(6), "stray", &"checkpoint of size 7".to_owned()),
        ),
    ] {
        audited.attack(&sql).await;
        let report = audited.verdict().await;
        let (position, kind, object) = found;
        let all = beside(&report);
        let found = all.get(what).is_some_and(|all| all.contains(&(position, kind.to_owned(), object.clone())));
        assert!(found, "{sql}: {all:?}");
        assert!(report.log.is_sound(), "{sql}: {:?}", report.log.findings);
        assert!(report.first_place().is_some());
        audited.put_back().await;
    }
    // One that is nobody's needs another table first, and that is named too.
    audited
        .attack("ALTER TABLE snapshots ALTER subject DROP NOT NULL, ALTER key_id DROP NOT NULL")
        .await;
    audited
        .attack(&snapshot("patient", patient, 1).replace("subject, key_id, '", "NULL, NULL, '"))
        .await;
    let all = beside(&audited.verdict().await);
    assert_eq!(all["snapshots"], [(Some(at), "foreign".to_owned(), patients.clone())]);
    let changed = (None, "changed".to_owned(), "column public.snapshots.subject".to_owned());
    assert!(all["objects of the database"].contains(&changed), "{all:?}");
    audited.put_back().await;
    audited
        .attack("ALTER TABLE snapshots ALTER subject SET NOT NULL, ALTER key_id SET NOT NULL")
        .await;
    assert_eq!(beside(&audited.verdict().await), BTreeMap::new());
}

#[sqlx::test(migrations = "../migrations")]
async fn checkpoints_head_and_rows_beyond_it_are_named(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let audited = Audited::open(options).await;
    audited.keep().await;
    for (sql, position, kind, told) in [
        ("DELETE FROM checkpoints WHERE size = 7", 6, FindingKind::Checkpoint, "of size 7"),
        ("DELETE FROM checkpoints WHERE size = 3", 2, FindingKind::Checkpoint, "of size 3"),
        ("DELETE FROM checkpoints WHERE size < 7", 0, FindingKind::Checkpoint, "of size 1"),
        ("UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 2) WHERE size = 4", 3, FindingKind::Checkpoint, "size 4"),
        ("UPDATE ledger_head SET size = 6", 6, FindingKind::Head, "size"),
        ("UPDATE ledger_head SET frontier = '\\x00'", 6, FindingKind::Head, "frontier"),
        ("UPDATE ledger_head SET last_recorded_at = last_recorded_at + interval '1 hour'", 6, FindingKind::Head, "last_recorded_at"),
        (
            "INSERT INTO events SELECT 9000000000000000000, gen_random_uuid(), aggregate_type, gen_random_uuid(), sequence, event_type,
                    event_version, subject, gen_random_uuid(), recorded_at, header, statement, signature, payload, leaf_hash
               FROM events WHERE position = 1",
            7,
            FindingKind::Missing,
            "missing",
        ),
        ("INSERT INTO checkpoints SELECT 9, note FROM checkpoints WHERE size = 7", 7, FindingKind::Checkpoint, "size 9"),
        ("INSERT INTO tiles VALUES (0, 0, decode(repeat('00', 8192), 'hex'))", 7, FindingKind::Tile, "0/0"),
    ] {
        audited.attack(sql).await;
        let report = audited.verdict().await;
        let named = report.log.findings.iter().any(|found| {
            (found.position, found.kind) == (position, kind) && found.detail.contains(told)
        });
        assert!(named, "{sql}: {:?}", report.log.findings);
        audited.attack("DELETE FROM tiles").await;
        audited.put_back().await;
    }
    // A hint of when to look again, which decides nothing: nobody can tell from the log what it was.
    audited.attack("UPDATE ledger_head SET epoch = epoch + 7").await;
    let report = audited.verdict().await;
    assert!(report.log.is_sound() && beside(&report).is_empty(), "{:?}", report.log.findings);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_audit_while_the_ledger_is_written_to_is_of_one_moment(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let audited = Audited::open(options).await;
    let writing = async {
        for number in 0..40 {
            let id = audited.clinic.register(&format!("W-{number}")).await;
            if number % 8 == 0 {
                let erased =
                    audited.clinic.ledger.execute::<Custody>(id, erase(), &officer()).await;
                erased.expect("erased");
            }
        }
    };
    let auditing = async {
        let mut sizes = Vec::new();
        for _ in 0..8 {
            sizes.push(audited.assert_sound().await.log.events);
        }
        sizes
    };
    let ((), sizes) = tokio::join!(writing, auditing);
    assert!(sizes.is_sorted() && sizes[0] < sizes[7], "it was written to meanwhile: {sizes:?}");
    audited.assert_sound().await;
}

/// Settings that would have the auditor's sessions read other tables are undone by them, and named.
#[sqlx::test(migrations = "../migrations")]
async fn other_tables_are_not_read_in_the_place_of_the_logs(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let database = options.get_database().expect("a name").to_owned();
    let audited = Audited::open(options).await;
    // Sound copies, which an auditor would be shown while the true tables are changed.
    let copies = KEPT.map(|table| format!("CREATE TABLE kept.{table} AS TABLE public.{table};"));
    let shown = format!(
        "CREATE SCHEMA kept; {} GRANT USAGE ON SCHEMA kept TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO PUBLIC;
         ALTER DATABASE \"{database}\" SET search_path = kept, public;
         UPDATE public.events SET payload = 'x' WHERE position = 2",
        copies.concat()
    );
    audited.attack(&shown).await;
    let report = audited.verdict().await;
    let first = report.log.first_damage().expect("seen");
    assert_eq!((first.position, first.kind), (2, FindingKind::Payload));
    let objects = &beside(&report)["objects of the database"];
    let setting = (None, "foreign".to_owned(), "setting this database any role".to_owned());
    assert!(objects.contains(&setting), "{objects:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_a_login_may_not_read_is_said_to_be_left_out(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let audited = Audited::open(options).await;
    let Clinic { pool, keys, .. } = &audited.clinic;
    let trust = Trust::any_of(ORIGIN, keys.verifiers(ORIGIN).expect("keys"));
    let options = Options { threads: 1, ..Options::default() };
    let report = verify(pool, &trust, options, Some(keys), |_| ()).await.expect("readable");
    assert!(report.is_sound(), "{:?}", beside(&report));
    let left_out: Vec<_> = report.beside.iter().filter_map(Comparison::left_out).collect();
    assert_eq!(left_out, ["rows set aside (this login may not read them)"]);
}

/// Nothing that somebody writes keeps the audit from saying what is wrong.
#[sqlx::test(migrations = "../migrations")]
async fn a_column_without_a_value_is_a_finding_and_no_failure(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let audited = Audited::open(options).await;
    let patient = audited.patient;
    audited
        .attack(&format!(
            "INSERT INTO snapshots (aggregate_type, aggregate_id, state_version, version, subject, key_id, sealed, mac)
             SELECT 'patient', '{patient}', 1, 1, subject, key_id, '\\x7b7d', decode(repeat('00', 32), 'hex')
               FROM keyring.data_keys WHERE subject = '{patient}';
             INSERT INTO stray_checkpoints (size, note) VALUES (7, 'x')"
        ))
        .await;
    for (table, what) in [
        ("keyring.data_keys", "data keys"),
        ("public.commands", "rows of commands"),
        ("public.snapshots", "snapshots"),
        ("public.stray_checkpoints", "rows set aside"),
        ("public.claims_unique", "claims"),
        ("public.claims_busy", "claims"),
        ("public.claims_buckets", "claims"),
        ("public.claims_seal", "claims"),
        ("public.checkpoints", "the log"),
        ("public.events", "the log"),
    ] {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_attribute
              WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
                -- Empty as long as the key is there; without a meaning.
                AND attname NOT IN ('destroyed_at', 'singleton', 'written_at')
                AND (attrelid, attname) <> ('events'::regclass, 'subject') -- null in the first
                AND (attrelid, attname) <> ('events'::regclass, 'tag') -- the first may be of a version that gave none
                AND (attrelid, attname) <> ('claims_buckets'::regclass, 'size') -- where to begin to read, no more",
        )
        .bind(table)
        .fetch_all(&audited.clinic.owner)
        .await
        .expect(table);
        assert!(columns.len() > 1, "{table}");
        audited
            .attack(&format!(
                "CREATE TABLE before AS TABLE {table};
                 DO $$ DECLARE c record; BEGIN
                   FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype <> 't' LOOP
                     EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I CASCADE', c.conname);
                   END LOOP;
                   FOR c IN SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attnotnull LOOP
                     EXECUTE format('ALTER TABLE {table} ALTER %I DROP NOT NULL', c.attname);
                   END LOOP;
                 END $$"
            ))
            .await;
        for column in columns {
            let script = format!(
                "UPDATE {table} SET {column} = NULL WHERE ctid = (SELECT min(ctid) FROM {table})"
            );
            audited.attack(&script).await;
            let report = audited.verdict().await;
            let all = beside(&report);
            let of_the_log = what == "the log" && !report.log.is_sound();
            assert!(of_the_log || all.contains_key(what), "{table}.{column}: {all:?}");
            audited.attack(&format!("DELETE FROM {table}; INSERT INTO {table} TABLE before")).await;
        }
        audited.attack("DROP TABLE before").await;
    }
}
