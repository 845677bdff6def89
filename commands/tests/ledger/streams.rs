//! Streams: versions, what is unique, what is loaded, who saw it.

use commands::{Actor, CommandError, Conflict, Context, DisclosureEntry, Permission, PurposeOfUse};
use domain::account::Role;
use domain::{AccountId, Custody, Patient, PatientId};
use futures::future::join_all;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, context, erase, officer, patient, rename};

#[sqlx::test(migrations = "../migrations")]
async fn the_state_after_a_command_is_the_state_after_a_reload(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options.clone()).await;
    let id = clinic.register("A-1").await;
    for family in ["Musterfrau", "Beispiel", "Muster"] {
        clinic.ledger.execute::<Patient>(id, rename(family), &context()).await.expect("edited");
    }
    let here = clinic.ledger.load::<Patient>(id).await.expect("readable").expect("there");
    assert_eq!(here.version, 4);
    // Another process knows nothing but the log. An event applied twice would show in a later decision.
    let other = Clinic::open_with(options, clinic.keys.clone(), commands::Clock::system()).await;
    let there = other.ledger.load::<Patient>(id).await.expect("readable").expect("there");
    assert_eq!(there.version, here.version);
    assert_eq!(there.aggregate, here.aggregate);
    clinic.ledger.execute::<Patient>(id, rename("Ende"), &context()).await.expect("edited");
    other.ledger.execute::<Patient>(id, rename("Anfang"), &context()).await.expect("edited");
    let last = clinic.ledger.execute::<Patient>(id, rename("Schluss"), &context()).await;
    assert_eq!(last.expect("edited").version, 7, "a cache that is behind is no obstacle");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_stale_version_is_refused_and_a_right_one_is_not(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    let edit = |version, family: &'static str| {
        let (ledger, context) = (&clinic.ledger, context().expecting(version));
        async move { ledger.execute::<Patient>(id, rename(family), &context).await }
    };
    edit(1, "Musterfrau").await.expect("the version is right");
    for stale in [0, 1, 3] {
        let error = edit(stale, "Beispiel").await.expect_err("the version is wrong");
        let CommandError::VersionConflict { expected, actual } = error else { panic!("{error:?}") };
        assert_eq!((expected, actual), (stale, 2));
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn of_many_who_saw_one_version_one_writes_the_next(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    let outcomes = join_all((0..16).map(|_| {
        let (ledger, context) = (&clinic.ledger, context().expecting(1));
        async move { ledger.execute::<Patient>(id, rename("Musterfrau"), &context).await }
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        let conflict = CommandError::VersionConflict { expected: 1, actual: 2 };
        assert_eq!(error.to_string(), conflict.to_string());
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn without_an_expected_version_the_command_is_decided_again(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    let families = ["Eins", "Zwei", "Drei", "Vier"];
    let outcomes = join_all(families.map(|family| {
        let (ledger, context) = (&clinic.ledger, context());
        async move { ledger.execute::<Patient>(id, rename(family), &context).await }
    }))
    .await;
    let mut versions: Vec<u64> =
        outcomes.into_iter().map(|outcome| outcome.expect("edited").version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4, 5]);
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_record_number_has_one_patient(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let outcomes =
        join_all(
            (0..32).map(|_| {
                let (ledger, id, context) = (&clinic.ledger, clinic.ledger.new_id(), context());
                async move {
                    ledger.execute::<Patient>(id, patient("Mustermann", "A-1"), &context).await
                }
            }),
        )
        .await;
    let done: Vec<_> = outcomes.iter().flatten().collect();
    let [done] = &done[..] else { panic!("one gets it: {}", done.len()) };
    let holder = done.stream_id;
    let taken = [Conflict::Unique { kind: "patient-identifier".to_owned(), holder }];
    for error in outcomes.into_iter().filter_map(Result::err) {
        let CommandError::ClaimConflict { conflicts } = error else { panic!("{error:?}") };
        assert_eq!(conflicts, taken);
    }
    assert_eq!(clinic.count("SELECT count(*) FROM keyring.data_keys").await, 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn who_may_not_is_refused(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = AccountId::from_uuid(Uuid::from_u128(1));
    for role in [Role::Auditor, Role::Analyst, Role::Admin] {
        let context = Context::new(Actor::user(id, [role]), PurposeOfUse::Treat);
        let stream = clinic.ledger.new_id();
        let error = clinic
            .ledger
            .execute::<Patient>(stream, patient("Mustermann", "A-1"), &context)
            .await
            .expect_err("not allowed");
        assert!(
            matches!(error, CommandError::Denied { permission: Permission::RegisterPatient }),
            "{error:?}"
        );
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn looks_at_many_records_are_one_append(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let patients =
        [clinic.register("A-1").await, clinic.register("A-2").await, clinic.register("A-3").await];
    let entry = |patient: Uuid| -> DisclosureEntry {
        serde_json::from_value(json!({
            "patient_id": PatientId::from_uuid(patient),
            "resource": "patient-search",
            "what": [patient],
            "outcome": "disclosed",
        }))
        .expect("an entry")
    };
    let entries: Vec<_> = patients.iter().map(|patient| entry(*patient)).collect();
    let context = context();
    let receipt = clinic.ledger.disclose(entries.clone(), &context).await.expect("recorded");
    assert_eq!(receipt.events.len(), 3);
    assert_eq!(receipt.position, Some(6));
    let again = clinic.ledger.disclose(entries, &context).await.expect("replayed");
    assert!(again.replayed);
    assert_eq!(again.events, receipt.events);
    let subjects = clinic
        .count("SELECT count(DISTINCT subject) FROM events WHERE event_type = 'RecordDisclosed'")
        .await;
    assert_eq!(subjects, 3);

    let unknown = vec![entry(patients[0]), entry(Uuid::from_u128(1))];
    let context = crate::clinic::context();
    let error = clinic.ledger.disclose(unknown, &context).await.expect_err("unknown");
    assert!(matches!(error, CommandError::NotFound { what: "patient" }), "{error:?}");
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 7);
    let refused = clinic.ledger.disclose(Vec::new(), &context).await;
    assert!(matches!(refused, Err(CommandError::Refused { .. })));
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_loads_as_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let found = clinic.ledger.load::<Patient>(Uuid::from_u128(1)).await.expect("readable");
    assert!(found.is_none());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_destroyed_key_leaves_nothing_to_read(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    clinic.ledger.execute::<Custody>(id, erase(), &officer()).await.expect("erased");
    let error = clinic.ledger.load::<Patient>(id).await.expect_err("erased");
    assert!(matches!(error, CommandError::Erased), "{error:?}");
    let error = clinic
        .ledger
        .execute::<Patient>(id, rename("Musterfrau"), &context())
        .await
        .expect_err("erased");
    assert!(matches!(error, CommandError::Erased), "{error:?}");
    clinic.assert_sound().await;
}
