//! The head of the log, and what is read before a batch is decided. Each is one round trip for a whole batch.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{Executor, PgConnection, Row};
use uuid::Uuid;

use super::append::{Append, Recorded};
use super::claims::{Change, Claims};
use super::decide::Facts;
use super::edge::unsigned;
use crate::failpoints::failpoint;

/// The locked right edge.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) frontier: Vec<u8>,
    pub(crate) last_recorded_at: Timestamp,
    pub(crate) epoch: i64,
}

/// Begins a transaction that writes while others of this process do.
///
/// A batch waits here for the one before it, which the database does not know. Two processes whose rows
/// collide could so wait for each other; therefore nobody waits long for a row.
pub(crate) async fn begin(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    failpoint!("begin.before");
    connection.execute("BEGIN; SET LOCAL lock_timeout = '250ms'").await?;
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
            "BEGIN; \
             SELECT size, frontier, (extract(epoch FROM last_recorded_at) * 1000000)::bigint, epoch \
             FROM ledger_head FOR UPDATE",
        )
        .await?;
    failpoint!("begin-locked.after");
    let Some(row) = rows.first() else { return Ok(None) };
    let micros: i64 = row.try_get(2)?;
    Ok(Some(Head {
        size: unsigned(row.try_get(0)?),
        frontier: row.try_get(1)?,
        last_recorded_at: Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN),
        epoch: row.try_get(3)?,
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
    /// Whether what this appends changes who may sign, or whose events may be appended.
    pub(crate) moves_epoch: bool,
}

/// Moves the head, if it still is where it was expected, and commits: one round trip.
pub(crate) async fn commit(
    connection: &mut PgConnection,
    advance: &Advance,
) -> Result<(), sqlx::Error> {
    // By the simple protocol, which takes no parameters: numbers and hexadecimal digits need none.
    let Advance { expected_size, expected_epoch, size, .. } = advance;
    let expected_frontier = hex::encode(&advance.expected_frontier);
    let frontier = hex::encode(&advance.frontier);
    let checkpoint = hex::encode(&advance.checkpoint);
    let micros = advance.last_recorded_at.as_microsecond();
    let epochs = i32::from(advance.moves_epoch);
    let statement = format!(
        "SELECT advance_ledger_head({expected_size}, '\\x{expected_frontier}', {expected_epoch}, \
                                    {size}, '\\x{frontier}', '\\x{checkpoint}', {micros}, {epochs}); \
         COMMIT"
    );
    failpoint!("commit.before");
    connection.execute(statement.as_str()).await?;
    failpoint!("commit.after");
    Ok(())
}

const READ_COMMANDS_AND_HEADS: &str = "
SELECT 0::int2, command_id, first_position, event_count::int8, log_size, request_mac
  FROM commands WHERE command_id = ANY($1)
UNION ALL
SELECT 1::int2, s.id, s.n, coalesce(
         (SELECT sequence FROM events e WHERE e.aggregate_type = s.type AND e.aggregate_id = s.id
          ORDER BY sequence DESC LIMIT 1), 0), 0, NULL
  FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY s(type, id, n)
UNION ALL
SELECT 2::int2, subject, 0, 0, 0, NULL FROM keyring.data_keys WHERE subject = ANY($4)";

const READ_CLAIMS: &str = "
SELECT true, q.n, c.aggregate_id, NULL::timestamptz, NULL::timestamptz
  FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY q(kind, key, n)
  JOIN claims_unique c ON c.kind = q.kind AND c.key = q.key
UNION ALL
SELECT false, q.n, c.aggregate_id, lower(c.during), upper(c.during)
  FROM unnest($3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
       WITH ORDINALITY q(kind, id, since, until, n)
  JOIN claims_busy c ON c.resource_kind = q.kind AND c.resource_id = q.id
                    AND c.during && tstzrange(q.since, q.until)";

/// Reads everything the batch could collide with.
pub(crate) async fn read_facts(
    connection: &mut PgConnection,
    batch: &[&Append],
) -> Result<Facts, sqlx::Error> {
    let mut facts = Facts::default();
    let ids: Vec<Uuid> = batch.iter().map(|append| append.command_id).collect();
    let streams: Vec<(&'static str, Uuid)> = batch
        .iter()
        .flat_map(|append| &append.expected)
        .map(|expected| (expected.stream_type, expected.stream_id))
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
        .fetch_all(&mut *connection)
        .await?;
    failpoint!("facts.after");
    for row in &rows {
        let what: i16 = row.try_get(0)?;
        let id: Uuid = row.try_get(1)?;
        let (first, second): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        match what {
            0 => {
                let recorded = Recorded {
                    request_mac: fixed(row.try_get(5)?)?,
                    first: unsigned(first),
                    count: unsigned(second),
                    log_size: unsigned(row.try_get(4)?),
                };
                facts.recorded.insert(id, recorded);
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
    if batch.iter().any(|append| !append.claims.is_empty()) {
        facts.claims = read_claims(connection, batch).await?;
    }
    Ok(facts)
}

async fn read_claims(
    connection: &mut PgConnection,
    batch: &[&Append],
) -> Result<Claims, sqlx::Error> {
    let mut unique = HashSet::new();
    let mut busy = HashSet::new();
    for (_, change) in batch.iter().flat_map(|append| &append.claims) {
        match change {
            Change::TakeUnique { kind, key } | Change::ReleaseUnique { kind, key } => {
                unique.insert((*kind, *key));
            }
            Change::TakeBusy { resource, from, until } => {
                busy.insert((*resource, *from, *until));
            }
            Change::ReleaseBusy => {}
        }
    }
    let unique: Vec<_> = unique.into_iter().collect();
    let busy: Vec<_> = busy.into_iter().collect();
    let mut claims = Claims::default();
    if unique.is_empty() && busy.is_empty() {
        return Ok(claims);
    }
    failpoint!("facts.claims.before");
    let rows = sqlx::query(READ_CLAIMS)
        .bind(unique.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
        .bind(unique.iter().map(|(_, key)| key.as_slice()).collect::<Vec<_>>())
        .bind(busy.iter().map(|(resource, ..)| resource.kind).collect::<Vec<_>>())
        .bind(busy.iter().map(|(resource, ..)| resource.id).collect::<Vec<_>>())
        .bind(busy.iter().map(|(_, from, _)| from.to_sqlx()).collect::<Vec<_>>())
        .bind(busy.iter().map(|(.., until)| until.to_sqlx()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    failpoint!("facts.claims.after");
    for row in &rows {
        let (is_unique, n, holder): (bool, i64, Uuid) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if is_unique {
            if let Some((kind, key)) = at(&unique, n) {
                claims.found_unique(kind, *key, holder);
            }
        } else if let Some((resource, ..)) = at(&busy, n) {
            let from: jiff_sqlx::Timestamp = row.try_get(3)?;
            let until: jiff_sqlx::Timestamp = row.try_get(4)?;
            claims.found_busy(*resource, from.to_jiff(), until.to_jiff(), holder);
        }
    }
    Ok(claims)
}

/// The element an `ORDINALITY`, which counts from one, stands for.
fn at<T>(list: &[T], n: i64) -> Option<&T> {
    list.get(usize::try_from(n.checked_sub(1)?).ok()?)
}

fn fixed(bytes: &[u8]) -> Result<[u8; 32], sqlx::Error> {
    bytes.try_into().map_err(|_| sqlx::Error::Decode("expected 32 bytes".into()))
}
