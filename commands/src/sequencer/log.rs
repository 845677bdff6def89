//! The head of the log, and what is read before a batch is decided. Each is one round trip for a whole batch.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::{Executor, PgConnection, Row};
use uuid::Uuid;

use super::append::Append;
use super::decide::Facts;
use super::edge::{signed, unsigned};
use crate::failpoints::failpoint;
use crate::recorded::{CommandKey, CommandTags, damaged, read_believed};

/// The locked right edge.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) frontier: Vec<u8>,
    pub(crate) checkpoint: Vec<u8>,
    pub(crate) last_recorded_at: Timestamp,
    pub(crate) epoch: i64,
    /// The seal of the claims; empty if there is none.
    pub(crate) claims_tag: Vec<u8>,
}

/// Begins a transaction that writes while others of this process do.
pub(crate) async fn begin(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    failpoint!("begin.before");
    connection.execute("BEGIN").await?;
    failpoint!("begin.after");
    Ok(())
}

/// Begins a transaction and locks the head: from here on nobody else appends.
pub(crate) async fn begin_locked(
    connection: &mut PgConnection,
) -> Result<Option<Head>, sqlx::Error> {
    failpoint!("begin-locked.before");
    // The time as a number, because this goes by the simple protocol, whose text form of a
    // timestamp depends on the session.
    let rows = connection
        .fetch_all(
            "BEGIN; SET LOCAL lock_timeout = '10s'; SELECT log_size, log_frontier, recorded_micros, log_epoch, log_checkpoint \
             FROM lock_ledger_head(); \
             SELECT coalesce(tag, '') FROM claims_seal",
        )
        .await?;
    failpoint!("begin-locked.after");
    let seal = rows.iter().find(|row| row.len() == 1);
    let Some(row) = rows.iter().find(|row| row.len() == 5) else { return Ok(None) };
    let micros: i64 = row.try_get(2)?;
    Ok(Some(Head {
        size: unsigned(row.try_get(0)?),
        frontier: row.try_get(1)?,
        last_recorded_at: Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN),
        epoch: row.try_get(3)?,
        claims_tag: seal.map(|seal| seal.try_get(0)).transpose()?.unwrap_or_default(),
        checkpoint: row.try_get(4)?,
    }))
}

pub(crate) async fn rollback(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    failpoint!("rollback.before");
    connection.execute("ROLLBACK").await?;
    failpoint!("rollback.after");
    Ok(())
}

/// From where to where the head moves.
#[derive(Debug)]
pub(crate) struct Advance {
    pub(crate) expected_size: u64,
    pub(crate) expected_frontier: Vec<u8>,
    pub(crate) expected_epoch: i64,
    pub(crate) size: u64,
    pub(crate) frontier: Vec<u8>,
    pub(crate) checkpoint: String,
    pub(crate) last_recorded_at: Timestamp,
    /// The seal of the claims as of the new size; none while what is stored of them is not under a seal.
    pub(crate) claims_tag: Option<[u8; 32]>,
    /// Whether what this appends changes who may sign, or whose events may be appended.
    pub(crate) moves_epoch: bool,
}

/// Moves the head, if it still is where it was expected, and commits: one round trip.
pub(crate) async fn commit(
    connection: &mut PgConnection,
    advance: &Advance,
) -> Result<(), sqlx::Error> {
    let statement = format!("{}; COMMIT", statement(advance));
    failpoint!("commit.before");
    connection.execute(statement.as_str()).await?;
    failpoint!("commit.after");
    Ok(())
}

/// Moves the head of a log that has just begun. Commits nothing yet.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    advance: &Advance,
) -> Result<(), sqlx::Error> {
    connection.execute(statement(advance).as_str()).await?;
    Ok(())
}

/// For the simple protocol, which takes no parameters: numbers and hexadecimal digits need none.
fn statement(advance: &Advance) -> String {
    let Advance { expected_size, expected_epoch, size, .. } = advance;
    let expected_frontier = hex::encode(&advance.expected_frontier);
    let frontier = hex::encode(&advance.frontier);
    let checkpoint = hex::encode(&advance.checkpoint);
    let micros = advance.last_recorded_at.as_microsecond();
    let epochs = i32::from(advance.moves_epoch);
    let seal = match &advance.claims_tag {
        Some(tag) => format!("'\\x{}'", hex::encode(tag)),
        None => "NULL".to_owned(),
    };
    format!(
        "SELECT advance_ledger_head({expected_size}, '\\x{expected_frontier}', {expected_epoch}, \
                                    {size}, '\\x{frontier}', '\\x{checkpoint}', {micros}, {epochs}, {seal})"
    )
}

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
