//! The database, verified: untouched, and with one bit changed in every column.

use audit::merkle;
use audit::postgres::{
    self, DatabaseError, consistency, export_database, inclusion, verify_database,
};
use audit::verify::{FindingKind, Options, Report};
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::world::{ORIGIN, World, recorded_at, trust, world};

const SIZE: u64 = 300;

/// Writes the rows as the log's writer does.
pub(crate) async fn store(pool: &PgPool, world: &World) {
    let mut transaction = pool.begin().await.expect("a transaction");
    // All checkpoints at once, as a restored backup has them: no append of any of them is under way.
    sqlx::query("SET LOCAL session_replication_role = replica")
        .execute(&mut *transaction)
        .await
        .expect("a superuser");
    for (entry, statement) in world.entries.iter().zip(&world.statements) {
        sqlx::query(
            "INSERT INTO events VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
             '2000-01-01Z'::timestamptz + $10 * interval '1 microsecond', $11, $12, $13, $14, $15)",
        )
        .bind(entry.position as i64)
        .bind(statement.event_id)
        .bind(&statement.stream_type)
        .bind(statement.stream_id)
        .bind(statement.sequence as i64)
        .bind(&statement.event_type)
        .bind(&statement.event_version)
        .bind(statement.subject)
        .bind(statement.command_id)
        .bind(statement.recorded_at.as_microsecond() - 946_684_800_000_000)
        .bind(&entry.header)
        .bind(&entry.statement)
        .bind(entry.signature.as_slice())
        .bind(&entry.payload)
        .bind(entry.leaf_hash.expect("kept").as_bytes().as_slice())
        .execute(&mut *transaction)
        .await
        .expect("a row");
    }
    for (size, note) in &world.checkpoints {
        sqlx::query("INSERT INTO checkpoints VALUES ($1, $2)")
            .bind(*size as i64)
            .bind(note.as_bytes())
            .execute(&mut *transaction)
            .await
            .expect("a row");
    }
    for tile in &world.tiles {
        sqlx::query("INSERT INTO tiles VALUES ($1, $2, $3)")
            .bind(i16::from(tile.level))
            .bind(tile.index as i64)
            .bind(tile.to_bytes())
            .execute(&mut *transaction)
            .await
            .expect("a row");
    }
    let mut position = 0;
    for events in
        world.statements.chunk_by(|a, b| a.command_id == b.command_id && a.actor.id == b.actor.id)
    {
        let end = position + events.len() as u64;
        let size = world.checkpoints.iter().find(|(size, _)| *size >= end).expect("covered").0;
        // Nobody sent the genesis, so it has no row.
        if position > 0 {
            sqlx::query("INSERT INTO commands VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(events[0].command_id)
                .bind(vec![7u8; 32])
                .bind(position as i64)
                .bind(events.len() as i32)
                .bind(size as i64)
                .bind(events[0].actor.id)
                .execute(&mut *transaction)
                .await
                .expect("a row");
        }
        position = end;
    }
    sqlx::query(
        "INSERT INTO ledger_head VALUES (true, $1, $2, $3, $4, \
         (SELECT max(recorded_at) FROM events))",
    )
    .bind(ORIGIN)
    .bind(world.tree.size() as i64)
    .bind(world.tree.to_bytes())
    .bind(world.note().as_bytes())
    .execute(&mut *transaction)
    .await
    .expect("a row");
    transaction.commit().await.expect("committed");
}

async fn verify(pool: &PgPool) -> Report {
    verify_database(pool, &trust(), Options::default(), None, |_| ()).await.expect("readable")
}

/// Runs a statement as somebody who holds the database would: past triggers and rights.
async fn tamper(connection: &mut PgConnection, sql: &str) {
    sqlx::query("SET session_replication_role = replica")
        .execute(&mut *connection)
        .await
        .expect("a superuser");
    let done = sqlx::query(sql).execute(connection).await.expect("valid SQL");
    assert_eq!(done.rows_affected(), 1, "{sql}");
}

/// Tampers in a transaction that only the verifying connection sees; gives back the report.
async fn tampered(pool: &PgPool, sql: &str, undo: &str) -> Report {
    let mut connection = pool.acquire().await.expect("a connection");
    tamper(&mut connection, sql).await;
    let report = verify(pool).await;
    tamper(&mut connection, undo).await;
    report
}

#[track_caller]
fn assert_first(report: &Report, position: u64, kinds: &[FindingKind], what: &str) {
    let first = report.first_damage().unwrap_or_else(|| panic!("{what} goes unnoticed"));
    assert_eq!(first.position, position, "{what}: {:#?}", report.findings);
    assert!(
        report.findings.iter().any(|f| f.position == position && kinds.contains(&f.kind)),
        "{what}: {:#?}",
        report.findings
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn one_bit_in_any_column_is_named(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let report = verify(&pool).await;
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.events, report.size), (SIZE, Some(SIZE)));
    assert_eq!(report.checkpoints, world.checkpoints.len() as u64 + 1);

    // Each flips one bit; applied twice it undoes itself.
    let uuid = |column: &str| {
        format!(
            "{column} = encode(set_bit(uuid_send({column}), 120, 1 - get_bit(uuid_send({column}), 120)), 'hex')::uuid"
        )
    };
    let text = |column: &str| {
        format!(
            "{column} = convert_from(set_bit({column}::bytea, 0, 1 - get_bit({column}::bytea, 0)), 'UTF8')"
        )
    };
    let bytes =
        |column: &str| format!("{column} = set_bit({column}, 77, 1 - get_bit({column}, 77))");
    let number = |column: &str| format!("{column} = {column} # 1024");
    let columns = [
        (uuid("event_id"), K::Column),
        (text("aggregate_type"), K::Column),
        (uuid("aggregate_id"), K::Column),
        (number("sequence"), K::Column),
        (text("event_type"), K::Column),
        (text("event_version"), K::Column),
        (uuid("subject"), K::Column),
        (uuid("command_id"), K::Column),
        (bytes("header"), K::LeafHash),
        (bytes("statement"), K::LeafHash),
        (bytes("signature"), K::Signature),
        (bytes("payload"), K::Payload),
        (bytes("leaf_hash"), K::LeafHash),
    ];
    for (flip, kind) in columns {
        let sql = format!("UPDATE events SET {flip} WHERE position = 142");
        let report = tampered(&pool, &sql, &sql).await;
        assert_first(&report, 142, &[kind], &flip);
    }
    for (damage, undo) in [
        ("recorded_at + interval '1 microsecond'", "recorded_at - interval '1 microsecond'"),
        ("recorded_at + interval '1000 years'", "recorded_at - interval '1000 years'"),
    ] {
        let sql = |value| format!("UPDATE events SET recorded_at = {value} WHERE position = 142");
        let report = tampered(&pool, &sql(damage), &sql(undo)).await;
        assert_first(&report, 142, &[K::Column], damage);
    }
    let report = tampered(
        &pool,
        "UPDATE events SET position = position # 1024 WHERE position = 142",
        "UPDATE events SET position = position # 1024 WHERE position = 1166",
    )
    .await;
    assert_first(&report, 142, &[K::Missing], "position");
    assert!(verify(&pool).await.is_sound(), "everything was undone");

    // The tables beside it. The checkpoint before position 150 covers what is named.
    let (covered, _) = world.checkpoints.iter().rev().find(|(size, _)| *size <= 150).expect("one");
    let at_150 = "size = (SELECT max(size) FROM checkpoints WHERE size <= 150)";
    let others = [
        ("checkpoints", bytes("note"), at_150, covered - 1),
        ("tiles", bytes("hashes"), "level = 0", 0),
        ("commands", number("first_position"), "first_position IN (142, 1166)", 142),
        ("commands", number("event_count"), "first_position = 142", 142),
        ("commands", number("log_size"), "first_position = 142", 142),
        ("commands", uuid("command_id"), "first_position = 142", 142),
        ("commands", uuid("actor_id"), "first_position = 142", 142),
        ("ledger_head", text("origin"), "true", 0),
        ("ledger_head", number("size"), "true", SIZE),
        ("ledger_head", bytes("frontier"), "true", SIZE - 1),
        ("ledger_head", bytes("checkpoint"), "true", SIZE - 1),
    ];
    for (table, flip, which, position) in others {
        let sql = format!("UPDATE {table} SET {flip} WHERE {which}");
        let report = tampered(&pool, &sql, &sql).await;
        let first = report.first_damage().unwrap_or_else(|| panic!("{sql} goes unnoticed"));
        assert_eq!(first.position, position, "{sql}: {:#?}", report.findings);
    }
    for (sql, undo, position) in [
        ("UPDATE tiles SET index = 1", "UPDATE tiles SET index = 0", 0),
        ("UPDATE tiles SET level = 1", "UPDATE tiles SET level = 0", 0),
        (
            "UPDATE checkpoints SET size = 5 WHERE size = 4",
            "UPDATE checkpoints SET size = 4 WHERE size = 5",
            3,
        ),
    ] {
        let report = tampered(&pool, sql, undo).await;
        let first = report.first_damage().unwrap_or_else(|| panic!("{sql} goes unnoticed"));
        assert_eq!(first.position, position, "{sql}: {:#?}", report.findings);
    }
    let (size, note) = &world.checkpoints[7];
    let note_of = |note: &[u8]| {
        format!("UPDATE checkpoints SET note = '\\x{}' WHERE size = {size}", hex::encode(note))
    };
    let report = tampered(&pool, &note_of(b"\xff"), &note_of(note.as_bytes())).await;
    assert_first(&report, size - 1, &[K::Checkpoint], "a checkpoint that is no text");
    let head = "UPDATE ledger_head SET last_recorded_at = last_recorded_at";
    let report = tampered(
        &pool,
        &format!("{head} + interval '1 microsecond'"),
        &format!("{head} - interval '1 microsecond'"),
    )
    .await;
    assert_first(&report, SIZE - 1, &[K::Head], "last_recorded_at");
    let undo = "UPDATE ledger_head SET last_recorded_at = (SELECT max(recorded_at) FROM events)";
    let never = "UPDATE ledger_head SET last_recorded_at = 'infinity'";
    let report = tampered(&pool, never, undo).await;
    assert_first(&report, SIZE - 1, &[K::Head], "last_recorded_at at no time");
    let nullable =
        |how: &str| format!("ALTER TABLE ledger_head ALTER last_recorded_at {how} NOT NULL");
    sqlx::query(&nullable("DROP")).execute(&pool).await.expect("valid SQL");
    let nothing = "UPDATE ledger_head SET last_recorded_at = NULL";
    let report = tampered(&pool, nothing, undo).await;
    assert_first(&report, SIZE - 1, &[K::Head], "no last_recorded_at");
    sqlx::query(&nullable("SET")).execute(&pool).await.expect("valid SQL");
    assert!(verify(&pool).await.is_sound(), "everything was undone");
}

#[sqlx::test(migrations = "../migrations")]
async fn missing_swapped_and_superfluous_rows_are_named(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    for (what, sql, position, kinds) in [
        ("a removed row", "DELETE FROM events WHERE position = 77", 77, &[K::Missing][..]),
        ("a removed tail", "DELETE FROM events WHERE position = 299", 299, &[K::Missing]),
        ("a removed command", "DELETE FROM commands WHERE first_position = 90", 90, &[K::Command]),
        ("a removed tile", "DELETE FROM tiles", 0, &[K::Tile]),
        ("a removed head", "DELETE FROM ledger_head", 299, &[K::Head]),
        ("a superfluous tile", "INSERT INTO tiles SELECT 0, 1, hashes FROM tiles", 300, &[K::Tile]),
        (
            "a superfluous command",
            "INSERT INTO commands SELECT event_id, request_mac, 31, 1, 40, actor_id FROM commands, events \
             WHERE first_position = 30 AND position = 3",
            31,
            &[K::Command],
        ),
    ] {
        let mut transaction = connection.begin().await.expect("a transaction");
        tamper(&mut transaction, sql).await;
        transaction.commit().await.expect("committed");
        assert_first(&verify(&pool).await, position, kinds, what);
        // Back to the beginning: the tables are emptied and written again.
        sqlx::query("TRUNCATE events, checkpoints, tiles, commands, ledger_head")
            .execute(&mut *connection)
            .await
            .expect("a superuser in replica mode");
        store(&pool, &world).await;
    }
    sqlx::query(
        "UPDATE events a SET payload = b.payload FROM events b \
         WHERE (a.position, b.position) IN ((50, 60), (60, 50))",
    )
    .execute(&mut *connection)
    .await
    .expect("a superuser in replica mode");
    assert_first(&verify(&pool).await, 50, &[K::Payload], "a swapped payload");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_log_refuses_changes_to_everybody_else(pool: PgPool) {
    // Large enough for a complete tile.
    store(&pool, &world(SIZE)).await;
    for sql in [
        "UPDATE events SET event_type = 'Other' WHERE position = 1",
        "DELETE FROM events WHERE position = 1",
        "TRUNCATE events, commands",
        "DELETE FROM checkpoints",
        "DELETE FROM tiles",
        "UPDATE commands SET event_count = 0",
    ] {
        let error = sqlx::query(sql).execute(&pool).await.expect_err("refused");
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    let mut connection = pool.acquire().await.expect("a connection");
    assert_eq!(postgres::rows(&mut connection, 2, 5).await.expect("rows").len(), 3);
}

#[sqlx::test(migrations = "../migrations")]
async fn proofs_tiles_and_export_come_from_the_tables(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    let leaves = world.leaves();
    for (position, size) in [(0, 300), (255, 300), (256, 300), (299, 300), (17, 18), (17, 257)] {
        let expected = merkle::inclusion_proof(position, size, leaves.as_slice());
        let proof = inclusion(connection, position, size).await.expect("a proof");
        assert_eq!(Ok(proof), expected);
    }
    for (old, new) in [(1, 300), (255, 256), (256, 300), (299, 300), (300, 300), (3, 7)] {
        let expected = merkle::consistency_proof(old, new, leaves.as_slice());
        let proof = consistency(connection, old, new).await.expect("a proof");
        assert_eq!(Ok(proof), expected);
    }
    assert!(matches!(inclusion(connection, 300, 300).await, Err(DatabaseError::Merkle(_))));
    assert!(matches!(inclusion(connection, 300, 400).await, Err(DatabaseError::Merkle(_))));

    let tiles = postgres::load_tiles(connection, SIZE).await.expect("tiles");
    assert_eq!(tiles.compact_range().as_ref(), Some(&world.tree));
    let head = postgres::head(connection).await.expect("readable").expect("a head");
    assert_eq!(head.frontier, world.tree.to_bytes());
    assert_eq!(head.last_recorded_at, Some(recorded_at(SIZE - 1)));
    let note = postgres::checkpoint(connection, SIZE).await.expect("readable");
    assert_eq!(note.as_deref(), Some(world.note()));

    let folder = tempfile::tempdir().expect("a folder");
    let size = export_database(connection, folder.path(), |_| ()).await.expect("exported");
    assert_eq!(size, SIZE);
    let options = Options::default();
    let report = audit::export::verify_export(folder.path(), &trust(), options, |_, _| ());
    assert!(report.expect("readable").is_sound());
}
