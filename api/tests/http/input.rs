//! Bad input: each is refused with a code, the field and the reason, and leaves nothing behind.

use api::http::body::MAX_JSON_BYTES;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::common::{Caller, TestApp};

/// A word no refusal may repeat.
const SECRET: &str = "Xylophonia";

struct Case {
    name: &'static str,
    method: Method,
    path: String,
    headers: &'static [(&'static str, &'static str)],
    kind: &'static str,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    field: Option<&'static str>,
}

fn raw(
    name: &'static str,
    path: impl Into<String>,
    body: impl Into<Vec<u8>>,
    refusal: (u16, &'static str, Option<&'static str>),
) -> Case {
    let (status, code, field) = refusal;
    let (path, body) = (path.into(), body.into());
    let method = Method::POST;
    Case { name, method, path, headers: &[], kind: "application/json", body, status, code, field }
}

fn json_case(
    name: &'static str,
    path: impl Into<String>,
    body: &Value,
    refusal: (u16, &'static str, Option<&'static str>),
) -> Case {
    raw(name, path, body.to_string(), refusal)
}

fn put(case: Case) -> Case {
    Case { method: Method::PUT, ..case }
}

fn get(
    name: &'static str,
    path: impl Into<String>,
    refusal: (u16, &'static str, Option<&'static str>),
) -> Case {
    Case { method: Method::GET, ..raw(name, path, Vec::new(), refusal) }
}

fn header(
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    refusal: (u16, &'static str, Option<&'static str>),
) -> Case {
    let body = json!({ "name": { "family": SECRET } });
    Case { headers, ..json_case(name, "/v1/patients", &body, refusal) }
}

fn booking(patient: &str, start: &str) -> Value {
    json!({
        "patient_id": patient, "practitioner_id": Uuid::from_u128(1),
        "time": { "start": start, "zone": "America/Chicago", "duration_minutes": 30 },
    })
}

fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    *body.pointer_mut(pointer).expect("the field") = value;
    body
}

fn bodies() -> Vec<Case> {
    let named = |field: &str, value: Value| {
        let mut body = json!({ "name": { "family": "Probe" } });
        body[field] = value;
        body
    };
    let patients = "/v1/patients";
    vec![
        raw("half a body", patients, "{\"name\":", (400, "malformed-json", None)),
        raw("no JSON", patients, "name=Xylophonia", (400, "malformed-json", None)),
        raw("more than one value", patients, "{} {}", (400, "malformed-json", None)),
        raw("an array", patients, "[]", (422, "invalid-body", None)),
        raw(
            "a field twice",
            patients,
            r#"{"gender":"female","gender":"male"}"#,
            (422, "duplicate-field", None),
        ),
        raw("too deep", patients, "[".repeat(5000), (400, "malformed-json", None)),
        raw(
            "too large",
            patients,
            format!("{{\"x\":\"{}\"}}", "x".repeat(MAX_JSON_BYTES)),
            (413, "body-too-large", None),
        ),
        Case {
            kind: "text/plain",
            ..raw(
                "another format",
                patients,
                "{}",
                (415, "unsupported-media-type", Some("Content-Type")),
            )
        },
        json_case(
            "an unknown field",
            patients,
            &named("surname", json!(SECRET)),
            (422, "invalid-body", Some("surname")),
        ),
        json_case(
            "a field whose name says too much",
            patients,
            &json!({ "name": { "family": "Probe" }, "Xylophonia Smith": 1 }),
            (422, "invalid-body", Some("(unnamed)")),
        ),
        json_case(
            "an unknown field below",
            patients,
            &json!({ "name": { "familie": SECRET } }),
            (422, "invalid-body", None),
        ),
        json_case(
            "a wrong type",
            patients,
            &named("gender", json!(7)),
            (422, "invalid-body", Some("gender")),
        ),
        json_case(
            "a wrong code",
            patients,
            &named("gender", json!(SECRET)),
            (422, "invalid-body", Some("gender")),
        ),
        json_case(
            "an impossible date",
            patients,
            &named("birth_date", json!("1958-02-30")),
            (422, "invalid-body", Some("birth_date")),
        ),
        json_case(
            "no date",
            patients,
            &named("birth_date", json!(SECRET)),
            (422, "invalid-body", Some("birth_date")),
        ),
        json_case(
            "an overlong name",
            patients,
            &json!({ "name": { "family": SECRET.repeat(20) } }),
            (422, "invalid-body", None),
        ),
        json_case(
            "nobody",
            patients,
            &json!({ "gender": "female" }),
            (422, "name-or-identifier-required", Some("name")),
        ),
        json_case(
            "born in the future",
            patients,
            &named("birth_date", json!("2199-01-01")),
            (422, "birth-in-future", Some("birth_date")),
        ),
        json_case(
            "an id that is none",
            patients,
            &named("id", json!(SECRET)),
            (422, "invalid-body", Some("id")),
        ),
        json_case(
            "an empty search",
            "/v1/patients/search",
            &json!({}),
            (422, "empty-search", None),
        ),
        json_case(
            "a page of nothing",
            "/v1/patients/search",
            &json!({ "family": "a", "limit": 0 }),
            (422, "invalid-limit", Some("limit")),
        ),
        json_case(
            "a cursor of nobody's",
            "/v1/patients/search",
            &json!({ "family": "a", "after": "zz" }),
            (422, "invalid-cursor", Some("after")),
        ),
    ]
}

fn requests(patient: &str) -> Vec<Case> {
    let appointments = "/v1/appointments";
    let good = booking(patient, "2031-03-10T15:00");
    let nobody = Uuid::now_v7().to_string();
    let patient_path = format!("/v1/patients/{patient}");
    let edit = json!({ "gender": "female", "name": { "family": "Probe" }, "reason": "x" });
    vec![
        header(
            "a command id that is none",
            &[("Idempotency-Key", "soon")],
            (400, "invalid-idempotency-key", Some("Idempotency-Key")),
        ),
        header(
            "a command id that means none",
            &[("Idempotency-Key", "00000000-0000-0000-0000-000000000000")],
            (400, "reserved-id", Some("Idempotency-Key")),
        ),
        header(
            "a command id that means all",
            &[("Idempotency-Key", "ffffffff-ffff-ffff-ffff-ffffffffffff")],
            (400, "reserved-id", Some("Idempotency-Key")),
        ),
        header(
            "the id of the worker",
            &[("Idempotency-Key", "00000000-0000-8000-8000-000000000003")],
            (400, "reserved-id", Some("Idempotency-Key")),
        ),
        json_case(
            "a patient called by an id that means none",
            "/v1/patients",
            &json!({ "id": Uuid::nil(), "gender": "female" }),
            (422, "reserved-id", Some("id")),
        ),
        json_case(
            "a patient called as the operator is",
            "/v1/patients",
            &json!({ "id": "00000000-0000-8000-8000-000000000001", "gender": "female" }),
            (422, "reserved-id", Some("id")),
        ),
        json_case(
            "a wound of everybody",
            "/v1/wounds",
            &json!({ "patient_id": Uuid::max(), "site": "heel" }),
            (422, "reserved-id", Some("patient_id")),
        ),
        json_case(
            "a booking in a room of the system's",
            appointments,
            &json!({ "patient_id": patient, "room_id": "6d6f6465-6c73-8000-8000-000000000001" }),
            (422, "reserved-id", Some("room_id")),
        ),
        header(
            "a version that is none",
            &[("If-Match", "3")],
            (400, "invalid-if-match", Some("If-Match")),
        ),
        header(
            "a purpose that is none",
            &[("Purpose-Of-Use", "CURIOSITY")],
            (400, "invalid-purpose-of-use", Some("Purpose-Of-Use")),
        ),
        header(
            "a version of what is new",
            &[("If-Match", "\"3\"")],
            (412, "version-conflict", Some("If-Match")),
        ),
        json_case(
            "a local time in the gap",
            appointments,
            &with(good.clone(), "/time/start", json!("2031-03-09T02:30")),
            (422, "time-in-gap", Some("time.start")),
        ),
        json_case(
            "a local time that comes twice",
            appointments,
            &with(good.clone(), "/time/start", json!("2031-11-02T01:30")),
            (422, "time-ambiguous", Some("time.fold")),
        ),
        json_case(
            "a zone that is none",
            appointments,
            &with(good.clone(), "/time/zone", json!("Mars/Olympus")),
            (422, "unknown-time-zone", Some("time.zone")),
        ),
        json_case(
            "no time",
            appointments,
            &with(good.clone(), "/time/start", json!(SECRET)),
            (422, "invalid-body", Some("time.start")),
        ),
        json_case(
            "no duration",
            appointments,
            &with(good.clone(), "/time/duration_minutes", json!(0)),
            (422, "duration-out-of-range", Some("time.duration_minutes")),
        ),
        json_case(
            "half a minute",
            appointments,
            &with(good.clone(), "/time/duration_minutes", json!(0.5)),
            (422, "invalid-body", Some("time.duration_minutes")),
        ),
        json_case(
            "an unknown patient",
            appointments,
            &with(good.clone(), "/patient_id", json!(nobody)),
            (422, "unknown-patient", Some("patient_id")),
        ),
        json_case(
            "a patient that is no id",
            appointments,
            &with(good, "/patient_id", json!(SECRET)),
            (422, "invalid-body", Some("patient_id")),
        ),
        json_case(
            "a wound of nobody",
            "/v1/wounds",
            &json!({ "patient_id": nobody, "site": "sacrum", "etiology": "pressure-injury" }),
            (422, "unknown-patient", Some("patient_id")),
        ),
        json_case(
            "a wound on no side",
            "/v1/wounds",
            &json!({ "patient_id": patient, "site": "heel", "etiology": "pressure-injury" }),
            (422, "laterality-required", Some("laterality")),
        ),
        json_case(
            "a booking that is not there",
            format!("{appointments}/{nobody}/cancel"),
            &json!({ "reason": "weather" }),
            (404, "not-found", None),
        ),
        json_case(
            "a body where there is none",
            format!("{appointments}/{nobody}/check-in"),
            &json!({ "when": "now" }),
            (422, "invalid-body", Some("when")),
        ),
        put(json_case(
            "an edit of nobody",
            format!("/v1/patients/{nobody}/demographics"),
            &edit,
            (404, "not-found", None),
        )),
        put(json_case(
            "an edit without a reason",
            format!("{patient_path}/demographics"),
            &json!({ "gender": "female" }),
            (422, "invalid-body", Some("reason")),
        )),
        Case {
            headers: &[("If-Match", "\"7\"")],
            ..put(json_case(
                "an edit of a version that is gone",
                format!("{patient_path}/demographics"),
                &edit,
                (412, "version-conflict", Some("If-Match")),
            ))
        },
        get("a path that is none", "/v1/horses", (404, "no-such-path", None)),
        get(
            "an id that is none",
            format!("/v1/patients/{SECRET}"),
            (400, "invalid-id", Some("id")),
        ),
        get("a list of nobody", appointments, (422, "no-resource", Some("practitioner"))),
        get(
            "a list of a name",
            format!("{appointments}?name={SECRET}"),
            (422, "unknown-parameter", None),
        ),
        get(
            "a list from whenever",
            format!("{appointments}?patient={patient}&from=yesterday"),
            (422, "invalid-parameter", Some("from")),
        ),
        get(
            "a list that ends before it begins",
            format!(
                "{appointments}?patient={patient}&from=2031-01-02T00:00:00Z&to=2031-01-01T00:00:00Z"
            ),
            (422, "empty-range", Some("to")),
        ),
        Case {
            headers: &[("Ledger-Min-Position", "-1")],
            ..get(
                "a position that is none",
                patient_path.clone(),
                (400, "invalid-min-position", Some("Ledger-Min-Position")),
            )
        },
        Case {
            method: Method::PATCH,
            ..json_case("another method", patient_path, &edit, (405, "method-not-allowed", None))
        },
    ]
}

async fn try_case(caller: Caller, case: Case) {
    let mut caller = caller;
    for (name, value) in case.headers {
        caller = caller.with(name, value);
    }
    let body = (case.method != Method::GET).then_some((case.kind, case.body));
    let reply = caller.send(case.method, &case.path, body).await;
    let name = case.name;
    assert_eq!((reply.status, reply.code()), (case.status, case.code), "{name}: {}", reply.text);
    assert_eq!(reply.header("content-type"), "application/problem+json", "{name}");
    let kind = format!("urn:coherency:problem:{}", case.code);
    assert_eq!(reply.body["type"], json!(kind), "{name}");
    if let Some(field) = case.field {
        assert_eq!(reply.body["field"], json!(field), "{name}: {}", reply.text);
        assert_eq!(reply.body["errors"][0]["field"], json!(field), "{name}");
    }
    assert!(!reply.body["detail"].as_str().unwrap_or_default().is_empty(), "{name}");
    assert!(!reply.text.contains(SECRET), "{name} repeats what it was given: {}", reply.text);
    let instance = reply.body["instance"].as_str().unwrap_or_default();
    assert_eq!(instance, format!("urn:uuid:{}", reply.header("x-request-id")), "{name}");
}

#[sqlx::test(migrations = "../migrations")]
async fn bad_input_is_refused_and_leaves_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let (patient, _) = app.patient().await;
    let before = app.footprint().await;
    for case in bodies().into_iter().chain(requests(&patient.to_string())) {
        try_case(app.clinician(), case).await;
    }
    assert_eq!(app.footprint().await, before, "no event, no claim, no capture");
    app.stop().await;
}
