//! Locations: what stands in their documents, what a search finds, and whose time their clocks show.

use domain::location::LocationKind;
use domain::{Location, LocationId};
use projections::read_models::{LocationSearch, Page};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::clinic::{Clinic, id};

macro_rules! reviewed {
    ($name:literal, $document:expr) => {
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/projections"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_json_snapshot!($name, $document); });
    };
}

fn deactivate(reason: &str) -> Value {
    json!({ "deactivate": { "reason": reason, "note": "Until May." } })
}

#[sqlx::test(migrations = "../migrations")]
async fn a_room_is_what_the_events_say(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.list().await;
    let place = id(0x300);
    let edit = json!({ "edit": {
        "name": "Zimmer 3", "parent_id": id(0x301), "zone": "Europe/Berlin", "reason": "moved",
    }});
    clinic.at("2026-01-06T08:00:00Z").execute::<Location>(place, edit).await;
    clinic.execute::<Location>(place, deactivate("maintenance")).await;
    clinic.catch_up().await;
    let at = LocationId::from_uuid(place);
    let found = clinic.models.location(at, None).await.expect("an answer").expect("the room");
    assert_eq!(found.zone, found.location.zone, "its own zone counts before its site's");
    reviewed!("locations_v1", found.location);

    let back = json!({ "reactivate": { "reason": "is open again" } });
    clinic.execute::<Location>(place, back).await;
    clinic.catch_up().await;
    let found = clinic.models.location(at, None).await.expect("an answer");
    assert!(found.is_some_and(|it| it.location.active && it.location.closing.is_none()));
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn locations_are_found_by_kind_site_and_name_and_take_the_zone_of_their_site(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.list().await;
    let bus =
        json!({ "register": { "kind": "vehicle", "name": "Züge-Bus", "zone": "Europe/Berlin" } });
    clinic.execute::<Location>(id(0x302), bus).await;
    clinic.execute::<Location>(id(0x302), deactivate("closed")).await;
    clinic.catch_up().await;
    let all = LocationSearch::default;
    let site = Some(LocationId::from_uuid(id(0x301)));
    let cases = [
        ("everywhere", all(), vec![0x300, 0x301, 0x302]),
        ("rooms", LocationSearch { kind: Some(LocationKind::Room), ..all() }, vec![0x300]),
        ("at the site", LocationSearch { parent_id: site, ..all() }, vec![0x300]),
        ("a name", LocationSearch { name: "haus AM".parse().ok(), ..all() }, vec![0x301]),
        ("a name's marks", LocationSearch { name: "zuge".parse().ok(), ..all() }, vec![0x302]),
        ("out of use", LocationSearch { active: Some(false), ..all() }, vec![0x302]),
    ];
    for (what, search, expected) in cases {
        let found = clinic.models.search_locations(&search, &Page::default()).await;
        let found = found.expect("an answer").items;
        let ids: Vec<_> = found.iter().map(|found| found.location.id.as_uuid()).collect();
        assert_eq!(ids, expected.into_iter().map(id).collect::<Vec<_>>(), "{what}");
    }
    let found = clinic.models.search_locations(&all(), &Page::default()).await.expect("an answer");
    let zones: Vec<_> = found.items.iter().map(|found| found.zone.as_deref()).collect();
    assert_eq!(zones, [Some("America/Chicago"), Some("America/Chicago"), Some("Europe/Berlin")]);
    assert_eq!(found.items[0].location.zone, None, "the room says nothing of its own");
    clinic.close().await;
}

/// A location is about nobody: that somebody with its id is erased does not concern it.
#[sqlx::test(migrations = "../migrations")]
async fn an_erasure_leaves_the_directory_as_it_is(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.list().await;
    clinic.register(0x300).await;
    let erase = json!({ "erase": { "reason": "patient-request", "authority": "person-concerned",
                                   "case_reference": "DSR-42" } });
    let erased = clinic.execute::<domain::Custody>(id(0x300), erase).await;
    clinic.catch_up().await;
    let position = erased.position.expect("an event");
    clinic.models.purge(id(0x300), position).await.expect("purged");
    let room = clinic.models.location(LocationId::from_uuid(id(0x300)), None).await;
    assert!(room.expect("an answer").is_some());
    let found = clinic.models.search_locations(&LocationSearch::default(), &Page::default()).await;
    assert_eq!(found.expect("an answer").items.len(), 2);
    clinic.close().await;
}
