//! What a batch could collide with, in one round trip for all of its commands.

use std::collections::HashSet;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::decide::Facts;
use crate::failpoints::failpoint;
use crate::log::{Append, CommandKey, signed, unsigned};
use crate::recorded::{CommandTags, damaged, read_believed};

const READ_COMMANDS_AND_HEADS: &str = "
SELECT 0::int2, command_id, request_mac, first_position, event_count::int8, log_size, tag, actor_id
  FROM commands WHERE (command_id, actor_id) IN (SELECT * FROM unnest($1::uuid[], $6::uuid[]))
UNION ALL
SELECT 1::int2, s.id, NULL, s.n, coalesce(
         (SELECT sequence FROM events e WHERE e.aggregate_type = s.type AND e.aggregate_id = s.id
             AND e.position < $5
          ORDER BY sequence DESC LIMIT 1), 0), 0, NULL, NULL
  FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY s(type, id, n)
UNION ALL
SELECT 2::int2, subject, NULL, 0, 0, 0, NULL, NULL FROM keyring.data_keys WHERE subject = ANY($4)";

/// Reads everything the batch could collide with, below the position it is to have, but the claims.
pub(crate) async fn read_facts(
    connection: &mut PgConnection,
    batch: &[&Append],
    first: u64,
    tags: &CommandTags,
) -> Result<Facts, sqlx::Error> {
    let mut facts = Facts::default();
    let ids: Vec<Uuid> = batch.iter().map(|append| append.command_id).collect();
    let actors: Vec<Uuid> = batch.iter().map(|append| append.actor).collect();
    let streams: Vec<(&'static str, Uuid)> = batch
        .iter()
        .flat_map(|append| append.streams())
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    let types: Vec<&str> = streams.iter().map(|(stream_type, _)| *stream_type).collect();
    let stream_ids: Vec<Uuid> = streams.iter().map(|(_, id)| *id).collect();
    let subjects: Vec<Uuid> =
        batch.iter().flat_map(|append| &append.new_keys).map(|key| key.subject).collect();
    failpoint!("facts.before");
    let rows = sqlx::query(READ_COMMANDS_AND_HEADS)
        .bind(&ids)
        .bind(&types)
        .bind(&stream_ids)
        .bind(&subjects)
        .bind(signed(first))
        .bind(&actors)
        .fetch_all(&mut *connection)
        .await?;
    failpoint!("facts.after");
    for row in &rows {
        let what: i16 = row.try_get(0)?;
        let id: Uuid = row.try_get(1)?;
        let (first, second): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        match what {
            0 => {
                let key = CommandKey { actor: row.try_get(7)?, id };
                match read_believed(row, tags, key, 2) {
                    Some(recorded) => {
                        facts.recorded.insert(key, recorded);
                    }
                    None => {
                        damaged(key, "row");
                        facts.commands_damaged.insert(key);
                    }
                }
            }
            1 => {
                if let Some(stream) = at(&streams, first) {
                    facts.versions.insert(*stream, unsigned(second));
                }
            }
            _ => {
                facts.keyed.insert(id);
            }
        }
    }
    Ok(facts)
}

/// The element an `ORDINALITY`, which counts from one, stands for.
fn at<T>(list: &[T], n: i64) -> Option<&T> {
    list.get(usize::try_from(n.checked_sub(1)?).ok()?)
}
