//! Keys change while the ledger runs: signing keys by events of the log's own, key-encryption keys
//! without touching an event.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audit::postgres::{DataKeys, LogReader};
use audit::verify::{Options, Report, Trust};
use commands::keys::{KeyFolder, SecretName};
use commands::{
    Actor, Clock, CommandError, Context, Keys, Ledger, LedgerConfig, OpenError, PurposeOfUse,
    RetirementReason, log_policy,
};
use domain::account::Role;
use domain::{AccountId, Patient};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, context, patient, rename};

fn operator() -> Context {
    Context::new(Actor::bootstrap(), PurposeOfUse::Sysadmin)
}

async fn process(pool: &PgPool, keys: &Keys) -> Ledger {
    let opened =
        Ledger::open(pool.clone(), keys.clone(), Clock::system(), LedgerConfig::new(ORIGIN));
    opened.await.expect("the ledger opens")
}

async fn register(ledger: &Ledger, mrn: &str) -> Result<Uuid, CommandError> {
    let id = ledger.new_id();
    ledger.execute::<Patient>(id, patient("Mustermann", mrn), &context()).await?;
    Ok(id)
}

async fn audit(pool: &PgPool, trust: &Trust, keys: &Keys) -> Report {
    let reader = LogReader::new(ORIGIN, log_policy());
    let data_keys = DataKeys::new(pool.clone(), keys.key_wrap(), reader);
    let options = Options { threads: 1, ..Options::default() };
    let audited =
        audit::postgres::verify_database(pool, trust, options, Some(&data_keys), |_| ()).await;
    audited.expect("the database can be read")
}

/// The key that signed each event, in the order of the log.
async fn kids(pool: &PgPool) -> Vec<String> {
    let headers: Vec<Vec<u8>> = sqlx::query_scalar("SELECT header FROM events ORDER BY position")
        .fetch_all(pool)
        .await
        .expect("the headers");
    let kid = |header: &Vec<u8>| audit::jws::kid(header).expect("a header").to_owned();
    headers.iter().map(kid).collect()
}

fn lines(folder: &Path, name: SecretName) -> Vec<String> {
    let text = fs::read_to_string(folder.join(name.file())).expect("a key file");
    text.lines().map(str::to_owned).collect()
}

fn keep(folder: &Path, name: SecretName, line: &str) {
    fs::write(folder.join(name.file()), line).expect("written");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_signing_key_takes_the_place_of_another_without_a_restart(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(folder.path()).expect("keys");
    let Clinic { pool, ledger, .. } =
        Clinic::open_with(options, keys.clone(), Clock::system()).await;
    let other = process(&pool, &Keys::load(folder.path()).expect("keys")).await;
    let first = Trust::any_of(ORIGIN, keys.verifiers(ORIGIN).expect("keys"));
    let old = ledger.signing_keys().await.expect("the keys");
    assert_eq!((old.len(), old[0].from, old[0].signs), (1, Some(0), true));
    let old = old[0].kid.clone();

    let refused = ledger.activate_key(&operator()).await.expect_err("there is no new key");
    assert_eq!(refused.code(), "no-new-key");
    let desk = Actor::user(AccountId::from_uuid(Uuid::from_u128(1)), [Role::FrontDesk]);
    let denied = ledger.activate_key(&Context::new(desk, PurposeOfUse::Treat)).await;
    assert!(matches!(denied, Err(CommandError::Denied { .. })));

    KeyFolder::new(folder.path()).add(SecretName::EventSigning).expect("added");
    register(&other, "A-0").await.expect("the old key still signs");
    let asked = operator();
    let activated = ledger.activate_key(&asked).await.expect("activated");
    let again = ledger.activate_key(&asked).await.expect("answered alike");
    assert_eq!((again.position, again.replayed), (activated.position, true));
    let signed = audit::jws::parse_compact(&activated.events[0].jws).expect("a JWS").statement;
    let grounds = audit::statement::Statement::parse(&signed).expect("it reads").grounds;
    assert_eq!(grounds.expect("a rule").because, "role:admin/manage-keys");
    assert_eq!(ledger.activate_key(&operator()).await.expect_err("once").code(), "no-new-key");

    // Each process notices with the first append after it, whose event is sealed by then.
    for (process, name) in [(&ledger, "B"), (&other, "C")] {
        for n in 0..2 {
            register(process, &format!("{name}-{n}")).await.expect("recorded");
        }
    }
    let new = kids(&pool).await.pop().expect("an event");
    assert_ne!(new, old);
    let refused = ledger.retire_key(&new, RetirementReason::Superseded, &operator()).await;
    assert_eq!(refused.expect_err("it signs").code(), "key-in-use");
    let refused = ledger.retire_key("nobody", RetirementReason::Superseded, &operator()).await;
    assert_eq!(refused.expect_err("no such key").code(), "key-not-active");

    let retired = ledger.retire_key(&old, RetirementReason::Superseded, &operator()).await;
    let retired = retired.expect("retired").position.expect("an event");
    for (process, mrn) in [(&ledger, "D"), (&other, "E")] {
        register(process, mrn).await.expect("recorded");
    }
    let kids = kids(&pool).await;
    assert!(kids[retired as usize..].iter().all(|kid| *kid == new), "{kids:?}");
    let states = ledger.signing_keys().await.expect("the keys");
    assert_eq!(states[0].until, Some(retired));
    assert_eq!(states[1].from, activated.position.map(|position| position + 1));
    assert!(states[1].signs && !states[0].signs);

    // Who pinned the first key and who pins the newest one both find the log sound.
    let newest = Trust::parse(&ledger.verifier_key()).expect("a key");
    for trust in [&first, &newest] {
        let report = audit(&pool, trust, &keys).await;
        assert!(report.is_sound(), "{:?}", report.findings);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn who_holds_only_a_retired_or_foreign_key_signs_nothing(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let stale = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(folder.path()).expect("keys");
    for name in SecretName::ALL {
        fs::copy(folder.path().join(name.file()), stale.path().join(name.file())).expect("copied");
    }
    let stale = Keys::load(stale.path()).expect("the old keys");
    let Clinic { pool, ledger, .. } =
        Clinic::open_with(options, keys.clone(), Clock::system()).await;
    let left_behind = process(&pool, &stale).await;
    let old = ledger.signing_keys().await.expect("the keys")[0].kid.clone();
    KeyFolder::new(folder.path()).add(SecretName::EventSigning).expect("added");
    ledger.activate_key(&operator()).await.expect("activated");
    register(&ledger, "A").await.expect("recorded, and the new key is noticed");
    register(&left_behind, "B").await.expect("the old key is still active");
    ledger.retire_key(&old, RetirementReason::KeyCompromise, &operator()).await.expect("retired");

    let before = kids(&pool).await.len();
    let error = register(&left_behind, "C").await.expect_err("its key is retired");
    assert_eq!(error.code(), "unavailable");
    assert_eq!(kids(&pool).await.len(), before, "nothing was appended");
    for keys in [stale, Keys::ephemeral()] {
        let config = LedgerConfig::new(ORIGIN);
        let opened = Ledger::open(pool.clone(), keys, Clock::system(), config).await;
        let error = opened.expect_err("no active key");
        assert!(matches!(error, OpenError::Signing(_)), "{error:?}");
    }
    register(&ledger, "C").await.expect("the refused command left no claim behind");
}

#[sqlx::test(migrations = "../migrations")]
async fn no_command_fails_while_keys_change(_: PgPoolOptions, options: PgConnectOptions) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(folder.path()).expect("keys");
    let Clinic { pool, ledger, .. } =
        Clinic::open_with(options, keys.clone(), Clock::system()).await;
    let other = process(&pool, &Keys::load(folder.path()).expect("keys")).await;
    let trust = Trust::any_of(ORIGIN, keys.verifiers(ORIGIN).expect("keys"));
    let over = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for (at, ledger) in [&ledger, &other, &ledger, &other].into_iter().enumerate() {
        let (ledger, over) = (ledger.clone(), Arc::clone(&over));
        let id = register(&ledger, &format!("M-{at}")).await.expect("recorded");
        writers.spawn(async move {
            let mut done = 0;
            while !over.load(Ordering::Relaxed) {
                let name = ["Lovelace", "Hopper"][done % 2];
                ledger.execute::<Patient>(id, rename(name), &context()).await.expect("recorded");
                done += 1;
            }
            done
        });
    }
    for _ in 0..4 {
        let old = ledger.signing_keys().await.expect("keys").into_iter().find(|key| key.signs);
        KeyFolder::new(folder.path()).add(SecretName::EventSigning).expect("added");
        ledger.activate_key(&operator()).await.expect("activated");
        let old = old.expect("a key signs").kid;
        while let Err(error) =
            ledger.retire_key(&old, RetirementReason::Superseded, &operator()).await
        {
            assert_eq!(error.code(), "key-in-use", "until the next append has noticed");
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::Relaxed);
    let done = writers.join_all().await;
    assert!(done.iter().all(|done| *done > 0), "{done:?}");
    let report = audit(&pool, &trust, &keys).await;
    assert!(report.is_sound(), "{:?}", report.findings);
    let mut used = kids(&pool).await;
    used.dedup();
    used.sort();
    used.dedup();
    assert_eq!(used.len(), 5, "every key has signed");
}

#[sqlx::test(migrations = "../migrations")]
async fn data_keys_are_wrapped_anew_and_no_event_changes(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(folder.path()).expect("keys");
    let clinic = Clinic::open_with(options, keys.clone(), Clock::system()).await;
    let trust = Trust::any_of(ORIGIN, keys.verifiers(ORIGIN).expect("keys"));
    for n in 0..3 {
        clinic.register(&format!("A-{n}")).await;
    }
    KeyFolder::new(folder.path()).add(SecretName::KeyEncryption).expect("added");
    let newer = process(&clinic.pool, &Keys::load(folder.path()).expect("keys")).await;
    register(&newer, "B").await.expect("recorded");
    let root = clinic.assert_sound().await.root;

    let desk = Actor::user(AccountId::from_uuid(Uuid::from_u128(1)), [Role::FrontDesk]);
    let denied = newer.rewrap_data_keys(&Context::new(desk, PurposeOfUse::Treat), |_| ()).await;
    assert!(matches!(denied, Err(CommandError::Denied { .. })));
    let mut told = 0;
    crate::rotation::until_held(&newer).await;
    let done = newer.rewrap_data_keys(&operator(), |count| told = count).await.expect("done");
    assert_eq!((done.rewrapped, done.current, told), (4, 0, 4), "the old one wrapped until now");
    let again = newer.rewrap_data_keys(&operator(), |_| ()).await.expect("done");
    assert_eq!((again.rewrapped, again.current), (0, 4));

    let [new, old]: [String; 2] =
        lines(folder.path(), SecretName::KeyEncryption).try_into().expect("two keys");
    keep(folder.path(), SecretName::KeyEncryption, &new);
    let report = audit(&clinic.pool, &trust, &Keys::load(folder.path()).expect("keys")).await;
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.plaintexts, report.root), (4, root), "the new key opens all of them");
    keep(folder.path(), SecretName::KeyEncryption, &old);
    let without = process(&clinic.pool, &Keys::load(folder.path()).expect("keys")).await;
    let holder = sqlx::query_scalar("SELECT subject FROM keyring.data_keys LIMIT 1");
    let id: Uuid = holder.fetch_one(&clinic.pool).await.expect("a subject");
    let error = without.load::<Patient>(id).await.expect_err("the old key opens nothing");
    assert_eq!(error.code(), "key-not-at-hand");
}
