//! Tiles, bundles, roots and keys as they are served from the tables, at every edge of a tile.

use audit::checkpoint::Checkpoint;
use audit::merkle::{self, Hash, verify_consistency, verify_inclusion};
use audit::postgres::{self, DatabaseError, ReadError};
use audit::statement::Statement;
use audit::tiles::{TILE_WIDTH, hashes_to_bytes};
use audit::verify::FindingKind as K;
use sqlx::{Connection as _, PgPool};

use crate::postgres::store;
use crate::reader::{change, damaged, reader};
use crate::world::{ORIGIN, SECOND_KEY_FROM, SEEDS, entry, id, keys, world};

const SIZE: u64 = 600;

#[sqlx::test(migrations = "../migrations")]
async fn a_tile_is_served_as_far_as_the_log_reaches(pool: PgPool) {
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    let empty = reader().hash_tile(connection, 0, 0, 1).await;
    assert!(matches!(empty, Err(ReadError::Empty)), "{empty:?}");
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
        let served = reader().hash_tile(connection, level, index, width).await.expect("readable");
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
        let served = reader().hash_tile(connection, level, index, width).await.expect("readable");
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
        let bundle = reader().entry_bundle(connection, index, width).await.expect("readable");
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
        let bundle = reader().entry_bundle(connection, index, width).await.expect("readable");
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
    damaged(reader().hash_tile(&mut transaction, 0, 2, 88).await, 512, K::Tile, "a leaf");
    damaged(reader().entry_bundle(&mut transaction, 2, 88).await, 599, K::Missing, "an entry");
    let nothing = reader().entry_bundle(&mut transaction, 3, 1).await;
    assert_eq!(nothing.expect("beyond the log"), None);
    change(&mut transaction, "DELETE FROM tiles").await;
    damaged(reader().hash_tile(&mut transaction, 1, 0, 2).await, 0, K::Tile, "a tile of tiles");
    transaction.rollback().await.expect("rolled back");
}

/// Whatever somebody writes into the tables, nothing of it is served.
#[sqlx::test(migrations = "../migrations")]
async fn what_is_served_was_proved(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let leaves = world.leaves();
    let mut connection = pool.acquire().await.expect("a connection");
    let flip = |column: &str| format!("set_byte({column}, 5, get_byte({column}, 5) # 1)");
    for (what, sql) in [
        (
            "a tile",
            format!("UPDATE tiles SET hashes = {} WHERE (level, index) = (0, 1)", flip("hashes")),
        ),
        (
            "a leaf",
            format!("UPDATE events SET leaf_hash = {} WHERE position = 598", flip("leaf_hash")),
        ),
    ] {
        let mut transaction = connection.begin().await.expect("a transaction");
        change(&mut transaction, &sql).await;
        let (index, position) = if what == "a tile" { (1, 300) } else { (2, 598) };
        let width = if index == 1 { 256 } else { 88 };
        let first = index * 256;
        let reader = reader();
        let head = reader.head(&mut transaction).await.expect("the head is right");
        damaged(reader.hash_tile(&mut transaction, 0, index, width).await, first, K::Tile, what);
        damaged(reader.inclusion(&mut transaction, &head, 10, SIZE).await, 10, K::Tile, what);
        damaged(
            reader.inclusion(&mut transaction, &head, position, SIZE).await,
            position,
            K::Tile,
            what,
        );
        damaged(reader.consistency(&mut transaction, &head, 255, SIZE).await, 254, K::Tile, what);
        transaction.rollback().await.expect("rolled back");
    }
    // Another's entry in the place of one, signature and all.
    let mut transaction = connection.begin().await.expect("a transaction");
    let exchange =
        "UPDATE events e SET header = o.header, statement = o.statement, signature = o.signature
                      FROM events o WHERE e.position = 20 AND o.position = 30";
    change(&mut transaction, exchange).await;
    damaged(reader().entry_bundle(&mut transaction, 0, 256).await, 0, K::Tile, "an entry");
    transaction.rollback().await.expect("rolled back");
    // A log cut off is not a shorter one.
    let mut transaction = connection.begin().await.expect("a transaction");
    let reader = reader();
    let head = reader.head(&mut transaction).await.expect("the head");
    let (old, note): (i64, Vec<u8>) = sqlx::query_as(
        "SELECT size, note FROM checkpoints WHERE size < 500 ORDER BY size DESC LIMIT 1",
    )
    .fetch_one(&mut *transaction)
    .await
    .expect("an earlier checkpoint");
    sqlx::query("SET LOCAL session_replication_role = replica")
        .execute(&mut *transaction)
        .await
        .expect("a superuser");
    sqlx::query("UPDATE ledger_head SET size = $1, checkpoint = $2")
        .bind(old)
        .bind(note)
        .execute(&mut *transaction)
        .await
        .expect("cut off");
    let old = u64::try_from(old).expect("a size");
    damaged(reader.hash_tile(&mut transaction, 0, 0, 256).await, old, K::Missing, "cut off");
    damaged(reader.entry_bundle(&mut transaction, 0, 256).await, old, K::Missing, "cut off");
    damaged(reader.head(&mut transaction).await, old, K::Missing, "cut off");
    damaged(reader.keys(&mut transaction).await, old, K::Missing, "cut off");
    transaction.rollback().await.expect("rolled back");
    // The head has its checkpoint, whatever became of the table of them.
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM checkpoints").await;
    let proved = reader.inclusion(&mut transaction, &head, 10, SIZE).await.expect("proved");
    assert_eq!(proved.expect("of the head").1, head.note);
    let other = reader.inclusion(&mut transaction, &head, 10, 300).await.expect("readable");
    assert_eq!(other, None);
    transaction.rollback().await.expect("rolled back");
    // And untouched, all of it proves what it should.
    let root = |size: u64| merkle::tree_root(size, leaves.as_slice()).expect("a root");
    for (position, size) in [(0, SIZE), (255, SIZE), (256, SIZE), (599, SIZE)] {
        let proved = reader.inclusion(&mut connection, &head, position, size).await;
        let (proof, note) = proved.expect("proved").expect("there is a checkpoint");
        let leaf = &leaves[usize::try_from(position).expect("small")];
        verify_inclusion(leaf, position, size, &proof, &root(size)).expect("it proves it");
        assert!(note.contains(&format!("\n{size}\n")), "{note}");
    }
    for (old, new) in [(1, 2), (255, 256), (256, SIZE), (300, 301), (SIZE, SIZE)] {
        let proof = reader.consistency(&mut connection, &head, old, new).await.expect("proved");
        verify_consistency(old, new, &proof, &root(old), &root(new)).expect("it proves it");
    }
    assert_eq!(reader.keys(&mut connection).await.expect("keys").keyring.periods().len(), 2);
}

/// From 65,792 events on a second tile of level 1 is served. No event of this log is stored but the first ones, and its tiles.
#[sqlx::test(migrations = "../migrations")]
async fn the_second_tile_of_level_one_is_proved_where_it_stands(pool: PgPool) {
    store(&pool, &world(12)).await;
    let (width, blocks) = (TILE_WIDTH as u64, TILE_WIDTH as u64 + 1);
    let leaf = |at: u64| merkle::leaf_hash(&at.to_be_bytes());
    let tiles: Vec<Vec<Hash>> =
        (0..blocks).map(|block| (block * width..(block + 1) * width).map(leaf).collect()).collect();
    let root = |hashes: &[Hash]| merkle::tree_root(hashes.len() as u64, hashes).expect("a root");
    let roots: Vec<Hash> = tiles.iter().map(|tile| root(tile)).collect();
    let size = blocks * width;
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: root(&tiles.concat()) };
    let note = checkpoint.to_note(&keys(&SEEDS[0]).notes).expect("signed");

    let mut connection = pool.begin().await.expect("a transaction");
    let stored = (0..).zip(&tiles).map(|(index, tile)| (0, index, &tile[..]));
    for (level, index, hashes) in stored.chain([(1, 0, &roots[..TILE_WIDTH])]) {
        let hashes = hex::encode(hashes_to_bytes(hashes));
        let sql = format!("INSERT INTO tiles VALUES ({level}, {index}, '\\x{hashes}')");
        change(&mut connection, &sql).await;
    }
    let note = hex::encode(note);
    let sql = format!("UPDATE ledger_head SET size = {size}, checkpoint = '\\x{note}'");
    change(&mut connection, &sql).await;

    let reader = reader();
    let above = [root(&roots[..TILE_WIDTH])];
    for (level, index, hashes) in [
        (0, 256, &tiles[256][..]),
        (0, 256, &tiles[256][..7]),
        (1, 0, &roots[..TILE_WIDTH]),
        (1, 1, &roots[TILE_WIDTH..]),
        (2, 0, &above),
    ] {
        let served = reader.hash_tile(&mut connection, level, index, hashes.len()).await;
        assert!(served.expect("proved") == Some(hashes_to_bytes(hashes)), "{level}/{index}");
    }
    let beyond = reader.hash_tile(&mut connection, 1, 1, 2).await.expect("readable");
    assert!(beyond.is_none());
    change(&mut connection, "DELETE FROM tiles WHERE level = 0 AND index = 256").await;
    let served = reader.hash_tile(&mut connection, 1, 1, 1).await;
    let said = format!("{served:?}");
    assert!(said.contains("node 256 of level 8 is missing"), "{said}");
    damaged(served, 256 * 256, K::Tile, "nothing to make it of");
}
