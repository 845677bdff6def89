//! Rows of data keys that somebody without a key has exchanged, emptied, removed or put back: none opens anything, none says
//! that anybody is erased, and the comparison names each.

use audit::seal::{Binding, DataKey, KeyWrap as _, SubjectKind};
use audit::verify::FindingKind;
use commands::claims::ClaimsError;
use commands::data_keys::{KeyDifference, KeysReport, compare};
use commands::{Blobs, Clock, CommandError, Keys};
use domain::{Account, Custody, Patient};
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, Slot, context, erase, officer, open_wound, rename};

/// Where the first events of the subjects below stand.
const ONE: Option<u64> = Some(1);
const TWO: Option<u64> = Some(2);
const STAFF: Option<u64> = Some(4);

/// A clinic with three patients and an account, and a copy of their keys.
struct Attacked {
    clinic: Clinic,
    options: PgConnectOptions,
    one: Uuid,
    two: Uuid,
    third: Uuid,
    staff: Uuid,
}

impl Attacked {
    async fn open(options: PgConnectOptions) -> Attacked {
        let clinic = Clinic::open(options.clone()).await;
        let one = clinic.register("A-1").await;
        let (two, third) = (clinic.register("A-2").await, clinic.register("A-3").await);
        let staff = clinic.ledger.new_id();
        let register = serde_json::json!({ "register": {
            "login": "staff", "display_name": "Staff", "kind": "service" } });
        let register = serde_json::from_value(register).expect("a command");
        clinic.ledger.execute::<Account>(staff, register, &context()).await.expect("registered");
        clinic.owner.execute("CREATE TABLE kept AS TABLE keyring.data_keys").await.expect("kept");
        let attacked = Attacked { clinic, options, one, two, third, staff };
        assert!(attacked.compare().await.is_sound(), "as it should be");
        attacked
    }

    /// As whoever may do anything in the database.
    async fn write(&self, sql: &str) {
        let sql = sql
            .replace("{one}", &self.one.to_string())
            .replace("{two}", &self.two.to_string())
            .replace("{staff}", &self.staff.to_string());
        let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
        let written = self.clinic.owner.execute(sqlx::raw_sql(&script)).await;
        written.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Exchanges columns of two rows.
    async fn exchange(&self, columns: &[&str], one: &str, other: &str) {
        let all = ["key_id", "subject", "kek_id", "wrapped", "kind", "wrap_version"];
        let from = all.map(|column| {
            let whose = if columns.contains(&column) { "o" } else { "m" };
            format!("{whose}.{column}")
        });
        self.write(&format!(
            "DELETE FROM keyring.data_keys WHERE subject IN ('{one}', '{other}');
             INSERT INTO keyring.data_keys ({}) SELECT {} FROM kept m JOIN kept o
                 ON (m.subject, o.subject) IN (('{one}', '{other}'), ('{other}', '{one}'))",
            all.join(", "),
            from.join(", ")
        ))
        .await;
    }

    /// Puts the keys back as they were at the beginning; keys made since stay.
    async fn put_back(&self) {
        self.write(
            "DELETE FROM keyring.data_keys k USING kept o WHERE k.subject = o.subject OR k.key_id = o.key_id;
             INSERT INTO keyring.data_keys TABLE kept",
        )
        .await;
    }

    async fn compare(&self) -> KeysReport {
        compare(&self.clinic.pool, &self.clinic.keys, ORIGIN).await.expect("the log is sound")
    }

    async fn found(&self) -> Vec<(Option<u64>, KeyDifference)> {
        let report = self.compare().await;
        report.findings.iter().map(|found| (found.position, found.difference)).collect()
    }

    /// Another process, which holds no key in memory.
    async fn fresh(&self) -> Clinic {
        Clinic::open_with(self.options.clone(), self.clinic.keys.clone(), Clock::system()).await
    }
}

/// Whatever is exchanged, nothing opens, and nobody else is concerned.
#[sqlx::test(migrations = "../migrations")]
async fn no_key_opens_in_another_place(_: PgPoolOptions, options: PgConnectOptions) {
    use KeyDifference::{OtherKey, OtherKind, Unbound, Unopened};
    let attacked = Attacked::open(options).await;
    let (two, staff) = ("{two}", "{staff}");
    for (columns, other, difference) in [
        (&["wrapped"][..], two, Unopened),
        (&["subject"], two, OtherKey),
        (&["key_id"], two, OtherKey),
        (&["key_id", "wrapped", "kek_id", "kind", "wrap_version"], two, OtherKey),
        (&["wrapped"], staff, Unopened),
        (&["subject"], staff, OtherKey),
        (&["subject", "kind"], staff, OtherKey),
        (&["kind"], staff, OtherKind),
    ] {
        attacked.exchange(columns, "{one}", other).await;
        let at = if other == two { TWO } else { STAFF };
        assert_eq!(
            attacked.found().await,
            [(ONE, difference), (at, difference)],
            "{columns:?} {other}"
        );
        let fresh = attacked.fresh().await;
        let error = fresh.ledger.load::<Patient>(attacked.one).await.expect_err("it opens not");
        assert_eq!(error.code(), "unavailable", "{columns:?} {other}");
        if other == two {
            let error = fresh.ledger.load::<Patient>(attacked.two).await.expect_err("nor this");
            assert_eq!(error.code(), "unavailable", "{columns:?}");
        } else {
            fresh.ledger.load::<Account>(attacked.staff).await.expect_err("nor this");
        }
        fresh.ledger.load::<Patient>(attacked.third).await.expect("readable").expect("there");
        // What would destroy the key of somebody else is refused.
        let refused = fresh.ledger.execute::<Custody>(attacked.one, erase(), &officer()).await;
        assert_eq!(refused.expect_err("whose key?").code(), "unavailable", "{columns:?}");
        fresh.ledger.close().await;
        attacked.put_back().await;
        assert!(attacked.compare().await.is_sound(), "as it was");
    }

    // Made by somebody with keys: of another installation, for another log, of a form of before.
    let own = attacked.clinic.keys.clone();
    let key_id = sqlx::query_scalar("SELECT key_id FROM keyring.data_keys WHERE subject = $1");
    let key_id: Uuid =
        key_id.bind(attacked.one).fetch_one(&attacked.clinic.owner).await.expect("a key");
    let (kind, subject) = (SubjectKind::Patient, attacked.one);
    let here = Binding { origin: ORIGIN, kind, subject, key_id };
    let elsewhere = Binding { origin: "ledger.example.org/other", ..here };
    for (keys, binding, code) in
        [(Keys::ephemeral(), here, "key-not-at-hand"), (own, elsewhere, "unavailable")]
    {
        let made = keys.wrap(&binding, [1; 12], &DataKey::from_bytes([2; 32])).expect("wrapped");
        let hex: String = made.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        attacked
            .write(&format!(
                "UPDATE keyring.data_keys SET wrapped = '\\x{hex}', kek_id = '{}' WHERE subject = '{{one}}'",
                made.kek_id
            ))
            .await;
        assert_eq!(attacked.found().await, [(ONE, Unopened)]);
        let fresh = attacked.fresh().await;
        let error = fresh.ledger.load::<Patient>(attacked.one).await.expect_err("not ours");
        assert_eq!(error.code(), code);
        fresh.ledger.close().await;
        attacked.put_back().await;
    }
    attacked.write("UPDATE keyring.data_keys SET wrap_version = 1 WHERE subject = '{one}'").await;
    assert_eq!(attacked.found().await, [(ONE, Unbound)]);
    let fresh = attacked.fresh().await;
    let error = fresh.ledger.load::<Patient>(attacked.one).await.expect_err("not bound");
    assert_eq!(error.code(), "unavailable");
    attacked.put_back().await;
    attacked.clinic.assert_sound().await;
}

/// A key is of one kind of subject, and seals nothing for the other.
#[sqlx::test(migrations = "../migrations")]
async fn nothing_about_a_patient_is_sealed_for_an_account(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let attacked = Attacked::open(options).await;
    for clinic in [&attacked.clinic, &attacked.fresh().await] {
        let slot = Slot {
            patient: attacked.staff,
            practitioner: Uuid::from_u128(0xd0c),
            room: Uuid::from_u128(0x100),
            start: "2031-03-10T15:00",
        };
        let refused = clinic.book(&slot).await.expect_err("no patient");
        assert_eq!(refused.code(), "id-taken", "{refused:?}");
    }
}

/// A row that is gone or empty is not an erasure: nobody is told so, and nothing is removed because of it.
#[sqlx::test(migrations = "../migrations")]
async fn only_the_log_says_who_is_erased(_: PgPoolOptions, options: PgConnectOptions) {
    use KeyDifference::{Emptied, Missing};
    let attacked = Attacked::open(options).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = Blobs::new(folder.path().to_str().expect("a UTF-8 path")).expect("a store");
    let key = attacked.clinic.ledger.data_key(attacked.one).await.expect("a key");
    let capture = blobs.put(&key, Uuid::now_v7(), b"a wound").await.expect("stored");
    let all = |difference| [1, 2, 3, 4].map(|position| (Some(position), difference)).to_vec();
    let empty = "UPDATE keyring.data_keys SET wrapped = NULL, destroyed_at = now()";
    for (what, sql, found) in [
        (
            "one deleted",
            "DELETE FROM keyring.data_keys WHERE subject = '{one}'".to_owned(),
            vec![(ONE, Missing)],
        ),
        ("all deleted", "DELETE FROM keyring.data_keys".to_owned(), all(Missing)),
        ("one emptied", format!("{empty} WHERE subject = '{{one}}'"), vec![(ONE, Emptied)]),
        ("all emptied", empty.to_owned(), all(Emptied)),
    ] {
        attacked.write(&sql).await;
        assert_eq!(attacked.found().await, found, "{what}");
        let fresh = attacked.fresh().await;
        let ledger = &fresh.ledger;
        let missing = |error: CommandError| assert_eq!(error.code(), "key-missing", "{what}");
        missing(ledger.load::<Patient>(attacked.one).await.expect_err(what));
        missing(ledger.data_key(attacked.one).await.err().expect(what));
        let renamed =
            ledger.execute::<Patient>(attacked.one, rename("Musterfrau"), &context()).await;
        missing(renamed.expect_err(what));
        let opened = ledger
            .execute::<domain::WoundEpisode>(ledger.new_id(), open_wound(attacked.one), &context())
            .await;
        missing(opened.expect_err(what));
        let erased = ledger.erased_among(&[attacked.one, attacked.two]).await.expect("asked");
        assert!(erased.is_empty(), "{what}");
        assert_eq!(ledger.purge_captures(&blobs, attacked.one).await.expect("asked"), 0, "{what}");
        assert_eq!(ledger.purge_all_captures(&blobs).await.expect("asked"), 0, "{what}");
        blobs.get(&key, &capture).await.expect("the capture is there");
        let claims = commands::claims::compare(&fresh.pool, &fresh.keys, ORIGIN).await;
        assert!(matches!(claims, Err(ClaimsError::Unopened { position: 1 })), "{what}: {claims:?}");
        let audited = fresh.audit().await;
        let first = audited.findings.first().expect(what);
        assert_eq!((first.position, first.kind), (1, FindingKind::Commitment), "{what}");
        fresh.ledger.close().await;
        attacked.put_back().await;
        assert!(attacked.compare().await.is_sound(), "{what}: put back");
    }
    attacked.clinic.assert_sound().await;
}

/// A wrap beside the time at which it was destroyed: whoever took the constraint away is told of the row as well.
#[sqlx::test(migrations = "../migrations")]
async fn a_row_that_contradicts_itself_is_named(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    attacked
        .write(
            "ALTER TABLE keyring.data_keys DROP CONSTRAINT data_keys_check;
             UPDATE keyring.data_keys SET destroyed_at = now() WHERE subject = '{one}'",
        )
        .await;
    assert_eq!(attacked.found().await, [(ONE, KeyDifference::Contradictory)]);
}

/// Other processes look at the epoch to learn who was erased; an empty row beside a true erasure is not believed then either.
#[sqlx::test(migrations = "../migrations")]
async fn an_empty_row_beside_a_true_erasure_erases_nobody(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let attacked = Attacked::open(options).await;
    let other = attacked.fresh().await;
    attacked
        .write(
            "UPDATE keyring.data_keys SET wrapped = NULL, destroyed_at = now() WHERE subject = '{one}'",
        )
        .await;
    let erased = other.ledger.execute::<Custody>(attacked.two, erase(), &officer()).await;
    erased.expect("erased");
    let ledger = &attacked.clinic.ledger;
    let renamed = ledger.execute::<Patient>(attacked.one, rename("Eins"), &context()).await;
    renamed.expect("the key is in memory, and nobody has erased the record");
    let refused = ledger.execute::<Patient>(attacked.two, rename("Zwei"), &context()).await;
    assert!(matches!(refused, Err(CommandError::Erased)), "{refused:?}");
    let fresh = attacked.fresh().await;
    let erased = fresh.ledger.erased_among(&[attacked.one, attacked.two]).await.expect("asked");
    assert_eq!(erased.into_iter().collect::<Vec<_>>(), [attacked.two]);
    let refused = fresh.ledger.load::<Patient>(attacked.two).await;
    assert!(matches!(refused, Err(CommandError::Erased)), "{refused:?}");
}

/// The key of an erased record opens nothing while it is there again, and is destroyed when it is met; nobody else's is.
#[sqlx::test(migrations = "../migrations")]
async fn a_key_that_is_put_back_is_destroyed_again(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    let clinic = &attacked.clinic;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = Blobs::new(folder.path().to_str().expect("a UTF-8 path")).expect("a store");
    let (of_one, of_two) =
        (clinic.ledger.data_key(attacked.one).await, clinic.ledger.data_key(attacked.two).await);
    let (of_one, of_two) = (of_one.expect("a key"), of_two.expect("a key"));
    blobs.put(&of_one, Uuid::now_v7(), b"a wound").await.expect("stored");
    let others = blobs.put(&of_two, Uuid::now_v7(), b"another's wound").await.expect("stored");
    clinic.ledger.execute::<Custody>(attacked.one, erase(), &officer()).await.expect("erased");
    assert!(attacked.compare().await.is_sound());
    let full = "SELECT count(*) FROM keyring.data_keys WHERE wrapped IS NOT NULL";
    let is_erased = |loaded: Result<_, CommandError>| {
        assert!(matches!(loaded, Err(CommandError::Erased)), "{:?}", loaded.map(drop));
    };
    let other = attacked.fresh().await;
    for clinic in [clinic, &other] {
        attacked.put_back().await;
        assert_eq!(attacked.found().await, [(ONE, KeyDifference::NotDestroyed)]);
        is_erased(clinic.ledger.load::<Patient>(attacked.one).await);
        assert_eq!(clinic.count(full).await, 3, "destroyed when it was met, and no other");
        assert!(attacked.compare().await.is_sound());
    }
    // Nor does a row without it change anything but the comparison.
    attacked.write("DELETE FROM keyring.data_keys WHERE subject = '{one}'").await;
    is_erased(attacked.fresh().await.ledger.load::<Patient>(attacked.one).await);
    assert_eq!(attacked.found().await, [(ONE, KeyDifference::Missing)]);
    // Captures go by the key that the log names, and not by the one that the row does.
    attacked
        .write(
            "UPDATE keyring.data_keys SET key_id = gen_random_uuid() WHERE subject = '{two}';
             INSERT INTO keyring.data_keys (key_id, subject, kek_id, destroyed_at, kind, wrap_version)
             SELECT o.key_id, m.subject, m.kek_id, now(), m.kind, m.wrap_version FROM kept m, kept o
              WHERE m.subject = '{one}' AND o.subject = '{two}'",
        )
        .await;
    let ledger = &clinic.ledger;
    assert_eq!(ledger.purge_captures(&blobs, attacked.one).await.expect("purged"), 1);
    assert_eq!(ledger.purge_all_captures(&blobs).await.expect("purged"), 0);
    blobs.get(&of_two, &others).await.expect("untouched");
}

/// A row of which the log knows nothing.
#[sqlx::test(migrations = "../migrations")]
async fn an_invented_row_is_foreign(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    let (id, ledger) = (attacked.clinic.ledger.new_id(), &attacked.clinic.ledger);
    for wrapped in ["m.wrapped, NULL", "NULL, now()"] {
        attacked
            .write(&format!(
                "INSERT INTO keyring.data_keys (key_id, subject, kek_id, kind, wrap_version, wrapped, destroyed_at)
                 SELECT gen_random_uuid(), '{id}', m.kek_id, m.kind, m.wrap_version, {wrapped}
                   FROM kept m WHERE m.subject = '{{one}}'"
            ))
            .await;
        assert_eq!(attacked.found().await, [(None, KeyDifference::Foreign)]);
        let begun = ledger
            .execute::<Patient>(id, crate::clinic::patient("Mustermann", "B-1"), &context())
            .await;
        let code = begun.expect_err("that key opens nothing").code();
        assert!(["unavailable", "key-missing"].contains(&code), "{code}");
        attacked.write(&format!("DELETE FROM keyring.data_keys WHERE subject = '{id}'")).await;
    }
    let begun = ledger
        .execute::<Patient>(id, crate::clinic::patient("Mustermann", "B-1"), &context())
        .await;
    begun.expect("registered");
    assert!(attacked.compare().await.is_sound());
}

/// Another process erases, and this one has not read it yet: erased, and never missing.
#[sqlx::test(migrations = "../migrations")]
async fn no_key_is_said_to_be_missing_while_another_process_erases(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let first = Clinic::open(options.clone()).await;
    let second = Clinic::open_with(options, first.keys.clone(), Clock::system()).await;
    while !second.ledger.watch().has_read_all() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for round in 0..12_u32 {
        let id = first.register(&format!("E-{round}")).await;
        let officer = officer();
        let erasure = first.ledger.execute::<Custody>(id, erase(), &officer);
        // Every second time by one that has never held the key.
        let reading = async {
            if round % 2 == 1 {
                return;
            }
            loop {
                match second.ledger.load::<Patient>(id).await {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(CommandError::Erased) => break,
                    Err(error) => panic!("round {round}: {error:?}"),
                }
            }
        };
        let (erased, ()) = tokio::join!(erasure, reading);
        erased.expect("erased");
        let error = second.ledger.data_key(id).await.err().expect("erased");
        assert!(matches!(error, CommandError::Erased), "{error:?}");
    }
    first.assert_sound().await;
}
