//! One declaration is enough: a read model that only this test knows is built, compared, purged, cached and found ready.

use bson::{Document, doc};
use domain::{Custody, Event, PatientEvent};
use mongodb::IndexModel;
use projections::cache::{CacheKind, Entry};
use projections::event::RecordedEvent;
use projections::read_models::{FoldError, Purged, ReadModel, View};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Clinic, id};

/// The name under which a patient was registered.
#[derive(Clone, Serialize, Deserialize)]
struct BirthName {
    id: Uuid,
    version: u64,
    position: u64,
    family: String,
}

struct BirthNames;

impl View for BirthNames {
    const NAME: &'static str = "birth_names";
    const VERSION: u32 = 1;
    const STREAM: &'static str = "patient";
    const SUBJECT: &'static str = "_id";
    const CACHE: CacheKind = CacheKind::new("birth-name");
    type Document = BirthName;

    fn indexes() -> Vec<IndexModel> {
        Vec::new()
    }

    fn fields(document: &BirthName) -> Document {
        doc! { "family": &document.family }
    }

    fn id(document: &BirthName) -> Uuid {
        document.id
    }

    fn version(document: &BirthName) -> u64 {
        document.version
    }

    fn position(document: &BirthName) -> u64 {
        document.position
    }

    fn subject(document: &BirthName) -> Uuid {
        document.id
    }

    fn fold(
        document: Option<BirthName>,
        recorded: &RecordedEvent,
        event: &Event,
    ) -> Result<BirthName, FoldError> {
        let mut document = match (document, event) {
            (Some(document), _) => document,
            (None, Event::Patient(PatientEvent::PatientRegistered(event))) => {
                let family = event.demographics.name.as_ref().and_then(|name| name.family.clone());
                let family = family.map_or_else(String::new, |family| family.to_string());
                BirthName { id: recorded.stream_id, version: 0, position: 0, family }
            }
            (None, _) => return Err(FoldError::Missing),
        };
        document.version = recorded.sequence;
        document.position = recorded.position;
        Ok(document)
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_read_model_that_is_declared_is_purged(pool: PgPool) {
    let declared = ReadModel::of::<BirthNames>();
    let mut clinic = Clinic::open(pool).await;
    clinic.models = clinic.models.clone().with(declared);
    assert_eq!(clinic.models.all().count(), ReadModel::ALL.len() + 1);
    clinic.history(0..3).await;
    clinic.catch_up().await;

    let stored = clinic.models.database().collection::<Document>("birth_names_v1");
    let find = |n: u128| stored.find_one(doc! { "_id": id(n).to_string() });
    let found = find(1).await.expect("Mongo answers").expect("the projector made it");
    assert_eq!(found.get_str("family").ok(), Some("Müller-1"));

    // Readiness goes by its checkpoint, and the comparison by what the log says of it.
    let reached = clinic.models.position(declared).await.expect("Mongo answers");
    assert_eq!(reached, clinic.log.head().await.expect("the log answers"));
    let changed = doc! { "$set": { "family": "Somebody" } };
    stored.update_one(doc! { "_id": id(2).to_string() }, changed).await.expect("Mongo answers");
    let difference = clinic.models.compare(declared, id(2)).await.expect("an answer");
    let difference = difference.expect("a difference");
    assert_eq!((difference.model, difference.why), ("birth_names", "fields"));
    let healed = find(2).await.expect("Mongo answers").expect("it is there");
    assert_eq!(healed.get_str("family").ok(), Some("Müller-2"));

    // An erasure leaves a tombstone in it, as in those of the product, and clears its cache.
    let held =
        Entry { id: id(1).to_string(), position: 1, json: r#"{"family":"Müller-1"}"#.into() };
    clinic.cache.publish(BirthNames::CACHE, &[held], false).await.expect("Redis answers");
    let command = json!({ "erase": { "reason": "retention-expired", "authority": "policy",
                                     "case_reference": "RET-2026/1" } });
    let receipt = clinic.execute::<Custody>(id(1), command).await;
    let position = receipt.position.expect("an event");
    clinic.catch_up().await;
    let purged = clinic.models.purge(id(1), position).await.expect("every read model agrees");
    assert_eq!(purged, Purged { documents: 4, cached: Some(4) }, "three of the product, and this");
    let left = find(1).await.expect("Mongo answers").expect("a tombstone");
    assert_eq!(left.get_str("erased").ok(), Some(id(1).to_string().as_str()));
    assert!(!left.contains_key("family") && !left.contains_key("body"), "{left}");
    clinic.close().await;
}
