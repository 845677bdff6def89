//! The key-encryption key is replaced while everybody works, and no record is lost.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use commands::keys::{KeyFolder, SecretName};
use commands::{
    Actor, Clock, CommandError, Context, Keys, Ledger, LedgerConfig, PurposeOfUse, Unavailable,
};
use domain::Patient;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, context, patient};

fn operator() -> Context {
    Context::new(Actor::bootstrap(), PurposeOfUse::Sysadmin)
}

async fn process(pool: &PgPool, folder: &Path) -> Ledger {
    let keys = Keys::load(folder).expect("keys");
    let opened = Ledger::open(pool.clone(), keys, Clock::system(), LedgerConfig::new(ORIGIN));
    opened.await.expect("the ledger opens")
}

async fn register(ledger: &Ledger, mrn: &str) -> Result<Uuid, CommandError> {
    let id = ledger.new_id();
    ledger.execute::<Patient>(id, patient("Mustermann", mrn), &context()).await?;
    Ok(id)
}

fn copy(name: SecretName, from: &Path, to: &Path) {
    fs::copy(from.join(name.file()), to.join(name.file())).expect("copied");
}

/// The second of two machines: a folder with the same keys.
fn second_folder(first: &Path) -> tempfile::TempDir {
    let second = tempfile::tempdir().expect("a folder");
    SecretName::ALL.into_iter().for_each(|name| copy(name, first, second.path()));
    second
}

/// Leaves the newest line of the key-encryption keys, as the procedure says to.
fn remove_old_lines(folder: &Path) {
    let path = folder.join(SecretName::KeyEncryption.file());
    let text = fs::read_to_string(&path).expect("a key file");
    let newest = text.lines().next().expect("a line").to_owned();
    fs::write(path, newest).expect("written");
}

/// Waits until every living process has told that it holds the newest key of this one.
pub(crate) async fn until_held(ledger: &Ledger) {
    for _ in 0..100 {
        let state = ledger.key_encryption().await.expect("the state");
        let held = state.holders.iter().filter(|holder| holder.live);
        if held.into_iter().all(|holder| holder.kek_ids.len() > 1) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not everybody took notice of the new key");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_rotation_as_documented_under_load_loses_nothing(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let first = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(first.path()).expect("keys");
    let second = second_folder(first.path());
    let clinic = Clinic::open_with(options, keys, Clock::system()).await;
    let other = process(&clinic.pool, second.path()).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for (at, ledger) in [clinic.ledger.clone(), other.clone()].into_iter().enumerate() {
        let over = Arc::clone(&over);
        writers.spawn(async move {
            let mut registered = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let mrn = format!("W{at}-{}", registered.len());
                registered.push(register(&ledger, &mrn).await.expect("no command is refused"));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            registered
        });
    }
    for round in 1..=2 {
        KeyFolder::new(first.path()).add(SecretName::KeyEncryption).expect("added");
        let refused = clinic.ledger.rewrap_data_keys(&operator(), |_| ()).await;
        let refused = refused.expect_err("the second machine lacks it");
        assert_eq!(refused.code(), "key-not-everywhere");
        let state = clinic.ledger.key_encryption().await.expect("the state");
        assert_eq!(state.epoch, round - 1, "nothing was changed");
        copy(SecretName::KeyEncryption, first.path(), second.path());
        until_held(&clinic.ledger).await;
        let done = clinic.ledger.rewrap_data_keys(&operator(), |_| ()).await.expect("done");
        assert!(done.is_done() && done.rewrapped > 0, "{done:?}");
        let state = clinic.ledger.key_encryption().await.expect("the state");
        assert_eq!((state.epoch, state.kek_id, state.wraps.len()), (round, done.kek_id, 1));
        remove_old_lines(first.path());
        remove_old_lines(second.path());
        // Whoever would still wrap with the old one, would do it now.
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    over.store(true, Ordering::Relaxed);
    let registered: Vec<Uuid> = writers.join_all().await.into_iter().flatten().collect();
    other.close().await;
    let afresh = process(&clinic.pool, second.path()).await;
    for id in &registered {
        afresh.load::<Patient>(*id).await.expect("every record opens");
    }
    register(&afresh, "after").await.expect("recorded");
    let report = clinic.assert_sound().await;
    assert_eq!(report.plaintexts, registered.len() as u64 + 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn who_slept_through_a_rotation_stores_no_old_wrap_and_goes_on(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let first = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(first.path()).expect("keys");
    let second = second_folder(first.path());
    let clinic = Clinic::open_with(options, keys, Clock::system()).await;
    let sleeper = process(&clinic.pool, second.path()).await;
    register(&sleeper, "A").await.expect("recorded");
    let old = clinic.ledger.key_encryption().await.expect("the state").kek_id;
    KeyFolder::new(first.path()).add(SecretName::KeyEncryption).expect("added");
    // As if nobody had heard of it for long: only the wrapping refuses it then.
    let change = "WITH gone AS (DELETE FROM keyring.holders)
                  UPDATE keyring.key_encryption SET kek_id = $1, epoch = epoch + 1";
    let new = Keys::load(first.path()).expect("keys").newest_kek_id();
    sqlx::query(change).bind(&new).execute(&clinic.owner).await.expect("changed");

    let error = register(&sleeper, "B").await.expect_err("the key is not at hand");
    assert_eq!(error.code(), "key-not-at-hand");
    let CommandError::Unavailable(Unavailable::KeyNotAtHand { kek_id }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*kek_id, new);
    let wraps = "SELECT count(*) FROM keyring.data_keys WHERE kek_id = $1";
    let under = |kek_id: String| sqlx::query_scalar(wraps).bind(kek_id).fetch_one(&clinic.owner);
    let count: i64 = under(old.clone()).await.expect("counted");
    assert_eq!(count, 1, "nothing was stored under the old key");
    // What needs no new wrap goes on.
    register(&clinic.ledger, "C").await.expect("it has the key in its folder");

    copy(SecretName::KeyEncryption, first.path(), second.path());
    register(&sleeper, "B").await.expect("the folder is read again");
    let count: i64 = under(new).await.expect("counted");
    assert_eq!(count, 2);
    // Past the process as well: the database takes no old wrap from anybody.
    let forged = sqlx::query("UPDATE keyring.data_keys SET kek_id = $1").bind(old);
    let error = forged.execute(&clinic.owner).await.expect_err("an old wrap");
    assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some("KE001"));
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn who_ended_is_not_waited_for(_: PgPoolOptions, options: PgConnectOptions) {
    let first = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(first.path()).expect("keys");
    let second = second_folder(first.path());
    let clinic = Clinic::open_with(options, keys, Clock::system()).await;
    let ended = process(&clinic.pool, second.path()).await;
    clinic.register("A").await;
    KeyFolder::new(first.path()).add(SecretName::KeyEncryption).expect("added");
    let refused = clinic.ledger.rewrap_data_keys(&operator(), |_| ()).await;
    assert_eq!(refused.expect_err("it lives").code(), "key-not-everywhere");
    ended.close().await;
    let done = clinic.ledger.rewrap_data_keys(&operator(), |_| ()).await.expect("done");
    assert_eq!((done.rewrapped, done.is_done(), done.epoch), (1, true, 1));
}
