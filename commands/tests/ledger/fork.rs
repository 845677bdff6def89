//! A restored backup must not fork the log: the last published checkpoint is kept outside the database.

use std::path::Path;

use commands::checkpoints::{CheckpointFolder, FILE};
use commands::{Clock, Keys, Ledger, LedgerConfig, OpenError, SeenElsewhere};
use domain::Patient;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};

use crate::clinic::{ORIGIN, context, owner, patient, serve};

async fn open(pool: &PgPool, keys: &Keys, folder: &Path) -> Result<Ledger, OpenError> {
    let config = LedgerConfig { checkpoints: Some(folder.to_owned()), ..LedgerConfig::new(ORIGIN) };
    Ledger::open(pool.clone(), keys.clone(), Clock::system(), config).await
}

async fn register(ledger: &Ledger, mrn: &str) {
    let command = patient("Mustermann", mrn);
    ledger.execute::<Patient>(ledger.new_id(), command, &context()).await.expect("registered");
}

fn kept(folder: &Path) -> u64 {
    let folder = CheckpointFolder::new(folder, ORIGIN).expect("the folder");
    folder.read().expect("readable").expect("kept").size
}

/// The tables of the log and of what is derived from it, as one backup has them.
const TABLES: [&str; 9] = [
    "events",
    "commands",
    "checkpoints",
    "tiles",
    "ledger_head",
    "claims_unique",
    "claims_busy",
    "claims_buckets",
    "claims_seal",
];

async fn back_up(owner: &PgPool) {
    for table in TABLES {
        let sql = format!("CREATE TABLE kept_{table} AS TABLE {table}");
        owner.execute(sql.as_str()).await.expect("backed up");
    }
}

async fn restore(owner: &PgPool) {
    let tables =
        TABLES.map(|table| format!("DELETE FROM {table}; INSERT INTO {table} TABLE kept_{table};"));
    let script = tables.concat();
    let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {script} COMMIT");
    owner.execute(script.as_str()).await.expect("restored");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_restored_backup_is_not_continued(_: PgPoolOptions, options: PgConnectOptions) {
    let owner = owner(options.clone()).await;
    let pool = serve(options).await;
    let keys = Keys::ephemeral();
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path().join("checkpoints");

    let ledger = open(&pool, &keys, &folder).await.expect("opens");
    assert_eq!(kept(&folder), 1, "the genesis is published at once");
    register(&ledger, "A-1").await;
    ledger.close().await;
    assert_eq!(kept(&folder), 2, "closing publishes the newest");
    back_up(&owner).await;

    let ledger = open(&pool, &keys, &folder).await.expect("as it was");
    register(&ledger, "A-2").await;
    register(&ledger, "A-3").await;
    ledger.close().await;
    let after = std::fs::read(folder.join(FILE)).expect("the file");

    restore(&owner).await;
    let refused = open(&pool, &keys, &folder).await.expect_err("older than what was published");
    assert!(matches!(refused, OpenError::Behind { found: 2, published: 4, .. }), "{refused:?}");
    let said = refused.to_string();
    assert!(
        said.contains("Restore a newer backup") && said.contains("docs/operations.md"),
        "{said}"
    );
    assert_eq!(std::fs::read(folder.join(FILE)).expect("the file"), after, "it never goes back");

    // Grown again past the published size by somebody without the folder: another history, and not behind.
    let blind =
        Ledger::open(pool.clone(), keys.clone(), Clock::system(), LedgerConfig::new(ORIGIN));
    let blind = blind.await.expect("nothing tells it");
    for n in 0..4 {
        register(&blind, &format!("B-{n}")).await;
    }
    blind.close().await;
    let refused = open(&pool, &keys, &folder).await.expect_err("another history");
    assert!(matches!(refused, OpenError::Forked { published: 4, .. }), "{refused:?}");
    assert_eq!(std::fs::read(folder.join(FILE)).expect("the file"), after);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_empty_database_is_not_begun_anew(_: PgPoolOptions, options: PgConnectOptions) {
    let pool = serve(options).await;
    let temporary = tempfile::tempdir().expect("a folder");
    let elsewhere = CheckpointFolder::new(temporary.path(), ORIGIN).expect("the folder");
    let signer = audit::note::NoteSigner::new(ORIGIN, &[1; 32]).expect("a name");
    let root = audit::merkle::leaf_hash(b"the genesis that was lost");
    let lost = audit::checkpoint::Checkpoint { origin: ORIGIN.to_owned(), size: 1, root };
    elsewhere.publish(&lost.to_note(&signer).expect("signed")).expect("published");
    let keys = Keys::ephemeral();
    let refused = open(&pool, &keys, temporary.path()).await.expect_err("the log is lost");
    assert!(matches!(refused, OpenError::Behind { found: 0, published: 1, .. }), "{refused:?}");
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&pool).await.expect("a count");
    assert_eq!(events, 0, "nothing was signed");

    // What somebody else has seen counts as much.
    for (size, consistent) in [(1, true), (0, false)] {
        let seen = vec![SeenElsewhere { by: "the witness w".to_owned(), size, consistent }];
        let config = LedgerConfig { seen, ..LedgerConfig::new(ORIGIN) };
        let refused = Ledger::open(pool.clone(), keys.clone(), Clock::system(), config).await;
        let refused = refused.expect_err("seen elsewhere").to_string();
        assert!(refused.contains("the witness w"), "{refused}");
    }
    std::fs::write(temporary.path().join(FILE), "nothing").expect("written");
    let refused = open(&pool, &keys, temporary.path()).await.expect_err("damaged");
    assert!(matches!(refused, OpenError::Checkpoints(_)), "{refused:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_crash_loses_no_more_than_the_interval(_: PgPoolOptions, options: PgConnectOptions) {
    let pool = serve(options).await;
    let keys = Keys::ephemeral();
    let temporary = tempfile::tempdir().expect("a folder");
    let ledger = open(&pool, &keys, temporary.path()).await.expect("opens");
    let second = open(&pool, &keys, temporary.path()).await.expect("two share the folder");
    for n in 0..10 {
        register(if n % 2 == 0 { &ledger } else { &second }, &format!("A-{n}")).await;
    }
    // Neither is closed, as after a crash.
    let patience = std::time::Instant::now();
    while kept(temporary.path()) < 11 {
        assert!(patience.elapsed() < std::time::Duration::from_secs(20), "never published");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    drop((ledger, second));
    let again = open(&pool, &keys, temporary.path()).await.expect("opens");
    register(&again, "A-11").await;
    again.close().await;
    assert_eq!(kept(temporary.path()), 12);
}
