//! What a process that holds the ledger's keys believes without checking a signature again, and the end of a stream by itself.

use audit::mac::MacKey;
use audit::postgres::{EventTags, LogReader};
use audit::statement::{Payload, Statement};
use audit::verify::FindingKind;
use sqlx::{Connection as _, PgPool};

use crate::postgres::store;
use crate::reader::{SIZE, change, damaged, forged, policy, positions_of, reader, replace, same};
use crate::world::{ORIGIN, SEEDS, id, leaf, world};

/// For whoever holds the ledger's key a tag that holds stands for the check of a signature, and for nothing else; any other
/// tag says nothing.
#[sqlx::test(migrations = "../migrations")]
async fn a_tag_that_holds_stands_for_a_signature_alone(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let tags = |byte, origin| EventTags::new(&MacKey::from_bytes([byte; 32]), origin);
    let own = tags(3, ORIGIN);
    assert_eq!(format!("{own:?}"), "EventTags");
    let tag = |of: &audit::verify::LogEntry| Some(own.tag(&leaf(of)).to_vec());
    let purpose = |statement: &mut Statement| statement.purpose = "HPAYMT".to_owned();
    let genuine = &world.entries[250];
    let mut unsigned = genuine.clone();
    unsigned.signature = [7; 64];
    let stranger = forged(&world, 250, &[9; 32], purpose);
    let retired = forged(&world, 250, &SEEDS[0], purpose);
    let mut in_the_clear = forged(&world, 250, &SEEDS[1], |statement| {
        (statement.payload, statement.subject) = (Payload::plain(b"{}"), None);
    });
    in_the_clear.payload = Some(b"{}".to_vec());
    let other = tags(4, ORIGIN).tag(&leaf(genuine)).to_vec();
    let elsewhere = tags(3, "other.example").tag(&leaf(genuine)).to_vec();
    let signed = |entry: &audit::verify::LogEntry| entry.signature == genuine.signature;
    for (what, entry, tag, refused) in [
        ("none", genuine, None, None),
        ("its own", genuine, tag(genuine), None),
        ("another event's", genuine, tag(&world.entries[1]), None),
        ("under another key", genuine, Some(other.clone()), None),
        ("its own, and no signature", &unsigned, tag(&unsigned), None),
        ("none, and no signature", &unsigned, None, Some(K::Signature)),
        ("that of the genuine one", &unsigned, tag(genuine), Some(K::Signature)),
        ("another key's, and no signature", &unsigned, Some(other), Some(K::Signature)),
        ("another log's, and no signature", &unsigned, Some(elsewhere), Some(K::Signature)),
        ("its own, by a stranger", &stranger, tag(&stranger), Some(K::ForeignKey)),
        ("its own, by a retired key", &retired, tag(&retired), Some(K::InactiveKey)),
        ("its own, in the clear", &in_the_clear, tag(&in_the_clear), Some(K::Payload)),
    ] {
        let mut transaction = connection.begin().await.expect("a transaction");
        replace(&mut transaction, 250, entry).await;
        sqlx::query("UPDATE events SET tag = $1 WHERE position = 250")
            .bind(tag)
            .execute(&mut *transaction)
            .await
            .expect("valid SQL");
        let stream = ("patient", world.statements[250].stream_id);
        let holder = LogReader::with_tags(ORIGIN, policy(), own.clone());
        let read = holder.stream(&mut transaction, stream, 0, 1_000).await;
        let plain = reader().stream(&mut transaction, stream, 0, 1_000).await;
        match refused {
            Some(kind) => {
                damaged(read, 250, kind, what);
                damaged(plain, 250, kind, what);
            }
            None => {
                let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(read.iter().any(|event| event.position() == 250), "{what}");
                // Whoever holds no key goes by the signature.
                if signed(entry) {
                    assert!(plain.is_ok(), "{what}");
                } else {
                    damaged(plain, 250, K::Signature, what);
                }
            }
        }
        transaction.rollback().await.expect("rolled back");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn the_end_of_a_stream_is_proved_from_where_it_is_needed(pool: PgPool) {
    use FindingKind as K;
    let world = world(SIZE);
    store(&pool, &world).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let connection = &mut *connection;
    let stream = ("patient", id(2, 0));
    let all = positions_of(&world, stream.1);
    let count = all.len() as u64;
    let reader = reader();
    for limit in [1, 5, count, count + 1] {
        let end = reader.stream_end(connection, stream, limit as i64).await.expect("rows");
        let first = (count + 1).saturating_sub(limit).max(1);
        assert_eq!(end.span(), Some((first, count)));
        for after in first - 1..=count + 1 {
            let events = reader.prove_end(connection, end.clone(), after).await.expect("proved");
            same(&events, &world, &all[(after.min(count)) as usize..]);
        }
        // What comes before it is not there.
        if first > 1 {
            let short = reader.prove_end(connection, end, first - 2).await;
            damaged(short, all[first as usize - 1], K::Sequence, "a gap before the end");
        }
    }
    let none = reader.stream_end(connection, ("patient", id(2, 3)), 9).await.expect("no rows");
    assert_eq!(none.span(), None);
    assert!(reader.prove_end(connection, none, 0).await.expect("nothing").is_empty());

    let (gap, next) = (all[count as usize - 3], all[count as usize - 2]);
    let mut transaction = connection.begin().await.expect("a transaction");
    change(&mut transaction, &format!("DELETE FROM events WHERE position = {gap}")).await;
    let end = reader.stream_end(&mut transaction, stream, 5).await.expect("rows");
    let first = end.span().expect("rows").0;
    let proved = reader.prove_end(&mut transaction, end.clone(), first - 1).await;
    damaged(proved, next, K::Sequence, "a gap in the end");
    assert_eq!(
        reader.prove_end(&mut transaction, end, count - 2).await.expect("behind it").len(),
        2
    );
    transaction.rollback().await.expect("rolled back");
}
