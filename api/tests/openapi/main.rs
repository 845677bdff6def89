//! The API document against the server: schemathesis makes requests of the document, good ones and bad ones, and holds
//! every answer against it. `scripts/openapi.sh` installs it and runs this.

#[expect(dead_code, reason = "each suite uses a part of it")]
#[path = "../common/mod.rs"]
mod common;

use std::fmt::Write as _;
use std::process::Stdio;

use domain::account::Role;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::process::Command;
use uuid::Uuid;

use common::TestApp;

/// What ids in paths name, so that not everything is answered with "not found".
struct Known {
    patient: Uuid,
    appointment: String,
    wound: String,
    account: Uuid,
    practitioner: Uuid,
    command: String,
}

async fn known(app: &TestApp) -> Known {
    let patient = app.patient().await.0.as_uuid();
    let clinician = app.clinician();
    let practitioner = Uuid::now_v7();
    app.list(practitioner, None).await;
    let booking = json!({
        "patient_id": patient, "practitioner_id": practitioner,
        "time": { "start": "2027-03-10T09:00", "zone": "America/Chicago", "duration_minutes": 30 },
    });
    let booked = clinician.post("/v1/appointments", &booking).await.expect_status(201);
    let opening = json!({
        "patient_id": patient, "site": "heel", "laterality": "left", "etiology": "pressure-injury",
    });
    let opened = clinician.post("/v1/wounds", &opening).await.expect_status(201);
    let account = app.account(&[Role::Analyst]).await;
    Known {
        patient,
        appointment: booked.stream_id().to_owned(),
        wound: opened.stream_id().to_owned(),
        account,
        practitioner,
        command: booked.body["command_id"].as_str().expect("a command").to_owned(),
    }
}

/// How schemathesis is to go about it.
fn config(known: &Known, token: &str, examples: &str) -> String {
    let mut config = format!(
        r#"
        headers = {{ Authorization = "Bearer {token}" }}
        workers = 2

        [generation]
        max-examples = {examples}

        # Fields that are good by themselves may be wrong together (a note that `other` needs, a side that a site needs),
        # and what is named may not be there, or not stand that way: that is answered, and is no fault. Nor is
        # that a made-up password is wrong, or that only the worker may give a reason.
        [checks.positive_data_acceptance]
        expected-statuses = ["2xx", "401", "403", "404", "409", "410", "412", "422", "429"]
        # Which of two faults is told first is open.
        [checks.negative_data_rejection]
        expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "410", "412", "413", "415", "422", "429"]
        "#
    );
    for (prefix, id) in [
        ("/v1/patients/", known.patient.to_string()),
        ("/v1/appointments/", known.appointment.clone()),
        ("/v1/wounds/", known.wound.clone()),
        ("/v1/accounts/", known.account.to_string()),
        ("/v1/practitioners/", known.practitioner.to_string()),
    ] {
        write!(
            config,
            r#"
        [[operations]]
        include-path-regex = "^{prefix}\\{{id\\}}"
        parameters = {{ "path.id" = "{id}" }}
        "#
        )
        .expect("a text");
    }
    write!(
        config,
        r#"
        [[operations]]
        include-path-regex = "^/v1/receipts/"
        parameters = {{ "path.command_id" = "{}" }}
        "#,
        known.command
    )
    .expect("a text");
    config
}

#[sqlx::test(migrations = "../migrations")]
async fn the_server_does_what_the_document_says(_: PgPoolOptions, options: PgConnectOptions) {
    let program = std::env::var_os("LEDGER_SCHEMATHESIS");
    let program = program.expect("LEDGER_SCHEMATHESIS names schemathesis: run scripts/openapi.sh");
    let examples = std::env::var("LEDGER_OPENAPI_EXAMPLES").unwrap_or_else(|_| "5".to_owned());
    let least: u64 = std::env::var("LEDGER_OPENAPI_CALLS")
        .map_or(1, |calls| calls.parse().expect("LEDGER_OPENAPI_CALLS is a number"));
    let phases = std::env::var("LEDGER_OPENAPI_PHASES");
    let phases = phases.unwrap_or_else(|_| "examples,coverage,fuzzing".to_owned());
    let app = TestApp::start(options).await;
    let known = known(&app).await;
    let roles = [Role::Clinician, Role::FrontDesk, Role::Auditor, Role::Compliance, Role::Admin];
    let caller = app.account(&roles).await;
    let token = app.token(caller, &roles);
    let folder = tempfile::tempdir().expect("a folder");
    let config_file = folder.path().join("schemathesis.toml");
    std::fs::write(&config_file, config(&known, &token, &examples)).expect("a file");

    let mut run = Command::new(program);
    run.arg("--config-file")
        .arg(&config_file)
        .args(["run", &format!("{}/openapi.json", app.base), "--checks", "all", "--no-color"])
        .args(["--phases", &phases, "--continue-on-failure"])
        .env(
            "SCHEMATHESIS_HOOKS",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/openapi-hooks.py"),
        )
        .current_dir(folder.path())
        .stdin(Stdio::null());
    let seed = std::env::var("LEDGER_OPENAPI_SEED").unwrap_or_else(|_| "1".to_owned());
    run.args(["--seed", &seed]);
    let output = run.output().await.expect("schemathesis runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "schemathesis found something; it is told above");
    let calls = told.lines().find_map(|line| {
        let (count, what) = line.trim().split_once(' ')?;
        what.starts_with("generated").then(|| count.replace(',', "").parse::<u64>().ok())?
    });
    let calls = calls.expect("schemathesis says how many requests it made");
    assert!(calls >= least, "{calls} requests were made, {least} were asked for");
    app.stop().await;
}
