//! What stays as evidence, and what the writer refuses to continue.

use audit::proof::{Receipt, verify_receipt};
use commands::{Clock, Keys, Ledger, LedgerConfig, OpenError};
use domain::Patient;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};

use crate::clinic::{Clinic, ORIGIN, context, patient, rename, serve};

#[sqlx::test(migrations = "../migrations")]
async fn a_receipt_needs_no_server(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.ledger.new_id();
    let context = context();
    let receipt = clinic
        .ledger
        .execute::<Patient>(id, patient("Mustermann", "A-1"), &context)
        .await
        .expect("registered");
    let file = serde_json::to_string(&receipt).expect("JSON");
    assert!(!file.contains("Mustermann") && !file.contains("A-1"));
    let read: Receipt = serde_json::from_str(&file).expect("a receipt");
    let verified = verify_receipt(&read, &clinic.verifiers()).expect("it holds");
    assert_eq!(verified.checkpoint.origin, ORIGIN);
    let statement = &verified.statements[0];
    assert_eq!(statement.command_id, context.command_id);
    assert_eq!(statement.subject, Some(id));
    assert_eq!(statement.actor.role, "clinician");
    assert_eq!(statement.purpose, "TREAT");

    let mut forged = read;
    forged.events[0].jws.insert(40, 'A');
    verify_receipt(&forged, &clinic.verifiers()).expect_err("forged");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_log_begins_once_however_many_begin_it(_: PgPoolOptions, options: PgConnectOptions) {
    let pool = serve(options).await;
    let keys = Keys::ephemeral();
    let open =
        || Ledger::open(pool.clone(), keys.clone(), Clock::system(), LedgerConfig::new(ORIGIN));
    let (first, second, third) = tokio::join!(open(), open(), open());
    let (first, second, third) =
        (first.expect("opens"), second.expect("opens"), third.expect("opens"));
    let checkpoint = first.checkpoint().await.expect("a checkpoint");
    assert_eq!(second.checkpoint().await.expect("a checkpoint"), checkpoint);
    assert_eq!(third.checkpoint().await.expect("a checkpoint"), checkpoint);
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&pool).await.expect("a count");
    assert_eq!(events, 1);
}

async fn reopen(pool: &PgPool, keys: &Keys, origin: &str) -> Result<Ledger, OpenError> {
    Ledger::open(pool.clone(), keys.clone(), Clock::system(), LedgerConfig::new(origin)).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_log_that_is_not_as_it_was_signed_does_not_open(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    for n in 0..5 {
        clinic.register(&format!("A-{n}")).await;
    }
    let Clinic { pool, owner, keys, ledger } = clinic;
    ledger.close().await;
    reopen(&pool, &keys, ORIGIN).await.expect("as it was").close().await;

    let other = reopen(&pool, &Keys::ephemeral(), ORIGIN).await.expect_err("another key");
    assert!(matches!(other, OpenError::Signing(_)), "{other:?}");
    let other = reopen(&pool, &keys, "another.example.org").await.expect_err("another log");
    assert!(matches!(other, OpenError::Origin { .. }), "{other:?}");
    let bad = reopen(&pool, &keys, "two words").await.expect_err("no origin");
    assert!(matches!(bad, OpenError::BadOrigin { .. }), "{bad:?}");

    let stop = "ALTER TABLE events DISABLE TRIGGER USER";
    owner.execute(stop).await.expect("only the owner can");
    let damages = [
        ("UPDATE events SET leaf_hash = sha256('x') WHERE position = 3", "a leaf"),
        ("UPDATE ledger_head SET size = size - 1", "the size"),
        ("UPDATE ledger_head SET frontier = frontier || frontier", "the frontier"),
        ("DELETE FROM events WHERE position = 5", "the last event"),
        ("DELETE FROM events WHERE position = 4", "an event"),
    ];
    for (damage, what) in damages {
        let mut transaction = owner.begin().await.expect("begin");
        transaction.execute("CREATE TABLE saved_events AS TABLE events").await.expect("saved");
        transaction.execute("CREATE TABLE saved_head AS TABLE ledger_head").await.expect("saved");
        transaction.execute(damage).await.expect(what);
        transaction.commit().await.expect("commit");
        let error = reopen(&pool, &keys, ORIGIN).await.expect_err(what);
        assert!(matches!(error, OpenError::RightEdge { .. }), "{what}: {error:?}");
        owner
            .execute(
                "DELETE FROM events; INSERT INTO events SELECT * FROM saved_events;
                 DELETE FROM ledger_head; INSERT INTO ledger_head SELECT * FROM saved_head;
                 DROP TABLE saved_events; DROP TABLE saved_head",
            )
            .await
            .expect("restored");
    }
    reopen(&pool, &keys, ORIGIN).await.expect("as it was");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_damaged_log_does_not_grow(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    clinic
        .owner
        .execute("UPDATE ledger_head SET frontier = sha256('x')")
        .await
        .expect("only the owner can");
    let refused = clinic.ledger.execute::<Patient>(id, rename("Musterfrau"), &context()).await;
    assert_eq!(refused.expect_err("not as this process left it").code(), "unavailable");
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_damaged_payload_is_not_decided_on(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    clinic
        .owner
        .execute(
            "ALTER TABLE events DISABLE TRIGGER USER;
             UPDATE events SET payload = set_byte(payload, 50, get_byte(payload, 50) # 1)",
        )
        .await
        .expect("only the owner can");
    let error = clinic.ledger.load::<Patient>(id).await.expect_err("damaged");
    assert_eq!(error.code(), "log-damaged");
    assert!(!clinic.audit().await.findings.is_empty());
}

/// However large the log is: a plan made once for all types of streams is made for the most frequent one, and reads every event
/// to find the few of another.
#[sqlx::test(migrations = "../migrations")]
async fn opening_does_not_read_all_events(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options.clone()).await;
    let id = clinic.register("A-1").await;
    for number in 2..300 {
        clinic.register(&format!("A-{number}")).await;
    }
    clinic.owner.execute("ANALYZE").await.expect("the owner may");
    let scans = "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'events'";
    let indexed = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'events'";
    let (before, used) = (clinic.count_as_owner(scans).await, clinic.count_as_owner(indexed).await);
    let pool = serve(options).await;
    let opened =
        Ledger::open(pool.clone(), clinic.keys.clone(), Clock::system(), LedgerConfig::new(ORIGIN))
            .await;
    let opened = opened.expect("it opens");
    opened.load::<Patient>(id).await.expect("readable").expect("it is there");
    opened.close().await;
    // A session tells what it has read when it ends, at the latest.
    pool.close().await;
    for _ in 0..500 {
        if clinic.count_as_owner(indexed).await > used {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(clinic.count_as_owner(indexed).await > used, "the statistics have arrived");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(clinic.count_as_owner(scans).await, before);
}
