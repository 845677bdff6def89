//! What the reader and the watch do at their edges: a checkpoint of any size, a log that grew in the midst of a tile.

use audit::jws;
use audit::merkle::{CompactRange, Hash};
use audit::postgres::{AppendedEvent, LogReader, LogWatch};
use audit::statement::Statement;
use audit::verify::FindingKind;
use sqlx::{Connection as _, PgPool};

use crate::postgres::store;
use crate::reader::{change, damaged, forged, policy, reader, replace};
use crate::world::{ORIGIN, SEEDS, World, id, world};

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
        watch.appended_event(stream, &statement.event_type, *leaf)
    };
    let events: Vec<AppendedEvent> = world.statements.iter().zip(&leaves).map(event).collect();
    tree.append(&leaves);
    watch.appended(&before, &tree.to_bytes(), &events);
    assert_eq!(watch.size(), size);
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_wrong_is_found_from_the_midst_of_a_tile(pool: PgPool) {
    let world = world(SIZE);
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
    let event = watch.appended_event(("patient", id(2, 1), 99), "PatientEdited", Hash([7; 32]));
    watch.appended(&before, &grown.to_bytes(), &[event]);
    assert!(changes.has_changed().expect("the watch lives"));
}
