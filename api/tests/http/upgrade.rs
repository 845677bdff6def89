//! A log that an earlier version made, with its keys: it migrates, its read models say what they said, and it goes on.
//!
//! `upgrade/` holds what the version fd7518e left: a dump, its keys, which are for this test and nothing else, and every
//! document as that version showed it: patients edited in each way, one out of use, one held and one erased; appointments
//! in each state; wounds with scans measured, confirmed, withdrawn.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use api::config::Http;
use audit::verify::{Options, Trust};
use commands::Keys;
use commands::database::{self, Login};
use domain::account::Role;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::common::{ORIGIN, TestApp};

const SAID: &str = include_str!("upgrade/log.json");
const DUMP: &[u8] = include_bytes!("upgrade/dump.sql.gz");

/// Where a document is shown, and what the API document calls its form.
const SHOWN: [(&str, &str); 3] = [
    ("/v1/patients/", "PatientDocument"),
    ("/v1/appointments/", "AppointmentDocument"),
    ("/v1/wounds/", "WoundDocument"),
];

async fn restore(options: &PgConnectOptions) {
    let mut dump = String::new();
    flate2::read::GzDecoder::new(DUMP).read_to_string(&mut dump).expect("a dump");
    let mut connection = PgConnection::connect_with(options).await.expect("the owner");
    connection.execute(sqlx::raw_sql(&dump)).await.expect("restored");
    connection.close().await.expect("closed");
    database::migrate(options.to_url_lossy().as_str(), None).await.expect("migrated");
}

fn keys(said: &Value, folder: &std::path::Path) -> Keys {
    for (name, text) in said["keys"].as_object().expect("the keys") {
        let path = folder.join(name);
        std::fs::write(&path, text.as_str().expect("text")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    }
    Keys::load(folder).expect("the keys")
}

#[sqlx::test(migrations = false)]
async fn a_log_of_the_version_before_shows_the_same_and_goes_on(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let said: Value = serde_json::from_str(SAID).expect("JSON");
    restore(&options).await;
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keys(&said, folder.path());
    let app = TestApp::over(options.clone(), Http::default(), keys.clone()).await;
    let size = said["size"].as_u64().expect("a size");
    let seen = |role| app.role(role).with("Ledger-Min-Position", size - 1);
    let (clinician, compliance) = (seen(Role::Clinician), seen(Role::Compliance));
    let documents = said["documents"].as_object().expect("documents");
    assert!(documents.len() > 15, "{}", documents.len());
    let (schema, mut described_documents) = (api::http::document(), 0);
    for (path, shown) in documents {
        let caller = if path.ends_with("/custody") { &compliance } else { &clinician };
        let reply = caller.get(path).await;
        assert_eq!(json!(reply.status), shown["status"], "{path}: {}", reply.text);
        assert_eq!(reply.body, shown["body"], "{path}");
        // What the store keeps for itself is not shown: whoever adds such a field must say so.
        let of = |prefix: &str| path.strip_prefix(prefix).is_some_and(|id| !id.contains('/'));
        let Some((_, name)) = SHOWN.iter().find(|(prefix, _)| of(prefix)) else { continue };
        let described = &schema["components"]["schemas"][name]["properties"];
        for field in reply.body.as_object().expect("a document").keys() {
            assert!(described.get(field).is_some(), "{path} shows `{field}`");
        }
        described_documents += 1;
    }
    assert!(described_documents > 8, "{described_documents}");

    let patient = said["patients"][0].as_str().expect("an id");
    let path = format!("/v1/patients/{patient}/contacts");
    let edit = json!({ "contacts": [{ "system": "sms", "value": "+1 555 0199" }], "reason": "new number" });
    let edited = app.front_desk().put(&path, &edit).await.expect_status(200);
    app.verify(&edited.body);
    let later = app.clinician().with("Ledger-Min-Position", edited.position());
    let after = later.get(&format!("/v1/patients/{patient}")).await.expect_status(200);
    assert_eq!(after.body["contacts"][0]["value"], "+1 555 0199");
    let taken = json!({
        "name": { "family": "Other" },
        "identifiers": [{ "system": "http://clinic.example/mrn", "value": "F-0", "type": "MR" }],
    });
    let taken = app.front_desk().post("/v1/patients", &taken).await;
    assert_eq!((taken.status, taken.code()), (409, "claim-conflict"), "what was taken stays taken");
    let held = format!("/v1/patients/{}/erase", said["patients"][1].as_str().expect("an id"));
    let erase = json!({
        "reason": "patient-request", "authority": "person-concerned", "case_reference": "DSR-2",
    });
    let held = app.role(Role::Compliance).post(&held, &erase).await;
    assert_eq!(held.status, 409, "the hold stands: {}", held.text);
    app.stop().await;

    let login = database::trial(&options, Login::Auditor).await.expect("the rights");
    let pool = PgPoolOptions::new().connect_with(login).await.expect("the auditor connects");
    let trust = Trust::any_of(ORIGIN, keys.verifiers(ORIGIN).expect("keys"));
    let options = Options { threads: 1, ..Options::default() };
    let report = commands::audit::verify(&pool, &trust, options, Some(&keys), |_| ()).await;
    let report = report.expect("readable");
    assert!(report.is_sound(), "{:?} {:?}", report.log.findings, report.beside);
    assert!(report.log.events > size, "it went on");
}
