//! Data keys: found, wrapped, cached and destroyed; and rows that somebody has changed, judged alike whoever asks.

use std::sync::Arc;

use audit::postgres::{DataKeyError, DataKeys, LogPolicy, LogReader, verify_database};
use audit::seal::{Binding, KeyWrap as _, LocalKeks, SubjectKey, SubjectKind, WRAP_VERSION};
use audit::statement::Statement;
use audit::verify::{FindingKind, Options};
use sqlx::PgPool;
use uuid::Uuid;

use crate::postgres::store;
use crate::reader::{policy, reader};
use crate::world::{ORIGIN, World, data_key, id, trust, world};

fn kek() -> Arc<LocalKeks> {
    Arc::new(LocalKeks::new([5; 32], []))
}

/// What the key of a subject is bound to.
fn bound(subject: u64) -> Binding<'static> {
    let kind = SubjectKind::Patient;
    Binding { origin: ORIGIN, kind, subject: id(2, subject), key_id: id(6, subject) }
}

/// A log, and the keys of its subjects.
async fn stored(pool: &PgPool) -> World {
    let world = world(30);
    store(pool, &world).await;
    sqlx::query("INSERT INTO keyring.key_encryption (kek_id, epoch) VALUES ($1, 0)")
        .bind(kek().kek_id())
        .execute(pool)
        .await
        .expect("the current key");
    for subject in 0..7u64 {
        let binding = bound(subject);
        let wrapped = kek().wrap(&binding, [subject as u8; 12], &data_key(subject));
        let wrapped = wrapped.expect("wrapped");
        sqlx::query(
            "INSERT INTO keyring.data_keys (key_id, subject, kind, wrap_version, kek_id, wrapped)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(binding.key_id)
        .bind(binding.subject)
        .bind(binding.kind.as_str())
        .bind(WRAP_VERSION)
        .bind(wrapped.kek_id)
        .bind(wrapped.bytes)
        .execute(pool)
        .await
        .expect("stored");
    }
    world
}

/// Changes rows as somebody who holds the database would: past triggers and rights.
async fn change(pool: &PgPool, sql: &str) {
    let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
    sqlx::raw_sql(&script).execute(pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The first statement about a subject.
fn about(world: &World, subject: Uuid) -> &Statement {
    let about = |statement: &&Statement| statement.subject == Some(subject);
    world.statements.iter().find(about).expect("a statement")
}

/// A reader of a log in which every event of a patient is an erasure.
fn reader_of_erasures() -> LogReader {
    let erasure = Some(("patient", "PatientEdited"));
    LogReader::new(ORIGIN, LogPolicy { erasure, subjects: vec!["patient"], ..policy() })
}

/// The same question in each of the ways it is asked in, of keys that nobody has asked before.
async fn asked(
    pool: &PgPool,
    reader: &LogReader,
    statement: &Statement,
) -> [Result<Option<SubjectKey>, DataKeyError>; 3] {
    let fresh = || DataKeys::new(pool.clone(), kek(), reader.clone());
    let subject = statement.subject.expect("a subject");
    let kind = SubjectKind::of_stream(&statement.stream_type);
    [
        fresh().of(statement).await,
        fresh().of_subject(subject, kind).await,
        fresh().named_by(statement).await,
    ]
}

#[sqlx::test(migrations = "../migrations")]
async fn data_keys_are_wrapped_cached_and_destroyed(pool: PgPool) {
    let world = stored(&pool).await;
    let keys = DataKeys::new(pool.clone(), kek(), reader());
    let report = verify_database(&pool, &trust(), Options::default(), Some(&keys), |_| ()).await;
    let report = report.expect("readable");
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!(report.plaintexts, 29);

    let fresh = DataKeys::new(pool.clone(), kek(), reader());
    let statement = about(&world, id(2, 2));
    let key = fresh.of(statement).await.expect("a key").expect("it is sealed");
    assert_eq!(key.key.expose(), data_key(2).expose());
    assert!(fresh.cached(id(2, 2)).is_some() && fresh.cached(id(2, 1)).is_none());
    assert!(fresh.of(&world.statements[0]).await.expect("asked").is_none(), "in the clear");
    let unknown = fresh.of_subject(id(2, 77), SubjectKind::Patient).await;
    assert!(unknown.expect("asked").is_none(), "nobody");
    // From memory and from the table: not as another kind, not as another key, not of another log.
    for keys in [&fresh, &DataKeys::new(pool.clone(), kek(), reader())] {
        let other = keys.of_subject(id(2, 2), SubjectKind::Account).await;
        assert!(matches!(other, Err(DataKeyError::OtherKind { .. })));
        let mut other = statement.clone();
        other.payload.key_id = Some(id(6, 3));
        assert!(matches!(keys.of(&other).await, Err(DataKeyError::OtherKey { .. })));
        let other = Statement { stream_type: "account".to_owned(), ..statement.clone() };
        assert!(matches!(keys.of(&other).await, Err(DataKeyError::OtherKind { .. })));
        let other =
            Statement { origin: "ledger.example.org/other".to_owned(), ..statement.clone() };
        assert!(matches!(keys.of(&other).await, Err(DataKeyError::OtherKey { .. })));
    }
    // A new key is wrapped for its place, and opens there.
    let new = SubjectKey { id: id(6, 9), kind: SubjectKind::Account, key: data_key(9) };
    let wrapped = fresh.wrap(id(2, 9), &new, [9; 12]).expect("wrapped");
    let place = Binding { kind: SubjectKind::Account, ..bound(9) };
    let opened = kek().unwrap(&wrapped.kek_id, &place, &wrapped.bytes).expect("opened");
    assert_eq!(opened.expose(), data_key(9).expose());

    // Whoever was erased is not taken in again, even by one who has read the key before.
    fresh.forget(&[id(2, 2)]);
    fresh.remember(id(2, 2), key);
    assert!(fresh.is_erased(id(2, 2)) && fresh.cached(id(2, 2)).is_none());
    fresh.prefetch(&[0, 1, 2, 4].map(|subject| id(2, subject))).await.expect("read");
    let held = [0, 1, 2, 4].map(|subject| fresh.cached(id(2, subject)).is_some());
    assert_eq!(held, [true, true, false, true]);

    sqlx::query(
        "UPDATE keyring.data_keys SET wrapped = NULL, destroyed_at = now() WHERE key_id = $1",
    )
    .bind(id(6, 2))
    .execute(&pool)
    .await
    .expect("destroyed");
    let report = verify_database(&pool, &trust(), Options::default(), Some(&fresh), |_| ()).await;
    let report = report.expect("readable");
    assert!(report.plaintexts < 29, "what it sealed opens no more");
    let lost: Vec<_> =
        report.findings.iter().map(|found| (found.kind, found.detail.as_str())).collect();
    assert_eq!(lost.len(), 1, "one key is gone, and the log erases nobody: {lost:?}");
    assert_eq!(lost[0].0, FindingKind::Commitment);
    assert!(lost[0].1.contains("does not erase"), "{lost:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_row_is_judged_alike_whoever_asks(pool: PgPool) {
    use DataKeyError as E;
    let world = stored(&pool).await;
    let (one, other) = (id(2, 1), id(2, 4));
    let statement = about(&world, one);
    change(&pool, "CREATE TABLE kept AS TABLE keyring.data_keys").await;
    type Expected = fn(&DataKeyError) -> bool;
    let unwrap: Expected = |error| matches!(error, E::Unwrap { .. });
    let unbound: Expected = |error| matches!(error, E::Unbound { .. });
    let missing: Expected = |error| matches!(error, E::Missing { .. });
    let exchanged = |columns: &str| {
        format!(
            "DELETE FROM keyring.data_keys WHERE subject IN ('{one}', '{other}');
             INSERT INTO keyring.data_keys (key_id, subject, kind, wrap_version, kek_id, wrapped)
             SELECT {columns} FROM kept m JOIN kept o
                 ON (m.subject, o.subject) IN (('{one}', '{other}'), ('{other}', '{one}'))"
        )
    };
    let of_one = |set: &str| format!("UPDATE keyring.data_keys SET {set} WHERE subject = '{one}'");
    let cases: [(&str, String, Expected); 8] = [
        (
            "wraps exchanged",
            exchanged("m.key_id, m.subject, m.kind, m.wrap_version, o.kek_id, o.wrapped"),
            unwrap,
        ),
        (
            "the key of another subject",
            exchanged("m.key_id, o.subject, m.kind, m.wrap_version, m.kek_id, m.wrapped"),
            unwrap,
        ),
        (
            "ids exchanged",
            exchanged("o.key_id, m.subject, m.kind, m.wrap_version, m.kek_id, m.wrapped"),
            unwrap,
        ),
        ("another kind", of_one("kind = 'account'"), unwrap),
        ("no kind at all", of_one("kind = 'nobody'"), unbound),
        ("another wrapping key", of_one("kek_id = 'local-0000000000000000'"), unwrap),
        ("emptied", of_one("wrapped = NULL, destroyed_at = now()"), missing),
        ("removed", format!("DELETE FROM keyring.data_keys WHERE subject = '{one}'"), missing),
    ];
    let constraints =
        "ALTER TABLE keyring.data_keys DROP CONSTRAINT IF EXISTS data_keys_kind_check";
    change(&pool, constraints).await;
    // Who is known to the log is not somebody who never was; nobody here is erased.
    let policy = LogPolicy { subjects: vec!["patient"], ..policy() };
    let reader = LogReader::new(ORIGIN, policy);
    for (what, sql, expected) in cases {
        change(&pool, &sql).await;
        for (way, answer) in asked(&pool, &reader, statement).await.into_iter().enumerate() {
            let error = answer.err().unwrap_or_else(|| panic!("{what}: it opens, {way}"));
            assert!(expected(&error), "{what}, {way}: {error:?}");
        }
        // Nor does reading many at once bring it in.
        let many = DataKeys::new(pool.clone(), kek(), reader.clone());
        many.prefetch(&[one, id(2, 0), id(2, 2)]).await.expect("read");
        assert!(many.cached(one).is_none() && many.cached(id(2, 0)).is_some(), "{what}");
        let put_back = "DELETE FROM keyring.data_keys; INSERT INTO keyring.data_keys TABLE kept";
        change(&pool, put_back).await;
        for answer in asked(&pool, &reader, statement).await {
            assert!(answer.expect(what).is_some(), "{what}: put back");
        }
    }
    // A wrap of before opens beside the statement that proves whose it is, and for nobody else.
    change(&pool, &of_one("wrap_version = 1")).await;
    let [of, of_subject, named_by] = asked(&pool, &reader, statement).await;
    for answer in [of, of_subject] {
        assert!(matches!(answer, Err(E::Unbound { .. })));
    }
    assert!(matches!(named_by, Err(E::Unwrap { .. })), "it is none, it only says so");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_key_of_an_erased_subject_never_opens_again(pool: PgPool) {
    use DataKeyError as E;
    let world = stored(&pool).await;
    let one = id(2, 1);
    let statement = about(&world, one);
    let reader = reader_of_erasures();
    // It stands in the table as if it had never been destroyed, or was put back.
    let [of, of_subject, named_by] = asked(&pool, &reader, statement).await;
    for answer in [of, of_subject] {
        let is_there =
            matches!(answer, Err(E::Erased { subject, is_there: true }) if subject == one);
        assert!(is_there);
    }
    assert!(named_by.is_ok(), "whoever verifies the log finds out by the log");
    let many = DataKeys::new(pool.clone(), kek(), reader.clone());
    many.prefetch(&[one, id(2, 4)]).await.expect("read");
    assert!(many.cached(one).is_none() && many.cached(id(2, 4)).is_none());
    for sql in [
        format!(
            "UPDATE keyring.data_keys SET wrapped = NULL, destroyed_at = now() WHERE subject = '{one}'"
        ),
        format!("DELETE FROM keyring.data_keys WHERE subject = '{one}'"),
    ] {
        change(&pool, &sql).await;
        let [of, of_subject, named_by] = asked(&pool, &reader, statement).await;
        for answer in [of, of_subject] {
            assert!(matches!(answer, Err(E::Erased { is_there: false, .. })), "{sql}");
        }
        assert!(matches!(named_by, Err(E::Missing { .. })), "{sql}");
    }
    // A row that says so is not enough: it must be proved.
    change(&pool, "UPDATE events SET signature = decode(repeat('00', 64), 'hex')").await;
    let unknown = DataKeys::new(pool.clone(), kek(), reader_of_erasures());
    assert!(matches!(unknown.of(about(&world, id(2, 4))).await, Err(E::Log(_))));
}
