//! The same command twice: one effect, one answer.

use audit::proof::verify_receipt;
use commands::{Actor, Clock, CommandError, Context, PurposeOfUse, Receipt};
use domain::account::Role;
use domain::{AccountId, Patient};
use futures::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, actor, context, identify, patient, rename};

/// What must be alike, whether it is the first answer or a later one.
fn essence(receipt: &Receipt) -> Receipt {
    Receipt { replayed: false, ..receipt.clone() }
}

#[sqlx::test(migrations = "../migrations")]
async fn sixteen_times_at_once_is_once(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.ledger.new_id();
    let context = context();
    let receipts = join_all(
        (0..16)
            .map(|_| clinic.ledger.execute::<Patient>(id, patient("Mustermann", "A-1"), &context)),
    )
    .await;
    let receipts: Vec<Receipt> =
        receipts.into_iter().map(|receipt| receipt.expect("done, or done before")).collect();
    for receipt in &receipts {
        assert_eq!(essence(receipt), essence(&receipts[0]));
        verify_receipt(receipt, &clinic.verifiers()).expect("the receipt holds");
    }
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 2);
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn much_later_the_answer_is_the_same(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.ledger.new_id();
    let context = context().expecting(0);
    let command = patient("Mustermann", "A-1");
    let first =
        clinic.ledger.execute::<Patient>(id, command.clone(), &context).await.expect("registered");
    // Enough events for complete tiles, so that the proof is rebuilt from them.
    for chunk in 0..6 {
        let registered = (0..50).map(|n| {
            let clinic = &clinic;
            async move { clinic.register(&format!("B-{chunk}-{n}")).await }
        });
        join_all(registered).await;
    }
    let again = clinic.ledger.execute::<Patient>(id, command, &context).await.expect("replayed");
    assert!(again.replayed && !first.replayed);
    assert_eq!(essence(&again), essence(&first));
    let of_late = clinic.register("C-1").await;
    let later = rename("Musterfrau");
    let late = context_of(Uuid::from_u128(77));
    clinic.ledger.execute::<Patient>(of_late, later.clone(), &late).await.expect("edited");
    let again = clinic.ledger.execute::<Patient>(of_late, later, &late).await.expect("replayed");
    verify_receipt(&again, &clinic.verifiers()).expect("a proof from tiles holds");
    clinic.assert_sound().await;
}

/// Each of the requests has made a data key, and only that of the first is kept: nothing may be sealed with another.
#[sqlx::test(migrations = "../migrations")]
async fn what_follows_a_registration_sent_twice_can_be_read(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options.clone()).await;
    let id = clinic.ledger.new_id();
    let registration = context();
    let twice = join_all((0..4).map(|_| {
        clinic.ledger.execute::<Patient>(id, patient("Mustermann", "A-1"), &registration)
    }));
    for receipt in twice.await {
        receipt.expect("done, or done before");
    }
    clinic.ledger.execute::<Patient>(id, rename("Musterfrau"), &context()).await.expect("edited");
    let other = Clinic::open_with(options, clinic.keys.clone(), Clock::system()).await;
    let loaded = other.ledger.load::<Patient>(id).await.expect("readable").expect("there");
    assert_eq!(loaded.version, 2);
    let report = clinic.assert_sound().await;
    assert_eq!(report.plaintexts, 2, "every plaintext can be compared with its commitment");
}

fn context_of(command_id: Uuid) -> Context {
    context().with_command_id(command_id)
}

#[sqlx::test(migrations = "../migrations")]
async fn another_command_under_the_same_id_is_refused(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.ledger.new_id();
    let context = context();
    let execute = |command| clinic.ledger.execute::<Patient>(id, command, &context);
    execute(patient("Mustermann", "A-1")).await.expect("registered");
    for other in [patient("Mustermann", "A-2"), rename("Musterfrau")] {
        let error = execute(other).await.expect_err("another command");
        assert!(matches!(error, CommandError::CommandIdReused), "{error:?}");
    }
    let elsewhere = clinic.ledger.new_id();
    let error = clinic
        .ledger
        .execute::<Patient>(elsewhere, patient("Mustermann", "A-1"), &context)
        .await
        .expect_err("another stream");
    assert!(matches!(error, CommandError::CommandIdReused), "{error:?}");
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn two_commands_race_for_one_id(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let context = context();
    let outcomes = join_all((0..8).map(|n| {
        let (id, context) = (clinic.ledger.new_id(), &context);
        let command = patient("Mustermann", &format!("A-{n}"));
        let ledger = &clinic.ledger;
        async move { ledger.execute::<Patient>(id, command, context).await }
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, CommandError::CommandIdReused), "{error:?}");
    }
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_refusal_burns_no_command_id(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.ledger.new_id();
    let context = context();
    let execute = |command| clinic.ledger.execute::<Patient>(id, command, &context);
    let error = execute(rename("Musterfrau")).await.expect_err("not registered");
    assert!(matches!(error, CommandError::Refused { .. }), "{error:?}");
    assert_eq!(clinic.count("SELECT count(*) FROM commands").await, 1, "the genesis alone");
    assert_eq!(clinic.count("SELECT count(*) FROM keyring.data_keys").await, 0);
    execute(patient("Mustermann", "A-1")).await.expect("the id is still free");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_receipt_is_for_whoever_acted_and_for_auditors(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let id = clinic.ledger.new_id();
    let clinician = AccountId::from_uuid(Uuid::from_u128(1));
    let context = Context::new(Actor::user(clinician, [Role::Clinician]), PurposeOfUse::Treat);
    let done = clinic
        .ledger
        .execute::<Patient>(id, patient("Mustermann", "A-1"), &context)
        .await
        .expect("registered");
    let somebody = AccountId::from_uuid(Uuid::from_u128(2));
    for (actor, may_see) in [
        (Actor::user(clinician, []), true),
        (Actor::user(somebody, [Role::Clinician]), false),
        (Actor::user(somebody, [Role::Auditor]), true),
    ] {
        assert_eq!(look(&clinic, done.command_id, actor).await.is_some(), may_see);
    }
    let unknown = look(&clinic, Uuid::from_u128(9), actor()).await;
    assert!(unknown.is_none());
}

async fn look(clinic: &Clinic, command_id: Uuid, actor: Actor) -> Option<Receipt> {
    clinic.ledger.receipt(command_id, &actor).await.expect("the log can be read")
}

#[sqlx::test(migrations = "../migrations")]
async fn a_released_identifier_may_be_taken_by_another(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let (first, second) = (clinic.register("A-1").await, clinic.register("A-2").await);
    let edit = |id, mrns: &'static [&str]| {
        let (ledger, context) = (&clinic.ledger, context());
        async move { ledger.execute::<Patient>(id, identify(mrns), &context).await }
    };
    let error = edit(second, &["A-1"]).await.expect_err("held by the first");
    assert!(matches!(error, CommandError::ClaimConflict { .. }), "{error:?}");
    edit(first, &["A-3"]).await.expect("free");
    edit(second, &["A-1"]).await.expect("released");
    let holder = clinic.ledger.holder("patient-identifier", "http://clinic.example/mrn|A-1").await;
    assert_eq!(holder.expect("the claims can be read"), Some(second));
    assert_eq!(clinic.count("SELECT count(*) FROM claims_unique").await, 2);
}
