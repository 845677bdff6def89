//! Erasure: the key goes with the event, nothing is sealed with it afterwards, and no old backup brings it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audit::jws::parse_compact;
use audit::postgres::DataKeyError;
use audit::statement::Statement;
use commands::{Blobs, Clock, CommandError, Permission, Receipt};
use domain::{Account, Custody, Patient, WoundEpisode};
use futures::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{
    Clinic, Slot, context, erase, identify, officer, open_wound, patient, place_hold, release_hold,
    rename,
};

impl Clinic {
    async fn erase(&self, patient: Uuid) -> Result<Receipt, CommandError> {
        self.ledger.execute::<Custody>(patient, erase(), &officer()).await
    }

    /// Opens the key of a patient as an auditor would, who asks nobody.
    async fn opened(&self, patient: Uuid) -> Result<(), DataKeyError> {
        let first = "SELECT statement FROM events WHERE subject = $1 ORDER BY position LIMIT 1";
        let first = sqlx::query_scalar(first).bind(patient).fetch_one(&self.pool).await;
        let first: Vec<u8> = first.expect("an event");
        let first = Statement::parse(&first).expect("a statement");
        self.data_keys().named_by(&first).await.map(drop)
    }

    async fn rename(&self, patient: Uuid, family: &str) -> Result<Receipt, CommandError> {
        self.ledger.execute::<Patient>(patient, rename(family), &context()).await
    }
}

fn slot(patient: Uuid) -> Slot {
    let (practitioner, room) = (Uuid::from_u128(0xd0c), Uuid::from_u128(0x100));
    Slot { patient, practitioner, room, start: "2031-03-10T15:00" }
}

fn is_erased(outcome: Result<Receipt, CommandError>) -> bool {
    matches!(outcome, Err(CommandError::Erased))
}

#[sqlx::test(migrations = "../migrations")]
async fn an_erasure_takes_the_key_and_the_claims_and_leaves_the_proof(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let (id, other) = (clinic.register("A-1").await, clinic.register("A-2").await);
    clinic.book(&slot(id)).await.expect("booked");
    let wound = clinic.ledger.new_id();
    let opened = clinic.ledger.execute::<WoundEpisode>(wound, open_wound(id), &context()).await;
    opened.expect("opened");

    let officer = officer();
    let erased = clinic.ledger.execute::<Custody>(id, erase(), &officer).await.expect("erased");
    let parts = parse_compact(&erased.events[0].jws).expect("a JWS");
    let statement = Statement::parse(&parts.statement).expect("a statement");
    assert_eq!(statement.event_type, "SubjectErased");
    assert_eq!((statement.subject, statement.stream_id), (None, id));
    assert_eq!(statement.payload.key_id, None, "it is readable without a key");

    let keys = "SELECT count(*) FROM keyring.data_keys WHERE destroyed_at IS NOT NULL";
    assert_eq!(clinic.count(keys).await, 1);
    assert_eq!(clinic.count("SELECT count(*) FROM claims_busy").await, 0);
    assert_eq!(clinic.count("SELECT count(*) FROM claims_unique").await, 1, "the other patient's");
    clinic.book(&slot(other)).await.expect("the time is free again");
    let taken = clinic.ledger.execute::<Patient>(other, identify(&["A-1"]), &context()).await;
    taken.expect("the number is free again");

    assert!(is_erased(clinic.rename(id, "Musterfrau").await));
    assert!(is_erased(clinic.book(&slot(id)).await));
    let again = clinic.ledger.execute::<Patient>(id, patient("Neu", "A-9"), &context()).await;
    assert!(is_erased(again), "the id does not begin again");
    let loaded = clinic.ledger.load::<Patient>(id).await;
    assert!(matches!(loaded, Err(CommandError::Erased)), "{loaded:?}");
    let key = clinic.ledger.data_key(id).await.err();
    assert!(matches!(key, Some(CommandError::Erased)));

    let again = clinic.erase(id).await.expect_err("once is enough");
    assert_eq!(again.code(), "already-erased");
    let repeated = clinic.ledger.execute::<Custody>(id, erase(), &officer).await.expect("replayed");
    assert!(repeated.replayed);
    assert_eq!(repeated.events, erased.events);
    let report = clinic.assert_sound().await;
    assert_eq!(report.events, report.payloads, "what cannot be opened is still what was signed");
}

#[sqlx::test(migrations = "../migrations")]
async fn only_patients_are_held_and_erased_and_only_by_whom_it_concerns(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    let account = clinic.ledger.new_id();
    let register = serde_json::json!({ "register": {
        "login": "importer", "display_name": "Importer", "kind": "service" } });
    let register = serde_json::from_value(register).expect("a command");
    let registered = clinic.ledger.execute::<Account>(account, register, &context()).await;
    registered.expect("registered");
    for nobody in [account, Uuid::from_u128(1)] {
        for command in [erase(), place_hold(1)] {
            let refused = clinic.ledger.execute::<Custody>(nobody, command, &officer()).await;
            let error = refused.expect_err("there is no such patient");
            assert!(matches!(error, CommandError::NotFound { what: "patient" }), "{error:?}");
        }
    }
    for (command, permission) in [
        (erase(), Permission::ErasePatient),
        (place_hold(1), Permission::ManageHolds),
        (release_hold(1), Permission::ManageHolds),
    ] {
        let denied = clinic.ledger.execute::<Custody>(id, command, &context()).await;
        let error = denied.expect_err("not a clinician's to decide");
        assert!(matches!(error, CommandError::Denied { permission: p } if p == permission));
    }
    assert_eq!(
        clinic.count("SELECT count(*) FROM events WHERE aggregate_type = 'custody'").await,
        0
    );
    clinic.rename(id, "Musterfrau").await.expect("nothing happened to the patient");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_hold_and_an_erasure_at_once_never_both_win(_: PgPoolOptions, options: PgConnectOptions) {
    let first = Clinic::open(options.clone()).await;
    let second = Clinic::open_with(options, first.keys.clone(), Clock::system()).await;
    let (mut held, mut erased) = (0, 0);
    for round in 0..24_u128 {
        let id = first.register(&format!("H-{round}")).await;
        let (holder, eraser) = (officer(), officer());
        let hold = first.ledger.execute::<Custody>(id, place_hold(round), &holder);
        let erasure = second.ledger.execute::<Custody>(id, erase(), &eraser);
        match tokio::join!(hold, erasure) {
            (Ok(_), Err(error)) => {
                held += 1;
                assert_eq!(error.code(), "on-hold");
                first.rename(id, "Musterfrau").await.expect("it is readable");
                let release = release_hold(round);
                let released = second.ledger.execute::<Custody>(id, release, &officer()).await;
                released.expect("released");
                first.erase(id).await.expect("nothing is in the way any more");
            }
            (Err(error), Ok(_)) => {
                erased += 1;
                assert_eq!(error.code(), "already-erased");
            }
            outcome => panic!("round {round}: {outcome:?}"),
        }
    }
    assert_eq!(held + erased, 24);
    first.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_sealed_with_a_destroyed_key_however_the_commands_race(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let first = Clinic::open(options.clone()).await;
    let second = Clinic::open_with(options, first.keys.clone(), Clock::system()).await;
    for round in 0..6 {
        let id = first.register(&format!("R-{round}")).await;
        // Both processes hold the key and the state in memory.
        first.rename(id, "Eins").await.expect("edited");
        second.rename(id, "Zwei").await.expect("edited");
        let stop = Arc::new(AtomicBool::new(false));
        let load = |clinic: &Clinic, name: &'static str| {
            let (ledger, stop) = (clinic.ledger.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut last, mut refused) = (0, 0_u32);
                for n in 0_u64.. {
                    let done = match n % 3 {
                        0 => {
                            let command = open_wound(id);
                            let wound = ledger.new_id();
                            ledger.execute::<WoundEpisode>(wound, command, &context()).await
                        }
                        1 => {
                            ledger
                                .execute::<Patient>(id, rename(&format!("{name}-{n}")), &context())
                                .await
                        }
                        _ => {
                            let entry = serde_json::from_value(serde_json::json!({
                                "patient_id": id, "resource": "patient", "outcome": "disclosed" }));
                            ledger.disclose(vec![entry.expect("an entry")], &context()).await
                        }
                    };
                    match done {
                        Ok(receipt) => last = last.max(receipt.position.expect("an event")),
                        Err(CommandError::Erased) => refused += 1,
                        Err(CommandError::Unavailable(error)) => {
                            assert!(error.to_string().contains("kept changing"), "{error}");
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    if refused > 5 && stop.load(Ordering::Acquire) {
                        break;
                    }
                }
                last
            })
        };
        let writers = [
            load(&first, "Eins"),
            load(&second, "Zwei"),
            load(&first, "Drei"),
            load(&second, "Vier"),
        ];
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        let receipt = second.erase(id).await.expect("erased");
        let erased_at = receipt.position.expect("an event");
        stop.store(true, Ordering::Release);
        let last = join_all(writers).await.into_iter().map(|ended| ended.expect("no panic")).max();
        assert!(last < Some(erased_at), "{last:?} was acknowledged after {erased_at}");
        let later = format!(
            "SELECT count(*) FROM events WHERE subject = '{id}' AND position > {erased_at}"
        );
        assert_eq!(first.count(&later).await, 0, "round {round}");
        assert!(matches!(first.opened(id).await, Err(DataKeyError::Missing { .. })));
    }
    first.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_restored_from_an_old_backup_is_destroyed_again(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options.clone()).await;
    let (id, other) = (clinic.register("A-1").await, clinic.register("A-2").await);
    let backup: Vec<(Uuid, Vec<u8>)> =
        sqlx::query_as("SELECT subject, wrapped FROM keyring.data_keys")
            .fetch_all(&clinic.pool)
            .await
            .expect("the keys");
    clinic.erase(id).await.expect("erased");
    let epoch = "SELECT epoch FROM ledger_head";
    assert_eq!(clinic.count(epoch).await, 1);
    for (subject, wrapped) in &backup {
        sqlx::query(
            "UPDATE keyring.data_keys SET wrapped = $2, destroyed_at = NULL WHERE subject = $1",
        )
        .bind(subject)
        .bind(wrapped)
        .execute(&clinic.owner)
        .await
        .expect("the old keys are put back");
    }
    assert!(clinic.opened(id).await.is_ok(), "it would open again");

    let reopened = Clinic::open_with(options.clone(), clinic.keys.clone(), Clock::system()).await;
    assert!(matches!(clinic.opened(id).await, Err(DataKeyError::Missing { .. })));
    assert!(clinic.opened(other).await.is_ok(), "nobody else's");
    assert_eq!(clinic.count(epoch).await, 2, "other processes learn of it");
    let loaded = reopened.ledger.load::<Patient>(id).await;
    assert!(matches!(loaded, Err(CommandError::Erased)), "{loaded:?}");
    reopened.ledger.load::<Patient>(other).await.expect("readable").expect("there");
    Clinic::open_with(options, clinic.keys.clone(), Clock::system()).await;
    assert_eq!(clinic.count(epoch).await, 2, "there is nothing left to do");
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn captures_go_with_the_erased_and_no_others(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = Blobs::new(folder.path().to_str().expect("a UTF-8 path")).expect("a store");
    let (id, other) = (clinic.register("A-1").await, clinic.register("A-2").await);
    let key = clinic.ledger.data_key(id).await.expect("a key");
    let others = clinic.ledger.data_key(other).await.expect("a key");
    blobs.put(&key, Uuid::now_v7(), b"a wound").await.expect("stored");
    blobs.put(&key, Uuid::now_v7(), b"a capture whose command never came").await.expect("stored");
    let stays = blobs.put(&others, Uuid::now_v7(), b"another's wound").await.expect("stored");
    let purge = |subject| clinic.ledger.purge_captures(&blobs, subject);
    assert_eq!(purge(id).await.expect("asked"), 0, "nobody was erased");
    clinic.erase(id).await.expect("erased");
    assert_eq!(purge(id).await.expect("purged"), 2);
    assert_eq!(purge(id).await.expect("purged"), 0);
    assert_eq!(purge(other).await.expect("asked"), 0);
    // One that was under way, or came back with a backup.
    blobs.put(&key, Uuid::now_v7(), b"a late one").await.expect("stored");
    let all = || clinic.ledger.purge_all_captures(&blobs);
    assert_eq!((all().await.expect("purged"), all().await.expect("purged")), (1, 0));
    blobs.get(&others, &stays).await.expect("untouched");
}

#[sqlx::test(migrations = "../migrations")]
async fn who_saw_an_erased_record_can_still_be_told(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    let look = context();
    let entry = serde_json::json!({ "patient_id": id, "resource": "patient", "what": [id],
                                    "outcome": "disclosed" });
    let entry = serde_json::from_value(entry).expect("an entry");
    clinic.ledger.disclose(vec![entry], &look).await.expect("recorded");
    clinic.erase(id).await.expect("erased");
    let seen: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT statement FROM events WHERE subject = $1 AND event_type = 'RecordDisclosed'",
    )
    .bind(id)
    .fetch_all(&clinic.pool)
    .await
    .expect("the looks");
    let looks: Vec<Statement> =
        seen.iter().map(|bytes| Statement::parse(bytes).expect("a statement")).collect();
    assert_eq!(looks.len(), 1);
    assert_eq!(looks[0].actor.id, look.actor.id.as_uuid());
    assert_eq!((looks[0].purpose.as_str(), looks[0].command_id), ("TREAT", look.command_id));
}
