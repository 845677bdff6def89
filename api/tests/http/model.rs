//! Models: handed in whole or refused without a trace, activated, rolled back, seen by those who may.

use domain::account::Role;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;
use wound::network::{ModelPackage, PACKAGE_MEDIA_TYPE, embedded_card, embedded_weights};

use crate::common::{Caller, Reply, TestApp};

/// The package of the program's network, or of one whose last number differs by its last digit.
fn package(altered: bool) -> Vec<u8> {
    let mut weights = embedded_weights().to_vec();
    if altered {
        let at = weights.len() - 4;
        weights[at] ^= 1;
    }
    ModelPackage { card: embedded_card().clone(), weights }.write().expect("a package")
}

async fn hand_in(caller: &Caller, kind: &str, bytes: Vec<u8>) -> Reply {
    caller.send(Method::POST, "/v1/models", Some((kind, bytes))).await
}

fn why() -> Value {
    json!({ "reason": "better on small wounds" })
}

#[sqlx::test(migrations = "../migrations")]
async fn a_model_is_registered_activated_and_rolled_back(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let (admin, clinician) = (app.admin(), app.clinician());
    let none = clinician.get("/v1/models").await.expect_status(200);
    assert_eq!(none.body["items"], json!([]));
    let nothing = admin.post("/v1/models/roll-back", &why()).await;
    assert_eq!((nothing.status, nothing.code()), (409, "nothing-to-roll-back-to"));

    let keyed = admin.clone().with("Idempotency-Key", Uuid::now_v7());
    let first = hand_in(&keyed, PACKAGE_MEDIA_TYPE, package(false)).await.expect_status(201);
    let proved = app.verify(&first.body);
    let media = &proved.statements[0].media;
    assert_eq!((media.len(), media[0].size), (1, embedded_weights().len() as u64));
    assert_eq!(first.body["stream_type"], "model");
    let again = hand_in(&keyed, PACKAGE_MEDIA_TYPE, package(false)).await.expect_status(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.position(), first.position());
    let path = first.header("location").to_owned();
    let seen = clinician.get(&path).await.expect_status(200);
    assert_eq!(seen.body["status"], "registered");
    assert_eq!(seen.body["card"], serde_json::to_value(embedded_card()).expect("JSON"));
    assert_eq!(seen.body["size"], embedded_weights().len());
    let sha256 = seen.body["weights_sha256"].as_str().expect("a digest").to_owned();
    let file = app.blobs.path().join("models").join(format!("{sha256}.bpk"));
    assert_eq!(std::fs::read(&file).expect("stored"), embedded_weights());

    // Refused, and yet the store is whole again.
    std::fs::remove_file(&file).expect("lost");
    let known = hand_in(&admin, PACKAGE_MEDIA_TYPE, package(false)).await;
    assert_eq!((known.status, known.code()), (409, "model-already-registered"));
    assert_eq!(std::fs::read(&file).expect("stored again"), embedded_weights());

    let activate = format!("{path}/activate");
    admin.post(&activate, &why()).await.expect_status(200);
    let twice = admin.post(&activate, &why()).await;
    assert_eq!((twice.status, twice.code()), (409, "already-active"));
    let second = hand_in(&admin, PACKAGE_MEDIA_TYPE, package(true)).await.expect_status(201);
    let newer = second.header("location").to_owned();
    assert_ne!(newer, path);
    admin.post(&format!("{newer}/activate"), &why()).await.expect_status(200);
    let stale = admin.clone().with("If-Match", "\"1\"");
    let stale = stale.post("/v1/models/roll-back", &why()).await;
    assert_eq!((stale.status, stale.code()), (412, "version-conflict"));
    admin.post("/v1/models/roll-back", &why()).await.expect_status(200);
    let withdrawn = admin.post(&format!("{newer}/activate"), &why()).await;
    assert_eq!((withdrawn.status, withdrawn.code()), (409, "model-withdrawn"));
    for role in [Role::Clinician, Role::Auditor, Role::Compliance, Role::Admin] {
        let list = app.role(role).get("/v1/models").await.expect_status(200);
        let stands: Vec<_> = list.body["items"]
            .as_array()
            .expect("models")
            .iter()
            .map(|model| model["status"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(stands, ["active", "withdrawn"]);
    }

    let unknown = format!("/v1/models/{}", "0".repeat(64));
    let missing = clinician.get(&unknown).await;
    assert_eq!((missing.status, missing.code()), (404, "not-found"));
    let missing = admin.post(&format!("{unknown}/activate"), &why()).await;
    assert_eq!((missing.status, missing.code()), (404, "not-found"));
    let no_digest = clinician.get("/v1/models/latest").await;
    assert_eq!((no_digest.status, no_digest.code()), (400, "invalid-digest"));
    let no_reason = admin.post(&activate, &json!({})).await;
    assert_eq!((no_reason.status, no_reason.code()), (422, "invalid-body"));
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_bad_package_leaves_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let before = app.footprint().await;
    let good = package(false);
    let of = |weights: &[u8]| {
        let package = ModelPackage { card: embedded_card().clone(), weights: weights.to_vec() };
        package.write().expect("a package")
    };
    // As long as what it replaces, so that the archive stays whole.
    let renamed = {
        let at = good.windows(6).position(|window| window == b"limits").expect("the card says so");
        let mut bytes = good.clone();
        bytes[at..at + 6].copy_from_slice(b"limitz");
        bytes
    };
    let half = &embedded_weights()[..embedded_weights().len() / 2];
    let tar = PACKAGE_MEDIA_TYPE;
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("another format", "application/json", good.clone(), 415, "unsupported-media-type"),
        ("nothing", tar, Vec::new(), 422, "package-incomplete"),
        ("no archive", tar, b"not a tar".repeat(100), 422, "package-archive"),
        ("half an archive", tar, good[..good.len() / 2].to_vec(), 422, "package-archive"),
        ("a card that is none", tar, renamed, 422, "package-card"),
        ("weights that are none", tar, of(b"numbers"), 422, "weights-unusable"),
        ("half of the weights", tar, of(half), 422, "weights-unusable"),
        ("too large", tar, vec![0; 64 * 1024 * 1024 + 1], 413, "body-too-large"),
    ];
    for (name, kind, bytes, status, code) in cases {
        let reply = hand_in(&app.admin(), kind, bytes).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{name}: {}", reply.text);
        assert!(reply.body["detail"].as_str().is_some_and(|text| text.len() > 10), "{name}");
    }
    let stale = app.admin().with("If-Match", "\"9\"");
    assert_eq!(hand_in(&stale, tar, b"x".to_vec()).await.status, 422);
    assert_eq!(app.footprint().await, before, "no event, no weights");
    app.stop().await;
}
