//! Erasure: of a document a tombstone is left, live as in a rebuild, and nothing older undoes it.

use bson::{Document, doc};
use domain::{AppointmentId, Custody, PatientId, WoundId};
use projections::cache::CacheKind;
use projections::read_models::{
    AppointmentFilter, Page, PatientSearch, Purged, ReadError, ReadModel,
};
use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, id, of_patients, redis_url};

impl Clinic {
    async fn erase(&self, n: u128) -> u64 {
        let command = json!({ "erase": { "reason": "retention-expired", "authority": "policy",
                                         "case_reference": "RET-2026/1" } });
        let receipt = self.execute::<Custody>(id(n), command).await;
        receipt.position.expect("an event")
    }

    /// What stands under a key in Redis, as text.
    async fn in_redis(&self, kind: CacheKind, document: u128) -> String {
        let client = redis::Client::open(redis_url()).expect("a URL");
        let mut connection =
            client.get_multiplexed_async_connection().await.expect("Redis answers");
        let key = self.cache.key(kind, &id(document).to_string());
        let held: Vec<Vec<u8>> =
            redis::cmd("HVALS").arg(key).query_async(&mut connection).await.expect("Redis answers");
        String::from_utf8_lossy(&held.join(&b'\n')).into_owned()
    }
}

fn erased<T: std::fmt::Debug>(answer: Result<T, ReadError>) {
    assert!(matches!(answer, Err(ReadError::Erased)), "{answer:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn of_a_document_a_tombstone_is_left_live_as_in_a_rebuild(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..4).await;
    clinic.catch_up().await;
    let before = clinic.documents().await;
    let old: Vec<_> = {
        let head = clinic.log.head().await.expect("the log answers");
        let streams = ["patient", "appointment", "wound"];
        clinic.log.read(0..head, &streams).await.expect("the log answers")
    };
    let position = clinic.erase(1).await;
    clinic.rename(2, "Weiter").await;
    clinic.catch_up().await;
    let live = clinic.documents().await;
    for ((name, before), (_, after)) in of_patients(&before).into_iter().zip(of_patients(&live)) {
        assert_eq!(after.len(), before.len(), "{name}");
        let gone: Vec<&Document> = after.iter().filter(|one| one.contains_key("erased")).collect();
        let base = match name.as_str() {
            "patients_v2" => 0,
            "appointments_v2" => 0x1000,
            _ => 0x2000,
        };
        let stands = i64::try_from(position).expect("a position");
        let [gone] = gone[..] else { panic!("one tombstone: {gone:?}") };
        let mut gone = gone.clone();
        assert!(gone.remove("tag").is_some());
        let tombstone = doc! { "_id": id(base + 1).to_string(), "erased": id(1).to_string(),
        "position": stands };
        assert_eq!(gone, tombstone, "{name}");
    }

    let models = &clinic.models;
    erased(models.patient(PatientId::from_uuid(id(1)), None).await);
    erased(models.appointment(AppointmentId::from_uuid(id(0x1001)), None).await);
    erased(models.wound(WoundId::from_uuid(id(0x2001)), None).await);
    let of = |patient| AppointmentFilter { patient_id: Some(patient), ..Default::default() };
    let page = Page::default();
    let patient = PatientId::from_uuid(id(1));
    let found = models.appointments(&of(patient), &page).await.expect("an answer");
    assert!(found.items.is_empty());
    let practitioner = AppointmentFilter {
        practitioner_id: Some(id(0xd0c).into()),
        ..AppointmentFilter::default()
    };
    let found = models.appointments(&practitioner, &page).await.expect("an answer");
    assert_eq!(found.items.len(), 3, "the others'");
    assert!(models.wounds_of(patient, &page).await.expect("an answer").items.is_empty());
    for search in [
        PatientSearch {
            family: Some("Müller-1".parse().expect("a name")),
            ..PatientSearch::default()
        },
        PatientSearch {
            identifier: Some("1".parse().expect("a number")),
            ..PatientSearch::default()
        },
    ] {
        let found = models.search_patients(&search, &page).await.expect("an answer");
        assert!(found.items.is_empty());
    }
    for (kind, document) in [
        (CacheKind::new("patient"), 1),
        (CacheKind::new("appointment"), 0x1001),
        (CacheKind::new("wound"), 0x2001),
    ] {
        let held = clinic.in_redis(kind, document).await;
        assert!(held.contains("erased") && !held.contains("Müller"), "{held}");
    }

    // A process that read the old events while they could be read, and comes late.
    for projector in clinic.models.projectors() {
        projector.apply(&old).await.expect("a repetition is taken");
        for piece in old.chunks(5).rev() {
            projector.apply(piece).await.expect("a repetition is taken");
        }
    }
    assert_eq!(clinic.documents().await, live, "nothing came back");

    clinic.models.database().drop().await.expect("Mongo answers");
    clinic.catch_up().await;
    assert_eq!(clinic.documents().await, live, "from zero the same");
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_purge_is_proved_only_when_every_read_model_has_seen_the_erasure(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..2).await;
    clinic.catch_up().await;
    let former = clinic.models.database().collection::<Document>("appointments_v0");
    for n in [0, 1] {
        let document = doc! { "_id": id(0x1000 + n).to_string(), "patient_id": id(n).to_string() };
        former.insert_one(document).await.expect("Mongo answers");
    }
    let position = clinic.erase(1).await;
    let behind = clinic.models.purge(id(1), position).await;
    assert!(matches!(behind, Err(ReadError::Behind { .. })), "{behind:?}");

    clinic.catch_up().await;
    let gone = Purged { documents: 3, cached: Some(3) };
    // Redis lost what the projector wrote, and a reader of before the erasure was slow.
    let key = clinic.cache.key(CacheKind::new("patient"), &id(1).to_string());
    let client = redis::Client::open(redis_url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    for field in ["position", "document"] {
        let text = if field == "position" { "1" } else { "Müller-1" };
        let mut set = redis::cmd("HSET");
        let set = set.arg(&key).arg(field).arg(text).query_async::<i64>(&mut connection);
        set.await.expect("Redis answers");
    }
    for _ in 0..2 {
        let purged = clinic.models.purge(id(1), position).await.expect("everything is gone");
        assert_eq!(purged, gone, "as often as it is asked");
    }
    assert!(!clinic.in_redis(CacheKind::new("patient"), 1).await.contains("Müller"));
    let left: Vec<String> = former
        .distinct("patient_id", doc! {})
        .await
        .expect("Mongo answers")
        .iter()
        .map(|value| value.as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(left, [id(0).to_string()], "of another version nothing is left either");

    // Somebody puts a document of before back behind the projector's back, and it goes again.
    let patients = clinic.models.database().collection::<Document>("patients_v2");
    let back = doc! { "_id": id(1).to_string(), "position": 1_i64, "name": "Müller-1" };
    patients.replace_one(doc! { "_id": id(1).to_string() }, back).await.expect("Mongo answers");
    let purged = clinic.models.purge(id(1), position).await.expect("everything is gone again");
    assert_eq!(purged, gone);
    let left = patients.find_one(doc! { "_id": id(1).to_string() }).await.expect("Mongo answers");
    let left = left.expect("a tombstone");
    assert!(left.contains_key("erased") && !left.contains_key("name"), "{left}");
    let stood = clinic.models.position(ReadModel::PATIENTS).await.expect("Mongo answers");
    assert_eq!(stood, position + 1);
    clinic.close().await;
}
