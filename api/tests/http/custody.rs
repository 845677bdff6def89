//! Holds and erasure, as compliance staff see them, and what everybody else sees afterwards.

use std::sync::Arc;
use std::time::Duration;

use api::inference::{BlobCaptures, LedgerSink};
use domain::account::Role;
use projections::worker::PurgeWorker;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::common::TestApp;

fn hold() -> Value {
    json!({ "reason": "litigation", "authority": "counsel", "case_reference": "2026/CV-0815" })
}

fn release() -> Value {
    json!({ "reason": "matter-closed", "authority": "court" })
}

fn erasure() -> Value {
    json!({ "reason": "patient-request", "authority": "person-concerned", "case_reference": "DSR-42" })
}

/// Starts what purges, over the server's own stores.
fn purging(app: &mut TestApp) {
    let log = app.log();
    let (ledger, blobs) = (app.ledger.clone(), app.store.clone());
    let captures = Arc::new(BlobCaptures::new(ledger.clone(), blobs));
    let sink = Arc::new(LedgerSink::new(ledger));
    let purge = PurgeWorker::new(
        log,
        app.read_models.clone(),
        captures,
        sink,
        api::inference::worker_ids(&app.keys),
    );
    app.run(Arc::new(purge));
}

#[sqlx::test(migrations = "../migrations")]
async fn from_hold_to_purge(_: PgPoolOptions, options: PgConnectOptions) {
    let mut app = TestApp::start(options).await;
    purging(&mut app);
    let (patient, _) = app.patient().await;
    let officer = app.role(Role::Compliance).with("Purpose-Of-Use", "HCOMPL");
    let path = format!("/v1/patients/{patient}");
    let custody = format!("{path}/custody");

    let nothing = officer.get(&custody).await.expect_status(200);
    assert_eq!(nothing.header("etag"), "\"0\"");
    assert_eq!(nothing.body, json!({ "id": patient, "holds": [], "version": 0 }));

    let key = Uuid::now_v7();
    let keyed = officer.clone().with("Idempotency-Key", key);
    let placed = keyed.post(&format!("{path}/holds"), &hold()).await.expect_status(201);
    app.verify(&placed.body);
    let first = placed.header("location").to_owned();
    assert!(first.starts_with(&format!("{path}/holds/")), "{first}");
    let again = keyed.post(&format!("{path}/holds"), &hold()).await.expect_status(201);
    assert_eq!(again.header("location"), first, "a repetition places no second hold");
    let mut chosen = hold();
    chosen["id"] = json!(Uuid::now_v7());
    let second = officer.post(&format!("{path}/holds"), &chosen).await.expect_status(201);
    let second = second.header("location").to_owned();
    let twice = officer.post(&format!("{path}/holds"), &chosen).await;
    assert_eq!((twice.status, twice.code()), (409, "hold-already-placed"));

    let held = officer.post(&format!("{path}/erase"), &erasure()).await;
    assert_eq!((held.status, held.code()), (409, "on-hold"), "{}", held.text);
    officer.post(&format!("{first}/release"), &release()).await.expect_status(200);
    let again = officer.post(&format!("{first}/release"), &release()).await;
    assert_eq!((again.status, again.code()), (409, "hold-already-released"));
    let nowhere = format!("{path}/holds/{}/release", Uuid::now_v7());
    let unknown = officer.post(&nowhere, &release()).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not-found"));
    let held = officer.post(&format!("{path}/erase"), &erasure()).await;
    assert_eq!(held.code(), "on-hold", "one hold is enough");
    officer.post(&format!("{second}/release"), &release()).await.expect_status(200);
    let listed = officer.get(&format!("{path}/holds")).await.expect_status(200);
    let listed = listed.body["items"].as_array().expect("holds");
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|hold| hold["released"]["reason"] == "matter-closed"));

    let seen = app.role(Role::Auditor).get(&custody).await.expect_status(200);
    let stale = officer.clone().with("If-Match", "\"1\"");
    let stale = stale.post(&format!("{path}/erase"), &erasure()).await;
    assert_eq!((stale.status, stale.code()), (412, "version-conflict"));
    let sure = officer.clone().with("If-Match", seen.header("etag"));
    let erased = sure.post(&format!("{path}/erase"), &erasure()).await.expect_status(200);
    let proved = app.verify(&erased.body);
    assert_eq!(proved.statements[0].event_type, "SubjectErased");
    assert_eq!(proved.statements[0].purpose, "HCOMPL");
    let again = officer.post(&format!("{path}/erase"), &erasure()).await;
    assert_eq!((again.status, again.code()), (409, "already-erased"));

    let mut purged = officer.get(&custody).await.expect_status(200);
    for _ in 0..200 {
        if purged.body.get("purge").is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        purged = officer.get(&custody).await.expect_status(200);
    }
    assert_eq!(purged.body["erasure"]["case_reference"], "DSR-42");
    let stores = json!([
        { "store": "read-models", "entries": 1 }, { "store": "cache", "entries": 1 },
        { "store": "captures", "entries": 0 },
    ]);
    assert_eq!(purged.body["purge"]["stores"], stores, "{}", purged.text);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_erased_record_is_gone_for_everybody(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let (patient, position) = app.patient().await;
    let desk = app.front_desk().with("Ledger-Min-Position", position);
    let path = format!("/v1/patients/{patient}");
    let practitioner = Uuid::now_v7();
    app.list(practitioner, None).await;
    let booking = json!({
        "patient_id": patient, "practitioner_id": practitioner,
        "time": { "start": "2031-03-10T15:00", "zone": "UTC", "duration_minutes": 30 },
    });
    let booked = desk.post("/v1/appointments", &booking).await.expect_status(201);
    let appointment = booked.header("location").to_owned();
    let wound = json!({ "patient_id": patient, "site": "heel", "laterality": "left",
                        "etiology": "pressure-injury" });
    let opened = app.clinician().post("/v1/wounds", &wound).await.expect_status(201);
    let wound = opened.header("location").to_owned();
    desk.get(&path).await.expect_status(200);

    let officer = app.role(Role::Compliance);
    let erased = officer.post(&format!("{path}/erase"), &erasure()).await.expect_status(200);
    let looks = app.events("disclosure").await;
    // At once, whatever the read models have seen; and when they have seen it.
    for position in [position, erased.position()] {
        let clinician = app.clinician().with("Ledger-Min-Position", position);
        let wounds = format!("{path}/wounds");
        for gone in [&path, &appointment, &wound, &wounds] {
            let reply = clinician.get(gone).await;
            assert_eq!((reply.status, reply.code()), (410, "erased"), "{gone}: {}", reply.text);
            assert_eq!(reply.header("content-type"), "application/problem+json");
            assert!(!reply.text.contains("Probe"));
        }
    }
    let clinician = app.clinician().with("Ledger-Min-Position", erased.position());
    let search = json!({ "family": "Probe" });
    let found = clinician.post("/v1/patients/search", &search).await.expect_status(200);
    assert_eq!(found.body["items"], json!([]));
    let list = format!("/v1/appointments?patient={patient}");
    let list = clinician.get(&list).await;
    assert_eq!((list.status, list.code()), (410, "erased"), "{}", list.text);
    let edit = json!({ "contacts": [], "reason": "gone" });
    for (path, body) in [
        (format!("{appointment}/cancel"), json!({ "reason": "weather" })),
        (format!("{wound}/close"), json!({ "reason": "healed" })),
        ("/v1/appointments".to_owned(), booking),
        (
            "/v1/wounds".to_owned(),
            json!({ "patient_id": patient, "site": "heel",
            "laterality": "right", "etiology": "pressure-injury" }),
        ),
        ("/v1/patients".to_owned(), json!({ "id": patient, "name": { "family": "Probe" } })),
    ] {
        let reply = app.clinician().post(&path, &body).await;
        assert_eq!((reply.status, reply.code()), (410, "erased"), "{path}: {}", reply.text);
    }
    let reply = app.front_desk().put(&format!("{path}/contacts"), &edit).await;
    assert_eq!((reply.status, reply.code()), (410, "erased"));
    // Who may not see the record does not learn what became of it.
    let denied = app.role(Role::Analyst).get(&path).await;
    assert_eq!((denied.status, denied.code()), (403, "denied"));
    assert_eq!(app.events("disclosure").await, looks, "nothing was shown");
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn custody_is_about_patients_and_for_compliance(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let officer = app.role(Role::Compliance);
    let nobody = format!("/v1/patients/{}", Uuid::now_v7());
    for path in ["custody", "holds"] {
        let reply = officer.get(&format!("{nobody}/{path}")).await;
        assert_eq!((reply.status, reply.code()), (404, "not-found"), "{path}");
    }
    for (path, body) in [("holds", hold()), ("erase", erasure())] {
        let reply = officer.post(&format!("{nobody}/{path}"), &body).await;
        assert_eq!((reply.status, reply.code()), (404, "not-found"), "{path}");
    }
    let (patient, _) = app.patient().await;
    let path = format!("/v1/patients/{patient}");
    let mut talkative = hold();
    talkative["case_reference"] = json!("Petra Probe, born 1952");
    let refused = officer.post(&format!("{path}/holds"), &talkative).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert_eq!(refused.body["field"], "case_reference");
    assert!(!refused.text.contains("Petra"));
    for role in [Role::Clinician, Role::FrontDesk, Role::Admin, Role::Auditor, Role::Service] {
        let reply = app.role(role).post(&format!("{path}/erase"), &erasure()).await;
        assert_eq!((reply.status, reply.code()), (403, "denied"), "{role}");
    }
    assert_eq!(app.events("custody").await, 0);
    app.stop().await;
}
