//! After an erasure nothing of the patient can be read: not in any database, not in object storage, not in a backup taken
//! before with the keys as they are after. What was signed still verifies, and a crash in between changes none of that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use audit::postgres::{DataKeyError, DataKeys};
use audit::seal::{EventIdentity, open_payload};
use audit::statement::Statement;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::crash::read_models_equal_a_rebuild;
use crate::support::clinic::{PASSWORD, booking, patient};
use crate::support::traces::{dump, found, needles, search};
use crate::support::{
    Client, Clinic, Instance, Process, Random, below, every_document, everything_cached, phantom,
    until,
};

/// How long a measurement may take on a slow machine under load; on an idle one it is a few seconds.
const MEASURED_WITHIN: Duration = Duration::from_secs(300);

/// How long a purge may take after a restart.
const PURGED_WITHIN: Duration = Duration::from_secs(120);

type Needles = Vec<(String, Vec<u8>)>;

/// A patient with everything a patient may have.
struct Known {
    id: String,
    secrets: Vec<String>,
    appointment: String,
    wound: String,
}

impl Known {
    fn needles(&self) -> Needles {
        needles(&self.secrets)
    }
}

/// Registers, books, opens a wound, scans it, and waits for the measurement.
async fn known(clinic: &Clinic, [family, given, born, mrn, phone]: [&str; 5], day: u8) -> Known {
    let staff = &clinic.staff;
    let mut registration = patient(family, given, born, mrn);
    registration["contacts"] = json!([{ "system": "phone", "value": phone }]);
    let id = staff.post("/v1/patients", &registration).await.done().stream();
    let start = format!("2031-03-{day:02}T09:00");
    let booked = booking(&id, Uuid::from_u128(7), &start);
    let booked = staff.post("/v1/appointments", &booked).await.done().stream();
    let wound = clinic.wound(&id).await;
    let capture = phantom(day.into());
    let sent = staff.capture(Uuid::now_v7(), &format!("{wound}/scans"), &capture).await.done();
    clinic.answered(&wound, sent.position(), MEASURED_WITHIN).await;
    staff.get(&format!("/v1/patients/{id}")).await.done();
    let secrets = [family, given, born, mrn, phone].map(str::to_owned).to_vec();
    Known { id, secrets, appointment: format!("/v1/appointments/{booked}"), wound }
}

async fn officer(clinic: &Clinic) -> Client {
    let admin = Client::log_in(clinic.port, "admin", PASSWORD).await;
    let account = json!({ "login": "officer", "display_name": "Officer", "password": PASSWORD });
    let account = admin.post("/v1/accounts", &account).await.done().stream();
    let roles = format!("/v1/accounts/{account}/roles");
    admin.post(&roles, &json!({ "role": "compliance" })).await.done();
    Client::log_in(clinic.port, "officer", PASSWORD).await
}

fn erasure() -> Value {
    json!({ "reason": "patient-request", "authority": "person-concerned", "case_reference": "DSR-42" })
}

/// The custody of a record, once its purge is on record.
async fn purged(officer: &Client, id: &str) -> Value {
    let path = format!("/v1/patients/{id}/custody");
    until("the purge is recorded", PURGED_WITHIN, || async {
        officer.get(&path).await.done().body.get("purge").is_some()
    })
    .await;
    officer.get(&path).await.done().body
}

/// A backup: of every event the statement and the payload, and the keys apart from them.
struct Backup {
    events: Vec<(Vec<u8>, Vec<u8>)>,
    keys: Vec<(Uuid, Vec<u8>)>,
    captures: BTreeMap<PathBuf, Vec<u8>>,
}

impl Backup {
    async fn take(instance: &Instance) -> Backup {
        let events = "SELECT statement, payload FROM events ORDER BY position";
        let keys = "SELECT subject, wrapped FROM keyring.data_keys WHERE wrapped IS NOT NULL";
        let read = |path: PathBuf| {
            let bytes = std::fs::read(&path).expect("a capture");
            (path, bytes)
        };
        Backup {
            events: sqlx::query_as(events).fetch_all(&instance.pool).await.expect("the events"),
            keys: sqlx::query_as(keys).fetch_all(&instance.pool).await.expect("the keys"),
            captures: instance.captures().into_iter().map(read).collect(),
        }
    }

    /// How many of the backup's events about a subject open with the keys there are now, and how many do not.
    async fn opened(&self, keys: &DataKeys, subject: Uuid) -> (usize, usize) {
        let (mut opened, mut lost) = (0, 0);
        for (statement, payload) in &self.events {
            let statement = Statement::parse(statement).expect("a statement");
            let Some(commitment) = statement.payload.commitment else { continue };
            if statement.subject != Some(subject) {
                continue;
            }
            match keys.named_by(&statement).await {
                Ok(key) => {
                    let key = key.expect("it is sealed");
                    let identity = EventIdentity::of(&statement);
                    let plain = open_payload(&key.key, &identity, payload, &commitment.0);
                    plain.expect("the payload opens");
                    opened += 1;
                }
                Err(DataKeyError::Missing { .. }) => lost += 1,
                Err(error) => panic!("{error}"),
            }
        }
        (opened, lost)
    }

    fn restore_captures(&self) {
        for (path, bytes) in &self.captures {
            let folder = path.parent().expect("a folder");
            std::fs::create_dir_all(folder).expect("the folder is made");
            std::fs::write(path, bytes).expect("the capture is put back");
        }
    }

    /// Puts the old keys back, as somebody would who restores the wrong backup.
    async fn restore_keys(&self, instance: &Instance) {
        for (subject, wrapped) in &self.keys {
            sqlx::query(
                "UPDATE keyring.data_keys SET wrapped = $2, destroyed_at = NULL WHERE subject = $1",
            )
            .bind(subject)
            .bind(wrapped)
            .execute(&instance.pool)
            .await
            .expect("the key is put back");
        }
    }
}

/// Where in MongoDB and Redis something of the needles stands.
async fn derived_traces(instance: &Instance, needles: &Needles) -> Vec<String> {
    let mut all = every_document(&instance.mongodb_uri, instance.name()).await;
    all.extend(everything_cached(&instance.redis_url, instance.name()).await);
    let traces = all.into_iter().filter(|(_, bytes)| found(bytes, needles).is_some());
    traces.map(|(place, _)| place).collect()
}

async fn assert_nowhere(clinic: &Clinic, needles: &Needles) {
    let instance = &clinic.instance;
    assert_eq!(derived_traces(instance, needles).await, Vec::<String>::new());
    for (name, values) in dump(instance).await {
        search(&name, &values, needles);
    }
    for file in below(&instance.blobs()).into_iter().chain(below(&instance.logs())) {
        let bytes = std::fs::read(&file).expect("a file");
        search(&file.display().to_string(), &bytes, needles);
    }
    if let Ok(dumped) = Command::new("pg_dump").arg(&instance.url).output()
        && dumped.status.success()
    {
        search("pg_dump", &dumped.stdout, needles);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_erased_patient_can_be_read_and_everything_still_verifies() {
    let mut clinic = Clinic::start().await;
    clinic.instance.list([Uuid::from_u128(7)]).await;
    let gone = ["Wolkenstein", "Ottilie-Henrike", "1941-07-23", "CL-778201", "+49 351 7782019"];
    let gone = known(&clinic, gone, 3).await;
    let stays = ["Abendroth", "Leopold-Caspar", "1966-02-17", "CL-889312", "+49 351 8893127"];
    let stays = known(&clinic, stays, 4).await;
    clinic.caught_up().await;
    let (needles, others) = (gone.needles(), stays.needles());
    let subject: Uuid = gone.id.parse().expect("a UUID");
    // What is looked for below would be found, were it there: each document and each cached one.
    let before = derived_traces(&clinic.instance, &needles).await;
    assert!(before.iter().any(|place| place == "patients_v2"), "{before:?}");
    assert!(before.iter().any(|place| place.contains(":patient:")), "{before:?}");
    let backup = Backup::take(&clinic.instance).await;
    assert_eq!(backup.captures.len(), 2);

    let officer = officer(&clinic).await;
    let path = format!("/v1/patients/{}", gone.id);
    let hold = json!({ "reason": "audit", "authority": "regulator", "case_reference": "A-1" });
    let placed = officer.post(&format!("{path}/holds"), &hold).await.done();
    let refused = officer.post(&format!("{path}/erase"), &erasure()).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("on-hold")));
    let held = officer.get(&format!("{path}/holds")).await.done();
    let held = held.body["items"][0]["id"].as_str().expect("a hold").to_owned();
    assert_eq!(placed.stream(), gone.id);
    let release = json!({ "reason": "expired", "authority": "regulator" });
    officer.post(&format!("{path}/holds/{held}/release"), &release).await.done();

    let key = Uuid::now_v7();
    let erased = officer.post_as(key, &format!("{path}/erase"), &erasure()).await.done();
    let custody = purged(&officer, &gone.id).await;
    let stores = json!([
        { "store": "read-models", "entries": 3 }, { "store": "cache", "entries": 3 },
        { "store": "captures", "entries": 1 },
    ]);
    assert_eq!(custody["purge"]["stores"], stores, "{custody}");
    let repeated = officer.post_as(key, &format!("{path}/erase"), &erasure()).await.done();
    assert_eq!(repeated.position(), erased.position(), "the same command, the same answer");

    assert_nowhere(&clinic, &needles).await;
    let instance = &clinic.instance;
    let left = derived_traces(instance, &others).await;
    assert!(left.iter().any(|place| place == "patients_v2"), "another patient is untouched");
    let captures = instance.captures();
    assert_eq!(captures.len(), 1, "{captures:?}");
    assert_eq!(std::fs::read(&captures[0]).ok().as_ref(), backup.captures.get(&captures[0]));
    for path in [&path, &gone.appointment, &gone.wound, &format!("{path}/wounds")] {
        let reply = clinic.staff.get(path).await;
        assert_eq!((reply.status, &reply.body["code"]), (410, &json!("erased")), "{path}");
    }
    clinic.staff.get(&stays.wound).await.done();

    // The backup's data with the keys as they are now.
    let others: Uuid = stays.id.parse().expect("a UUID");
    let (opened, lost) = backup.opened(&instance.data_keys(), subject).await;
    assert!(opened == 0 && lost >= 5, "{opened} opened, {lost} did not");
    let (opened, lost) = backup.opened(&instance.data_keys(), others).await;
    assert!(opened >= 5 && lost == 0, "{opened} opened, {lost} did not");

    let report = instance.assert_sound().await;
    assert_eq!(report.events, report.payloads);
    assert!(report.plaintexts < report.payloads, "what was erased cannot be opened");
    let verified = instance.run(["--json", "audit", "verify"]).await.succeeded().json();
    assert_eq!(verified["findings"], json!([]));
    let export = instance.path("export");
    let folder = export.to_str().expect("text");
    instance.run(["--json", "audit", "export", folder]).await.succeeded();
    let vkey = instance.verifier_key();
    let arguments = ["--json", "audit", "verify", "--key", vkey.as_str(), folder];
    let verified = instance.run(arguments).await.succeeded().json();
    assert_eq!(verified["findings"], json!([]));
    for file in below(&export) {
        search(&file.display().to_string(), &std::fs::read(&file).expect("a file"), &needles);
    }
    read_models_equal_a_rebuild(&clinic).await;

    // Somebody restores the keys and the captures of before. Nothing that starts afterwards works with them.
    clinic.server.kill();
    clinic.worker.kill();
    backup.restore_keys(&clinic.instance).await;
    backup.restore_captures();
    let (opened, _) = backup.opened(&clinic.instance.data_keys(), subject).await;
    assert!(opened >= 5, "with the old keys the old data would open");
    clinic.server = Process::serve(&clinic.instance, clinic.port);
    let anonymous = Client::anonymous(clinic.port);
    until("the server is back", MEASURED_WITHIN, || anonymous.ready()).await;
    let (opened, lost) = backup.opened(&clinic.instance.data_keys(), subject).await;
    assert!(opened == 0 && lost >= 5, "{opened} opened, {lost} did not");
    clinic.worker = Process::worker(&clinic.instance);
    clinic.caught_up().await;
    let captures = || async { clinic.instance.captures().len() == 1 };
    until("the erased patient's capture is gone again", PURGED_WITHIN, captures).await;
    assert_nowhere(&clinic, &needles).await;
    assert_eq!(clinic.staff.get(&gone.wound).await.status, 410);
    clinic.instance.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_erasure_and_purge_repeats_nothing_and_loses_nothing() {
    let mut clinic = Clinic::start().await;
    let officer = officer(&clinic).await;
    let mut random = Random::new(21);
    let mut erased = Vec::new();
    let stays = clinic.register("Vergangen-Bleibt", "Theodolinde", "CL-660017").await;
    let search = json!({ "family": "Vergangen" });
    for number in 0..6_u8 {
        let (family, mrn) = (format!("Vergangen-{number}"), format!("CL-55{number}901"));
        let secrets = vec![family.clone(), mrn.clone()];
        let id = clinic.register(&family, "Theodolinde", &mrn).await;
        clinic.staff.get(&format!("/v1/patients/{id}")).await;
        clinic.caught_up().await;
        let needles = needles(&secrets);
        assert!(!derived_traces(&clinic.instance, &needles).await.is_empty());
        // The worker dies before it can have seen the erasure, or at some moment while it works on it.
        if number % 2 == 0 {
            clinic.worker.kill();
        }
        officer.post(&format!("/v1/patients/{id}/erase"), &erasure()).await.done();
        if number % 2 == 0 {
            let left = derived_traces(&clinic.instance, &needles).await;
            assert!(!left.is_empty(), "nobody has purged anything yet");
            // Whoever searches finds the others, though the document is still there.
            let found = clinic.staff.post("/v1/patients/search", &search).await.done();
            let found = found.body["items"].as_array().expect("patients").clone();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0]["id"], json!(stays));
        } else {
            tokio::time::sleep(Duration::from_millis(random.within(0..400))).await;
            clinic.worker.kill();
        }
        if number % 3 == 0 {
            clinic.server.kill();
            clinic.server = Process::serve(&clinic.instance, clinic.port);
        }
        for _ in 0..random.within(0..3) {
            clinic.worker = Process::worker(&clinic.instance);
            tokio::time::sleep(Duration::from_millis(random.within(200..1_500))).await;
            clinic.worker.kill();
        }
        clinic.worker = Process::worker(&clinic.instance);
        let custody = purged(&officer, &id).await;
        assert_eq!(custody["purge"]["stores"][0]["entries"], 1, "{custody}");
        erased.extend(secrets);
    }
    assert_nowhere(&clinic, &needles(&erased)).await;
    let count = |kind: &str| format!("SELECT count(*) FROM events WHERE event_type = '{kind}'");
    assert_eq!(clinic.instance.count(&count("SubjectErased")).await, 6);
    assert_eq!(clinic.instance.count(&count("PurgeRecorded")).await, 6, "each once");
    clinic.caught_up().await;
    read_models_equal_a_rebuild(&clinic).await;
    clinic.instance.assert_sound().await;
}
