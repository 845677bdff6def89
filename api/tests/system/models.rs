//! A second model is handed in, activated and rolled back, while workers are killed: every scan is answered once by each
//! model, what the withdrawn one measured is withdrawn once, and what a clinician confirmed stays.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::value::Digest;
use serde_json::{Value, json};
use uuid::Uuid;
use wound::network::embedded_weights;
use wound::pipeline::model_digest;

use crate::crash::read_models_equal_a_rebuild;
use crate::support::clinic::PASSWORD;
use crate::support::{Client, Clinic, Process, free_port, phantom, until};

const WOUNDS: usize = 2;
const SCANS: usize = 6;

/// How long all scans may take to be answered on a slow machine under load.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often something was recorded.
async fn count(clinic: &Clinic, kind: &str) -> usize {
    let sql = format!("SELECT count(*) FROM events WHERE event_type = '{kind}'");
    usize::try_from(clinic.instance.count(&sql).await).expect("a count")
}

/// The models by the digest of their weights, with how they stand.
async fn standing(staff: &Client) -> BTreeMap<String, String> {
    let models = staff.get("/v1/models").await.done().body;
    let models = models["items"].as_array().expect("models").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    models.map(|model| (text(&model["weights_sha256"]), text(&model["status"]))).collect()
}

/// The package of the same network with a number changed by its last digit, made as an operator makes one.
async fn second_model(clinic: &Clinic) -> Vec<u8> {
    let instance = &clinic.instance;
    let mut weights = embedded_weights().to_vec();
    let at = weights.len() - 4;
    weights[at] ^= 1;
    let [file, card, package] =
        ["second.bpk", "card.json", "second.tar"].map(|name| instance.path(name));
    std::fs::write(&file, &weights).expect("a file");
    let mut words = instance.run(["--json", "model", "card"]).await.succeeded().json();
    words["version"] = json!("of a test");
    std::fs::write(&card, words.to_string()).expect("a file");
    let mut pack = instance.command(["model", "pack"]);
    pack.arg(&file).arg("--card").arg(&card).arg("--output").arg(&package);
    instance.finish(pack).await.succeeded();
    std::fs::read(&package).expect("the package")
}

/// The measurements of all wounds, by the model that made them.
fn measurements<'a>(wounds: &'a [Value], model: &Digest) -> Vec<&'a Value> {
    let name = json!(model.to_string());
    let scans = wounds.iter().flat_map(|wound| wound["scans"].as_array().expect("scans"));
    let all = scans.flat_map(|scan| scan["measurements"].as_array().expect("measurements"));
    all.filter(|measurement| measurement["model_digest"] == name).collect()
}

/// The wounds, once every read model has seen the log.
async fn documents(clinic: &Clinic, wounds: &[String]) -> Vec<Value> {
    clinic.caught_up().await;
    let mut documents = Vec::new();
    for wound in wounds {
        documents.push(clinic.staff.get(wound).await.done().body);
    }
    documents
}

/// Asserts that each scan was answered once by each of these models.
fn answered_once_by(wounds: &[Value], models: &[Digest]) {
    for scan in wounds.iter().flat_map(|wound| wound["scans"].as_array().expect("scans")) {
        let answers = ["measurements", "rejections"].map(|kind| scan[kind].as_array().expect(kind));
        for model in models {
            let name = json!(model.to_string());
            let by = answers.iter().flat_map(|kind| kind.iter());
            let by = by.filter(|answer| answer["model_digest"] == name).count();
            assert_eq!(by, 1, "by {model}: {scan}");
        }
        let all: usize = answers.iter().map(|kind| kind.len()).sum();
        assert_eq!(all, models.len(), "{scan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_comes_answers_anew_and_goes_and_nothing_happens_twice() {
    let captures: Vec<Vec<u8>> = (0..SCANS as u64 + 1).map(phantom).collect();
    let mut clinic = Clinic::start().await;
    let admin = Client::log_in(clinic.port, "admin", PASSWORD).await;
    until("the program's model is active", PATIENCE, || async {
        standing(&clinic.staff).await.values().any(|status| status == "active")
    })
    .await;
    let first = standing(&clinic.staff).await.into_keys().next().expect("a model");
    let mut wounds = Vec::new();
    for number in 0..WOUNDS {
        let patient = clinic.register("Remodelled", "Runa", &format!("M-{number}")).await;
        wounds.push(clinic.wound(&patient).await);
    }
    for (number, capture) in captures.iter().take(SCANS).enumerate() {
        let scans = format!("{}/scans", wounds[number % WOUNDS]);
        clinic.staff.capture(Uuid::now_v7(), &scans, capture).await.done();
    }
    until("the first model answers", PATIENCE, || async { clinic.answers().await == SCANS }).await;

    // A second worker stands by.
    let package = second_model(&clinic).await;
    let mut standby = Process::worker(&clinic.instance);
    let key = Uuid::now_v7();
    let registered = admin.package(key, &package).await.done();
    let again = admin.package(key, &package).await.done();
    assert_eq!(registered.position(), again.position(), "one request, one event");
    let second = standing(&clinic.staff).await.into_keys().find(|model| *model != first);
    let second = second.expect("the second model");
    assert_eq!(standing(&clinic.staff).await[&second], "registered");
    assert_eq!(clinic.answers().await, SCANS, "it answers nothing before it is active");

    // Both workers die while it answers the earlier scans.
    let activate = format!("/v1/models/{second}/activate");
    admin.post(&activate, &json!({ "reason": "a test of what comes after" })).await.done();
    until("the second model answers", PATIENCE, || async { clinic.answers().await > SCANS }).await;
    clinic.worker.kill();
    standby.kill();
    let metrics = free_port();
    let mut command = clinic.instance.command(["worker"]);
    command.env("LEDGER_METRICS_LISTEN", format!("127.0.0.1:{metrics}"));
    clinic.worker = Process::spawn(&clinic.instance, command, "worker");
    until("it answers all", PATIENCE, || async { clinic.answers().await == 2 * SCANS }).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(clinic.answers().await, 2 * SCANS, "an answer too many");
    let digest = |weights: &str| model_digest(&weights.parse().expect("a digest"));
    let models = [digest(&first), digest(&second)];
    let seen = documents(&clinic, &wounds).await;
    answered_once_by(&seen, &models);
    let figures = figures(metrics).await;
    let label = format!("model=\"{}\"", &second[..16]);
    assert!(
        figures.lines().any(|it| it.starts_with("inference_outcomes_total") && it.contains(&label)),
        "{figures}"
    );

    // A clinician vouches for one of its measurements.
    let made = measurements(&seen, &models[1]);
    assert!(made.len() > 2, "{} of {SCANS} were measured", made.len());
    let vouched = made[0]["id"].as_str().expect("an id").to_owned();
    let of = seen.iter().position(|wound| wound.to_string().contains(&vouched)).expect("a wound");
    let confirm = format!("{}/measurements/{vouched}/confirm", wounds[of]);
    clinic.staff.post(&confirm, &json!({})).await.done();
    let to_withdraw = made.len() - 1;

    // The worker dies while it withdraws.
    admin
        .post("/v1/models/roll-back", &json!({ "reason": "a test of what comes back" }))
        .await
        .done();
    until("something is withdrawn", PATIENCE, || async {
        count(&clinic, "MeasurementWithdrawn").await > 0
    })
    .await;
    clinic.worker.kill();
    clinic.worker = Process::worker(&clinic.instance);
    until("all of it is withdrawn", PATIENCE, || async {
        count(&clinic, "MeasurementWithdrawn").await == to_withdraw
    })
    .await;

    // A scan from now on is the first model's.
    let scans = format!("{}/scans", wounds[0]);
    clinic.staff.capture(Uuid::now_v7(), &scans, &captures[SCANS]).await.done();
    until("the first model answers again", PATIENCE, || async {
        clinic.answers().await == 2 * SCANS + 1
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(clinic.answers().await, 2 * SCANS + 1, "an answer too many");
    assert_eq!(count(&clinic, "MeasurementWithdrawn").await, to_withdraw, "withdrawn twice");
    assert_eq!(count(&clinic, "ModelRegistered").await, 2);
    assert_eq!(count(&clinic, "ModelActivated").await, 2);

    let seen = documents(&clinic, &wounds).await;
    for measurement in measurements(&seen, &models[1]) {
        let stands = measurement["id"] == vouched.as_str();
        assert_eq!(measurement.get("withdrawn_at").is_none(), stands, "{measurement}");
        assert!(stands || measurement["withdrawal_reason"] == "model-withdrawn", "{measurement}");
    }
    for measurement in measurements(&seen, &models[0]) {
        assert!(measurement.get("withdrawn_at").is_none(), "{measurement}");
    }
    let withdrawn: Vec<Value> = measurements(&seen, &models[1])
        .into_iter()
        .filter(|measurement| measurement.get("withdrawn_at").is_some())
        .map(|measurement| measurement["id"].clone())
        .collect();
    for point in seen.iter().flat_map(|wound| wound["healing"].as_array().expect("a course")) {
        assert!(
            !withdrawn.contains(&point["measurement_id"]),
            "the course shows what is withdrawn"
        );
    }
    let stands = standing(&clinic.staff).await;
    assert_eq!((stands[&first].as_str(), stands[&second].as_str()), ("active", "withdrawn"));
    let refused = admin.post(&activate, &json!({ "reason": "once more" })).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (409, Some("model-withdrawn")));

    clinic.server.kill();
    clinic.worker.kill();
    clinic.instance.assert_sound().await;
    read_models_equal_a_rebuild(&clinic).await;
}

/// What the worker has counted.
async fn figures(port: u16) -> String {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("http://127.0.0.1:{port}/metrics")).send().await;
    answer.expect("the worker answers").text().await.expect("text")
}
