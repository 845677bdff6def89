//! What the reader and the watch do at their edges: a checkpoint of any size, a log that grew in the midst of a tile.

use audit::checkpoint::Checkpoint;
use audit::jws;
use audit::merkle::{CompactRange, Hash};
use audit::postgres::{AppendedEvent, LogPolicy, LogReader, LogWatch, Progress, verify_database};
use audit::statement::Statement;
use audit::verify::{FindingKind, Options, Report};
use sqlx::{Connection as _, PgPool};

use crate::postgres::store;
use crate::reader::{change, damaged, forged, policy, reader, replace};
use crate::world::{ORIGIN, SEEDS, World, entry, id, keys, leaf, recorded_at, trust, world};

const SIZE: u64 = 300;

#[sqlx::test(migrations = "../migrations")]
async fn a_checkpoint_of_any_size_is_given_with_its_note(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    // A reader that knows nothing yet looks at the head by itself.
    for (size, note) in world.checkpoints.iter().rev().take(3) {
        let (checkpoint, stored) =
            reader().checkpoint_of(&mut connection, *size).await.expect("signed");
        assert_eq!((checkpoint.size, &stored), (*size, note));
    }
    let between = (1..SIZE).find(|size| world.checkpoints.iter().all(|(other, _)| other != size));
    for size in [between.expect("one in the midst of an append"), SIZE + 1] {
        let none = reader().checkpoint_of(&mut connection, size).await;
        damaged(none, size - 1, FindingKind::Checkpoint, "there is none");
    }

    let events = reader().verify_range(&mut connection, 20, 22).await.expect("proved");
    for event in events {
        let entry = &world.entries[event.position() as usize];
        let signed = jws::compact(&entry.header, &entry.statement, &entry.signature);
        assert_eq!(event.compact(), signed);
    }
}

/// Lets a watch take in the first events of a log, as the process that appends them does.
fn take_in(watch: &LogWatch, world: &World, size: u64) {
    let mut tree = CompactRange::new();
    let before = tree.to_bytes();
    let leaves: Vec<Hash> = world.leaves()[..size as usize].to_vec();
    let event = |(statement, leaf): (&Statement, &Hash)| -> AppendedEvent {
        let stream = (&*statement.stream_type, statement.stream_id, statement.sequence);
        let by = (statement.actor.id, statement.command_id, statement.recorded_at);
        watch.appended_event(stream, &statement.event_type, by, *leaf)
    };
    let events: Vec<AppendedEvent> = world.statements.iter().zip(&leaves).map(event).collect();
    tree.append(&leaves);
    watch.appended(&before, &tree.to_bytes(), &events);
    assert_eq!(watch.size(), size);
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_wrong_is_found_from_the_midst_of_a_tile(pool: PgPool) {
    // Two complete tiles: each position is compared with its own.
    let world = world(600);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let purpose = |statement: &mut Statement| statement.purpose = "HPAYMT".to_owned();
    for (known, position, seed) in
        [(60, 290, &SEEDS[1]), (60, 90, &SEEDS[0]), (270, 290, &SEEDS[1])]
    {
        let watch = LogWatch::new(LogReader::new(ORIGIN, policy()));
        take_in(&watch, &world, known);
        let mut transaction = connection.begin().await.expect("a transaction");
        replace(&mut transaction, position, &forged(&world, position, seed, purpose)).await;
        let followed = watch.follow(&mut transaction).await;
        damaged(followed, position, FindingKind::Root, "another event of the same key");
        transaction.rollback().await.expect("rolled back");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn who_appends_nothing_tells_nobody(pool: PgPool) {
    let world = world(60);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let watch = LogWatch::new(reader());
    while watch.follow(&mut connection).await.expect("sound") {}
    let mut changes = watch.subscribe();
    changes.mark_unchanged();
    let before = world.tree.to_bytes();
    watch.appended(&before, &before, &[]);
    assert!(!changes.has_changed().expect("the watch lives"));
    let mut grown = world.tree.clone();
    grown.append(&[Hash([7; 32])]);
    let by = (id(3, 1), id(4, 999), recorded_at(999));
    let stream = ("patient", id(2, 1), 99);
    let event = watch.appended_event(stream, "PatientEdited", by, Hash([7; 32]));
    watch.appended(&before, &grown.to_bytes(), &[event]);
    assert!(changes.has_changed().expect("the watch lives"));
}

/// Each short step ends with the last checkpoint that lies within it.
#[sqlx::test(migrations = "../migrations")]
async fn a_short_step_takes_in_no_more_than_64_events(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let watch = LogWatch::new(reader());
    while watch.size() < SIZE {
        let within = watch.size() + 1..=watch.size() + 64;
        let sizes = world.checkpoints.iter().map(|(size, _)| *size);
        let covered = sizes.filter(|size| within.contains(size)).max().expect("a checkpoint");
        let more = watch.follow_a_little(&mut connection).await.expect("sound");
        assert_eq!((watch.size(), more), (covered, covered < SIZE));
    }
    assert!(watch.has_read_all());
}

/// A page of a range ends with what its checkpoint proves, and not with what happens to be read along.
#[sqlx::test(migrations = "../migrations")]
async fn a_range_ends_where_its_checkpoint_does(pool: PgPool) {
    let world = world(60);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    for from in 1..55 {
        let events = reader().verify_range(&mut connection, from, from + 5).await.expect("proved");
        let sizes = world.checkpoints.iter().map(|(size, _)| *size);
        let covered = sizes.filter(|size| (from + 1..=from + 5).contains(size)).max();
        assert_eq!(from + events.len() as u64, covered.unwrap_or(from + 5), "from {from}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_log_that_has_grown_is_looked_at_again(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let (smaller, note) = &world.checkpoints[world.checkpoints.len() - 2];
    let known = reader();
    let mut transaction = connection.begin().await.expect("a transaction");
    let quoted = hex::encode(note);
    let sql = format!("UPDATE ledger_head SET size = {smaller}, checkpoint = '\\x{quoted}'");
    change(&mut transaction, &sql).await;
    assert_eq!(known.head(&mut transaction).await.expect("signed").size, *smaller);
    let grown = reader();
    assert_eq!(grown.head(&mut transaction).await.expect("signed").size, *smaller);
    transaction.rollback().await.expect("rolled back");
    let (newest, note) = &world.checkpoints[world.checkpoints.len() - 1];
    let of_newest = grown.checkpoint_of(&mut connection, *newest).await.expect("signed");
    assert_eq!((of_newest.0.size, &of_newest.1), (*newest, note));
    let last = &world.statements[SIZE as usize - 1];
    let stream = (&*last.stream_type, last.stream_id);
    let newest = known.stream(&mut connection, stream, last.sequence - 1, 9).await.expect("proved");
    assert_eq!(newest.iter().map(|event| event.position()).collect::<Vec<_>>(), [SIZE - 1]);
}

#[sqlx::test(migrations = "../migrations")]
async fn another_root_of_the_same_size_is_damage(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let watch = LogWatch::new(reader());
    while watch.follow(&mut connection).await.expect("sound") {}
    let mut transaction = connection.begin().await.expect("a transaction");
    let other = Checkpoint { origin: ORIGIN.to_owned(), size: SIZE, root: Hash([7; 32]) };
    let quoted = hex::encode(other.to_note(&keys(&SEEDS[1]).notes).expect("signed"));
    change(&mut transaction, &format!("UPDATE ledger_head SET checkpoint = '\\x{quoted}'")).await;
    let followed = watch.follow(&mut transaction).await;
    damaged(followed, SIZE - 1, FindingKind::Root, "not the log that was read before");
    transaction.rollback().await.expect("rolled back");

    // A second look notices that the last row is gone.
    let watch = LogWatch::new(reader());
    while watch.follow(&mut connection).await.expect("sound") {}
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "DELETE FROM events WHERE position = 299").await;
    let mut reread = watch.reread();
    let mut found = Ok(true);
    for _ in 0..9 {
        found = watch.look_again(&mut transaction, &mut reread).await;
        if found.is_err() {
            break;
        }
    }
    damaged(found, SIZE - 1, FindingKind::Missing, "the last row");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_row_beyond_the_end_is_named_with_both(pool: PgPool) {
    store(&pool, &world(60)).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "UPDATE events SET position = 75 WHERE position = 59").await;
    let followed = LogWatch::new(reader()).follow(&mut transaction).await;
    let error = followed.expect_err("it belongs nowhere");
    let damage = error.damage().expect("damage");
    let said = "a row stands at 75, beyond the log's end at 60";
    assert_eq!((damage.position, &*damage.detail), (60, said));
}

/// Changes the tables, verifies them and gives back the report.
async fn changed(pool: &PgPool, statements: &[&str]) -> Report {
    let mut transaction = pool.begin().await.expect("a transaction");
    for sql in statements {
        change(&mut transaction, sql).await;
    }
    transaction.commit().await.expect("committed");
    verify_database(pool, &trust(), Options::default(), None, |_| ()).await.expect("readable")
}

fn found(report: &Report, kind: FindingKind) -> Vec<u64> {
    let of_kind = report.findings.iter().filter(|finding| finding.kind == kind);
    of_kind.map(|finding| finding.position).collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn a_gap_excuses_no_other_damage(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut told = Vec::new();
    let tell = |progress: Progress| told.push((progress.done, progress.total));
    let report = verify_database(&pool, &trust(), Options::default(), None, tell).await;
    assert!(report.expect("readable").is_sound());
    assert_eq!(told, [(256, SIZE), (SIZE, SIZE)]);

    let first = (120..).find(|at| at % 2 == 0 && world.statements[*at as usize].subject.is_some());
    let first = first.expect("a command");
    let sql = format!("UPDATE commands SET event_count = 9 WHERE first_position = {first}");
    let statements = ["DELETE FROM events WHERE position = 200", &sql];
    let report = changed(&pool, &statements).await;
    assert!(found(&report, FindingKind::Missing).contains(&200));
    assert!(found(&report, FindingKind::Command).contains(&first), "{:?}", report.findings);
    // The tiles are those of the log that was; nobody blames them for the row that is gone.
    assert_eq!(found(&report, FindingKind::Tile), [0; 0]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_checkpoint_beyond_the_end_and_a_tile_that_is_gone_are_named(pool: PgPool) {
    store(&pool, &world(600)).await;
    let beyond = "INSERT INTO checkpoints SELECT 700, note FROM checkpoints WHERE size = 600";
    let report = changed(&pool, &[beyond]).await;
    assert_eq!(found(&report, FindingKind::Checkpoint), [600]);
    let gone = "DELETE FROM tiles WHERE level = 0 AND index = 1";
    let report = changed(&pool, &["DELETE FROM checkpoints WHERE size = 700", gone]).await;
    assert_eq!(found(&report, FindingKind::Tile), [256]);
}

/// The number in a column says nothing of the keys; it is named where the event is read.
#[sqlx::test(migrations = "../migrations")]
async fn another_number_of_a_key_event_changes_no_keys(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let known = reader();
    known.head(&mut connection).await.expect("signed");
    let mut transaction = connection.begin().await.expect("a transaction");
    let sql = "UPDATE events SET sequence = 99 WHERE position = 200";
    change(&mut transaction, sql).await;
    for _ in 0..2 {
        let head = known.head(&mut transaction).await.expect("under the same keys");
        assert_eq!((head.size, head.root), (SIZE, world.tree.root()));
    }
    let read = known.verify_range(&mut transaction, 200, 201).await;
    damaged(read, 200, FindingKind::Column, "the number in the column");
    let gone = "DELETE FROM events WHERE position = 200";
    change(&mut transaction, gone).await;
    let head = known.head(&mut transaction).await;
    damaged(head, 0, FindingKind::Keyring, "one of the log's own events is gone");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_signature_and_a_leaf_hash_have_their_lengths(pool: PgPool) {
    store(&pool, &world(60)).await;
    for check in ["events_signature_check", "events_leaf_hash_check"] {
        let sql = format!("ALTER TABLE events DROP CONSTRAINT IF EXISTS {check}");
        sqlx::query(&sql).execute(&pool).await.expect("the owner");
    }
    for (position, column) in [(20, "signature"), (40, "leaf_hash")] {
        let sql =
            format!("UPDATE events SET {column} = {column} || '\\x00' WHERE position = {position}");
        let report = changed(&pool, &[&sql]).await;
        let named = report.findings.iter().find(|finding| finding.position == position);
        let of_column = found(&report, FindingKind::Column);
        assert!(of_column.contains(&position), "{column}: {named:?}");
    }
}

/// Requests that are recorded at the same time may be put in order the other way round.
#[sqlx::test(migrations = "../migrations")]
async fn the_right_edge_knows_the_last_time_or_the_latest(pool: PgPool) {
    let mut world = world(60);
    let statement = Statement { recorded_at: recorded_at(50), ..world.statements[59].clone() };
    let payload = world.entries[59].payload.clone().expect("a payload");
    let mut last = entry(59, &statement, payload, &keys(&SEEDS[0]).events);
    last.leaf_hash = Some(leaf(&last));
    (world.entries[59], world.statements[59]) = (last, statement);
    world.tree = CompactRange::new();
    world.tree.append(&world.leaves());
    let root = world.tree.root();
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 60, root };
    let note = checkpoint.to_note(&keys(&SEEDS[0]).notes).expect("signed");
    *world.checkpoints.last_mut().expect("a checkpoint") = (60, note);
    store(&pool, &world).await;
    for (position, sound) in [(58, true), (59, true), (57, false), (50, true), (49, false)] {
        let of = format!("(SELECT recorded_at FROM events WHERE position = {position})");
        let report =
            changed(&pool, &[&format!("UPDATE ledger_head SET last_recorded_at = {of}")]).await;
        let expected = if sound { vec![] } else { vec![59] };
        assert_eq!(found(&report, FindingKind::Head), expected, "the time of {position}");
        assert_eq!(report.is_sound(), sound, "{:?}", report.findings);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn the_first_events_of_streams_are_given_proved(pool: PgPool) {
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let reader = reader();
    let first = |subject| {
        let of = |statement: &Statement| statement.stream_id == id(2, subject);
        world.statements.iter().position(of).expect("a stream") as u64
    };
    // Nobody ever wrote to the third stream.
    let streams = [0, 1, 3, 4].map(|subject| id(2, subject));
    let events = reader.firsts(&mut connection, &["patient"], &streams).await.expect("proved");
    let mut found: Vec<u64> = events.iter().map(|event| event.position()).collect();
    found.sort_unstable();
    let mut expected = [0, 1, 4].map(first);
    expected.sort_unstable();
    assert_eq!(found, expected);
    let others = reader.firsts(&mut connection, &["account", "ledger"], &streams).await;
    assert!(others.expect("readable").is_empty());

    let sql = format!("UPDATE events SET event_type = 'Other' WHERE position = {}", first(4));
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, &sql).await;
    let read = reader.firsts(&mut transaction, &["patient"], &streams).await;
    damaged(read, first(4), FindingKind::Column, "a changed column");
    transaction.rollback().await.expect("rolled back");
}

/// The right edge may be the one that was read before: which row is the last is asked again.
#[sqlx::test(migrations = "../migrations")]
async fn a_row_beyond_an_edge_that_is_known_is_seen(pool: PgPool) {
    let world = world(60);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let watch = LogWatch::new(reader());
    while watch.follow(&mut connection).await.expect("sound") {}
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, "UPDATE events SET position = 60 WHERE position = 59").await;
    let followed = watch.follow(&mut transaction).await;
    damaged(followed, 60, FindingKind::Unexpected, "beyond the end");
    change(&mut transaction, "DELETE FROM events WHERE position = 60").await;
    damaged(watch.follow(&mut transaction).await, 59, FindingKind::Missing, "the last one");
    transaction.rollback().await.expect("rolled back");
}

#[sqlx::test(migrations = "../migrations")]
async fn whom_the_log_erases_from_a_position_on_is_told(pool: PgPool) {
    let world = world(60);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let none = reader().erasures_from(&mut connection, 0).await.expect("readable");
    assert!(none.is_empty(), "no event of this log is an erasure");
    // As if an edit were an erasure.
    let policy = LogPolicy { erasure: Some(("patient", "PatientEdited")), ..policy() };
    let reader = LogReader::new(ORIGIN, policy);
    for from in [1, 50, 59, 60] {
        let expected: Vec<_> =
            world.statements[from..].iter().map(|statement| statement.stream_id).collect();
        let erased = reader.erasures_from(&mut connection, from as u64).await.expect("proved");
        assert_eq!(erased, expected, "from {from}");
    }
    let mut transaction = connection.begin().await.expect("a transaction");
    let purpose = |statement: &mut Statement| statement.purpose = "HPAYMT".to_owned();
    replace(&mut transaction, 55, &forged(&world, 55, &[9; 32], purpose)).await;
    let read = reader.erasures_from(&mut transaction, 50).await;
    damaged(read, 55, FindingKind::ForeignKey, "by a stranger");
    transaction.rollback().await.expect("rolled back");
}

/// A command is its actor's: two of one id are two commands.
#[sqlx::test(migrations = "../migrations")]
async fn where_a_command_begins_is_known(pool: PgPool) {
    let world = world(60);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let watch = LogWatch::new(reader());
    let (system, clinician) = (id(3, 0), id(3, 1));
    assert_eq!(watch.command_seen(clinician, id(4, 42)), None);
    while watch.follow(&mut connection).await.expect("sound") {}
    // The genesis and the event after it name the same id.
    for (actor, command, begins) in [
        (system, 0, Some(0)),
        (clinician, 0, Some(1)),
        (clinician, 42, Some(42)),
        (system, 42, None),
        (clinician, 60, None),
    ] {
        assert_eq!(watch.command_seen(actor, id(4, command)), begins, "{actor} {command}");
    }
}

/// A process takes the latest time that the log has signed, which need not be that of the newest event.
#[sqlx::test(migrations = "../migrations")]
async fn the_latest_time_is_that_of_what_is_known(pool: PgPool) {
    let mut world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let watch = LogWatch::new(reader());
    assert_eq!(watch.latest(), None);
    while watch.follow(&mut connection).await.expect("sound") {}
    assert_eq!(watch.latest(), Some(recorded_at(SIZE - 1)));

    world.statements[40].recorded_at = recorded_at(1_000);
    for (size, latest) in [(40, 39), (60, 1_000)] {
        let watch = LogWatch::new(reader());
        take_in(&watch, &world, size);
        assert_eq!(watch.latest(), Some(recorded_at(latest)), "of {size} events");
    }
}
