//! What somebody writes into MongoDB or Redis, as clients see it: nothing of it.

use std::time::Duration;

use jiff::SignedDuration;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::common::TestApp;

impl TestApp {
    fn documents(&self, collection: &str) -> mongodb::Collection<Document> {
        self.read_models.database().collection(collection)
    }

    async fn redis(&self) -> redis::aio::MultiplexedConnection {
        let url = std::env::var("REDIS_URL").expect("REDIS_URL names the service to test against");
        let client = redis::Client::open(url).expect("a Redis URL");
        client.get_multiplexed_async_connection().await.expect("Redis answers")
    }

    /// The key of a cached document: the prefix is the Mongo database's name.
    fn key(&self, kind: &str, id: &str) -> String {
        format!("{}:{kind}:{id}", self.read_models.database().name())
    }

    async fn uncache(&self, kind: &str, id: &str) {
        let key = self.key(kind, id);
        let removed = redis::cmd("DEL").arg(key).query_async(&mut self.redis().await).await;
        let () = removed.expect("Redis answers");
    }

    /// How many looks are recorded of a patient's record.
    async fn looks(&self, patient: &Value) -> i64 {
        let patient: uuid::Uuid = serde_json::from_value(patient.clone()).expect("an id");
        let query =
            "SELECT count(*) FROM events WHERE aggregate_type = 'disclosure' AND subject = $1";
        let count = sqlx::query_scalar(query).bind(patient).fetch_one(&self.pool).await;
        count.expect("Postgres answers")
    }

    async fn counted(&self, name: &str) -> bool {
        let figures = self.anonymous().get("/metrics").await.expect_status(200).text;
        figures.lines().any(|line| line.starts_with(name) && !line.ends_with(" 0"))
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_changed_patient_is_neither_shown_nor_looked_at(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::counting_looks_for(options, SignedDuration::ZERO).await;
    let (mine, _) = app.patient().await;
    let (other, _) = app.patient().await;
    let practitioner = uuid::Uuid::from_u128(0xd0c);
    app.list(practitioner, None).await;
    let booking = json!({ "patient_id": mine, "practitioner_id": practitioner,
        "time": { "start": "2031-03-03T09:00", "zone": "UTC", "duration_minutes": 15 } });
    let booked = app.front_desk().post("/v1/appointments", &booking).await.expect_status(201);
    let id = booked.stream_id().to_owned();
    let path = format!("/v1/appointments/{id}");
    let clinician = app.clinician().with("Ledger-Min-Position", booked.position());
    let expected = clinician.get(&path).await.expect_status(200).body;
    let (mine, other) = (json!(mine), json!(other));
    let (of_mine, of_other) = (app.looks(&mine).await, app.looks(&other).await);

    let visits = app.documents("appointments_v2");
    let lie = doc! { "$set": { "patient_id": other.as_str().expect("an id") } };
    visits.update_one(doc! { "_id": &id }, lie).await.expect("Mongo answers");
    app.uncache("appointment", &id).await;
    // In a list of the other patient it appears at most as what it is not: not at all.
    let list = format!("/v1/appointments?patient={}", other.as_str().expect("an id"));
    let listed = clinician.get(&list).await.expect_status(200).body;
    assert_eq!(listed["items"], json!([]));
    let shown = clinician.get(&path).await.expect_status(200).body;
    assert_eq!(shown, expected);
    assert_eq!(app.looks(&mine).await, of_mine + 1, "the look is recorded for whom it is about");
    assert_eq!(
        app.looks(&other).await,
        of_other + 1,
        "that there is nothing was told of the other"
    );
    let stored = visits.find_one(doc! { "_id": &id }).await.expect("Mongo answers");
    let stored = stored.expect("the document is there again");
    assert_eq!(stored.get_str("patient_id").ok(), mine.as_str());
    assert!(app.counted("read_model_damaged_total").await);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_entry_from_the_future_answers_no_position(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let (patient, registered) = app.patient().await;
    let (id, path) = (patient.to_string(), format!("/v1/patients/{patient}"));
    let before = app.clinician().with("Ledger-Min-Position", registered).get(&path).await;
    before.expect_status(200);
    let set = redis::cmd("HSET")
        .arg(app.key("patient", &id))
        .arg("position")
        .arg(1_000_000_000_u64)
        .query_async::<i64>(&mut app.redis().await)
        .await;
    set.expect("Redis answers");
    let contacts = json!({ "contacts": [{ "system": "phone", "value": "+47 555 01 23" }],
                           "reason": "moved" });
    let edited = app.front_desk().put(&format!("{path}/contacts"), &contacts).await;
    let position = edited.expect_status(200).position();
    let reader = app.clinician().with("Ledger-Min-Position", position);
    let shown = reader.get(&path).await.expect_status(200).body;
    assert_eq!(shown["position"], json!(position));
    assert_eq!(shown["contacts"][0]["value"], json!("+47 555 01 23"));
    assert!(app.counted("cache_damaged_total").await);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_cannot_be_made_again_is_not_shown(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options.clone()).await;
    let (patient, registered) = app.patient().await;
    let (id, path) = (patient.to_string(), format!("/v1/patients/{patient}"));
    let clinician = app.clinician().with("Ledger-Min-Position", registered);
    clinician.get(&path).await.expect_status(200);
    let lie = doc! { "$set": { "active": false } };
    let patients = app.documents("patients_v2");
    patients.update_one(doc! { "_id": &id }, lie).await.expect("Mongo answers");
    app.uncache("patient", &id).await;
    // Somebody with every right on PostgreSQL, too.
    let owner = PgPool::connect_with(options).await.expect("Postgres answers");
    sqlx::raw_sql(&format!(
        "ALTER TABLE events DISABLE TRIGGER ALL; \
         UPDATE events SET payload = set_byte(payload, 20, 255 - get_byte(payload, 20)) \
         WHERE position = {registered}"
    ))
    .execute(&owner)
    .await
    .expect("Postgres answers");
    let refused = app.clinician().get(&path).await.expect_status(503);
    assert_eq!(refused.code(), "read-model-damaged", "{}", refused.text);
    assert!(!refused.text.contains("Probe"), "nothing of it is shown");
    owner.close().await;
    tokio::time::timeout(Duration::from_secs(60), app.stop()).await.expect("it stops");
}
