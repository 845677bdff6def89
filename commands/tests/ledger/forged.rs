//! Somebody writes to the database as its superuser, and has no key: nothing of it is believed, all of it is noticed.

use audit::postgres::{Damage, LogHealth, LogReader, LogWatch, ReadError};
use audit::verify::FindingKind;
use commands::keys::{KeyFolder, SecretName};
use commands::{
    Actor, Clock, CommandError, Context, Keys, Ledger, LedgerConfig, OpenError, PurposeOfUse,
    log_policy,
};
use domain::account::Role;
use domain::{Account, AccountCommand, AccountId, Custody, Patient};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgConnection, PgPool};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, context, erase, officer, place_hold, rename};

fn command<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a command")
}

fn grant(role: &str) -> AccountCommand {
    command(json!({"grant-role": {"role": role}}))
}

fn admin() -> Context {
    let id = AccountId::from_uuid(Uuid::from_u128(0xadad));
    Context::new(Actor::user(id, [Role::Admin]), PurposeOfUse::Hoperat)
}

/// A clinic with a patient and an account, and whoever owns the database.
struct Attacked {
    clinic: Clinic,
    owner: PgPool,
    patient: Uuid,
    account: Uuid,
}

impl Attacked {
    async fn open(options: PgConnectOptions) -> Attacked {
        let owner = PgPoolOptions::new().max_connections(2).connect_with(options.clone());
        let owner = owner.await.expect("the owner connects");
        let clinic = Clinic::open(options).await;
        let account = clinic.ledger.new_id();
        let register =
            json!({"register": {"login": "worker", "display_name": "A worker", "kind": "service"}});
        for step in [command(register), grant("service")] {
            let done = clinic.ledger.execute::<Account>(account, step, &context()).await;
            done.expect("done");
        }
        let patient = clinic.register("A-1").await;
        for family in ["Eins", "Zwei"] {
            let done = clinic.ledger.execute::<Patient>(patient, rename(family), &context()).await;
            done.expect("edited");
        }
        let revoke = json!({"revoke-role": {"role": "service", "reason": "left the clinic"}});
        let done = clinic.ledger.execute::<Account>(account, command(revoke), &context()).await;
        done.expect("revoked");
        owner
            .execute(
                "ALTER TABLE events DISABLE TRIGGER USER;
                 ALTER TABLE checkpoints DISABLE TRIGGER USER;
                 CREATE TABLE saved AS TABLE events",
            )
            .await
            .expect("only the owner can");
        Attacked { clinic, owner, patient, account }
    }

    async fn attack(&self, sql: &str) {
        let done = self.owner.execute(sql).await;
        assert!(done.unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected() > 0, "{sql}");
    }

    async fn repair(&self) {
        let sql = "BEGIN; DELETE FROM events; INSERT INTO events SELECT * FROM saved; COMMIT";
        self.owner.execute(sql).await.expect("restored");
    }

    /// A process that has read the whole log.
    async fn process(&self) -> Ledger {
        let Clinic { pool, keys, .. } = &self.clinic;
        let config = LedgerConfig::new(ORIGIN);
        let opened = Ledger::open(pool.clone(), keys.clone(), Clock::system(), config).await;
        let ledger = opened.expect("the ledger opens");
        let mut health = ledger.watch().subscribe();
        health.wait_for(|health| matches!(health, LogHealth::Sound { .. })).await.expect("sound");
        ledger
    }

    async fn connection(&self) -> sqlx::pool::PoolConnection<sqlx::Postgres> {
        self.clinic.pool.acquire().await.expect("a connection")
    }
}

fn reader() -> LogReader {
    LogReader::new(ORIGIN, log_policy())
}

fn damage<T: std::fmt::Debug>(outcome: Result<T, ReadError>, what: &str) -> (u64, FindingKind) {
    match outcome {
        Err(ReadError::Damaged(Damage { position, kind, .. })) => (position, kind),
        other => panic!("{what}: {other:?}"),
    }
}

/// What a watch finds that reads the whole log, as it is followed and then once more with its payloads.
async fn watched(connection: &mut PgConnection) -> Result<(), ReadError> {
    let watch = LogWatch::new(reader());
    while watch.follow(connection).await? {}
    let mut reread = watch.reread();
    while watch.look_again(connection, &mut reread).await? {}
    Ok(())
}

/// A change of the row at position 2, the account's role, or a row beside it; what a reader of the stream and what a
/// watch of the log say of it.
struct Attack {
    sql: String,
    read: Option<(u64, FindingKind)>,
    watched: (u64, FindingKind),
}

fn at(sql: impl Into<String>, position: u64, kind: FindingKind) -> Attack {
    Attack { sql: sql.into(), read: Some((position, kind)), watched: (position, kind) }
}

/// The log of these tests: genesis 0, the account 1 and 2 and 6, the patient 3 to 5.
const SIZE: u64 = 7;

/// A row like the one at position 2, with some of its columns said anew.
fn copied(columns: &str, values: &str) -> String {
    let rest: Vec<&str> = [
        "position",
        "event_id",
        "aggregate_type",
        "aggregate_id",
        "sequence",
        "event_type",
        "event_version",
        "subject",
        "command_id",
        "recorded_at",
        "header",
        "statement",
        "signature",
        "payload",
        "leaf_hash",
    ]
    .into_iter()
    .filter(|column| !columns.split(", ").any(|said| said == *column))
    .collect();
    let rest = rest.join(", ");
    format!(
        "INSERT INTO events ({columns}, {rest}) SELECT {values}, {rest} FROM events WHERE position = 2"
    )
}

fn attacks(account: Uuid, patient: Uuid) -> Vec<Attack> {
    use FindingKind::{
        Column, ForeignKey, Header, LeafHash, Missing, Payload, Root, Signature, Statement,
        Unexpected,
    };
    let of = |set: &str| format!("UPDATE events SET {set} WHERE position = 2");
    let resealed = "statement = convert_to(regexp_replace(convert_from(statement, 'UTF8'),
        '\"payload\":.*\"media\"', '\"payload\":{\"sha256\":\"' || encode(sha256('{}'), 'hex') ||
        '\",\"size\":2,\"encryption\":\"none\",\"key_id\":null,\"commitment\":null},\"media\"'), 'UTF8'),
        payload = '{}'";
    let mut attacks = vec![
        // Every column that repeats the statement.
        at(of(&format!("event_id = '{patient}'")), 2, Column),
        at(of(&format!("subject = '{patient}'")), 2, Column),
        at(of("subject = NULL"), 2, Column),
        at(of("event_type = 'RoleRevoked'"), 2, Column),
        at(of("event_version = '2'"), 2, Column),
        at(of(&format!("command_id = '{patient}'")), 2, Column),
        at(of("recorded_at = recorded_at - interval '1 microsecond'"), 2, Column),
        // What is signed, and the signature.
        at(of("signature = decode(repeat('00', 64), 'hex')"), 2, LeafHash),
        at(of("signature = set_byte(signature, 0, get_byte(signature, 0) # 1)"), 2, LeafHash),
        at(of("leaf_hash = sha256('x')"), 2, LeafHash),
        at(of("statement = statement || ' x'"), 2, Statement),
        at(of("payload = set_byte(payload, 50, get_byte(payload, 50) # 1)"), 2, Payload),
        at(of("payload = ''"), 2, Payload),
        at(of("payload = (SELECT payload FROM events WHERE position = 1)"), 2, Payload),
        // The leaf hash made to fit, as far as it can be told from outside.
        at(leaf(&of("signature = decode(repeat('00', 64), 'hex')")), 2, Signature),
        at(
            leaf(&of(
                "header = convert_to(overlay(convert_from(header, 'UTF8') placing 'AAAA' from 24), 'UTF8')",
            )),
            2,
            ForeignKey,
        ),
        at(leaf(&of("header = header || ' '")), 2, Header),
        // In the clear where the stream is sealed.
        at(leaf(&of(resealed)), 2, Statement),
        // Beyond the head.
        Attack {
            watched: (SIZE, Unexpected),
            ..at(
                copied("position, sequence", "9000000000000000000, 4"),
                9_000_000_000_000_000_000,
                Unexpected,
            )
        },
        Attack {
            watched: (SIZE, Unexpected),
            ..at(
                copied(
                    "position, sequence, signature",
                    "9000000000000000000, 4, decode(repeat('00', 64), 'hex')",
                ),
                9_000_000_000_000_000_000,
                Unexpected,
            )
        },
        Attack {
            watched: (SIZE, Unexpected),
            ..at(copied("position, sequence", "7, 4"), 7, Unexpected)
        },
    ];
    attacks.extend([
        // A statement of another stream, or of another place in this one.
        at(
            format!(
                "UPDATE events SET (header, statement, signature, payload, leaf_hash) =
                 (SELECT header, statement, signature, payload, leaf_hash FROM events WHERE position = 4)
                 WHERE position = 2 AND aggregate_id = '{account}'"
            ),
            2,
            Column,
        ),
        at(
            "UPDATE events SET (event_id, event_type, command_id, recorded_at, header, statement, signature, payload, leaf_hash) =
             (SELECT event_id, event_type, command_id, recorded_at, header, statement, signature, payload, leaf_hash
                FROM events WHERE position = 1) WHERE position = 2",
            2,
            Column,
        ),
        // Genuine rows at other positions: no signature tells, the tree does.
        Attack {
            read: None,
            ..at(
                "UPDATE events SET position = 100 WHERE position = 3;
                 UPDATE events SET position = 3 WHERE position = 2;
                 UPDATE events SET position = 2 WHERE position = 100",
                2,
                Root,
            )
        },
        Attack {
            read: Some((1, FindingKind::Sequence)),
            ..at(
                "UPDATE events SET position = 100 WHERE position = 1;
                 UPDATE events SET position = 1 WHERE position = 2;
                 UPDATE events SET position = 2 WHERE position = 100",
                1,
                Root,
            )
        },
        // Missing: in the middle, and at the end of the stream.
        Attack {
            read: Some((6, FindingKind::Sequence)),
            ..at("DELETE FROM events WHERE position = 2", 2, Missing)
        },
        Attack { read: None, ..at("DELETE FROM events WHERE position = 6", 6, Missing) },
    ]);
    attacks
}

/// The change, and after it the leaf hash that the row should have then.
fn leaf(sql: &str) -> String {
    let base64url =
        |column: &str| format!("rtrim(translate(encode({column}, 'base64'), E'+/\\n', '-_'), '=')");
    let [header, statement, signature] = ["header", "statement", "signature"].map(base64url);
    format!(
        "{sql}; UPDATE events SET leaf_hash = sha256('\\x00'::bytea ||
         convert_to({header} || '.' || {statement} || '.' || {signature}, 'UTF8')) WHERE position = 2"
    )
}

#[sqlx::test(migrations = "../migrations")]
async fn no_forged_event_is_believed_and_each_is_named(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let attacked = Attacked::open(options).await;
    let Attacked { patient, account, .. } = attacked;
    let mut connection = attacked.connection().await;
    watched(&mut connection).await.expect("the honest log is sound");
    for (n, Attack { sql, read, watched: found }) in
        attacks(account, patient).into_iter().enumerate()
    {
        let live = attacked.process().await;
        attacked.attack(&sql).await;
        // Whoever knows nothing of the log yet goes by signatures.
        let stream = reader().stream(&mut connection, ("account", account), 0, 100).await;
        match read {
            Some(expected) => assert_eq!(damage(stream, &sql), expected, "read {n}: {sql}"),
            None => {
                stream.expect("every event of it is signed");
            }
        }
        // Whoever has read the log knows which event stands where, and how long the stream is.
        let error = live.load::<Account>(account).await.expect_err(&sql);
        assert_eq!(error.code(), "log-damaged", "live {n}: {sql}: {error:?}");
        let granted = live.execute::<Account>(account, grant("clinician"), &context()).await;
        let error = granted.expect_err(&sql);
        assert_eq!(error.code(), "log-damaged", "decided {n}: {sql}: {error:?}");
        let error = watched(&mut connection).await;
        assert_eq!(damage(error, &sql), found, "watched {n}: {sql}");
        live.close().await;
        attacked.repair().await;
    }
    let honest = attacked.process().await;
    let loaded = honest.load::<Account>(account).await.expect("readable").expect("there");
    assert_eq!(loaded.version, 3);
    attacked.clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_damaged_log_takes_no_commands_until_it_is_put_right(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let attacked = Attacked::open(options).await;
    let live = attacked.process().await;
    attacked.attack("DELETE FROM events WHERE position = 6").await;
    // An unlucky look at the account has the whole log looked at, and then nothing is decided on it any more.
    let error = live.load::<Account>(attacked.account).await.expect_err("its end is missing");
    assert!(matches!(error, CommandError::Damaged(_)), "{error:?}");
    let mut health = live.watch().subscribe();
    let damaged = |health: &LogHealth| matches!(health, LogHealth::Damaged(_));
    health.wait_for(damaged).await.expect("noticed");
    let other = live.execute::<Patient>(attacked.patient, rename("Drei"), &context()).await;
    let error = other.expect_err("not on such a log");
    assert!(matches!(error, CommandError::Unavailable(_)), "{error:?}");
    assert_eq!(error.code(), "log-damaged");
    let read = live.load::<Patient>(attacked.patient).await.expect_err("nor read for a decision");
    assert_eq!(read.code(), "log-damaged");
    let LogHealth::Damaged(found) = live.log_health() else { panic!("it was noticed") };
    assert_eq!((found.position, found.kind), (6, FindingKind::Missing));

    attacked.repair().await;
    health.wait_for(|health| matches!(health, LogHealth::Sound { .. })).await.expect("sound again");
    let done = live.execute::<Patient>(attacked.patient, rename("Drei"), &context()).await;
    done.expect("as before");
    live.close().await;
    attacked.clinic.assert_sound().await;
}

/// A state that nobody signed, for a stream that keeps none, and for one that does.
#[sqlx::test(migrations = "../migrations")]
async fn a_forged_state_decides_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    let Attacked { account, patient, .. } = attacked;
    let held = attacked.clinic.ledger.execute::<Custody>(patient, place_hold(1), &officer()).await;
    held.expect("on hold");
    attacked
        .owner
        .execute(
            "ALTER TABLE snapshots ALTER subject DROP NOT NULL, ALTER key_id DROP NOT NULL;
             DO $$ BEGIN ALTER TABLE snapshots ALTER mac DROP NOT NULL;
             EXCEPTION WHEN undefined_column THEN NULL; END $$",
        )
        .await
        .expect("only the owner can");
    let honest = attacked.process().await;
    let of_account = honest.load::<Account>(account).await.expect("readable").expect("there");
    let of_patient = honest.load::<Patient>(patient).await.expect("readable").expect("there");
    let custody = honest.load::<Custody>(patient).await.expect("readable").expect("there");
    let mut king = serde_json::to_value(&of_account.aggregate).expect("a state");
    king["roles"] = json!(["admin", "clinician", "compliance"]);
    king["disabled"] = json!(false);
    let nobody = serde_json::to_value(Patient::default()).expect("a state");
    let free = serde_json::to_value(Custody::default()).expect("a state");
    for (kind, id, version, state) in [
        ("account", account, of_account.version, &king),
        ("custody", patient, custody.version, &free),
        ("patient", patient, of_patient.version, &nobody),
    ] {
        for subject in
            ["NULL, NULL", "$1, (SELECT key_id FROM keyring.data_keys WHERE subject = $1)"]
        {
            let state_version: i32 = 1;
            let inserted = sqlx::query(&format!(
                "INSERT INTO snapshots (aggregate_type, aggregate_id, state_version, version, subject, key_id, sealed)
                 SELECT '{kind}', $1, $2, $3, {subject}, $4
                 ON CONFLICT (aggregate_type, aggregate_id, state_version)
                 DO UPDATE SET subject = excluded.subject, key_id = excluded.key_id, sealed = excluded.sealed"
            ))
            .bind(id)
            .bind(state_version)
            .bind(i64::try_from(version).expect("small"))
            .bind(serde_json::to_vec(state).expect("JSON"))
            .execute(&attacked.owner)
            .await;
            inserted.expect("only the owner can");
            let fresh = attacked.process().await;
            let loaded = fresh.load::<Account>(account).await.expect("readable").expect("there");
            assert_eq!(loaded.aggregate, of_account.aggregate, "{kind}");
            let loaded = fresh.load::<Patient>(patient).await.expect("readable").expect("there");
            assert_eq!(loaded.aggregate, of_patient.aggregate, "{kind}");
            let refused = fresh.execute::<Custody>(patient, erase(), &officer()).await;
            assert_eq!(refused.expect_err("the hold stands").code(), "on-hold", "{kind}");
            fresh.close().await;
        }
    }
    let denied = honest.execute::<Account>(account, grant("service"), &admin()).await;
    denied.expect("the honest account is as it was");
    attacked.clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_hold_that_was_removed_allows_no_erasure(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    let Attacked { patient, .. } = attacked;
    let held = attacked.clinic.ledger.execute::<Custody>(patient, place_hold(1), &officer()).await;
    held.expect("on hold");
    let live = attacked.process().await;
    attacked.attack("DELETE FROM events WHERE aggregate_type = 'custody'").await;
    for ledger in [&live, &attacked.clinic.ledger] {
        let erased = ledger.execute::<Custody>(patient, erase(), &officer()).await;
        let error = erased.expect_err("the hold was seen");
        assert!(["log-damaged", "on-hold", "unavailable"].contains(&error.code()), "{error:?}");
    }
    let erased = "SELECT count(*) FROM events WHERE event_type = 'SubjectErased'";
    assert_eq!(attacked.clinic.count(erased).await, 0);
}

/// The log set back to what it once was, on a server that has seen it go on.
#[sqlx::test(migrations = "../migrations")]
async fn a_log_that_is_set_back_is_not_continued(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    let live = attacked.process().await;
    attacked
        .owner
        .execute("CREATE TABLE saved_head AS TABLE ledger_head")
        .await
        .expect("only the owner can");
    let done = live.execute::<Patient>(attacked.patient, rename("Drei"), &context()).await;
    done.expect("edited");
    attacked
        .attack(
            "DELETE FROM events WHERE position = 7; DELETE FROM checkpoints WHERE size = 8;
             DELETE FROM ledger_head; INSERT INTO ledger_head SELECT * FROM saved_head",
        )
        .await;
    for _ in 0..3 {
        let again = live.execute::<Patient>(attacked.patient, rename("Vier"), &context()).await;
        let error = again.expect_err("that would be a fork");
        assert!(["unavailable", "log-damaged"].contains(&error.code()), "{error:?}");
    }
    assert_eq!(attacked.clinic.count("SELECT count(*) FROM events").await, 7);
}

/// Somebody else's key in the genesis, and ours activated by it: no key at hand vouches for such a log.
#[sqlx::test(migrations = "../migrations")]
async fn a_log_of_another_genesis_is_not_opened(_: PgPoolOptions, options: PgConnectOptions) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(folder.path()).expect("keys");
    let theirs = Clinic::open_with(options, keys, Clock::system()).await;
    let file = folder.path().join(SecretName::EventSigning.file());
    let first = std::fs::read_to_string(&file).expect("their key");
    KeyFolder::new(folder.path()).add(SecretName::EventSigning).expect("ours");
    let operator = Context::new(Actor::bootstrap(), PurposeOfUse::Sysadmin);
    theirs.ledger.activate_key(&operator).await.expect("activated");
    let both = std::fs::read_to_string(&file).expect("both keys");
    std::fs::write(&file, both.replace(first.trim(), "")).expect("written");
    let ours = Keys::load(folder.path()).expect("our key alone");
    let config = LedgerConfig::new(ORIGIN);
    let opened = Ledger::open(theirs.pool.clone(), ours, Clock::system(), config).await;
    let error = opened.expect_err("nobody of us began it");
    assert!(matches!(error, OpenError::ForeignKey(_)), "{error:?}");
}
