//! What nobody reads is found by the slow comparison; and what an earlier version left is gone.

use std::time::Duration;

use bson::{Bson, Document, doc};
use projections::read_models::{Pace, ReadModel};
use sqlx::PgPool;

use crate::clinic::{Clinic, PATIENCE, id};
use crate::counted::Counted;

const PACE: Pace = Pace { events_per_second: 1_000_000, rest: Duration::ZERO };

#[sqlx::test(migrations = "../migrations")]
async fn the_comparison_finds_and_heals_what_nobody_reads(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let clinic = Clinic::open(pool).await;
    clinic.history(0..6).await;
    clinic.catch_up().await;
    let older = clinic.documents().await[0].1[2].clone();
    clinic.rename(2, "Neumann").await;
    clinic.catch_up().await;
    let truth = clinic.documents().await;
    let collection = |name: &str| clinic.models.database().collection::<Document>(name);
    let (patients, visits, wounds) =
        (collection("patients_v2"), collection("appointments_v2"), collection("wounds_v2"));
    let of = |base: u128, n: u128| doc! { "_id": id(base + n).to_string() };

    // Hidden from every list, older, removed, invented, and under ids that are none.
    let hide = doc! { "$set": { "patient_id": id(99).to_string() } };
    visits.update_one(of(0x1000, 1), hide).await.expect("Mongo answers");
    patients.replace_one(of(0, 2), older).await.expect("Mongo answers");
    wounds.delete_one(of(0x2000, 3)).await.expect("Mongo answers");
    let genuine = wounds.find_one(of(0x2000, 4)).await.expect("Mongo answers").expect("a wound");
    let ids: [Bson; 4] = [
        id(0x2222).to_string().into(),
        id(0x2004).to_string().to_uppercase().into(),
        "zzz".into(),
        7_i32.into(),
    ];
    for invented in ids {
        let mut copy = genuine.clone();
        copy.insert("_id", invented);
        wounds.insert_one(copy).await.expect("Mongo answers");
    }

    let running = clinic.start(clinic.models.comparison(PACE));
    let rounds = |wanted: u64| async move {
        while counted.of("read_model_comparisons_total") < wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, rounds(1)).await.expect("a round");
    assert_eq!(counted.of("read_model_differs_total"), 7);
    assert!(clinic.documents().await == truth, "healed");
    assert!(counted.of("read_model_compared_total") >= 18);
    // The next round finds nothing, and one that is begun later finds what was changed since.
    let now = counted.of("read_model_comparisons_total");
    tokio::time::timeout(PATIENCE, rounds(now + 2)).await.expect("another round");
    assert_eq!(counted.of("read_model_differs_total"), 7);
    patients.delete_many(doc! {}).await.expect("Mongo answers");
    let now = counted.of("read_model_comparisons_total");
    tokio::time::timeout(PATIENCE, rounds(now + 2)).await.expect("another round");
    assert_eq!(counted.of("read_model_differs_total"), 7 + 6);
    assert!(clinic.documents().await == truth, "healed");
    running.stop().await;
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_the_projector_has_not_come_to_does_not_differ(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let clinic = Clinic::open(pool).await;
    clinic.history(0..2).await;
    for (model, base) in ReadModel::ALL.into_iter().zip([0, 0x1000, 0x2000]) {
        assert_eq!(clinic.models.compare(model, id(base)).await.expect("an answer"), None);
    }
    clinic.catch_up().await;
    clinic.rename(1, "Neumann").await;
    clinic.register(5).await;
    for n in [0, 1, 5] {
        let compared = clinic.models.compare(ReadModel::PATIENTS, id(n)).await;
        assert_eq!(compared.expect("an answer"), None, "{n}");
    }
    assert_eq!(counted.of("read_model_differs_total"), 0);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_an_earlier_version_left_goes_once_the_new_one_has_caught_up(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..2).await;
    let database = clinic.models.database().clone();
    let earlier = database.collection::<Document>("patients_v1");
    let old =
        doc! { "_id": id(1).to_string(), "position": 1_i64, "name": { "family": "Müller-1" } };
    earlier.insert_one(old).await.expect("Mongo answers");
    let checkpoints = database.collection::<Document>("projector_checkpoints");
    let old = doc! { "_id": "patients:1", "position": 7_i64 };
    checkpoints.insert_one(old).await.expect("Mongo answers");
    // A later version, and what has only a similar name, stay.
    for name in ["patients_v3", "patients_visited", "appointments_x"] {
        let other = database.collection::<Document>(name);
        other.insert_one(doc! { "_id": "x" }).await.expect("Mongo answers");
    }
    let running: Vec<_> =
        clinic.models.projectors().into_iter().map(|inner| clinic.start(inner)).collect();
    clinic.settle().await;
    let gone = async {
        loop {
            let names = database.list_collection_names().await.expect("Mongo answers");
            if !names.iter().any(|name| name == "patients_v1") {
                break names;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let names = tokio::time::timeout(PATIENCE, gone).await.expect("the old documents are gone");
    for name in ["patients_v2", "patients_v3", "patients_visited", "appointments_x"] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
    let left = checkpoints.find_one(doc! { "_id": "patients:1" }).await.expect("Mongo answers");
    assert_eq!(left, None);
    for projector in running {
        projector.stop().await;
    }
    clinic.close().await;
}
