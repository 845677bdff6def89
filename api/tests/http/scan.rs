//! Handing in scans: taken, measured by whoever measures, refused without a trace.

use std::sync::Arc;
use std::time::Duration;

use api::inference::{BlobCaptures, LedgerSink};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::value::Digest;
use domain::wound::{Axis, Boundary, Measurement, MeasurementParts};
use projections::worker::{InferenceWorker, ScanAnalyzer, ScanRejection};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;
use wound::phantom::{PhantomSpec, generate};
use wound::{bundle, ply};

use crate::common::{Caller, Reply, TestApp};

/// Answers every capture alike: what is tested here is the way there and back.
struct Constant;

impl ScanAnalyzer for Constant {
    fn model_digest(&self) -> Digest {
        Digest([7; 32])
    }

    fn label(&self) -> String {
        "a test's".to_owned()
    }

    fn analyze(&self, bytes: &[u8], media_type: &str) -> Result<Measurement, ScanRejection> {
        assert_eq!(media_type, bundle::MEDIA_TYPE);
        bundle::read(bytes).expect("the capture arrives as it was handed in");
        let parts = MeasurementParts {
            area_um2: 400_000_000,
            area_sd_um2: 4_000_000,
            perimeter_um: 80_000,
            perimeter_sd_um: 800,
            length_um: 25_000,
            length_sd_um: 250,
            width_um: 20_000,
            width_sd_um: 200,
            max_depth_um: 3_000,
            max_depth_sd_um: 300,
            volume_nl: 600_000,
            volume_sd_nl: 6_000,
            boundary: Boundary::Network,
            wound_probability_permille: 950,
            axis: Axis::Image,
            tissue: None,
            outline: vec![[100, 100], [140, 100], [140, 140], [100, 140]],
        };
        Ok(Measurement::try_from(parts).expect("a possible measurement"))
    }
}

fn capture() -> Vec<u8> {
    let phantom = generate(&PhantomSpec::random(7)).expect("a phantom");
    bundle::write(&phantom.capture).expect("a bundle")
}

async fn open_wound(app: &TestApp) -> String {
    let (patient, _) = app.patient().await;
    let wound = json!({
        "patient_id": patient, "site": "heel", "laterality": "left", "etiology": "pressure-injury",
    });
    let opened = app.clinician().post("/v1/wounds", &wound).await.expect_status(201);
    app.verify(&opened.body);
    opened.header("location").to_owned()
}

async fn hand_in(caller: &Caller, wound: &str, kind: &str, bytes: &[u8]) -> Reply {
    let path = format!("{wound}/scans");
    caller.send(Method::POST, &path, Some((kind, bytes.to_vec()))).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_scan_is_taken_measured_and_confirmed(_: PgPoolOptions, options: PgConnectOptions) {
    let mut app = TestApp::start(options).await;
    let log = app.log();
    app.run(Arc::new(InferenceWorker::new(
        log,
        Arc::new(BlobCaptures::new(app.ledger.clone(), app.store.clone())),
        Arc::new(Constant),
        Arc::new(LedgerSink::new(app.ledger.clone())),
        api::inference::worker_ids(&app.keys),
    )));
    let wound = open_wound(&app).await;
    let bytes = capture();
    let digest = STANDARD.encode(Sha256::digest(&bytes));
    let key = Uuid::now_v7();
    let clinician = app
        .clinician()
        .with("Content-Digest", format!("sha-256=:{digest}:"))
        .with("Captured-At", "2026-03-02T09:30:00Z")
        .with("Idempotency-Key", key);
    let recorded = hand_in(&clinician, &wound, bundle::MEDIA_TYPE, &bytes).await.expect_status(201);
    let proved = app.verify(&recorded.body);
    assert_eq!(proved.statements[0].event_type, "ScanRecorded");
    assert_eq!(app.footprint().await.3, 1, "one capture");

    // The same again is the same scan, and another capture under its key is not.
    let again = hand_in(&clinician, &wound, bundle::MEDIA_TYPE, &bytes).await.expect_status(201);
    assert_eq!(again.header("location"), recorded.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = generate(&PhantomSpec::random(8)).expect("a phantom");
    let other = bundle::write(&other.capture).expect("a bundle");
    let keyed = app.clinician().with("Idempotency-Key", key);
    let reused = hand_in(&keyed, &wound, bundle::MEDIA_TYPE, &other).await;
    assert_eq!((reused.status, reused.code()), (422, "command-id-reused"));
    assert_eq!(app.footprint().await.3, 1, "still one capture");
    // What lies in the store says nothing.
    assert!(bytes.starts_with(b"capture.json"));

    let clinician = app.clinician().with("Ledger-Min-Position", recorded.position());
    let mut measured = None;
    for _ in 0..100 {
        let seen = clinician.get(&wound).await.expect_status(200);
        if seen.body["scans"][0]["status"] == "measured" {
            measured = Some(seen);
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seen = measured.expect("measured within ten seconds");
    let measurement = &seen.body["scans"][0]["measurements"][0];
    assert_eq!(measurement["figures"]["area_um2"], 400_000_000);
    assert_eq!(seen.body["scans"][0]["captured_at"], "2026-03-02T09:30:00.000000Z");

    let id = measurement["id"].as_str().expect("an id").to_owned();
    let path = format!("{wound}/measurements/{id}/confirm");
    let confirmed = clinician.post(&path, &json!({})).await.expect_status(200);
    app.verify(&confirmed.body);
    let course = clinician.get(&format!("{wound}/healing")).await.expect_status(200);
    assert_eq!(course.body["points"][0]["area_um2"], 400_000_000);
    assert_eq!(course.body["outlook"], Value::Null, "one scan foretells nothing");
    let chart = clinician.get(&format!("{wound}/healing.svg")).await.expect_status(200);
    assert_eq!(chart.header("content-type"), "image/svg+xml");
    assert_eq!(chart.text.matches("<circle").count(), 1);
    let scan = recorded.header("location").to_owned();
    let picture = clinician.get(&format!("{scan}/overlay.png")).await.expect_status(200);
    assert_eq!(picture.header("content-type"), "image/png");
    assert!(picture.text.contains("IHDR") && picture.text.len() > 5_000, "a picture");
    let unknown = format!("{wound}/scans/{}/overlay.png", Uuid::now_v7());
    let unknown = clinician.get(&unknown).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not-found"));
    let unknown = format!("{wound}/measurements/{}/confirm", Uuid::now_v7());
    let unknown = clinician.post(&unknown, &json!({})).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not-found"));
    // Only the worker withdraws with a model; a clinician takes back what was entered in error, once.
    let withdraw = format!("{wound}/measurements/{id}/withdraw");
    let with_model = clinician.post(&withdraw, &json!({ "reason": "model-withdrawn" })).await;
    assert_eq!((with_model.status, with_model.code()), (403, "denied"));
    let in_error = json!({ "reason": "entered-in-error" });
    let withdrawn = app.clinician().post(&withdraw, &in_error).await.expect_status(200);
    app.verify(&withdrawn.body);
    let again = app.clinician().post(&withdraw, &in_error).await;
    assert_eq!((again.status, again.code()), (409, "already-withdrawn"));
    let confirmed = app.clinician().post(&path, &json!({})).await;
    assert_eq!((confirmed.status, confirmed.code()), (409, "measurement-withdrawn"));
    let later = app.clinician().with("Ledger-Min-Position", withdrawn.position());
    let seen = later.get(&wound).await.expect_status(200);
    assert_eq!(seen.body["scans"][0]["status"], "withdrawn");
    assert_eq!(seen.body["healing"], json!([]));
    let unseen = later.get(&format!("{scan}/overlay.png")).await;
    assert_eq!((unseen.status, unseen.code()), (404, "not-found"), "it counts no more");
    let wrong = json!({ "reason": "wrong-wound" });
    let gone = clinician.post(&format!("{scan}/reject"), &wrong).await.expect_status(200);
    let later = app.clinician().with("Ledger-Min-Position", gone.position());
    let rejected = later.get(&format!("{scan}/overlay.png")).await;
    assert_eq!((rejected.status, rejected.code()), (404, "not-found"), "nothing counts any more");
    let close = json!({ "reason": "healed" });
    clinician.post(&format!("{wound}/close"), &close).await.expect_status(200);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_bad_capture_leaves_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let wound = open_wound(&app).await;
    let before = app.footprint().await;
    let good = capture();
    let tar = bundle::MEDIA_TYPE;
    // As long as what it replaces, so that the archive stays whole.
    let replaced = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.expect("the document says so");
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let no_vertex = b"ply\nformat ascii 1.0\nelement face 0\n\
        property list uchar int vertex_indices\nend_header\n";
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("another format", "image/png", good.clone(), 415, "unsupported-media-type"),
        ("nothing", tar, Vec::new(), 422, "capture-empty"),
        ("no archive", tar, b"not a tar".to_vec(), 422, "capture-archive"),
        ("half an archive", tar, good[..good.len() / 2].to_vec(), 422, ""),
        ("no intrinsics", tar, replaced("\"intrinsics\"", "\"intrinsicz\""), 422, ""),
        (
            "another format of document",
            tar,
            replaced("coherency-capture", "coherency-copture"),
            422,
            "",
        ),
        ("a surface without vertices", "application/ply", no_vertex.to_vec(), 422, "capture-ply"),
        ("no surface", "application/ply", b"plx".to_vec(), 422, "capture-ply"),
        (
            "a word behind the end",
            tar,
            [good.as_slice(), b"52.516275N"].concat(),
            422,
            "capture-archive",
        ),
        ("too large", tar, vec![0; 32 * 1024 * 1024 + 1], 413, "body-too-large"),
    ];
    for (name, kind, bytes, status, code) in cases {
        let reply = hand_in(&app.clinician(), &wound, kind, &bytes).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text);
        assert!(code.is_empty() || reply.code() == code, "{name}: {}", reply.text);
        assert!(!reply.code().is_empty(), "{name}: {}", reply.text);
        assert!(reply.body["detail"].as_str().is_some_and(|text| text.len() > 10), "{name}");
    }
    let digest = STANDARD.encode([0; 32]);
    let wrong = app.clinician().with("Content-Digest", format!("sha-256=:{digest}:"));
    let wrong = hand_in(&wrong, &wound, tar, &good).await;
    assert_eq!((wrong.status, wrong.code()), (422, "digest-mismatch"));
    assert_eq!(wrong.body["field"], "Content-Digest");
    let malformed = app.clinician().with("Content-Digest", "sha-256=:x:");
    let malformed = hand_in(&malformed, &wound, tar, &good).await;
    assert_eq!((malformed.status, malformed.code()), (400, "invalid-digest"));
    let nowhere = format!("/v1/wounds/{}", Uuid::now_v7());
    let nowhere = hand_in(&app.clinician(), &nowhere, tar, &good).await;
    assert_eq!((nowhere.status, nowhere.code()), (404, "not-found"));
    let stale = app.clinician().with("If-Match", "\"9\"");
    let stale = hand_in(&stale, &wound, tar, &good).await;
    assert_eq!((stale.status, stale.code()), (412, "version-conflict"));
    assert_eq!(app.footprint().await, before, "no event, no claim, no capture");

    // The one that is good is taken once; a second time it is known.
    hand_in(&app.clinician(), &wound, tar, &good).await.expect_status(201);
    let known = hand_in(&app.clinician(), &wound, tar, &good).await;
    assert_eq!((known.status, known.code()), (409, "capture-already-recorded"));
    assert_eq!(app.footprint().await.3, 1, "the refused copy is gone");
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_surface_is_stored_without_what_its_file_says_beside(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let wound = open_wound(&app).await;
    let surface = |words: &str| {
        format!(
            "ply\nformat ascii 1.0\n{words}element vertex 3\nproperty float x\nproperty float y\n\
             property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n\
             0 0 0\n0.5 0 0\n0 0.5 0\n3 0 1 2\n"
        )
    };
    let sent = surface("comment GPS 52.516275N 13.377704E iPhone of A\n");
    let key = Uuid::now_v7();
    let declared = STANDARD.encode(Sha256::digest(sent.as_bytes()));
    let clinician = app
        .clinician()
        .with("Content-Digest", format!("sha-256=:{declared}:"))
        .with("Idempotency-Key", key);
    let kind = "application/ply";
    let recorded = hand_in(&clinician, &wound, kind, sent.as_bytes()).await.expect_status(201);
    let again = hand_in(&clinician, &wound, kind, sent.as_bytes()).await.expect_status(201);
    assert_eq!(again.header("idempotency-replayed"), "true");

    // The store checks what it keeps against the recorded digest: that of the bare surface.
    let bare = ply::write(&ply::read(sent.as_bytes()).expect("a surface")).expect("written");
    assert!(!bare.windows(9).any(|window| window == b"52.516275"));
    let reader = app.clinician().with("Ledger-Min-Position", recorded.position());
    let seen = reader.get(&wound).await.expect_status(200);
    let capture = &seen.body["scans"][0]["capture"];
    assert_eq!(capture["size"], bare.len());
    assert_eq!(capture["sha256"], hex::encode(Sha256::digest(&bare)));

    // So the same surface is known, whatever else its file says.
    let other = surface("comment of another day\n");
    let known = hand_in(&app.clinician(), &wound, kind, other.as_bytes()).await;
    assert_eq!((known.status, known.code()), (409, "capture-already-recorded"));
    assert_eq!(app.footprint().await.3, 1, "one capture");
    app.stop().await;
}
