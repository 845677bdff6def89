//! The directory through the door for reading: who may look, what is found, and that no look at it is recorded.

use api::records::{Asking, Look, RecordsError};
use commands::policy::may;
use commands::{Actor, CommandError, PurposeOfUse};
use domain::account::Role;
use domain::{AccountId, LocationId, PractitionerId};
use projections::read_models::{LocationSearch, Page, PractitionerSearch};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::common::{ROLES, TestApp};

fn look(roles: &[Role], min_position: Option<u64>) -> Look<may::ReadDirectory> {
    let id = AccountId::from_uuid(Uuid::from_u128(0xacc0));
    Look::new(Asking {
        actor: Actor::user(id, roles.iter().copied()),
        purpose: PurposeOfUse::Treat,
        correlation_id: Uuid::now_v7(),
        min_position,
    })
}

#[sqlx::test(migrations = "../migrations")]
async fn whoever_works_here_looks_practitioners_and_rooms_up_and_nothing_is_recorded(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let (practitioner, room) = (Uuid::now_v7(), Uuid::now_v7());
    app.list(practitioner, Some(room)).await;
    let last = app.ledger.size() - 1;
    let (records, page) = (&app.state.records, Page::default());
    let (of, at) = (PractitionerId::from_uuid(practitioner), LocationId::from_uuid(room));
    for role in ROLES {
        let look = look(&[*role], Some(last));
        let found = records.practitioner(&look, of).await.expect("the practitioner");
        assert_eq!((found.id, found.active), (of, true), "{role}");
        let found = records.location(&look, at).await.expect("the room");
        assert_eq!((found.location.id, found.zone.as_deref()), (at, Some("UTC")), "{role}");
        let everybody = PractitionerSearch::default();
        let found = records.search_practitioners(&look, &everybody, &page).await;
        assert_eq!(found.expect("an answer").items.len(), 1, "{role}");
        let everywhere = LocationSearch::default();
        let found = records.search_locations(&look, &everywhere, &page).await;
        assert_eq!(found.expect("an answer").items.len(), 1, "{role}");
    }
    let missing = records.practitioner(&look(&[Role::Analyst], None), Uuid::now_v7().into()).await;
    assert!(matches!(missing, Err(RecordsError::NotFound { what: "practitioner" })));
    let nobody = records.practitioner(&look(&[], None), of).await;
    assert!(matches!(nobody, Err(RecordsError::Ledger(CommandError::Denied { .. }))));
    assert_eq!(app.events("disclosure").await, 0);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn practitioners_and_rooms_are_kept_and_booked(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let (admin, desk) = (app.admin(), app.front_desk());
    let new = json!({
        "name": { "family": "Ngata", "given": ["Aroha"], "prefix": ["Dr."] },
        "identifiers": [{ "system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893" }],
        "qualifications": [{ "text": "Certified wound care nurse", "from": "2019" }],
        "contacts": [{ "system": "phone", "value": "+1 555 0111", "use": "work" }],
    });
    let made = desk.post("/v1/practitioners", &new).await.expect_status(201);
    app.verify(&made.body);
    let practitioner = made.header("location").to_owned();
    let twice = desk.post("/v1/practitioners", &new).await;
    assert_eq!((twice.status, twice.code()), (409, "claim-conflict"), "{}", twice.text);
    let refused = app.role(Role::Analyst).post("/v1/practitioners", &new).await;
    assert_eq!((refused.status, refused.code()), (403, "denied"));

    let site = json!({ "kind": "site", "name": "North Clinic", "zone": "America/Chicago" });
    let site = admin.post("/v1/locations", &site).await.expect_status(201).stream_id().to_owned();
    let room = json!({ "kind": "room", "name": "Room 1", "parent_id": site });
    let room = admin.post("/v1/locations", &room).await.expect_status(201);
    let (place, room_id) = (room.header("location").to_owned(), room.stream_id().to_owned());
    let seen = app.role(Role::Analyst).with("Ledger-Min-Position", room.position());
    let shown = seen.get(&place).await.expect_status(200);
    assert_eq!(shown.body["id"], room_id);
    assert_eq!(shown.body["effective_zone"], "America/Chicago");
    assert_eq!(shown.body["zone"], serde_json::Value::Null);
    assert!(shown.body.get("matching").is_none() && shown.body.get("_id").is_none());
    assert_eq!(shown.header("etag"), "\"1\"");
    let found = seen.get("/v1/locations?name=room&kind=room").await.expect_status(200);
    assert_eq!(found.body["items"][0]["id"], room_id);
    let found = seen.get("/v1/practitioners?family=nga&active=true").await.expect_status(200);
    assert_eq!(found.body["items"][0]["id"], made.stream_id());
    let wrong = seen.get("/v1/locations?kind=castle").await;
    assert_eq!((wrong.status, wrong.body["field"].as_str()), (422, Some("kind")), "{}", wrong.text);

    let (patient, _) = app.patient().await;
    let booking = |practitioner: &str, room: &str, hour: u8| {
        json!({
            "patient_id": patient, "practitioner_id": practitioner, "room_id": room,
            "time": { "start": format!("2027-03-10T{hour:02}:00"), "zone": "America/Chicago",
                      "duration_minutes": 30 },
        })
    };
    let book = async |practitioner: &str, room: &str, hour: u8| {
        desk.post("/v1/appointments", &booking(practitioner, room, hour)).await
    };
    book(made.stream_id(), &room_id, 9).await.expect_status(201);
    let nobody = Uuid::now_v7().to_string();
    let unknown = book(&nobody, &room_id, 10).await;
    assert_eq!((unknown.status, unknown.code()), (422, "unknown-practitioner"), "{}", unknown.text);
    let unknown = book(made.stream_id(), &nobody, 10).await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);
    let leaving = json!({ "reason": "left" });
    admin.post(&format!("{practitioner}/deactivate"), &leaving).await.expect_status(200);
    let inactive = book(made.stream_id(), &room_id, 11).await;
    assert_eq!(inactive.code(), "inactive-practitioner", "{}", inactive.text);
    let back = json!({ "reason": "came back" });
    admin.post(&format!("{practitioner}/reactivate"), &back).await.expect_status(200);
    book(made.stream_id(), &room_id, 11).await.expect_status(201);
    app.stop().await;
}
