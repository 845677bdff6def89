//! Several processes, restarts, and a queue that is full.

use audit::proof::verify_receipt;
use commands::{Clock, CommandError, Ledger, LedgerConfig};
use domain::Patient;
use futures::future::join_all;
use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::clinic::{Clinic, ORIGIN, context, patient, rename};

#[sqlx::test(migrations = "../migrations")]
async fn two_processes_append_to_one_log(_: PgPoolOptions, options: PgConnectOptions) {
    let first = Clinic::open(options.clone()).await;
    let second = Clinic::open_with(options, first.keys.clone(), Clock::system()).await;
    let shared = first.register("S-1").await;
    let rounds = 12;
    let work = |clinic: &Clinic, name: &'static str| {
        let ledger = clinic.ledger.clone();
        async move {
            let mut receipts = Vec::new();
            for round in 0..rounds {
                let done = join_all((0..12).map(|n| {
                    let (ledger, context) = (&ledger, context());
                    let mrn = format!("{name}-{round}-{n}");
                    async move {
                        let id = ledger.new_id();
                        ledger.execute::<Patient>(id, patient("Mustermann", &mrn), &context).await
                    }
                }))
                .await;
                receipts.extend(done.into_iter().map(|done| done.expect("registered")));
                let edit = ledger.execute::<Patient>(shared, rename(name), &context()).await;
                match edit {
                    Ok(receipt) => receipts.push(receipt),
                    Err(error) => assert_eq!(error.code(), "nothing-changed", "{error:?}"),
                }
            }
            receipts
        }
    };
    let (one, two) = tokio::join!(work(&first, "Eins"), work(&second, "Zwei"));
    let mut positions: Vec<u64> =
        one.iter().chain(&two).filter_map(|receipt| receipt.position).collect();
    positions.sort_unstable();
    let expected: Vec<u64> = (2..2 + positions.len() as u64).collect();
    assert_eq!(positions, expected, "dense, and each position given once");
    for receipt in one.iter().chain(&two) {
        verify_receipt(receipt, &first.verifiers()).expect("the receipt holds");
    }
    assert_eq!(
        first.ledger.checkpoint().await.expect("a checkpoint"),
        second.ledger.checkpoint().await.expect("a checkpoint")
    );
    let report = first.assert_sound().await;
    assert!(report.events > 256, "more than a tile");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_another_process_did_to_a_stream_is_no_reason_to_refuse(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let first = Clinic::open(options.clone()).await;
    let second = Clinic::open_with(options, first.keys.clone(), Clock::system()).await;
    let id = first.register("S-1").await;
    for (turn, name) in ["Eins", "Zwei", "Drei", "Vier"].into_iter().enumerate() {
        second.ledger.execute::<Patient>(id, rename(name), &context()).await.expect("renamed");
        // The state is read anew, while the sequencer still remembers the version it wrote itself.
        let loaded = first.ledger.load::<Patient>(id).await.expect("readable").expect("there");
        assert_eq!(loaded.version, 2 + 2 * turn as u64);
        let done = first.ledger.execute::<Patient>(id, rename("Mustermann"), &context()).await;
        assert_eq!(done.expect("renamed back").version, loaded.version + 1);
    }
    first.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_lost_connection_costs_at_most_a_retry(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options.clone()).await;
    let id = clinic.register("A-1").await;
    let owner = PgPoolOptions::new().connect_with(options).await.expect("the owner connects");
    for round in 0..5 {
        owner
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .expect("only the owner can");
        let (command, context) = (rename(if round % 2 == 0 { "Eins" } else { "Zwei" }), context());
        let mut done = clinic.ledger.execute::<Patient>(id, command.clone(), &context).await;
        for _ in 0..20 {
            if !matches!(done, Err(CommandError::Unavailable(_))) {
                break;
            }
            done = clinic.ledger.execute::<Patient>(id, command.clone(), &context).await;
        }
        assert_eq!(done.expect("done under the same id").version, round + 2);
    }
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_full_queue_refuses_and_nothing_is_half_done(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let small =
        LedgerConfig { queue_commands_max: 2, batch_commands_max: 1, ..LedgerConfig::new(ORIGIN) };
    let ledger = Ledger::open(clinic.pool.clone(), clinic.keys.clone(), Clock::system(), small)
        .await
        .expect("opens");
    let outcomes = join_all((0..32).map(|n| {
        let (ledger, context) = (&ledger, context());
        async move {
            let command = patient("Mustermann", &format!("A-{n}"));
            ledger.execute::<Patient>(ledger.new_id(), command, &context).await
        }
    }))
    .await;
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let overloaded =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(CommandError::Overloaded))).count();
    assert_eq!(done + overloaded, 32);
    assert!(done >= 1 && overloaded >= 1, "{done} done, {overloaded} refused");
    let events = clinic.count("SELECT count(*) FROM events").await;
    assert_eq!(usize::try_from(events), Ok(done + 1));
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn closing_finishes_what_waits_and_takes_no_more(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let ledger = clinic.ledger.clone();
    let waiting = tokio::spawn(async move {
        join_all((0..16).map(|n| {
            let (ledger, context) = (&ledger, context());
            async move {
                let command = patient("Mustermann", &format!("A-{n}"));
                ledger.execute::<Patient>(ledger.new_id(), command, &context).await
            }
        }))
        .await
    });
    tokio::task::yield_now().await;
    clinic.ledger.clone().close().await;
    assert!(!clinic.ledger.is_open());
    let outcomes = waiting.await.expect("the task ends");
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let events = clinic.count("SELECT count(*) FROM events").await;
    assert_eq!(usize::try_from(events), Ok(done + 1));
    let id = clinic.ledger.new_id();
    let late = clinic.ledger.execute::<Patient>(id, patient("Mustermann", "B-1"), &context()).await;
    assert_eq!(late.expect_err("closed").code(), "unavailable");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_another_process_began_is_not_begun_again(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let first = Clinic::open(options.clone()).await;
    let second = Clinic::open_with(options, first.keys.clone(), Clock::system()).await;
    let id = first.register("A-1").await;
    for expected in [None, Some(1)] {
        let context = commands::Context { expected_version: expected, ..context() };
        let again = second.ledger.execute::<Patient>(id, patient("Mustermann", "A-2"), &context);
        let error = again.await.expect_err("it is there already");
        assert_eq!(error.code(), "already-registered");
    }
    let stale = context().expecting(0);
    let again = second.ledger.execute::<Patient>(id, patient("Mustermann", "A-2"), &stale);
    assert_eq!(again.await.expect_err("it has a version").code(), "version-conflict");
    assert_eq!(first.count("SELECT count(*) FROM keyring.data_keys").await, 1);
    let edit = context();
    let edited = second.ledger.execute::<Patient>(id, rename("Musterfrau"), &edit);
    assert_eq!(edited.await.expect("edited").version, 2);
}
