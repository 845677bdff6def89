//! Ids that nobody may choose, and ids that something else has.

use audit::system;
use commands::{Actor, CommandError, Context, PurposeOfUse};
use domain::account::Role;
use domain::{Account, AccountCommand, AccountId, Custody, ModelRegistry, Patient, WoundEpisode};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, context, erase, officer, open_wound, patient};

fn account(login: &str) -> AccountCommand {
    let register =
        json!({"register": {"login": login, "display_name": "Somebody", "kind": "service"}});
    serde_json::from_value(register).expect("a command")
}

fn kept() -> Vec<Uuid> {
    let actors = [Actor::bootstrap(), Actor::importer(), Actor::worker(), Actor::ledger()];
    let mut kept: Vec<Uuid> = actors.iter().map(|actor| actor.id.as_uuid()).collect();
    kept.extend([Uuid::nil(), Uuid::max(), ModelRegistry::ID, system::stream_id(ORIGIN)]);
    kept
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_called_by_an_id_that_is_kept(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let known = clinic.register("A-1").await;
    for id in kept() {
        let ledger = &clinic.ledger;
        let refusals = [
            ledger.execute::<Patient>(id, patient("Mustermann", "A-2"), &context()).await,
            ledger.execute::<Account>(id, account("staff"), &context()).await,
            ledger.execute::<WoundEpisode>(id, open_wound(known), &context()).await,
            ledger
                .execute::<Patient>(
                    ledger.new_id(),
                    patient("Mustermann", "A-2"),
                    &context().with_command_id(id),
                )
                .await,
        ];
        for (case, refused) in refusals.into_iter().enumerate() {
            let error = refused.expect_err("kept");
            assert_eq!(error.code(), "reserved-id", "{id}, case {case}");
        }
    }
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_id_is_that_of_one_kind_of_subject(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options.clone()).await;
    let other = Clinic::open_with(options, clinic.keys.clone(), commands::Clock::system()).await;
    let person = clinic.register("A-1").await;
    let staff = clinic.ledger.new_id();
    clinic
        .ledger
        .execute::<Account>(staff, account("staff"), &context())
        .await
        .expect("registered");
    // By the process that knows both, and by one that knows neither.
    for clinic in [&clinic, &other] {
        let taken = clinic.ledger.execute::<Account>(person, account("other"), &context()).await;
        assert_id_taken(taken.map(drop));
        let taken =
            clinic.ledger.execute::<Patient>(staff, patient("Mustermann", "A-2"), &context()).await;
        assert_id_taken(taken.map(drop));
    }
    // Nor when the record is erased.
    clinic.ledger.execute::<Custody>(person, erase(), &officer()).await.expect("erased");
    for clinic in [&clinic, &other] {
        let taken = clinic.ledger.execute::<Account>(person, account("third"), &context()).await;
        let error = taken.expect_err("it was a patient");
        assert!(["id-taken", "erased"].contains(&error.code()), "{error:?}");
    }
    // Both at once, under a new id: one of them.
    for turn in 0..8 {
        let id = clinic.ledger.new_id();
        let (mrn, login) = (format!("C-{turn}"), format!("name-{turn}"));
        let (as_patient, as_account) = (context(), context());
        let (one, two) = tokio::join!(
            clinic.ledger.execute::<Patient>(id, patient("Mustermann", &mrn), &as_patient),
            other.ledger.execute::<Account>(id, account(&login), &as_account),
        );
        let done = usize::from(one.is_ok()) + usize::from(two.is_ok());
        assert_eq!(done, 1, "{one:?} {two:?}");
        for error in [one.err(), two.err()].into_iter().flatten() {
            assert_eq!(error.code(), "id-taken");
        }
    }
    clinic.assert_sound().await;
}

fn assert_id_taken(outcome: Result<(), CommandError>) {
    let error = outcome.expect_err("it has another kind of owner");
    assert!(
        matches!(error, CommandError::Refused { code: "id-taken", field: None, .. }),
        "{error:?}"
    );
}

/// Whoever knows an id that somebody else will use cannot keep it from them.
#[sqlx::test(migrations = "../migrations")]
async fn a_command_id_is_its_actors_own(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let command_id = clinic.ledger.new_id();
    let actors: Vec<Actor> = (1..4)
        .map(|n| AccountId::from_uuid(Uuid::from_u128(n)))
        .map(|id| Actor::user(id, [Role::Clinician, Role::FrontDesk]))
        .chain([Actor::importer()])
        .collect();
    let mut done = Vec::new();
    for (n, actor) in actors.iter().enumerate() {
        let context = Context::new(actor.clone(), PurposeOfUse::Treat).with_command_id(command_id);
        let id = clinic.ledger.new_id();
        let command = patient("Mustermann", &format!("A-{n}"));
        let first = clinic.ledger.execute::<Patient>(id, command.clone(), &context).await;
        let first = first.unwrap_or_else(|error| panic!("{actor:?}: {error:?}"));
        assert!(!first.replayed);
        let again =
            clinic.ledger.execute::<Patient>(id, command, &context).await.expect("repeated");
        assert!(again.replayed && again.position == first.position);
        done.push((actor.clone(), first));
    }
    let auditor = Actor::user(AccountId::from_uuid(Uuid::from_u128(99)), [Role::Auditor]);
    let ambiguous = clinic.ledger.receipt(command_id, &auditor).await.expect_err("whose?");
    assert_eq!(ambiguous.code(), "ambiguous-command-id");
    let nobody = Actor::user(AccountId::from_uuid(Uuid::from_u128(98)), [Role::Clinician]);
    for (actor, first) in &done {
        let own = clinic.ledger.receipt(command_id, actor).await.expect("readable");
        assert_eq!(own.expect("one's own").position, first.position);
        let of = actor.id.as_uuid();
        let read = clinic.ledger.receipt_of(command_id, of, &auditor).await.expect("readable");
        assert_eq!(read.expect("any, for an auditor").position, first.position);
        let hidden = clinic.ledger.receipt_of(command_id, of, &nobody).await.expect("readable");
        assert!(hidden.is_none());
    }
    assert!(clinic.ledger.receipt(command_id, &nobody).await.expect("readable").is_none());
    clinic.assert_sound().await;
}
