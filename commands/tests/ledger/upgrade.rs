//! A log that an earlier version made, with its keys, as an operator would bring it along: it migrates, opens, is written to and
//! verifies, in the database and exported, by both verifiers.
//!
//! `upgrade/` holds a dump that the version 20de38c left: patients, accounts, bookings, a scan with its measurement, an erasure with
//! its purge, a hold, a stream long enough for a snapshot, a rotation of the signing key and one of the key-encryption key. Its keys
//! are for this test and nothing else.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use audit::export::verify_export;
use audit::postgres::{DataKeys, LogReader, export_database};
use audit::statement::{FORMAT_V1, FORMAT_V2, Statement};
use audit::verify::{Options, Trust};
use commands::database::{self, Login};
use commands::{Clock, CommandError, Keys, Ledger, LedgerConfig, log_policy};
use domain::{Appointment, Custody, Patient};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::clinic::{Slot, context, erase, list, officer, owner, patient, rename, serve};

const LOG: &str = include_str!("upgrade/log.json");
const DUMP: &[u8] = include_bytes!("upgrade/dump.sql.gz");

struct Old {
    said: Value,
    keys: Keys,
    owner: PgPool,
    options: PgConnectOptions,
}

impl Old {
    /// Restores the dump as it was made, and migrates it as `ledger migrate` does.
    async fn restore(options: PgConnectOptions, folder: &Path) -> Old {
        let said: Value = serde_json::from_str(LOG).expect("JSON");
        for (name, text) in said["keys"].as_object().expect("the keys") {
            let path = folder.join(name);
            std::fs::write(&path, text.as_str().expect("text")).expect("written");
            let secret = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, secret).expect("chmod");
        }
        let mut dump = String::new();
        flate2::read::GzDecoder::new(DUMP).read_to_string(&mut dump).expect("a dump");
        let mut connection = PgConnection::connect_with(&options).await.expect("the owner");
        // The dump gives rights to it; a server of today may never have had it.
        let role = "DO $$ BEGIN CREATE ROLE ledger_app NOLOGIN;
                    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";
        connection.execute(role).await.expect("the role of old");
        connection.execute(sqlx::raw_sql(&dump)).await.expect("restored");
        connection.close().await.expect("closed");
        let url = options.to_url_lossy().to_string();
        database::migrate(&url, None).await.expect("migrated");
        let keys = Keys::load(folder).expect("the keys");
        Old { said, keys, owner: owner(options.clone()).await, options }
    }

    fn origin(&self) -> &str {
        self.said["origin"].as_str().expect("text")
    }

    fn id(&self, what: &str) -> Uuid {
        self.said[what].as_str().expect("text").parse().expect("an id")
    }

    async fn open(&self) -> Ledger {
        let config = LedgerConfig::new(self.origin());
        let pool = serve(self.options.clone()).await;
        let opened = Ledger::open(pool, self.keys.clone(), Clock::system(), config).await;
        opened.expect("it opens")
    }

    /// What the audit finds, by its own login.
    async fn assert_sound(&self, events: u64) {
        let login = database::trial(&self.options, Login::Auditor).await.expect("the rights");
        let pool = PgPoolOptions::new().connect_with(login).await.expect("the auditor connects");
        let trust = Trust::any_of(self.origin(), self.keys.verifiers(self.origin()).expect("keys"));
        let reader = LogReader::new(self.origin(), log_policy());
        let keys = DataKeys::new(pool.clone(), self.keys.key_wrap(), reader);
        let options = Options { threads: 1, ..Options::default() };
        let report = audit::postgres::verify_database(&pool, &trust, options, Some(&keys), |_| ())
            .await
            .expect("readable");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(report.events, events);
        assert!(report.plaintexts > 140, "{}", report.plaintexts);
    }

    /// How many statements are of the first format and how many of the second, where none of the first follows.
    async fn formats(&self) -> (usize, usize) {
        let statements = "SELECT statement FROM events ORDER BY position";
        let statements: Vec<Vec<u8>> =
            sqlx::query_scalar(statements).fetch_all(&self.owner).await.expect("the log");
        let read = |bytes: &Vec<u8>| Statement::parse(bytes).expect("a statement").format();
        let formats: Vec<&str> = statements.iter().map(read).collect();
        let first = formats.iter().take_while(|format| **format == FORMAT_V1).count();
        assert!(formats[first..].iter().all(|format| *format == FORMAT_V2), "{formats:?}");
        (first, formats.len() - first)
    }

    /// What an auditor finds in an export: with this program, and with the one that shares no line with it.
    async fn assert_export_is_sound(&self, events: u64) {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("export");
        let mut connection = self.owner.acquire().await.expect("a connection");
        let exported = export_database(&mut connection, &folder, |_| ()).await;
        assert_eq!(exported.expect("exported"), events);
        let keys = self.keys.verifiers(self.origin()).expect("keys");
        let trust = Trust::any_of(self.origin(), keys.clone());
        let report = verify_export(&folder, &trust, Options::default(), |_, _| ());
        let report = report.expect("readable");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(report.events, events);

        let python = std::env::var_os("LEDGER_PYTHON").unwrap_or_else(|| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/verify.py");
        let mut verifier = std::process::Command::new(python);
        verifier.arg(script).arg("export").arg(&folder);
        for key in keys {
            verifier.arg("--key").arg(key.to_string());
        }
        let output = verifier.output().expect("an interpreter, named by LEDGER_PYTHON");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(&format!("{events} events")), "{said}");
    }

    /// What it finds beside the log, once the log was opened: then everything that was taken lies under a seal.
    async fn assert_all_sound(&self) {
        let login = database::trial(&self.options, Login::Auditor).await.expect("the rights");
        let pool = PgPoolOptions::new().connect_with(login).await.expect("the auditor connects");
        let trust = Trust::any_of(self.origin(), self.keys.verifiers(self.origin()).expect("keys"));
        let options = Options { threads: 1, ..Options::default() };
        let keys = Some(&self.keys);
        let report = commands::audit::verify(&pool, &trust, options, keys, |_| ()).await;
        let report = report.expect("readable");
        assert!(report.is_sound(), "{:?} {:?}", report.log.findings, report.beside);
        assert!(report.beside.iter().all(|one| one.not_compared.is_none()), "{:?}", report.beside);
    }
}

#[sqlx::test(migrations = false)]
async fn a_log_of_the_version_before_is_taken_over(_: PgPoolOptions, options: PgConnectOptions) {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Old::restore(options, folder.path()).await;
    old.assert_sound(157).await;
    assert_eq!(old.formats().await, (157, 0));
    old.assert_export_is_sound(157).await;
    let ledger = old.open().await;
    let (kept, gone, held) = (old.id("kept"), old.id("gone"), old.id("held"));

    let loaded = ledger.load::<Patient>(kept).await.expect("readable").expect("there");
    assert_eq!(loaded.version, 130);
    let erased = ledger.load::<Patient>(gone).await;
    assert!(matches!(erased, Err(CommandError::Erased)), "{erased:?}");
    let refused = ledger.execute::<Custody>(held, erase(), &officer()).await;
    refused.expect_err("the hold stands");

    let commands = commands::recorded::compare(&old.owner, &old.keys, old.origin()).await;
    let commands = commands.expect("readable");
    assert!(commands.is_sound(), "every command of before was proved: {:?}", commands.findings);

    let keys = commands::data_keys::compare(&old.owner, &old.keys, old.origin()).await;
    let keys = keys.expect("readable");
    assert!(keys.is_sound(), "every key of before was bound: {:?}", keys.findings);

    // What is taken stays taken, what the erasure freed is free.
    let slot = |start: &'static str| Slot {
        patient: kept,
        practitioner: Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0007),
        room: Uuid::from_u128(0xa00),
        start,
    };
    let visit = slot("2031-03-01T11:00").book();
    let unknown = ledger.execute::<Appointment>(ledger.new_id(), visit, &context()).await;
    let unknown = unknown.expect_err("there was no directory before");
    assert_eq!(unknown.code(), "unknown-practitioner");
    list(&ledger, &slot("2031-03-01T09:00")).await;
    let book = async |start: &'static str| {
        let mut command = serde_json::to_value(slot(start).book()).expect("JSON");
        command["book"]["time"]["zone"] = "UTC".into();
        let command = serde_json::from_value(command).expect("a command");
        ledger.execute::<Appointment>(ledger.new_id(), command, &context()).await
    };
    book("2031-03-01T09:00").await.expect_err("taken");
    book("2031-03-01T10:00").await.expect("the erased patient's time is free");
    let twice = ledger.holder("login", "staff").await.expect("readable");
    assert!(twice.is_some(), "the log-in name is held");

    ledger.execute::<Patient>(kept, rename("Neumann"), &context()).await.expect("an old stream");
    ledger
        .execute::<Patient>(ledger.new_id(), patient("Neu", "M-5"), &context())
        .await
        .expect("a new one");
    ledger.close().await;
    old.assert_sound(162).await;
    old.assert_all_sound().await;
    // What was there stays as it was signed, and what came after says by which rule it was allowed.
    assert_eq!(old.formats().await, (157, 5));
    old.assert_export_is_sound(162).await;
    old.open().await.close().await;
    let destroyed = "SELECT count(*) FROM keyring.data_keys WHERE wrapped IS NULL";
    let destroyed: i64 =
        sqlx::query_scalar(destroyed).fetch_one(&old.owner).await.expect("a count");
    assert_eq!(destroyed, 1);
}

/// Wraps of before bind the id of the key alone, so rows could be exchanged: a key is bound only to whom the log names.
#[sqlx::test(migrations = false)]
async fn keys_of_before_that_were_exchanged_are_not_bound(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    use commands::data_keys::KeyDifference::{OtherKey, Unbound};
    let folder = tempfile::tempdir().expect("a folder");
    let old = Old::restore(options, folder.path()).await;
    let (kept, held) = (old.id("kept"), old.id("held"));
    old.owner.execute("CREATE TABLE kept AS TABLE keyring.data_keys").await.expect("kept");
    let both = format!("(m.subject, o.subject) IN (('{kept}', '{held}'), ('{held}', '{kept}'))");
    for (columns, difference) in [
        ("o.key_id, m.subject, o.kek_id, o.wrapped", OtherKey),
        ("m.key_id, m.subject, o.kek_id, o.wrapped", Unbound),
    ] {
        let exchange = format!(
            "BEGIN; SET LOCAL session_replication_role = replica;
             DELETE FROM keyring.data_keys; INSERT INTO keyring.data_keys TABLE kept;
             DELETE FROM keyring.data_keys WHERE subject IN ('{kept}', '{held}');
             INSERT INTO keyring.data_keys (key_id, subject, kek_id, wrapped, kind, wrap_version)
             SELECT {columns}, m.kind, m.wrap_version FROM kept m JOIN kept o ON {both}; COMMIT"
        );
        old.owner.execute(sqlx::raw_sql(&exchange)).await.expect(columns);
        let ledger = old.open().await;
        let unbound =
            "SELECT count(*) FROM keyring.data_keys WHERE wrap_version = 1 AND wrapped IS NOT NULL";
        let unbound: i64 =
            sqlx::query_scalar(unbound).fetch_one(&old.owner).await.expect("a count");
        assert_eq!(unbound, 2, "{columns}: all others are bound");
        for id in [kept, held] {
            let error = ledger.load::<Patient>(id).await.expect_err("not bound, not used");
            assert_eq!(error.code(), "unavailable", "{columns}");
        }
        let report = commands::data_keys::compare(&old.owner, &old.keys, old.origin()).await;
        let report = report.expect("readable");
        let mut found: Vec<_> =
            report.findings.iter().map(|found| (found.subject, found.difference)).collect();
        found.sort();
        let mut expected = vec![(kept, difference), (held, difference)];
        expected.sort();
        assert_eq!(found, expected, "{columns}");
        ledger.close().await;
    }
    let put_back = "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM keyring.data_keys; INSERT INTO keyring.data_keys TABLE kept; COMMIT";
    old.owner.execute(sqlx::raw_sql(put_back)).await.expect("put back");
    let ledger = old.open().await;
    ledger.load::<Patient>(kept).await.expect("readable").expect("there");
    ledger.close().await;
    old.assert_sound(157).await;
}
