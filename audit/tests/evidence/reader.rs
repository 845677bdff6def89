//! The one reader of events: what is stored is given back as it was signed, or not at all.

use audit::merkle::Hash;
use audit::postgres::{LogPolicy, LogReader, LogWatch, ReadError, VerifiedEvent, keyring, rows};
use audit::statement::{Payload, Statement};
use audit::verify::FindingKind;
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::postgres::store;
use crate::world::{ORIGIN, SEEDS, World, entry, id, keys, leaf, world};

pub(crate) const SIZE: u64 = 300;

pub(crate) fn policy() -> LogPolicy {
    LogPolicy { sealed: vec!["patient"], ..LogPolicy::default() }
}

pub(crate) fn reader() -> LogReader {
    LogReader::new(ORIGIN, policy())
}

/// Changes rows as somebody who holds the database would: past triggers and rights.
pub(crate) async fn change(connection: &mut PgConnection, sql: &str) {
    sqlx::query("SET LOCAL session_replication_role = replica")
        .execute(&mut *connection)
        .await
        .expect("a superuser");
    let done = sqlx::query(sql).execute(connection).await.expect("valid SQL");
    assert!(done.rows_affected() > 0, "{sql}");
}

/// Puts an entry where another one stands, with the leaf hash that fits it.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    position: u64,
    by: &audit::verify::LogEntry,
) {
    sqlx::query("SET LOCAL session_replication_role = replica")
        .execute(&mut *connection)
        .await
        .expect("a superuser");
    sqlx::query(
        "UPDATE events SET header = $2, statement = $3, signature = $4, payload = $5, leaf_hash = $6, subject = $7
          WHERE position = $1",
    )
    .bind(position as i64)
    .bind(&by.header)
    .bind(&by.statement)
    .bind(by.signature.as_slice())
    .bind(&by.payload)
    .bind(leaf(by).0.as_slice())
    .bind(Statement::parse(&by.statement).ok().and_then(|statement| statement.subject))
    .execute(connection)
    .await
    .expect("valid SQL");
}

pub(crate) fn same(events: &[VerifiedEvent], world: &World, positions: &[u64]) {
    let found: Vec<u64> = events.iter().map(VerifiedEvent::position).collect();
    assert_eq!(found, positions);
    for event in events {
        let entry = &world.entries[event.position() as usize];
        assert_eq!(event.statement(), &world.statements[event.position() as usize]);
        assert_eq!((event.leaf(), Some(event.payload())), (leaf(entry), entry.payload.as_deref()));
    }
}

pub(crate) fn positions_of(world: &World, stream: Uuid) -> Vec<u64> {
    let of = |(position, statement): (usize, &Statement)| {
        (statement.stream_id == stream).then_some(position as u64)
    };
    world.statements.iter().enumerate().filter_map(of).collect()
}

#[track_caller]
pub(crate) fn damaged<T: std::fmt::Debug>(
    result: Result<T, ReadError>,
    position: u64,
    kind: FindingKind,
    what: &str,
) {
    let error = result.err().unwrap_or_else(|| panic!("{what}: must be refused"));
    let damage = error.damage().unwrap_or_else(|| panic!("{what}: {error:?}"));
    assert_eq!((damage.position, damage.kind), (position, kind), "{what}: {damage}");
    let told = damage.to_string();
    assert!(told.starts_with(&format!("position {position}: {kind}: ")), "{told}");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_stored_is_read_as_it_was_signed(pool: PgPool) {
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    let empty = reader();
    assert!(matches!(empty.head(connection).await, Err(ReadError::Empty)));
    assert!(ReadError::Empty.damage().is_none());
    let world = world(SIZE);
    store(&pool, &world).await;

    let reader = reader();
    assert_eq!((reader.origin(), reader.size()), (ORIGIN, 0));
    assert!(format!("{reader:?}").contains(ORIGIN));
    for _ in 0..2 {
        let head = reader.head(connection).await.expect("a head");
        assert_eq!((head.size, head.root), (SIZE, world.tree.root()));
        assert_eq!((head.note.as_str(), head.last_position), (world.note(), Some(SIZE - 1)));
    }
    assert_eq!((reader.size(), reader.clone().size()), (SIZE, SIZE));

    for subject in [0, 1, 2, 4] {
        let (stream, positions) = (id(2, subject), positions_of(&world, id(2, subject)));
        let events = reader.stream(connection, ("patient", stream), 0, 1_000).await;
        same(&events.expect("proved"), &world, &positions);
        let events = reader.stream(connection, ("patient", stream), 3, 2).await;
        same(&events.expect("proved"), &world, &positions[3..5]);
    }
    let none = reader.stream(connection, ("patient", id(2, 3)), 0, 10).await.expect("readable");
    assert!(none.is_empty());
    let own = reader.stream(connection, ("ledger", world.statements[0].stream_id), 0, 9).await;
    same(&own.expect("proved"), &world, &[0, 100, 200]);

    let stored = rows(connection, 20, 40).await.expect("rows");
    let positions: Vec<u64> = (20..40).collect();
    same(&reader.check(connection, stored).await.expect("proved"), &world, &positions);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_range_is_read_to_its_end_in_pages(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    // In order; then again, now that edges are remembered; then from the middle, over stored tiles.
    let read_on = reader();
    for reader in [read_on.clone(), read_on, reader()] {
        for start in [0, 17, 255, 256, 257, 299] {
            let mut at = start;
            while at < SIZE {
                let events = reader.verify_range(connection, at, u64::MAX).await.expect("proved");
                assert!(!events.is_empty() && events.len() <= 256);
                let positions: Vec<u64> = (at..at + events.len() as u64).collect();
                same(&events, &world, &positions);
                at += events.len() as u64;
            }
            assert_eq!(at, SIZE);
        }
    }
    let reader = reader();
    for (from, to) in [(SIZE, u64::MAX), (SIZE + 7, u64::MAX), (10, 10), (10, 3)] {
        let events = reader.verify_range(connection, from, to).await.expect("nothing");
        assert!(events.is_empty(), "{from} to {to}");
    }
    for from in 1..60 {
        let events = reader.verify_range(connection, from, from + 5).await.expect("proved");
        assert!((1..=5).contains(&events.len()), "{from}");
        same(&events, &world, &(from..from + events.len() as u64).collect::<Vec<_>>());
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn no_changed_column_is_read(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let stream = world.statements[142].stream_id;
    let bit = |column: &str| format!("{column} = set_bit({column}, 77, 1 - get_bit({column}, 77))");
    for (set, kind) in [
        ("event_id = gen_random_uuid()".to_owned(), K::Column),
        ("event_type = 'Other'".to_owned(), K::Column),
        ("event_version = '2'".to_owned(), K::Column),
        ("subject = gen_random_uuid()".to_owned(), K::Column),
        ("subject = NULL".to_owned(), K::Column),
        ("command_id = gen_random_uuid()".to_owned(), K::Column),
        ("recorded_at = recorded_at + interval '1 microsecond'".to_owned(), K::Column),
        ("signature = '\\x00'".to_owned(), K::Signature),
        (bit("header"), K::LeafHash),
        (bit("signature"), K::LeafHash),
        (bit("leaf_hash"), K::LeafHash),
        (bit("payload"), K::Payload),
        ("payload = payload || '\\x00'".to_owned(), K::Payload),
        ("statement = '{}'".to_owned(), K::Statement),
    ] {
        let mut transaction = connection.begin().await.expect("a transaction");
        sqlx::query("ALTER TABLE events DROP CONSTRAINT IF EXISTS events_signature_check")
            .execute(&mut *transaction)
            .await
            .expect("the owner");
        change(&mut transaction, &format!("UPDATE events SET {set} WHERE position = 142")).await;
        let reader = reader();
        let read = reader.stream(&mut transaction, ("patient", stream), 0, 1_000).await;
        damaged(read, 142, kind, &set);
        damaged(reader.verify_range(&mut transaction, 130, 150).await, 142, kind, &set);
        let watch = LogWatch::new(crate::reader::reader());
        let followed = watch.follow(&mut transaction).await;
        // Who follows the log does not fetch payloads; the second look does.
        if kind == K::Payload {
            assert!(followed.is_ok(), "{set}");
        } else {
            damaged(followed, 142, kind, &set);
            assert_eq!(watch.damage().map(|damage| damage.position), Some(142));
        }
        transaction.rollback().await.expect("rolled back");
    }
}

/// The statement at a position with a change, signed by a key.
pub(crate) fn forged(
    world: &World,
    position: u64,
    seed: &[u8; 32],
    edit: impl Fn(&mut Statement),
) -> audit::verify::LogEntry {
    let mut statement = world.statements[position as usize].clone();
    edit(&mut statement);
    let payload = world.entries[position as usize].payload.clone().expect("kept");
    entry(position, &statement, payload, &keys(seed).events)
}

#[sqlx::test(migrations = "../migrations")]
async fn what_fits_its_own_columns_is_not_believed_for_that(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let purpose = |statement: &mut Statement| statement.purpose = "HPAYMT".to_owned();
    let mut unsigned = world.entries[142].clone();
    unsigned.signature = [0; 64];
    let mut clear = forged(&world, 250, &SEEDS[1], |statement| {
        (statement.payload, statement.subject) = (Payload::plain(b"{}"), None);
    });
    clear.payload = Some(b"{}".to_vec());
    for (what, position, entry, kind) in [
        ("64 zero bytes", 142, unsigned, K::Signature),
        ("a stranger's key", 142, forged(&world, 142, &[9; 32], purpose), K::ForeignKey),
        ("a key that is retired", 250, forged(&world, 250, &SEEDS[0], purpose), K::InactiveKey),
        (
            "a key that is not yet active",
            50,
            forged(&world, 50, &SEEDS[1], purpose),
            K::InactiveKey,
        ),
        ("in the clear", 250, clear, K::Payload),
        (
            "of another log",
            250,
            forged(&world, 250, &SEEDS[1], |statement| statement.origin = "other.example".into()),
            K::Origin,
        ),
    ] {
        let mut transaction = connection.begin().await.expect("a transaction");
        replace(&mut transaction, position, &entry).await;
        let stream = ("patient", world.statements[position as usize].stream_id);
        let reader = reader();
        damaged(reader.stream(&mut transaction, stream, 0, 1_000).await, position, kind, what);
        let range = reader.verify_range(&mut transaction, position - 5, position + 5).await;
        damaged(range, position, kind, what);
        damaged(LogWatch::new(reader).follow(&mut transaction).await, position, kind, what);
        transaction.rollback().await.expect("rolled back");
    }

    // Signed by the log's own key, but not the event that its tree has there.
    let own = forged(&world, 250, &SEEDS[1], purpose);
    let stream = ("patient", world.statements[250].stream_id);
    let reader = reader();
    let watch = LogWatch::new(reader.clone());
    while watch.follow(&mut connection).await.expect("sound") {}
    let mut transaction = connection.begin().await.expect("a transaction");
    replace(&mut transaction, 250, &own).await;
    let read = reader.stream(&mut transaction, stream, 0, 1_000).await;
    damaged(read, 250, K::Root, "known by heart");
    let fresh = LogReader::new(ORIGIN, policy());
    let range = fresh.verify_range(&mut transaction, 245, 255).await;
    damaged(range, 245, K::Root, "by the checkpoint of a range");
    let followed = LogWatch::new(fresh).follow(&mut transaction).await;
    damaged(followed, 250, K::Root, "by the tile that is stored");
    transaction.rollback().await.expect("rolled back");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_row_too_many_or_too_few_is_named(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let stream = ("patient", world.statements[142].stream_id);
    let next = positions_of(&world, stream.1).into_iter().find(|at| *at > 142).expect("another");

    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM events WHERE position = 142").await;
    let reader_here = reader();
    let read = reader_here.stream(&mut transaction, stream, 0, 1_000).await;
    damaged(read, next, K::Sequence, "a gap in the stream");
    let range = reader_here.verify_range(&mut transaction, 140, 150).await;
    damaged(range, 142, K::Missing, "a gap in the range");
    damaged(LogWatch::new(reader()).follow(&mut transaction).await, 142, K::Missing, "a gap");
    transaction.rollback().await.expect("rolled back");

    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM events WHERE position = 299").await;
    damaged(LogWatch::new(reader()).follow(&mut transaction).await, 299, K::Missing, "the last");
    let range = reader().verify_range(&mut transaction, 290, SIZE).await;
    damaged(range, 299, K::Missing, "the last of the range");
    transaction.rollback().await.expect("rolled back");

    for at in [SIZE, 9_000_000_000_000_000_000] {
        let mut transaction = connection.begin().await.expect("a transaction");
        let last = world.statements[299].stream_id;
        let sql = format!(
            "INSERT INTO events SELECT {at}, gen_random_uuid(), aggregate_type, aggregate_id, sequence + 1, event_type,
             event_version, subject, command_id, recorded_at, header, statement, signature, payload, leaf_hash
             FROM events WHERE position = 299"
        );
        change(&mut transaction, &sql).await;
        let reader = reader();
        let read = reader.stream(&mut transaction, ("patient", last), 0, 1_000).await;
        damaged(read, at, K::Unexpected, "beyond the end");
        let watch = LogWatch::new(reader);
        damaged(watch.follow(&mut transaction).await, SIZE, K::Unexpected, "beyond the end");
        transaction.rollback().await.expect("rolled back");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_head_is_signed_and_never_goes_back(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let last = SIZE - 1;
    let known = reader();
    known.head(&mut connection).await.expect("a head");
    let (smaller, note) = world.checkpoints.iter().rev().nth(1).expect("one before");
    let quoted = hex::encode(note);
    let back = format!("size = {smaller}, checkpoint = '\\x{quoted}'");
    for (what, set, fresh, seen) in [
        (
            "another log",
            "origin = 'other.example'".to_owned(),
            Some((last, K::Origin)),
            (last, K::Origin),
        ),
        (
            "no text",
            "checkpoint = '\\xff'".to_owned(),
            Some((last, K::Checkpoint)),
            (last, K::Checkpoint),
        ),
        (
            "unsigned",
            "checkpoint = set_byte(checkpoint, 1, 65)".to_owned(),
            Some((last, K::Checkpoint)),
            (last, K::Checkpoint),
        ),
        ("of another size", "size = 301".to_owned(), Some((300, K::Checkpoint)), (300, K::Head)),
        ("an earlier one", back, None, (*smaller, K::Missing)),
    ] {
        let mut transaction = connection.begin().await.expect("a transaction");
        change(&mut transaction, &format!("UPDATE ledger_head SET {set}")).await;
        damaged(known.head(&mut transaction).await, seen.0, seen.1, what);
        let head = reader().head(&mut transaction).await;
        match fresh {
            Some((position, kind)) => damaged(head, position, kind, what),
            // Whoever sees the log for the first time cannot know that it was longer.
            None => assert_eq!(head.expect("signed").size, *smaller),
        }
        transaction.rollback().await.expect("rolled back");
    }
    known.appended_to(SIZE + 1);
    known.appended_to(3);
    assert_eq!(known.size(), SIZE + 1);
    damaged(known.head(&mut connection).await, SIZE, K::Missing, "less than was appended");

    // One of the log's own events is gone that was seen.
    let known = reader();
    known.head(&mut connection).await.expect("a head");
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM events WHERE position = 200").await;
    damaged(known.head(&mut transaction).await, 0, K::Keyring, "a key's retirement");
    transaction.rollback().await.expect("rolled back");
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM events WHERE position = 0").await;
    damaged(reader().head(&mut transaction).await, 0, K::Keyring, "the genesis");
    change(&mut transaction, "DELETE FROM events WHERE aggregate_type = 'ledger'").await;
    damaged(reader().head(&mut transaction).await, 0, K::Genesis, "all of its own");
    transaction.rollback().await.expect("rolled back");
}

#[sqlx::test(migrations = "../migrations")]
async fn an_erasure_is_what_the_log_says(pool: PgPool) {
    let world = world(60);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    assert!(reader().erasure_of(connection, id(2, 1)).await.expect("readable").is_none());
    // As if an edit were an erasure.
    let policy = || LogPolicy { erasure: Some(("patient", "PatientEdited")), ..policy() };
    let reader = LogReader::new(ORIGIN, policy());
    let erasure = reader.erasure_of(connection, id(2, 1)).await.expect("readable");
    let first = positions_of(&world, id(2, 1))[0];
    assert_eq!(erasure.map(|event| event.position()), Some(first));
    assert!(reader.erasure_of(connection, id(2, 3)).await.expect("readable").is_none());

    let watch = LogWatch::new(LogReader::new(ORIGIN, policy()));
    assert!(!watch.is_known_erased(id(2, 1)), "nothing is known yet");
    assert!(watch.is_erased(connection, id(2, 1)).await.expect("asked"));
    assert!(!watch.is_erased(connection, id(2, 3)).await.expect("asked"));
    while watch.follow(connection).await.expect("sound") {}
    assert!(watch.is_known_erased(id(2, 1)) && !watch.is_known_erased(id(2, 3)));
    assert!(watch.is_erased(connection, id(2, 1)).await.expect("known"));
    assert!(!watch.is_erased(connection, id(2, 3)).await.expect("known"));
    let mut erased = watch.erased();
    erased.sort_unstable();
    assert_eq!(erased, [0, 1, 2, 4].map(|subject| id(2, subject)));
}

#[sqlx::test(migrations = "../migrations")]
async fn the_watch_reads_on_and_knows_by_heart(pool: PgPool) {
    use audit::postgres::LogHealth as H;
    let size = 2 * SIZE;
    let world = world(size);
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    let watch = LogWatch::new(reader());
    assert_eq!((watch.health(), watch.size()), (H::Reading { up_to: 0 }, 0));
    assert!(matches!(watch.follow(connection).await, Err(ReadError::Empty)));
    store(&pool, &world).await;
    let changes = watch.subscribe();
    assert!(!watch.has_read_all() && watch.stream_seen("patient", id(2, 1)).is_none());
    let mut steps = 1;
    while watch.follow(connection).await.expect("sound") {
        steps += 1;
        assert_eq!(watch.health(), H::Reading { up_to: watch.size() });
    }
    assert_eq!((steps, watch.health(), watch.size()), (2, H::Sound { up_to: size }, size));
    assert!(watch.has_read_all() && watch.damage().is_none());
    assert!(changes.has_changed().expect("the watch lives"));
    assert!(!watch.follow(connection).await.expect("sound"), "there is no more");

    let mut streams = watch.streams_of("patient");
    streams.sort_unstable();
    assert_eq!(streams, [0, 1, 2, 4].map(|subject| id(2, subject)));
    assert_eq!(watch.streams_of("ledger"), [world.statements[0].stream_id]);
    assert!(watch.streams_of("other").is_empty());
    for stream in streams {
        let positions = positions_of(&world, stream);
        let seen = watch.stream_seen("patient", stream).expect("known");
        assert_eq!(
            (seen.version, seen.last),
            (positions.len() as u64, positions[positions.len() - 1])
        );
        assert_eq!(watch.reader().stream_seen("patient", stream), Some(seen));
        assert_eq!(watch.stream_seen("ledger", stream), None);
        assert_eq!(watch.stream_seen("other", stream), None);
    }
    let uncounted = LogPolicy { uncounted: vec!["patient"], ..policy() };
    let other = LogWatch::new(LogReader::new(ORIGIN, uncounted));
    while other.follow(connection).await.expect("sound") {}
    assert_eq!(other.stream_seen("patient", id(2, 1)), None);
    assert!(other.streams_of("patient").is_empty());
    let clear = LogPolicy { clear: vec!["patient"], ..LogPolicy::default() };
    let error = LogWatch::new(LogReader::new(ORIGIN, clear)).follow(connection).await;
    damaged(error, 1, FindingKind::Payload, "a policy that says it is in the clear");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_watch_takes_in_what_its_process_appends(pool: PgPool) {
    use audit::postgres::LogHealth as H;
    let world = world(60);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    let watch = LogWatch::new(reader());
    while watch.follow(connection).await.expect("sound") {}
    let (stream, version) = (id(2, 1), positions_of(&world, id(2, 1)).len() as u64);
    let event = |sequence| {
        watch.appended_event(
            ("patient", stream, sequence),
            "PatientEdited",
            (Uuid::nil(), Uuid::nil(), jiff::Timestamp::UNIX_EPOCH),
            Hash([7; 32]),
        )
    };
    let before = world.tree.to_bytes();
    let mut grown = world.tree.clone();
    grown.append(&[Hash([7; 32]); 2]);
    let events = [event(version + 1), event(version + 2)];
    // What does not continue what is known changes nothing.
    watch.appended(&grown.to_bytes(), &grown.to_bytes(), &events);
    watch.appended(&before, &before, &events);
    assert_eq!((watch.size(), watch.reader().size()), (60, 60));
    watch.appended(&before, &grown.to_bytes(), &events);
    assert_eq!((watch.size(), watch.reader().size()), (62, 62));
    assert_eq!(watch.health(), H::Sound { up_to: 62 });
    let seen = watch.stream_seen("patient", stream).expect("known");
    assert_eq!((seen.version, seen.last), (version + 2, 61));
    // The database does not have it: whoever took it away is found out.
    damaged(watch.follow(connection).await, 60, FindingKind::Missing, "it was appended");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_second_look_finds_what_was_changed_since_and_what_was_put_right(pool: PgPool) {
    use audit::postgres::LogHealth as H;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let watch = LogWatch::new(reader());
    while watch.follow(&mut connection).await.expect("sound") {}
    let mut reread = watch.reread();
    let mut steps = 1;
    while watch.look_again(&mut connection, &mut reread).await.expect("sound") {
        steps += 1;
    }
    assert_eq!((steps, watch.health()), (5, H::Sound { up_to: SIZE }));

    let own = forged(&world, 142, &SEEDS[0], |statement| statement.purpose = "HPAYMT".to_owned());
    let mut transaction = connection.begin().await.expect("a transaction");
    replace(&mut transaction, 142, &own).await;
    let mut reread = watch.reread();
    let found = loop {
        match watch.look_again(&mut transaction, &mut reread).await {
            Ok(more) => assert!(more, "it must be found"),
            Err(error) => break error,
        }
    };
    damaged::<()>(Err(found), 142, FindingKind::Root, "another event of the same key");
    transaction.rollback().await.expect("rolled back");

    for (sql, position, kind) in [
        ("UPDATE events SET payload = '\\x00' WHERE position = 80", 80, FindingKind::Payload),
        ("DELETE FROM events WHERE position = 81", 81, FindingKind::Missing),
    ] {
        let watch = LogWatch::new(reader());
        while watch.follow(&mut connection).await.expect("sound") {}
        let mut transaction = connection.begin().await.expect("a transaction");
        change(&mut transaction, sql).await;
        let mut reread = watch.reread();
        assert!(watch.look_again(&mut transaction, &mut reread).await.expect("the first 64"));
        let found = watch.look_again(&mut transaction, &mut reread).await;
        damaged(found, position, kind, sql);
        transaction.rollback().await.expect("rolled back");

        let first = watch.damage().expect("remembered");
        assert_eq!((first.position, first.kind), (position, kind));
        assert!(!watch.has_read_all() && matches!(watch.health(), H::Damaged(_)));
        watch.found(&audit::postgres::Damage { position: 7, ..first.clone() });
        assert_eq!(watch.damage(), Some(first), "the first one stays");
        assert!(!watch.follow(&mut connection).await.expect("sound"));
        assert!(watch.damage().is_some(), "reading on puts nothing right");
        let mut reread = watch.reread();
        while watch.look_again(&mut connection, &mut reread).await.expect("sound again") {}
        assert_eq!(watch.health(), H::Reading { up_to: SIZE });
        assert!(!watch.follow(&mut connection).await.expect("sound"));
        assert_eq!(watch.health(), H::Sound { up_to: SIZE });
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn without_its_proof_a_range_is_not_believed(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM checkpoints").await;
    let range = reader().verify_range(&mut transaction, 130, 150).await;
    damaged(range, 149, K::Checkpoint, "no checkpoint");
    transaction.rollback().await.expect("rolled back");

    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "UPDATE checkpoints SET note = '\\xff'").await;
    let range = reader().verify_range(&mut transaction, 130, 150).await;
    damaged(range, 149, K::Checkpoint, "a checkpoint that is no text");
    transaction.rollback().await.expect("rolled back");

    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM tiles").await;
    let range = reader().verify_range(&mut transaction, 260, 270).await;
    damaged(range, 259, K::Tile, "no tiles");
    transaction.rollback().await.expect("rolled back");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_newest_head_is_the_one_remembered(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let (smaller, note) = world.checkpoints.iter().rev().nth(1).expect("one before");
    let reader = reader();
    let mut transaction = connection.begin().await.expect("a transaction");
    let (size, quoted) = (smaller, hex::encode(note));
    let sql = format!("UPDATE ledger_head SET size = {size}, checkpoint = '\\x{quoted}'");
    change(&mut transaction, &sql).await;
    assert_eq!(reader.head(&mut transaction).await.expect("signed").size, *smaller);
    transaction.rollback().await.expect("rolled back");
    assert_eq!(reader.head(&mut connection).await.expect("signed").size, SIZE);
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "UPDATE ledger_head SET size = size + 1").await;
    let head = reader.head(&mut transaction).await;
    damaged(head, SIZE, FindingKind::Head, "the note that is remembered, of another size");
    transaction.rollback().await.expect("rolled back");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_was_proved_when_the_log_was_opened_is_not_read_again(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let newest = keyring(&mut connection, ORIGIN).await.expect("readable").expect("a genesis");
    let mut transaction = connection.begin().await.expect("a transaction");
    let sql = "DELETE FROM events WHERE aggregate_type = 'ledger' AND position > 0";
    change(&mut transaction, sql).await;
    let first = keyring(&mut transaction, ORIGIN).await.expect("readable").expect("a genesis");
    transaction.rollback().await.expect("rolled back");
    assert_eq!((first.version, newest.version), (1, 3));

    // Without its head the log says neither how long it is nor under which keys.
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM ledger_head").await;
    let stream = ("patient", world.statements[250].stream_id);
    let unread = reader().stream(&mut transaction, stream, 0, 1_000).await;
    assert!(matches!(unread, Err(ReadError::Empty)), "{unread:?}");
    for order in [vec![&newest], vec![&first, &newest], vec![&newest, &first]] {
        let versions: Vec<u64> = order.iter().map(|stored| stored.version).collect();
        let reader = reader();
        for stored in order {
            reader.opened(stored.clone(), SIZE);
        }
        assert_eq!(reader.size(), SIZE);
        // Of the newest keys: those of the genesis alone do not know who signed the event at 250.
        let events = reader.stream(&mut transaction, stream, 0, 1_000).await;
        let events = events.unwrap_or_else(|error| panic!("{versions:?}: {error}"));
        same(&events, &world, &positions_of(&world, stream.1));
    }
    transaction.rollback().await.expect("rolled back");
}
