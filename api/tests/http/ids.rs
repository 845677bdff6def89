//! Ids: whose they are, what they are kept for, and what somebody wrote under them without asking.

use std::sync::Arc;
use std::time::Duration;

use api::inference::{BlobCaptures, LedgerSink, worker_ids};
use commands::Actor;
use domain::account::Role;
use projections::worker::PurgeWorker;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::common::TestApp;

#[sqlx::test(migrations = "../migrations")]
async fn a_patient_is_not_registered_as_an_account_nor_the_reverse(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let (patient, _) = app.patient().await;
    let account = app.account(&[Role::Clinician]).await;
    let new = json!({ "id": account, "name": { "family": "Probe" }, "gender": "female" });
    let taken = app.front_desk().post("/v1/patients", &new).await;
    assert_eq!((taken.status, taken.code()), (409, "id-taken"), "{}", taken.text);
    let new =
        json!({ "id": patient, "login": "probe", "display_name": "Probe", "kind": "service" });
    let taken = app.admin().post("/v1/accounts", &new).await;
    assert_eq!((taken.status, taken.code()), (409, "id-taken"), "{}", taken.text);
    app.admin().get(&format!("/v1/accounts/{account}")).await.expect_status(200);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_is_its_senders_own_and_auditors_say_whose_they_mean(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let key = Uuid::now_v7();
    let path = format!("/v1/receipts/{key}");
    let mut senders = Vec::new();
    for family in ["Eins", "Zwei"] {
        let account = app.account(&[Role::FrontDesk]).await;
        let caller = app.caller(Some(app.token(account, &[Role::FrontDesk])));
        let new = json!({ "name": { "family": family }, "gender": "female" });
        let keyed = caller.clone().with("Idempotency-Key", key);
        let done = keyed.post("/v1/patients", &new).await.expect_status(201);
        assert_eq!(done.body["replayed"], false);
        senders.push((account, caller, done.position()));
    }
    let auditor = app.role(Role::Auditor);
    let ambiguous = auditor.get(&path).await;
    assert_eq!((ambiguous.status, ambiguous.code()), (409, "ambiguous-command-id"));
    for (account, caller, position) in &senders {
        assert_eq!(caller.get(&path).await.expect_status(200).position(), *position);
        let of = format!("{path}?actor={account}");
        assert_eq!(auditor.get(&of).await.expect_status(200).position(), *position);
    }
    let others = format!("{path}?actor={}", senders[0].0);
    assert_eq!(senders[1].1.get(&others).await.status, 404, "it is not for this caller to know");
    let unreadable = auditor.get(&format!("{path}?actor=me")).await;
    assert_eq!((unreadable.status, unreadable.code()), (422, "invalid-parameter"));
    app.stop().await;
}

/// Somebody has written rows under the ids of the command that records a purge.
#[sqlx::test(migrations = "../migrations")]
async fn a_purge_is_recorded_under_another_id_if_its_own_is_occupied(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let owner = PgPoolOptions::new().max_connections(1).connect_with(options.clone());
    let owner = owner.await.expect("the owner connects");
    let mut app = TestApp::start(options).await;
    let (patient, _) = app.patient().await;
    let patient = patient.as_uuid();
    let ids = worker_ids(&app.keys);
    let own: Vec<Uuid> = ids.commands("purge", &[patient.as_bytes()]).collect();
    for command in &own[..2] {
        let sql = "INSERT INTO commands (command_id, actor_id, request_mac, first_position, event_count, log_size, tag)
                   SELECT $1, $2, request_mac, first_position, 0, log_size, tag FROM commands ORDER BY first_position LIMIT 1";
        let worker = Actor::worker().id.as_uuid();
        sqlx::query(sql).bind(command).bind(worker).execute(&owner).await.expect("the owner may");
    }
    // A user who takes the third by an Idempotency-Key takes it from nobody.
    let new = json!({ "name": { "family": "Probe" }, "gender": "female" });
    let keyed = app.front_desk().with("Idempotency-Key", own[2]);
    keyed.post("/v1/patients", &new).await.expect_status(201);

    let (log, ledger) = (app.log(), app.ledger.clone());
    let captures = Arc::new(BlobCaptures::new(ledger.clone(), app.store.clone()));
    let (models, sink) = (app.read_models.clone(), Arc::new(LedgerSink::new(ledger)));
    app.run(Arc::new(PurgeWorker::new(log, models, captures, sink, ids)));
    let officer = app.role(Role::Compliance).with("Purpose-Of-Use", "HCOMPL");
    let erasure = json!({ "reason": "patient-request", "authority": "person-concerned", "case_reference": "DSR-1" });
    let path = format!("/v1/patients/{patient}");
    officer.post(&format!("{path}/erase"), &erasure).await.expect_status(200);
    let mut recorded = None;
    for _ in 0..200 {
        let custody = officer.get(&format!("{path}/custody")).await.expect_status(200);
        recorded = custody.body.get("purge").cloned();
        if recorded.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    recorded.expect("the purge is on record");
    let under = "SELECT command_id FROM events WHERE event_type = 'PurgeRecorded'";
    let under: Uuid = sqlx::query_scalar(under).fetch_one(&app.pool).await.expect("one");
    assert_eq!(under, own[2], "the first that nobody occupies for the worker");
    let figures = app.anonymous().get("/metrics").await.expect_status(200);
    assert!(
        figures.text.contains(r#"worker_foreign_commands_total{worker="purge"} 2"#),
        "{}",
        figures.text
    );
    app.stop().await;
}
