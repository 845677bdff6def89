//! A server, a worker, and somebody who may register, book and treat.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;
use wound::bundle;
use wound::phantom::{PhantomSpec, generate};

use super::{Client, Instance, Process, free_port, until};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// How long a start may take on a slow machine.
const START: Duration = Duration::from_secs(180);

pub(crate) struct Clinic {
    // Before the instance, so that they are gone when the databases go.
    pub(crate) server: Process,
    pub(crate) worker: Process,
    pub(crate) instance: Instance,
    pub(crate) port: u16,
    pub(crate) staff: Client,
}

impl Clinic {
    /// Starts everything with the binary alone, as an operator would.
    pub(crate) async fn start() -> Clinic {
        Clinic::start_with(&[]).await
    }

    /// As [`Clinic::start`], with more settings for the server.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Clinic {
        let instance = Instance::new().await;
        instance.run(["migrate"]).await.succeeded();
        let mut create =
            instance.command(["--json", "account", "create-admin", "--login", "admin"]);
        create.env("LEDGER_ADMIN_PASSWORD", PASSWORD);
        instance.finish(create).await.succeeded();
        let port = free_port();
        let server = Process::serve_with(&instance, port, settings);
        let mut worker = Process::worker(&instance);
        let anonymous = Client::anonymous(port);
        until("the server is ready", START, || anonymous.ready()).await;
        let admin = Client::log_in(port, "admin", PASSWORD).await;
        let account = json!({ "login": "staff", "display_name": "Staff", "password": PASSWORD });
        let staff = admin.post("/v1/accounts", &account).await.done().stream();
        for role in ["clinician", "front-desk", "auditor"] {
            let path = format!("/v1/accounts/{staff}/roles");
            admin.post(&path, &json!({ "role": role })).await.done();
        }
        let staff = Client::log_in(port, "staff", PASSWORD).await;
        assert!(worker.is_running(), "the worker ended: {}", instance.last_words("worker"));
        Clinic { server, worker, instance, port, staff }
    }

    /// Registers a patient and answers the id.
    pub(crate) async fn register(&self, family: &str, given: &str, mrn: &str) -> String {
        let patient = patient(family, given, "1952-11-19", mrn);
        self.staff.post("/v1/patients", &patient).await.done().stream()
    }

    /// Opens a wound and answers its path.
    pub(crate) async fn wound(&self, patient: &str) -> String {
        let opening = json!({ "patient_id": patient, "site": "heel", "laterality": "left",
                              "etiology": "diabetic-foot-ulcer" });
        let opened = self.staff.post("/v1/wounds", &opening).await.done();
        format!("/v1/wounds/{}", opened.stream())
    }

    /// The wound's document, once none of its scans waits for an answer.
    pub(crate) async fn answered(&self, wound: &str, position: u64, within: Duration) -> Value {
        let begin = std::time::Instant::now();
        loop {
            let document = self.staff.get_at(wound, position).await.done().body;
            let scans = document["scans"].as_array().expect("scans");
            if scans.iter().all(|scan| scan["status"] != "pending") {
                return document;
            }
            assert!(begin.elapsed() < within, "the scans are not answered: {document}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Asserts that each scan of a wound has exactly one answer, a measurement or a rejection; how many scans
    /// there are.
    pub(crate) fn answered_once(document: &Value) -> usize {
        let scans = document["scans"].as_array().expect("scans");
        for scan in scans {
            let count = |member: &str| scan[member].as_array().expect("a list").len();
            assert_eq!(count("measurements") + count("rejections"), 1, "{scan}");
        }
        scans.len()
    }

    /// The answers that the log holds.
    pub(crate) async fn answers(&self) -> usize {
        let answers = "SELECT count(*) FROM events
                        WHERE event_type IN ('MeasurementRecorded', 'ScanRejected')";
        usize::try_from(self.instance.count(answers).await).expect("a count")
    }

    /// Waits until every read model has seen the whole log.
    pub(crate) async fn caught_up(&self) {
        let client = mongodb::Client::with_uri_str(&self.instance.mongodb_uri).await;
        let database = client.expect("a client").database(self.instance.name());
        let checkpoints = projections::runtime::Checkpoints::new(&database, self.instance.tags());
        until("the read models have seen the log", START, || async {
            let head = u64::try_from(self.instance.events().await).expect("a size");
            for model in projections::read_models::ReadModel::ALL {
                let stands = checkpoints.load(&model.projector_id()).await.expect("a checkpoint");
                if stands != Some(head) {
                    return false;
                }
            }
            true
        })
        .await;
    }
}

/// A registration.
pub(crate) fn patient(family: &str, given: &str, born: &str, mrn: &str) -> Value {
    json!({
        "name": { "family": family, "given": [given] },
        "gender": "female",
        "birth_date": born,
        "identifiers": [{ "system": "urn:example:mrn", "value": mrn, "type": "MR" }],
    })
}

/// A booking of a quarter of an hour.
pub(crate) fn booking(patient: &str, practitioner: Uuid, start: &str) -> Value {
    json!({ "patient_id": patient, "practitioner_id": practitioner,
            "time": { "start": start, "zone": "UTC", "duration_minutes": 15 } })
}

/// The bytes of a phantom's capture, as an app would send them.
pub(crate) fn phantom(seed: u64) -> Vec<u8> {
    // A quarter of the usual picture: these tests ask that it is answered, not how exactly.
    let spec = PhantomSpec { image_size: [480, 360], ..PhantomSpec::random(seed) };
    let made = generate(&spec).expect("a phantom");
    bundle::write(&made.capture).expect("a bundle")
}
