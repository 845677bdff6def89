//! What people do with it, from registration to cancellation, and what they hold in hand afterwards.

use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::common::TestApp;

fn booking(patient: impl ToString, practitioner: Uuid, room: Uuid, start: &str) -> Value {
    json!({
        "patient_id": patient.to_string(), "practitioner_id": practitioner, "room_id": room,
        "time": { "start": start, "zone": "America/Chicago", "duration_minutes": 30 },
        "reason": "dressing change",
    })
}

#[sqlx::test(migrations = "../migrations")]
async fn from_registration_to_cancellation(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let desk = app.front_desk();
    let body = json!({
        "name": { "family": "Müller", "given": ["Anna", "Luise"] },
        "gender": "female",
        "birth_date": "1958-04",
        "identifiers": [{ "system": "http://clinic.example/mrn", "value": "MRN-0815" }],
        "contacts": [{ "system": "phone", "value": "+49 30 1234567" }],
    });
    let registered = desk.post("/v1/patients", &body).await.expect_status(201);
    let patient = registered.stream_id().to_owned();
    assert_eq!(registered.header("location"), format!("/v1/patients/{patient}"));
    assert_eq!(registered.header("etag"), "\"1\"");
    let proved = app.verify(&registered.body);
    assert_eq!(proved.statements[0].event_type, "PatientRegistered");
    assert_eq!(proved.statements[0].purpose, "TREAT");
    assert!(!registered.text.contains("Müller"), "a receipt holds no PHI");

    // The same number again is somebody else's, whoever asks.
    let taken = desk.post("/v1/patients", &body).await;
    assert_eq!((taken.status, taken.code()), (409, "claim-conflict"));
    assert_eq!(taken.body["conflicts"][0]["kind"], "patient-identifier");

    let (practitioner, room) = (Uuid::now_v7(), Uuid::now_v7());
    app.list(practitioner, Some(room)).await;
    let book = booking(&patient, practitioner, room, "2031-03-10T15:00");
    let booked = desk.post("/v1/appointments", &book).await.expect_status(201);
    let path = booked.header("location").to_owned();
    app.verify(&booked.body);

    // Read your own write, at once.
    let reader = desk.clone().with("Ledger-Min-Position", booked.position());
    let seen = reader.get(&path).await.expect_status(200);
    assert_eq!(seen.header("etag"), "\"1\"");
    assert_eq!(seen.body["status"], "booked");
    assert_eq!(seen.body["starts_at"], "2031-03-10T20:00:00.000000Z");
    assert_eq!(seen.body["patient_id"], json!(patient));
    assert!(seen.body.get("sort_key").is_none() && seen.body.get("_id").is_none());

    // The other appointment that wants the same room, practitioner and patient learns of all three.
    let rival = booking(&patient, practitioner, room, "2031-03-10T15:15");
    let refused = desk.post("/v1/appointments", &rival).await;
    assert_eq!((refused.status, refused.code()), (409, "claim-conflict"));
    let mut kinds: Vec<_> = refused.body["conflicts"]
        .as_array()
        .expect("conflicts")
        .iter()
        .map(|conflict| conflict["kind"].as_str().expect("a kind"))
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["patient", "practitioner", "room"]);

    let time =
        json!({ "start": "2031-03-10T16:00", "zone": "America/Chicago", "duration_minutes": 30 });
    let moving = json!({ "time": time, "reason": "the patient asked" });
    let moved = desk.clone().with("If-Match", "\"1\"");
    let moved = moved.post(&format!("{path}/reschedule"), &moving).await.expect_status(200);
    assert_eq!(moved.header("etag"), "\"2\"");
    app.verify(&moved.body);
    desk.post("/v1/appointments", &rival).await.expect_status(201);

    let stale = desk.clone().with("If-Match", "\"1\"");
    let stale = stale.post(&format!("{path}/cancel"), &json!({ "reason": "weather" })).await;
    assert_eq!((stale.status, stale.code()), (412, "version-conflict"));
    assert_eq!(stale.body["current_version"], 2);

    let early = desk.post(&format!("{path}/no-show"), &json!({})).await;
    assert_eq!((early.status, early.code()), (409, "not-begun"));

    let cancel = json!({ "reason": "patient-request" });
    let cancelled = desk.post(&format!("{path}/cancel"), &cancel).await.expect_status(200);
    app.verify(&cancelled.body);
    let again = desk.post(&format!("{path}/cancel"), &cancel).await;
    assert_eq!((again.status, again.code()), (409, "illegal-transition"));

    let reader = desk.clone().with("Ledger-Min-Position", cancelled.position());
    let seen = reader.get(&path).await.expect_status(200);
    assert_eq!(seen.body["status"], "cancelled");
    let list = format!(
        "/v1/appointments?practitioner={practitioner}&from=2031-03-10T00:00:00Z&to=2031-03-11T12:00:00Z"
    );
    let list = reader.get(&list).await.expect_status(200);
    assert_eq!(list.body["items"].as_array().map(Vec::len), Some(2));
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn the_same_command_is_done_once(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let key = Uuid::now_v7();
    let desk = app.front_desk().with("Idempotency-Key", key);
    let body = json!({ "name": { "family": "Probe" } });
    let first = desk.post("/v1/patients", &body).await.expect_status(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let size = app.footprint().await;
    let again = desk.post("/v1/patients", &body).await.expect_status(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.body["events"], first.body["events"]);
    app.verify(&again.body);
    assert_eq!(app.footprint().await, size, "nothing was added");

    let other = json!({ "name": { "family": "Somebody" } });
    let reused = desk.post("/v1/patients", &other).await;
    assert_eq!((reused.status, reused.code()), (422, "command-id-reused"));
    assert_eq!(reused.body["field"], "Idempotency-Key");

    let receipt = format!("/v1/receipts/{key}");
    let kept = app.front_desk().get(&receipt).await.expect_status(200);
    assert_eq!(kept.body["events"], first.body["events"]);
    let foreign = app.clinician().get(&receipt).await;
    assert_eq!((foreign.status, foreign.code()), (404, "not-found"));
    let auditor = app.role(domain::account::Role::Auditor);
    auditor.get(&receipt).await.expect_status(200);
    let note = auditor.get("/v1/log/checkpoint").await.expect_status(200);
    assert!(note.text.starts_with(crate::common::ORIGIN), "{}", note.text);
    // Another's key is as if it were not there, for creating as for asking.
    let foreign = app.clinician().with("Idempotency-Key", key).post("/v1/patients", &body).await;
    let foreign = foreign.expect_status(201);
    assert_ne!(foreign.stream_id(), first.stream_id());
    let own = app.clinician().get(&receipt).await.expect_status(200);
    assert_eq!(own.body["events"], foreign.body["events"]);

    // Many at once with one key: one event.
    let key = Uuid::now_v7();
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let desk = app.front_desk().with("Idempotency-Key", key);
        let body = body.clone();
        tasks.spawn(async move { desk.post("/v1/patients", &body).await.expect_status(201) });
    }
    let mut places: Vec<_> =
        tasks.join_all().await.iter().map(|r| r.header("location").to_owned()).collect();
    places.dedup();
    assert_eq!(places.len(), 1);
    assert_eq!(app.events("patient").await, 3, "with the clinician's");
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn no_look_without_a_record(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let (patient, position) = app.patient().await;
    let clinician = app.clinician().with("Ledger-Min-Position", position);
    let path = format!("/v1/patients/{patient}");
    let looked = clinician.get(&path).await.expect_status(200);
    assert_eq!(looked.body["name"]["family"], "Probe");
    assert!(looked.body.get("matching").is_none());
    assert_eq!(app.events("disclosure").await, 1, "recorded by the time the answer is here");

    let search = json!({ "family": "prob" });
    let found = clinician.post("/v1/patients/search", &search).await.expect_status(200);
    assert_eq!(found.body["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(app.events("disclosure").await, 2);
    let none = json!({ "family": "nobody at all" });
    clinician.post("/v1/patients/search", &none).await.expect_status(200);
    assert_eq!(app.events("disclosure").await, 2, "nobody was looked at");
    assert_eq!(app.events("access").await, 1, "and that is recorded, too");

    let wounds = format!("{path}/wounds");
    clinician.get(&wounds).await.expect_status(200);
    assert_eq!(app.events("disclosure").await, 3, "that there is no wound is told of the patient");

    let nobody = clinician.get(&format!("/v1/patients/{}", Uuid::now_v7())).await;
    assert_eq!((nobody.status, nobody.code()), (404, "not-found"));

    // When the look cannot be recorded, nothing is shown.
    app.ledger.clone().close().await;
    let refused = clinician.get(&path).await;
    assert_eq!((refused.status, refused.code()), (503, "unavailable"));
    assert!(!refused.text.contains("Probe"));
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn edits_keep_their_version(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let (patient, _) = app.patient().await;
    let desk = app.front_desk();
    let path = format!("/v1/patients/{patient}");
    let contacts = json!({
        "contacts": [{ "system": "email", "value": "petra@example.org" }], "reason": "new address",
    });
    let edited = desk.put(&format!("{path}/contacts"), &contacts).await.expect_status(200);
    assert_eq!(edited.header("etag"), "\"2\"");
    let demographics = json!({
        "name": { "family": "Probe", "given": ["Petra"] }, "gender": "female",
        "birth_date": "1970-01-01", "reason": "birth date given",
    });
    let edit = desk.clone().with("If-Match", "\"2\"");
    edit.put(&format!("{path}/demographics"), &demographics).await.expect_status(200);
    let identifiers = json!({
        "identifiers": [{ "system": "http://clinic.example/mrn", "value": "7" }], "reason": "number",
    });
    desk.put(&format!("{path}/identifiers"), &identifiers).await.expect_status(200);
    let leave = json!({ "reason": "moved-away" });
    let left = desk.post(&format!("{path}/deactivate"), &leave).await.expect_status(200);
    let reader = desk.clone().with("Ledger-Min-Position", left.position());
    let seen = reader.get(&path).await.expect_status(200);
    assert_eq!(seen.header("etag"), "\"5\"");
    assert_eq!(seen.body["active"], false);
    assert_eq!(seen.body["birth_date"], "1970-01-01");
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn of_64_who_want_one_slot_one_gets_it(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let mut patients = Vec::new();
    for _ in 0..64 {
        patients.push(app.patient().await.0);
    }
    let (practitioner, room) = (Uuid::now_v7(), Uuid::now_v7());
    app.list(practitioner, Some(room)).await;
    for round in 0..3 {
        let mut tasks = JoinSet::new();
        for patient in &patients {
            let start = format!("2031-05-0{}T09:00", round + 1);
            let body = booking(patient, practitioner, room, &start);
            let desk = app.front_desk();
            tasks.spawn(async move { desk.post("/v1/appointments", &body).await });
        }
        let replies = tasks.join_all().await;
        let won: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
        assert_eq!(won.len(), 1, "round {round}");
        app.verify(&won[0].body);
        for lost in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!((lost.status, lost.code()), (409, "claim-conflict"), "{}", lost.text);
            let conflicts = lost.body["conflicts"].as_array().expect("conflicts");
            assert_eq!(conflicts.len(), 2, "practitioner and room: {}", lost.text);
        }
    }
    assert_eq!(app.events("appointment").await, 3);
    app.stop().await;
}
