//! Tiles, bundles, roots and keys as they are served from the tables, at every edge of a tile.

use audit::merkle::{self, MerkleError};
use audit::postgres::{self, DatabaseError, entry_bundle, hash_tile};
use audit::statement::Statement;
use audit::tiles::{TILE_WIDTH, hashes_to_bytes};
use sqlx::{Connection as _, PgPool};

use crate::postgres::store;
use crate::reader::change;
use crate::world::{ORIGIN, SECOND_KEY_FROM, SEEDS, entry, id, keys, world};

const SIZE: u64 = 600;

#[sqlx::test(migrations = "../migrations")]
async fn a_tile_is_served_as_far_as_the_log_reaches(pool: PgPool) {
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    assert!(matches!(hash_tile(connection, 0, 0, 1).await, Err(DatabaseError::Empty)));
    let world = world(SIZE);
    store(&pool, &world).await;
    let leaves = world.leaves();
    let roots: Vec<_> = leaves
        .chunks_exact(TILE_WIDTH)
        .map(|tile| merkle::tree_root(256, tile).expect("a root"))
        .collect();
    for (level, index, width) in [
        (0, 0, 1),
        (0, 0, 255),
        (0, 0, 256),
        (0, 1, 256),
        (0, 2, 1),
        (0, 2, 88),
        (1, 0, 1),
        (1, 0, 2),
    ] {
        let served = hash_tile(connection, level, index, width).await.expect("readable");
        let first = usize::try_from(index).expect("small") * TILE_WIDTH;
        let of = if level == 0 { &leaves } else { &roots };
        let expected = hashes_to_bytes(&of[first..first + width]);
        assert_eq!(served, Some(expected), "{level}/{index}, {width} hashes");
    }
    for (level, index, width) in [
        (0, 0, 0),
        (0, 0, 257),
        (0, 2, 89),
        (0, 2, 256),
        (0, 3, 1),
        (0, u64::MAX, 1),
        (1, 0, 3),
        (1, 1, 1),
        (2, 0, 1),
        (9, 0, 1),
    ] {
        let served = hash_tile(connection, level, index, width).await.expect("readable");
        assert_eq!(served, None, "{level}/{index}, {width} hashes");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_bundle_is_served_as_far_as_the_log_reaches(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    for (index, width) in [(0, 1), (0, 256), (1, 255), (2, 88)] {
        let bundle = entry_bundle(connection, index, width).await.expect("readable");
        let first = usize::try_from(index).expect("small") * TILE_WIDTH;
        let mut expected = Vec::new();
        for entry in &world.entries[first..first + width] {
            let jws = audit::jws::compact(&entry.header, &entry.statement, &entry.signature);
            expected.extend(u16::try_from(jws.len()).expect("bounded").to_be_bytes());
            expected.extend(jws.as_bytes());
        }
        assert!(bundle == Some(expected), "bundle {index} of {width}");
    }
    for (index, width) in [(0, 0), (0, 257), (2, 89), (3, 1)] {
        let bundle = entry_bundle(connection, index, width).await.expect("readable");
        assert!(bundle.is_none(), "bundle {index} of {width}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn roots_and_keys_come_from_the_tables(pool: PgPool) {
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    assert_eq!(postgres::keyring(connection, ORIGIN).await.expect("readable"), None);
    let world = world(SIZE);
    store(&pool, &world).await;
    let leaves = world.leaves();
    for size in [0, 1, 255, 256, 257, 512, SIZE] {
        let expected = merkle::tree_root(size, leaves.as_slice()).expect("a root");
        let root = postgres::root(connection, size).await.expect("readable");
        assert_eq!(root, expected, "{size}");
    }
    let stored = postgres::keyring(connection, ORIGIN).await.expect("readable").expect("keys");
    assert_eq!((stored.version, stored.keyring.periods().len()), (3, 2));
    assert_eq!(stored.keyring.origin(), ORIGIN);
    let other = postgres::keyring(connection, "other.example").await.expect("readable");
    assert_eq!(other, None);

    // One byte of the payload of an event of the log's own.
    sqlx::query("SET session_replication_role = replica")
        .execute(&mut *connection)
        .await
        .expect("a superuser");
    sqlx::query("UPDATE events SET payload = set_byte(payload, 5, 0) WHERE position = 100")
        .execute(&mut *connection)
        .await
        .expect("valid SQL");
    let damaged = postgres::keyring(connection, ORIGIN).await;
    assert!(matches!(damaged, Err(DatabaseError::Malformed { .. })), "{damaged:?}");
}

/// The signature of each is genuine: what is wrong is where it stands and what it says of itself.
#[sqlx::test(migrations = "../migrations")]
async fn a_genuine_event_in_the_place_of_one_of_the_logs_own_is_not_believed(pool: PgPool) {
    const PLACE: u64 = SECOND_KEY_FROM - 1;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let place = &world.statements[usize::try_from(PLACE).expect("small")];
    let changed = |change_it: fn(&mut Statement)| {
        let mut statement = place.clone();
        change_it(&mut statement);
        statement
    };
    for (what, statement) in [
        ("another log", changed(|statement| statement.origin = "other.example".to_owned())),
        (
            "another kind of stream",
            changed(|statement| statement.stream_type = "patient".to_owned()),
        ),
        ("another stream", changed(|statement| statement.stream_id = id(2, 9))),
        ("another number", changed(|statement| statement.sequence += 1)),
    ] {
        let signed = entry(PLACE, &statement, Vec::new(), &keys(&SEEDS[0]).events);
        let mut transaction = connection.begin().await.expect("a transaction");
        change(&mut transaction, "UPDATE events SET payload = '' WHERE position = 100").await;
        sqlx::query(
            "UPDATE events SET header = $1, statement = $2, signature = $3 WHERE position = $4",
        )
        .bind(&signed.header)
        .bind(&signed.statement)
        .bind(signed.signature.as_slice())
        .bind(i64::try_from(PLACE).expect("small"))
        .execute(&mut *transaction)
        .await
        .expect("valid SQL");
        let read = postgres::keyring(&mut transaction, ORIGIN).await;
        assert!(
            matches!(
                read,
                Err(DatabaseError::Malformed { what: "row of an event of the log's own" })
            ),
            "{what}: {read:?}"
        );
        transaction.rollback().await.expect("undone");
    }
    assert!(postgres::keyring(&mut connection, ORIGIN).await.expect("readable").is_some());
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_missing_below_the_head_is_named(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM events WHERE position = 599").await;
    let missing = |result: Result<Option<Vec<u8>>, DatabaseError>| match result {
        Err(DatabaseError::Merkle(MerkleError::MissingNode { level, index })) => (level, index),
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(hash_tile(&mut transaction, 0, 2, 88).await), (0, 512));
    assert_eq!(missing(entry_bundle(&mut transaction, 2, 88).await), (0, 599));
    change(&mut transaction, "DELETE FROM tiles").await;
    assert_eq!(missing(hash_tile(&mut transaction, 1, 0, 2).await), (8, 0));
    transaction.rollback().await.expect("rolled back");
}
