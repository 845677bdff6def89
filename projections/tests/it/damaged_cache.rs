//! Whoever can write to Redis, but has no key: whatever stands there is believed only if we wrote it, and if it is the newest.

use domain::{Custody, PatientId};
use projections::cache::{CacheKind, Entry, Lookup};
use projections::read_models::{PatientDocument, ReadError};
use redis::aio::MultiplexedConnection;
use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, id, redis_url};
use crate::counted::Counted;

const KIND: CacheKind = CacheKind::new("patient");
const FIELDS: [&str; 4] = ["epoch", "position", "document", "tag"];

async fn connect() -> MultiplexedConnection {
    let client = redis::Client::open(redis_url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}

struct Intruder<'a> {
    clinic: &'a Clinic,
    redis: MultiplexedConnection,
}

type Fields = Vec<Vec<u8>>;

impl Intruder<'_> {
    fn key(&self, n: u128) -> String {
        self.clinic.cache.key(KIND, &id(n).to_string())
    }

    fn epoch_key(&self) -> String {
        format!("{}:epoch:patient", self.clinic.prefix)
    }

    async fn entry(&mut self, n: u128) -> Fields {
        let key = self.key(n);
        let read = redis::cmd("HMGET").arg(key).arg(&FIELDS).query_async(&mut self.redis).await;
        read.expect("an entry")
    }

    async fn put(&mut self, n: u128, fields: &[(&str, &[u8])]) {
        let key = self.key(n);
        let () = redis::cmd("DEL").arg(&key).query_async(&mut self.redis).await.expect("Redis");
        let mut set = redis::cmd("HSET");
        set.arg(&key);
        for (name, value) in fields {
            set.arg(*name).arg(*value);
        }
        let _: i64 = set.query_async(&mut self.redis).await.expect("Redis answers");
    }

    async fn epoch(&mut self) -> Vec<u8> {
        let key = self.epoch_key();
        redis::cmd("GET").arg(key).query_async(&mut self.redis).await.expect("an epoch")
    }

    async fn set_epoch(&mut self, to: &[u8]) {
        let key = self.epoch_key();
        let () =
            redis::cmd("SET").arg(key).arg(to).query_async(&mut self.redis).await.expect("Redis");
    }
}

async fn cached(clinic: &Clinic, n: u128) -> Option<PatientDocument> {
    match clinic.cache.get::<PatientDocument>(KIND, &id(n).to_string()).await {
        Ok(Lookup::Hit { document, .. }) => Some(document),
        Ok(Lookup::Miss(_)) => None,
        Err(error) => panic!("{error:?}"),
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn whatever_is_changed_in_an_entry_is_a_miss_counted_and_overwritten(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    clinic.register(2).await;
    clinic.catch_up().await;
    let mut intruder = Intruder { clinic: &clinic, redis: connect().await };
    let (older, older_epoch) = (intruder.entry(1).await, intruder.epoch().await);
    clinic.rename(1, "Neumann").await;
    clinic.catch_up().await;
    let (mine, other) = (intruder.entry(1).await, intruder.entry(2).await);
    let truth = clinic.models.patient(id(1).into(), None).await.expect("an answer");
    assert!(truth.is_some());

    let whole: Vec<(&str, &[u8])> =
        FIELDS.into_iter().zip(mine.iter().map(Vec::as_slice)).collect();
    let with = |field: &str, value: &[u8]| -> Vec<(String, Vec<u8>)> {
        let each = whole.iter().map(|(name, held)| {
            let value = if *name == field { value.to_vec() } else { held.to_vec() };
            ((*name).to_owned(), value)
        });
        each.collect()
    };
    let all = |fields: &Fields| -> Vec<(String, Vec<u8>)> {
        FIELDS.iter().map(|name| (*name).to_owned()).zip(fields.iter().cloned()).collect()
    };
    let without = |field: &str| -> Vec<(String, Vec<u8>)> {
        with("", b"").into_iter().filter(|(name, _)| name != field).collect()
    };
    let changed = String::from_utf8(mine[2].clone()).expect("JSON").replace("Neumann", "Nemesis");
    let mut lies = vec![
        ("another name", with("document", changed.as_bytes())),
        ("no JSON", with("document", b"\xff")),
        ("another's document", with("document", &other[2])),
        ("position 10^9", with("position", b"1000000000")),
        ("a negative position", with("position", b"-1")),
        ("no number", with("position", b"x")),
        ("another tag", with("tag", &other[3])),
        ("a bit of the tag", {
            let mut tag = mine[3].clone();
            tag[0] ^= 1;
            with("tag", &tag)
        }),
        ("a later epoch", with("epoch", b"99999999999999")),
        ("an epoch that is none", with("epoch", b"1e300")),
        ("an older document at this position", with("document", &older[2])),
        ("another's entry", all(&other)),
    ];
    lies.extend(
        ["document", "position", "tag", "epoch"].map(|field| ("a field less", without(field))),
    );
    for (name, lie) in &lies {
        let before = counted.of("cache_damaged_total");
        let lie: Vec<(&str, &[u8])> =
            lie.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        intruder.put(1, &lie).await;
        let found = clinic.models.patient(id(1).into(), None).await.expect("an answer");
        assert_eq!(found, truth, "{name}: shown");
        assert_eq!(counted.of("cache_damaged_total"), before + 1, "{name}: counted");
        assert_eq!(intruder.entry(1).await, mine, "{name}: overwritten");
    }
    // An older entry that was genuine, with its epoch: told by the position that the log knows.
    let epoch = intruder.epoch().await;
    intruder.set_epoch(&older_epoch).await;
    let before = counted.of("cache_damaged_total");
    let old: Vec<(&str, &[u8])> = FIELDS.into_iter().zip(older.iter().map(Vec::as_slice)).collect();
    intruder.put(1, &old).await;
    let found = clinic.models.patient(id(1).into(), None).await.expect("an answer");
    assert_eq!(found, truth, "an older entry");
    assert_eq!(counted.of("cache_damaged_total"), before + 1, "an older entry");
    let now = intruder.entry(1).await;
    assert_eq!((&now[1], &now[2]), (&mine[1], &mine[2]), "an older entry is overwritten");
    intruder.set_epoch(&epoch).await;
    // Of another type altogether.
    let key = intruder.key(1);
    let () =
        redis::cmd("SET").arg(&key).arg("x").query_async(&mut intruder.redis).await.expect("it");
    let found = clinic.models.patient(id(1).into(), None).await.expect("an answer");
    assert_eq!(found, truth);
    assert_eq!(counted.of("cache_damaged_total"), before + 2);
    assert_eq!(intruder.entry(1).await, mine);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_epoch_that_is_not_ours_makes_everything_a_miss(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    clinic.catch_up().await;
    let mut intruder = Intruder { clinic: &clinic, redis: connect().await };
    let (first, old) = (intruder.epoch().await, intruder.entry(1).await);
    clinic.rename(1, "Neumann").await;
    clinic.catch_up().await;
    let now = intruder.epoch().await;
    let truth = clinic.models.patient(id(1).into(), None).await.expect("an answer");
    // Each forged epoch comes with an older entry under the same number.
    for forged in ["1", "9007199254740993", "99999999999999999999999", "x", "1:00", "-1:ff"] {
        let before = counted.of("cache_damaged_total");
        intruder.set_epoch(forged.as_bytes()).await;
        let mut fields: Vec<(&str, &[u8])> =
            FIELDS.into_iter().zip(old.iter().map(Vec::as_slice)).collect();
        fields[0].1 = forged.as_bytes();
        intruder.put(1, &fields).await;
        let found = clinic.models.patient(id(1).into(), None).await.expect("an answer");
        assert_eq!(found, truth, "{forged}");
        assert!(counted.of("cache_damaged_total") > before, "{forged}");
        assert_ne!(intruder.epoch().await, forged.as_bytes(), "{forged} is overwritten");
        let again = clinic.models.patient(id(1).into(), None).await.expect("an answer");
        assert_eq!(again, truth, "{forged}");
        assert_eq!(cached(&clinic, 1).await, truth, "{forged}: the cache works again");
    }
    // Genuine ones of before, with the entry of then.
    for epoch in [&first, &now] {
        intruder.set_epoch(epoch).await;
        let fields: Vec<(&str, &[u8])> =
            FIELDS.into_iter().zip(old.iter().map(Vec::as_slice)).collect();
        intruder.put(1, &fields).await;
        let found = clinic.models.patient(id(1).into(), None).await.expect("an answer");
        assert_eq!(found, truth);
    }
    // A key of another type keeps nobody from beginning an epoch.
    let key = intruder.epoch_key();
    let () = redis::cmd("DEL").arg(&key).query_async(&mut intruder.redis).await.expect("Redis");
    let _: i64 =
        redis::cmd("RPUSH").arg(&key).arg("x").query_async(&mut intruder.redis).await.expect("it");
    let entry = Entry { id: "a".to_owned(), position: 1, json: json!({}).to_string() };
    let written = clinic.cache.publish(KIND, &[entry], true).await.expect("Redis answers");
    assert_eq!(written, 1);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_cached_document_of_the_erased_is_not_shown(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    clinic.catch_up().await;
    let mut intruder = Intruder { clinic: &clinic, redis: connect().await };
    let (living, epoch) = (intruder.entry(1).await, intruder.epoch().await);
    let command = json!({ "erase": { "reason": "retention-expired", "authority": "policy",
                                     "case_reference": "RET-2026/1" } });
    clinic.execute::<Custody>(id(1), command).await;
    clinic.catch_up().await;
    let fields: Vec<(&str, &[u8])> =
        FIELDS.into_iter().zip(living.iter().map(Vec::as_slice)).collect();
    intruder.put(1, &fields).await;
    intruder.set_epoch(&epoch).await;
    let answer = clinic.models.patient(PatientId::from_uuid(id(1)), None).await;
    assert!(matches!(answer, Err(ReadError::Erased)), "{answer:?}");
    assert_eq!(counted.of("cache_damaged_total"), 1);
    clinic.close().await;
}
