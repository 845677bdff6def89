//! Every look is recorded: what is told of a patient, in that patient's accounting; everything else beside it.

use domain::access::{AccessOutcome, AccessRecorded};
use domain::account::Role;
use domain::disclosure::{DisclosureOutcome, RecordDisclosed};
use domain::{Access, Disclosure, PatientId};
use jiff::SignedDuration;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::common::{Reply, TestApp};

impl TestApp {
    async fn streams(&self, kind: &str) -> Vec<Uuid> {
        let sql = "SELECT aggregate_id FROM events WHERE aggregate_type = $1 ORDER BY position";
        sqlx::query_scalar(sql).bind(kind).fetch_all(&self.pool).await.expect("Postgres answers")
    }

    async fn disclosed(&self) -> Vec<RecordDisclosed> {
        let mut found = Vec::new();
        for id in self.streams("disclosure").await {
            let loaded = self.ledger.load::<Disclosure>(id).await.expect("readable");
            let recorded = loaded.and_then(|loaded| loaded.aggregate.recorded().cloned());
            found.push(recorded.expect("a look"));
        }
        found
    }

    async fn accessed(&self) -> Vec<AccessRecorded> {
        let mut found = Vec::new();
        for id in self.streams("access").await {
            let loaded = self.ledger.load::<Access>(id).await.expect("readable");
            let recorded = loaded.and_then(|loaded| loaded.aggregate.recorded().cloned());
            found.push(recorded.expect("a look"));
        }
        found
    }

    /// The one look beside all records that this leaves.
    async fn beside(&self, asked: impl Future<Output = Reply>) -> (Reply, AccessRecorded) {
        let (before, of_patients) =
            (self.accessed().await.len(), self.streams("disclosure").await.len());
        let reply = asked.await;
        let recorded = self.accessed().await;
        assert_eq!(recorded.len(), before + 1, "{}", reply.text);
        assert_eq!(self.streams("disclosure").await.len(), of_patients, "{}", reply.text);
        (reply, recorded.last().expect("a look").clone())
    }

    /// The one look in the accounting of a patient that this leaves.
    async fn of_patient(&self, asked: impl Future<Output = Reply>) -> (Reply, RecordDisclosed) {
        let (before, beside) = (self.disclosed().await.len(), self.accessed().await.len());
        let reply = asked.await;
        let recorded = self.disclosed().await;
        assert_eq!(recorded.len(), before + 1, "{}", reply.text);
        assert_eq!(self.accessed().await.len(), beside, "{}", reply.text);
        (reply, recorded.last().expect("a look").clone())
    }
}

fn ids(recorded: &[domain::value::Code]) -> Vec<&str> {
    recorded.iter().map(domain::value::Code::as_str).collect()
}

async fn app(options: PgConnectOptions) -> TestApp {
    TestApp::counting_looks_for(options, SignedDuration::ZERO).await
}

#[sqlx::test(migrations = "../migrations")]
async fn what_finds_nobody_is_recorded_without_what_was_searched_for(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = app(options).await;
    let clinician = app.clinician();
    let search = json!({ "family": "Zzyzx", "birth_date": "1949-01-30" });
    let searched = clinician.post("/v1/patients/search", &search);
    let (reply, look) = app.beside(searched).await;
    assert_eq!((reply.status, &reply.body["items"]), (200, &json!([])));
    assert_eq!(
        (look.resource.as_str(), look.outcome),
        ("patient-search", AccessOutcome::NothingFound)
    );
    assert!(look.what.is_empty());
    let clear: Vec<String> = sqlx::query_scalar(
        "SELECT convert_from(payload, 'UTF8') || convert_from(statement, 'UTF8') FROM events
          WHERE aggregate_type = 'access'",
    )
    .fetch_all(&app.pool)
    .await
    .expect("Postgres answers");
    for text in clear {
        assert!(!text.contains("Zzyzx") && !text.contains("1949"), "{text}");
    }

    let nobody = Uuid::now_v7();
    for (path, resource) in [
        (format!("/v1/patients/{nobody}"), "patient"),
        (format!("/v1/appointments/{nobody}"), "appointment"),
        (format!("/v1/wounds/{nobody}"), "wound"),
        (format!("/v1/patients/{nobody}/wounds"), "patient"),
    ] {
        let (reply, look) = app.beside(clinician.get(&path)).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!((look.resource.as_str(), look.outcome), (resource, AccessOutcome::NothingFound));
        assert_eq!(ids(&look.what), [nobody.to_string()]);
    }
    for person in ["patient", "practitioner"] {
        let path = format!("/v1/appointments?{person}={nobody}");
        let (reply, look) = app.beside(clinician.get(&path)).await;
        assert_eq!((reply.status, &reply.body["items"]), (200, &json!([])), "{path}");
        assert_eq!(
            (look.resource.as_str(), ids(&look.what)),
            ("appointment-list", vec![&nobody.to_string()[..]])
        );
    }
    let path = format!("/v1/patients/{nobody}/custody");
    let (reply, look) = app.beside(app.role(Role::Compliance).get(&path)).await;
    assert_eq!((reply.status, look.outcome), (404, AccessOutcome::NothingFound));
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_denied_before_it_names_a_patient_is_recorded(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = app(options).await;
    let (patient, _) = app.patient().await;
    let analyst = app.role(Role::Analyst);
    let search = json!({ "family": "Probe" });
    let open = json!({ "patient_id": patient, "site": "heel", "etiology": "pressure-injury" });
    let list = "/v1/appointments?practitioner=nobody";
    for (path, body, permission) in [
        ("/v1/patients/search", Some(&search), "read-patient"),
        (list, None, "read-appointments"),
        ("/v1/appointments", Some(&json!({})), "manage-appointments"),
        ("/v1/wounds", Some(&open), "manage-wounds"),
        ("/v1/models", None, "read-models"),
    ] {
        let asked = async {
            match body {
                Some(body) => analyst.post(path, body).await,
                None => analyst.get(path).await,
            }
        };
        let (reply, look) = app.beside(asked).await;
        assert_eq!(reply.status, 403, "{permission}");
        assert_eq!((look.resource.as_str(), look.outcome), (permission, AccessOutcome::Denied));
    }
    assert_eq!(app.accessed().await.len(), 5);
    assert!(app.disclosed().await.is_empty());
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_no_patients_record_is_recorded_beside_them(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = app(options).await;
    let account = app.account(&[Role::Clinician]).await;
    let (admin, auditor) = (app.admin(), app.role(Role::Auditor));
    let (reply, look) = app.beside(admin.get(&format!("/v1/accounts/{account}"))).await;
    assert_eq!((reply.status, look.resource.as_str()), (200, "read-accounts"));
    assert_eq!(
        (ids(&look.what), look.outcome),
        (vec![&account.to_string()[..]], AccessOutcome::Allowed)
    );
    for (path, permission) in [
        ("/v1/models", "read-models"),
        ("/v1/log/inclusion?position=0", "read-log"),
        ("/v1/log/consistency?old=1", "read-log"),
        ("/v1/log/tile/0/000.p/1", "read-log"),
    ] {
        let (reply, look) = app.beside(auditor.get(path)).await;
        assert_eq!((reply.status, look.resource.as_str()), (200, permission), "{path}");
        assert!(look.what.is_empty(), "{path}");
    }
    // One's own receipt is no look; another's is.
    let key = Uuid::now_v7();
    let body = json!({ "name": { "family": "Probe" } });
    let desk = app.front_desk().with("Idempotency-Key", key);
    desk.post("/v1/patients", &body).await.expect_status(201);
    let (path, before) = (format!("/v1/receipts/{key}"), app.accessed().await.len());
    app.front_desk().get(&path).await.expect_status(200);
    assert_eq!(app.clinician().get(&path).await.status, 404, "not of yours");
    assert_eq!(app.accessed().await.len(), before);
    let (reply, look) = app.beside(auditor.get(&path)).await;
    assert_eq!((reply.status, look.resource.as_str()), (200, "read-log"));
    assert_eq!(ids(&look.what), [key.to_string()]);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn custody_is_looked_at_like_the_record(_: PgPoolOptions, options: PgConnectOptions) {
    let app = app(options).await;
    let (patient, _) = app.patient().await;
    let officer = app.role(Role::Compliance);
    for path in ["custody", "holds"] {
        let path = format!("/v1/patients/{patient}/{path}");
        let (reply, look) = app.of_patient(officer.get(&path)).await;
        assert_eq!((reply.status, look.patient_id), (200, patient), "{path}");
        assert_eq!(
            (look.resource.as_str(), look.outcome),
            ("custody", DisclosureOutcome::Disclosed)
        );
    }
    let erase = json!({ "reason": "patient-request", "authority": "person-concerned",
                        "case_reference": "DSR-7" });
    officer.post(&format!("/v1/patients/{patient}/erase"), &erase).await.expect_status(200);
    // With the record its accounting is gone: what is left to see is recorded beside it.
    for (path, caller, status, resource) in [
        ("/custody", officer.clone(), 200, "custody"),
        ("", app.clinician(), 410, "patient"),
        ("", app.role(Role::Analyst), 403, "read-patient"),
    ] {
        let path = format!("/v1/patients/{patient}{path}");
        let (reply, look) = app.beside(caller.get(&path)).await;
        assert_eq!((reply.status, look.resource.as_str()), (status, resource), "{path}");
        assert_eq!(ids(&look.what), [patient.to_string()]);
    }
    app.stop().await;
}

/// That a person is a patient, or busy, or was edited meanwhile, is told by a refusal as by a document.
#[sqlx::test(migrations = "../migrations")]
async fn what_a_refusal_tells_of_a_patient_is_recorded_in_the_accounting(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = app(options).await;
    let desk = app.front_desk();
    let named = json!({ "name": { "family": "Probe" }, "identifiers": [
        { "system": "http://clinic.example/mrn", "value": "A-1" }] });
    let registered = desk.post("/v1/patients", &named).await.expect_status(201);
    let patient: PatientId = serde_json::from_value(json!(registered.stream_id())).expect("an id");
    let is_of = |look: &RecordDisclosed, resource: &str| {
        assert_eq!((look.patient_id, look.resource.as_str()), (patient, resource));
        assert_eq!(look.outcome, DisclosureOutcome::Disclosed);
    };

    // An identifier that is taken: in the accounting of the patient who has it.
    let (reply, look) = app.of_patient(desk.post("/v1/patients", &named)).await;
    assert_eq!((reply.status, reply.code()), (409, "claim-conflict"));
    assert!(!reply.text.contains(&patient.to_string()), "whoever asks is not told whose it is");
    is_of(&look, "patient-command");

    // A version that moved, and what is there already.
    let path = format!("/v1/patients/{patient}");
    let contacts = json!({ "contacts": [], "reason": "moved" });
    let stale = desk.clone().with("If-Match", "\"9\"");
    let (reply, look) = app.of_patient(stale.put(&format!("{path}/contacts"), &contacts)).await;
    assert_eq!(reply.status, 412, "{}", reply.text);
    is_of(&look, "patient-command");
    let again = json!({ "id": patient, "name": { "family": "Probe" } });
    let (reply, look) = app.of_patient(desk.post("/v1/patients", &again)).await;
    assert_eq!(reply.status, 409, "{}", reply.text);
    is_of(&look, "patient-command");

    // A patient who is busy; and a practitioner who is, which tells of no patient.
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    app.list(one, None).await;
    app.list(two, None).await;
    let booking = |patient: Value, practitioner: Uuid| {
        json!({ "patient_id": patient, "practitioner_id": practitioner,
            "time": { "start": "2031-03-10T15:00", "zone": "UTC", "duration_minutes": 30 } })
    };
    let first = booking(json!(patient), one);
    desk.post("/v1/appointments", &first).await.expect_status(201);
    let second = booking(json!(patient), two);
    let (reply, look) = app.of_patient(desk.post("/v1/appointments", &second)).await;
    assert_eq!((reply.status, reply.code()), (409, "claim-conflict"));
    is_of(&look, "appointment-command");
    let (other, _) = app.patient().await;
    let third = booking(json!(other), one);
    let (reply, look) = app.beside(desk.post("/v1/appointments", &third)).await;
    assert_eq!((reply.status, reply.code()), (409, "claim-conflict"));
    assert_eq!(look.resource.as_str(), "appointment-command");
    assert!(ids(&look.what).contains(&&one.to_string()[..]));
    let nobody = booking(json!(Uuid::now_v7()), two);
    let (reply, look) = app.beside(desk.post("/v1/appointments", &nobody)).await;
    assert_eq!((reply.status, reply.code()), (422, "unknown-patient"));
    assert_eq!(look.outcome, AccessOutcome::NothingFound);

    // A command whose body alone shows that another role is needed.
    let wound = json!({ "patient_id": patient, "site": "heel", "laterality": "left",
                        "etiology": "pressure-injury" });
    let opened = app.clinician().post("/v1/wounds", &wound).await.expect_status(201);
    let path =
        format!("/v1/wounds/{}/measurements/{}/withdraw", opened.stream_id(), Uuid::now_v7());
    let body = json!({ "reason": "model-withdrawn" });
    let (reply, look) = app.of_patient(app.clinician().post(&path, &body)).await;
    assert_eq!((reply.status, reply.code()), (403, "denied"), "{}", reply.text);
    assert_eq!((look.patient_id, look.resource.as_str()), (patient, "wound"));
    assert_eq!(look.outcome, DisclosureOutcome::Denied);

    // When it cannot be recorded, it is not told.
    app.ledger.clone().close().await;
    let refused = desk.post("/v1/patients", &named).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    app.stop().await;
}

/// As the product comes: looks alike are one event.
#[sqlx::test(migrations = "../migrations")]
async fn a_thousand_denials_are_hardly_any_events(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::counting_looks_for(options, SignedDuration::from_hours(1)).await;
    let (patient, _) = app.patient().await;
    let path = format!("/v1/patients/{patient}");
    let analyst = app.role(Role::Analyst);
    for _ in 0..20 {
        let denied = (0..50).map(|_| analyst.get(&path));
        for reply in futures::future::join_all(denied).await {
            assert_eq!(reply.status, 403, "{}", reply.text);
        }
    }
    assert_eq!(app.disclosed().await.len(), 1);
    let clinician = app.clinician();
    for _ in 0..20 {
        clinician.get(&path).await.expect_status(200);
    }
    assert_eq!(app.disclosed().await.len(), 2);
    app.stop().await;
}
