//! The cache: never older than the truth, and never needed for it.

use std::time::Duration;

use audit::mac::MacKey;
use domain::PatientId;
use projections::cache::{Cache, CacheKind, Entry, Lookup};
use projections::read_models::{PatientDocument, ReadModel, ReadModels};
use projections::tags::Tags;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::clinic::{Clinic, ORIGIN, id, redis_url};

const KIND: CacheKind = CacheKind::new("patient");

fn cache(name: &str) -> Cache {
    let nanos = jiff::Timestamp::now().as_nanosecond();
    let ttl = Duration::from_secs(60);
    Cache::new(&redis_url(), format!("test:{name}:{nanos}"), ttl, tags()).expect("a Redis URL")
}

fn tags() -> Tags {
    Tags::new(MacKey::from_bytes([7; 32]), ORIGIN)
}

fn entry(position: u64) -> Entry {
    Entry { id: "a".to_owned(), position, json: json!({ "at": position }).to_string() }
}

async fn held(cache: &Cache) -> Option<u64> {
    match cache.get::<Value>(KIND, "a").await.expect("Redis answers") {
        Lookup::Hit { position, document, .. } => {
            assert_eq!(document, json!({ "at": position }));
            Some(position)
        }
        Lookup::Miss(_) => None,
    }
}

#[tokio::test]
async fn only_what_is_newer_is_taken() {
    let cache = cache("newer");
    assert_eq!(held(&cache).await, None);
    // Position, and whether it is taken.
    for (position, taken) in [(5, 1), (3, 0), (5, 0), (8, 1), (7, 0)] {
        let written = cache.publish(KIND, &[entry(position)], false).await.expect("Redis answers");
        assert_eq!(written, taken, "{position}");
    }
    assert_eq!(held(&cache).await, Some(8));
    cache.forget(KIND, "a").await.expect("Redis answers");
    assert_eq!(held(&cache).await, None);
}

#[tokio::test]
async fn writers_in_any_order_leave_the_newest() {
    let cache = cache("order");
    cache.publish(KIND, &[], true).await.expect("Redis answers");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40_u64 {
        let cache = cache.clone();
        // 7 and 40 have no common factor, so this visits every position once, out of order.
        let position = number * 7 % 40;
        tasks.spawn(async move { cache.publish(KIND, &[entry(position)], false).await });
    }
    let mut last = None;
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic").expect("Redis answers");
        let now = held(&cache).await;
        assert!(now >= last, "the cache went backwards: {last:?}, then {now:?}");
        last = now;
    }
    assert_eq!(last, Some(39));
}

#[tokio::test]
async fn after_a_lost_write_nothing_old_is_trusted() {
    let cache = cache("epoch");
    cache.publish(KIND, &[entry(5)], true).await.expect("Redis answers");
    // A reader misses another document, and is slow.
    let Lookup::Miss(ticket) = cache.get::<Value>(KIND, "b").await.expect("Redis answers") else {
        panic!("nothing was written");
    };
    // The write of position 6 fails, unseen here. The next one says so.
    cache.publish(KIND, &[], true).await.expect("Redis answers");
    assert_eq!(held(&cache).await, None, "position 5 may be out of date");
    // What the reader found before is not trusted either, and does not replace what is.
    cache.refill(ticket, KIND, &entry(5)).await.expect("Redis answers");
    assert_eq!(held(&cache).await, None);
    cache.publish(KIND, &[entry(6)], false).await.expect("Redis answers");
    assert!(!cache.refill(ticket, KIND, &entry(9)).await.expect("Redis answers"));
    assert_eq!(held(&cache).await, Some(6));
}

#[tokio::test]
async fn what_another_version_wrote_is_a_miss() {
    let cache = cache("version");
    cache.publish(KIND, &[entry(5)], true).await.expect("Redis answers");
    let found = cache.get::<Vec<u8>>(KIND, "a").await.expect("Redis answers");
    assert!(matches!(found, Lookup::Miss(_)));
}

/// Deletes the keys of one test, and of that only: the Redis is shared.
async fn flush(prefix: &str) {
    let client = redis::Client::open(redis_url()).expect("a Redis URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{prefix}:*"))
        .query_async(&mut connection)
        .await
        .expect("Redis answers");
    for key in keys {
        let _: () =
            redis::cmd("DEL").arg(key).query_async(&mut connection).await.expect("Redis answers");
    }
}

async fn cached(clinic: &Clinic, n: u128) -> Option<PatientDocument> {
    let found = clinic.cache.get::<PatientDocument>(KIND, &id(n).to_string()).await;
    match found.expect("Redis answers") {
        Lookup::Hit { document, .. } => Some(document),
        Lookup::Miss(_) => None,
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_flushed_cache_comes_back_identical(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    for n in 1..=3 {
        clinic.register(n).await;
    }
    clinic.rename(2, "Neumann").await;
    clinic.catch_up().await;
    let mut written = Vec::new();
    for n in 1..=3 {
        written.push(cached(&clinic, n).await.expect("the projector wrote it"));
    }
    // Read through an empty cache: from Mongo, and back into the cache.
    flush(&clinic.prefix).await;
    for (n, expected) in (1..).zip(&written) {
        assert_eq!(cached(&clinic, n).await, None);
        let found = clinic.models.patient(PatientId::from_uuid(id(n)), None).await;
        assert_eq!(found.expect("an answer").as_ref(), Some(expected));
        assert_eq!(cached(&clinic, n).await.as_ref(), Some(expected));
    }
    // Both stores gone: the projector makes both anew.
    flush(&clinic.prefix).await;
    clinic.models.database().drop().await.expect("Mongo answers");
    clinic.catch_up().await;
    for (n, expected) in (1..).zip(&written) {
        assert_eq!(cached(&clinic, n).await.as_ref(), Some(expected));
    }
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_entry_older_than_asked_for_is_not_the_answer(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    let patient = PatientId::from_uuid(id(1));
    clinic.register(1).await;
    clinic.catch_up().await;
    let stale = cached(&clinic, 1).await.expect("the projector wrote it");
    assert!(stale.position > 0);
    // This process' projector has no cache: what Redis holds stays behind, as after a lost write.
    let without = ReadModels::new(
        clinic.models.database().clone(),
        None,
        clinic.models.tags().clone(),
        clinic.log.clone(),
    );
    let position = clinic.rename(1, "Neumann").await.position.expect("an event");
    let projector = without.projector(ReadModel::PATIENTS);
    clinic.runtime.catch_up(projector.as_ref()).await.expect("the log applies");
    let found = clinic.models.patient(patient, Some(position)).await.expect("an answer");
    assert_eq!(found.map(|found| found.position), Some(position));
    // Nor for whoever asks for no position: the log says that there is something newer.
    assert_ne!(cached(&clinic, 1).await, Some(stale), "the reader has replaced it");
    let found = clinic.models.patient(patient, None).await.expect("an answer");
    assert_eq!(found.map(|found| found.position), Some(position));
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn without_redis_everything_is_only_slower(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    // Nothing listens there.
    let tags = clinic.models.tags().clone();
    let lost = Cache::new("redis://127.0.0.1:1", "test", Duration::from_secs(60), tags.clone());
    let lost = Some(lost.expect("a URL"));
    let models = ReadModels::new(clinic.models.database().clone(), lost, tags, clinic.log.clone());
    clinic.register(1).await;
    let running = clinic.start(models.projector(ReadModel::PATIENTS));
    models
        .wait_for(ReadModel::PATIENTS, 1, Duration::from_secs(30))
        .await
        .expect("the projector gets there");
    let found = models.patient(PatientId::from_uuid(id(1)), None).await.expect("an answer");
    assert_eq!(found.map(|found| found.position), Some(1));
    models.ping_cache().await.expect_err("the cache is not there");
    running.stop().await;
    clinic.close().await;
}
