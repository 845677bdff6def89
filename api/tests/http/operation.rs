//! What keeps the server running: health, figures, limits, names of requests, the documentation.

use std::time::{Duration, Instant};

use api::config::Http;
use api::edge::quota::Holder;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::common::TestApp;

#[test]
fn the_openapi_document_is_the_reviewed_one() {
    let document = serde_json::to_value(api::http::document()).expect("the document");
    assert_eq!(document["openapi"], "3.1.0");
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/api"),
        prepend_module_to_snapshot => false,
        sort_maps => true,
    }, {
        insta::assert_json_snapshot!("openapi", document, { ".info.version" => "[version]" });
    });
}

#[test]
fn operation_ids_are_unique() {
    let document = serde_json::to_value(api::http::document()).expect("the document");
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.values().flat_map(|item| item.as_object().expect("an item").values());
    let mut ids: Vec<_> =
        operations.map(|operation| operation["operationId"].to_string()).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = serde_json::to_value(api::http::document()).expect("the document");
    fn walk<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, value) in map {
                    match value.as_str() {
                        Some(reference) if name == "$ref" => found.push(reference),
                        _ => walk(value, found),
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn health_figures_and_documentation(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let anybody = app.anonymous();
    anybody.get("/health/live").await.expect_status(200);
    let ready = anybody.get("/health/ready").await.expect_status(200);
    assert_eq!(ready.body["ready"], true, "{}", ready.text);
    assert_eq!((&ready.body["commands"], &ready.body["reads"]), (&json!("ready"), &json!("ready")));
    assert_eq!(ready.body["checks"]["redis"], "ok");
    assert!(ready.body["position"].as_u64().is_some_and(|position| position > 0));

    app.patient().await;
    let figures = anybody.get("/metrics").await.expect_status(200);
    assert!(figures.text.contains("ledger_http_requests_total{"), "{}", figures.text);
    assert!(figures.text.contains(r#"route="/v1/patients""#));
    assert!(!figures.text.contains("Probe"));

    let document = anybody.get("/openapi.json").await.expect_status(200);
    assert_eq!(document.body["info"]["title"], "Coherency Ledger");
    let page = anybody.get("/docs/").await.expect_status(200);
    assert!(page.text.contains("swagger-ui"));
    assert!(!page.text.contains("https://"), "the page loads nothing from elsewhere");
    anybody.get("/docs/swagger-ui-bundle.js").await.expect_status(200);

    let id = Uuid::now_v7();
    let named = anybody.clone().with("X-Request-Id", id).with("X-Correlation-Id", Uuid::nil());
    let reply = named.get("/health/live").await;
    assert_eq!(reply.header("x-request-id"), id.to_string());
    assert_eq!(reply.header("x-correlation-id"), Uuid::nil().to_string());
    let said = anybody.clone().with("X-Request-Id", "Anna Müller".replace('ü', "u"));
    let reply = said.get("/health/live").await;
    assert!(Uuid::try_parse(reply.header("x-request-id")).is_ok(), "free text is not taken over");
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_full_server_says_so(_: PgPoolOptions, options: PgConnectOptions) {
    let limits = Http { max_requests: 2, max_requests_per_account: 2, ..Http::default() };
    let app = TestApp::start_with(options, limits).await;
    let held = app.state.gate.signed_in.take(Holder::Account(Uuid::nil()), 2);
    let held = held.unwrap_or_else(|_| panic!("nobody else is there"));
    let full = app.front_desk().post("/v1/patients", &json!({ "name": { "family": "A" } })).await;
    assert_eq!((full.status, full.code()), (503, "overloaded"));
    assert_eq!(full.header("retry-after"), "1");
    app.anonymous().get("/health/live").await.expect_status(200);
    drop(held);
    app.patient().await;
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_position_nobody_reaches_is_not_waited_for_long(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let limits = Http { position_seconds: 1, ..Http::default() };
    let app = TestApp::start_with(options, limits).await;
    let (patient, _) = app.patient().await;
    let reader = app.front_desk().with("Ledger-Min-Position", 1_000_000);
    let begin = Instant::now();
    let reply = reader.get(&format!("/v1/patients/{patient}")).await;
    assert_eq!((reply.status, reply.code()), (409, "position-beyond-log"));
    assert_eq!(reply.body["field"], "Ledger-Min-Position");
    assert!(begin.elapsed() < Duration::from_millis(900), "it was waited for");

    app.state.stopping.cancel();
    let ready = app.anonymous().get("/health/ready").await.expect_status(503);
    assert_eq!(ready.body["ready"], false);
    assert_eq!(ready.body["commands"], "stopping");
    app.stop().await;
}
