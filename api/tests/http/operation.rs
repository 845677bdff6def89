//! What keeps the server running: health, figures, limits, names of requests, the documentation.

use std::time::{Duration, Instant};

use api::config::Http;
use api::edge::quota::Holder;
use api::http::operations::Access;
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

/// Every schema of the document, with where it stands.
fn schemas<'a>(
    place: String,
    value: &'a serde_json::Value,
    found: &mut Vec<(String, &'a serde_json::Value)>,
) {
    match value {
        serde_json::Value::Object(map) => {
            found.push((place.clone(), value));
            for (name, value) in map {
                schemas(format!("{place}/{name}"), value, found);
            }
        }
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                schemas(format!("{place}/{index}"), item, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_body_is_closed_and_no_object_is_bare() {
    let document = api::http::document();
    let mut bodies = 0;
    let operations = document["paths"].as_object().expect("paths").values();
    for operation in operations.flat_map(|item| item.as_object().expect("an item").values()) {
        let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") else {
            continue;
        };
        let mut open = vec![body];
        while let Some(schema) = open.pop() {
            if let Some(reference) = schema["$ref"].as_str() {
                open.extend(document.pointer(&reference[1..]));
            } else if schema["type"] == "object" {
                assert_eq!(schema["additionalProperties"], false, "{schema}");
                let fields = schema["properties"].as_object().into_iter();
                open.extend(fields.flat_map(|fields| fields.values()));
            } else {
                open.extend(schema.get("items"));
                open.extend(schema["anyOf"].as_array().into_iter().flatten());
            }
        }
        bodies += 1;
    }
    assert!(bodies > 20, "{bodies}");
    let mut found = Vec::new();
    schemas(String::new(), &document, &mut found);
    let objects = found.iter().filter(|(_, schema)| schema["type"] == "object");
    for (place, schema) in objects {
        let told =
            schema.get("properties").is_some() || schema["additionalProperties"] != json!(null);
        assert!(told, "{place} is an object of which nothing is said");
    }
}

#[test]
fn every_placeholder_of_a_path_is_read_and_described() {
    let document = api::http::document();
    for operation in api::http::operations() {
        let path = operation.path.replace("{*", "{");
        let method = operation.method.as_str().to_lowercase();
        let parameters = document["paths"][&path][&method]["parameters"].as_array().cloned();
        let described: Vec<String> = parameters
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        let placeholders = path.split('{').skip(1).filter_map(|part| part.split('}').next());
        assert_eq!(described, placeholders.collect::<Vec<_>>(), "{path}");
    }
}

#[test]
fn whoever_reads_a_header_names_it() {
    let document = api::http::document();
    let named = |method: &str, path: &str| -> Vec<String> {
        let operation = &document["paths"][path][method];
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let headers = parameters.iter().filter(|parameter| parameter["in"] == "header");
        headers.map(|header| header["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for operation in api::http::operations() {
        let path = operation.path.replace("{*", "{");
        let of_record = ["/v1/patients", "/v1/appointments", "/v1/wounds"];
        let of_record = of_record.iter().any(|prefix| path.starts_with(prefix));
        let custody = path.ends_with("/holds") || path.ends_with("/custody");
        let search = path.ends_with("/search");
        let names = named(&operation.method.as_str().to_lowercase(), &path);
        let reads = operation.method == "GET" || search;
        let must: &[&str] = match operation.access {
            Access::Needs(_) if !reads => &["Idempotency-Key", "If-Match", "Purpose-Of-Use"],
            Access::Needs(_) if of_record && !custody => &["Purpose-Of-Use", "Ledger-Min-Position"],
            _ => &[],
        };
        for header in must {
            assert!(names.iter().any(|name| name == header), "{path}: {header} is not named");
        }
    }
    let scan = named("post", "/v1/wounds/{id}/scans");
    for header in ["Content-Digest", "Digest", "Captured-At"] {
        assert!(scan.iter().any(|name| name == header), "{header}: {scan:?}");
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
