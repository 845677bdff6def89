//! The statements the sequencer sends: lock, read, write. Each is one round trip for a whole batch.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{Executor, PgConnection, Row};
use uuid::Uuid;

use super::append::{Append, NewKey, Recorded, SealedEvent};
use super::claims::{Change, Claims, Net, Resource};
use super::decide::Facts;
use super::edge::{signed, unsigned};
use crate::failpoints::failpoint;

/// The locked right edge.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) frontier: Vec<u8>,
    pub(crate) last_recorded_at: Timestamp,
    pub(crate) epoch: i64,
}

/// Begins a transaction.
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

/// Everything a batch writes.
pub(crate) struct Write<'a> {
    pub(crate) first: u64,
    pub(crate) accepted: Vec<&'a Append>,
    pub(crate) claims: Net,
    pub(crate) tiles: Vec<audit::tiles::Tile>,
    pub(crate) size: u64,
    pub(crate) checkpoint: &'a str,
}

const WRITE_LOG: &str = "
WITH written_commands AS (
  INSERT INTO commands (command_id, request_mac, first_position, event_count, log_size)
  SELECT command_id, request_mac, first_position, event_count, $20
    FROM unnest($16::uuid[], $17::bytea[], $18::bigint[], $19::int[])
         c(command_id, request_mac, first_position, event_count)
), written_checkpoint AS (
  INSERT INTO checkpoints (size, note) SELECT $20, $21 WHERE $20 > $1
)
INSERT INTO events (position, event_id, aggregate_type, aggregate_id, sequence, event_type,
                      event_version, subject, command_id, recorded_at, header, statement,
                      signature, payload, leaf_hash)
  SELECT $1 + n - 1, event_id, stream_type, stream_id, sequence, event_type, event_version, subject,
         command_id, recorded_at, header, statement, signature, payload, leaf_hash
    FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::uuid[],
                $9::uuid[], $10::timestamptz[], $11::bytea[], $12::bytea[], $13::bytea[],
                $14::bytea[], $15::bytea[])
         WITH ORDINALITY e(event_id, stream_type, stream_id, sequence, event_type, event_version,
                           subject, command_id, recorded_at, header, statement, signature, payload,
                           leaf_hash, n)";

/// Writes the batch. Commits nothing yet.
pub(crate) async fn write(
    connection: &mut PgConnection,
    write: &Write<'_>,
) -> Result<(), sqlx::Error> {
    write_keys(connection, &write.accepted).await?;
    write_claims(connection, &write.claims, &write.accepted).await?;
    write_tiles(connection, &write.tiles).await?;
    let events: Vec<(&SealedEvent, Uuid)> = write
        .accepted
        .iter()
        .flat_map(|append| append.events.iter().map(|event| (event, append.command_id)))
        .collect();
    let mut first_positions = Vec::with_capacity(write.accepted.len());
    let mut next = write.first;
    for append in &write.accepted {
        first_positions.push(signed(next));
        next += append.events.len() as u64;
    }
    let counts: Vec<i32> = write
        .accepted
        .iter()
        .map(|append| i32::try_from(append.events.len()).unwrap_or(i32::MAX))
        .collect();
    macro_rules! column {
        ($event:ident, $value:expr) => {
            events.iter().map(|($event, _)| $value).collect::<Vec<_>>()
        };
    }
    failpoint!("write.log.before");
    sqlx::query(WRITE_LOG)
        .bind(signed(write.first))
        .bind(column!(event, event.event_id))
        .bind(column!(event, event.stream_type))
        .bind(column!(event, event.stream_id))
        .bind(column!(event, signed(event.sequence)))
        .bind(column!(event, event.event_type.as_str()))
        .bind(column!(event, event.event_version.as_str()))
        .bind(column!(event, event.subject))
        .bind(events.iter().map(|(_, command_id)| *command_id).collect::<Vec<_>>())
        .bind(column!(event, event.recorded_at.to_sqlx()))
        .bind(column!(event, event.header.as_slice()))
        .bind(column!(event, event.statement.as_slice()))
        .bind(column!(event, event.signature.as_slice()))
        .bind(column!(event, event.payload.as_slice()))
        .bind(column!(event, event.leaf.as_bytes().as_slice()))
        .bind(write.accepted.iter().map(|append| append.command_id).collect::<Vec<_>>())
        .bind(write.accepted.iter().map(|append| append.request_mac.as_slice()).collect::<Vec<_>>())
        .bind(first_positions)
        .bind(counts)
        .bind(signed(write.size))
        .bind(write.checkpoint.as_bytes())
        .execute(connection)
        .await?;
    failpoint!("write.log.after");
    Ok(())
}

async fn write_keys(
    connection: &mut PgConnection,
    accepted: &[&Append],
) -> Result<(), sqlx::Error> {
    let keys: Vec<&NewKey> = accepted.iter().flat_map(|append| &append.new_keys).collect();
    if keys.is_empty() {
        return Ok(());
    }
    failpoint!("write.keys.before");
    sqlx::query(
        "INSERT INTO keyring.data_keys (key_id, subject, kek_id, wrapped)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[])",
    )
    .bind(keys.iter().map(|key| key.key_id).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.subject).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.kek_id.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.wrapped.as_slice()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    failpoint!("write.keys.after");
    Ok(())
}

async fn write_claims(
    connection: &mut PgConnection,
    net: &Net,
    accepted: &[&Append],
) -> Result<(), sqlx::Error> {
    if net.deletes() {
        failpoint!("write.claims.release.before");
        sqlx::query(
            "WITH busy AS (DELETE FROM claims_busy WHERE aggregate_id = ANY($1))
             DELETE FROM claims_unique c USING unnest($2::text[], $3::bytea[]) q(kind, key)
              WHERE c.kind = q.kind AND c.key = q.key",
        )
        .bind(&net.delete_busy)
        .bind(net.delete_unique.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
        .bind(net.delete_unique.iter().map(|(_, key)| key.as_slice()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        failpoint!("write.claims.release.after");
    }
    if net.inserts() {
        failpoint!("write.claims.take.before");
        let types: HashMap<Uuid, &'static str> = accepted
            .iter()
            .flat_map(|append| &append.events)
            .map(|event| (event.stream_id, event.stream_type))
            .collect();
        let type_of = |stream: &Uuid| types.get(stream).copied().unwrap_or_default();
        let (unique, busy) = (&net.insert_unique, &net.insert_busy);
        sqlx::query(
            "WITH busy AS (
               INSERT INTO claims_busy (resource_kind, resource_id, during, aggregate_type, aggregate_id)
               SELECT kind, id, tstzrange(since, until), type, stream
                 FROM unnest($5::text[], $6::uuid[], $7::timestamptz[], $8::timestamptz[],
                             $9::text[], $10::uuid[]) b(kind, id, since, until, type, stream)
             )
             INSERT INTO claims_unique (kind, key, aggregate_type, aggregate_id)
             SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[], $4::uuid[])",
        )
        .bind(unique.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>())
        .bind(unique.iter().map(|(_, key, _)| key.as_slice()).collect::<Vec<_>>())
        .bind(unique.iter().map(|(.., stream)| type_of(stream)).collect::<Vec<_>>())
        .bind(unique.iter().map(|(.., stream)| *stream).collect::<Vec<_>>())
        .bind(busy.iter().map(|(Resource { kind, .. }, ..)| *kind).collect::<Vec<_>>())
        .bind(busy.iter().map(|(Resource { id, .. }, ..)| *id).collect::<Vec<_>>())
        .bind(busy.iter().map(|(_, from, ..)| from.to_sqlx()).collect::<Vec<_>>())
        .bind(busy.iter().map(|(_, _, until, _)| until.to_sqlx()).collect::<Vec<_>>())
        .bind(busy.iter().map(|(.., stream)| type_of(stream)).collect::<Vec<_>>())
        .bind(busy.iter().map(|(.., stream)| *stream).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        failpoint!("write.claims.take.after");
    }
    Ok(())
}

async fn write_tiles(
    connection: &mut PgConnection,
    tiles: &[audit::tiles::Tile],
) -> Result<(), sqlx::Error> {
    if tiles.is_empty() {
        return Ok(());
    }
    failpoint!("write.tiles.before");
    sqlx::query(
        "INSERT INTO tiles (level, index, hashes)
         SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])",
    )
    .bind(tiles.iter().map(|tile| i16::from(tile.level)).collect::<Vec<_>>())
    .bind(tiles.iter().map(|tile| signed(tile.index)).collect::<Vec<_>>())
    .bind(tiles.iter().map(audit::tiles::Tile::to_bytes).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    failpoint!("write.tiles.after");
    Ok(())
}
