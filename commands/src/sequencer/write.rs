//! What a batch writes: one statement for each kind of row, whatever the number of commands.

use std::collections::HashMap;

use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, PgConnection};
use uuid::Uuid;

use super::append::{Append, NewKey, SealedEvent};
use super::claims::{Net, Resource};
use super::edge::signed;
use crate::failpoints::failpoint;

/// Everything a batch writes.
pub(crate) struct Write<'a> {
    pub(crate) first: u64,
    pub(crate) accepted: Vec<&'a Append>,
    pub(crate) claims: Net,
    pub(crate) tiles: Vec<audit::tiles::Tile>,
    pub(crate) size: u64,
    pub(crate) checkpoint: &'a str,
}

/// What a batch writes, ready to be sent: it borrows nothing, so it can be sent by another task.
pub(crate) struct Statements {
    keys: Option<PgArguments>,
    release_claims: Option<PgArguments>,
    take_claims: Option<PgArguments>,
    tiles: Option<PgArguments>,
    log: PgArguments,
}

const WRITE_KEYS: &str = "
INSERT INTO keyring.data_keys (key_id, subject, kek_id, wrapped)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[])";

const RELEASE_CLAIMS: &str = "
WITH busy AS (DELETE FROM claims_busy WHERE aggregate_id = ANY($1))
DELETE FROM claims_unique c USING unnest($2::text[], $3::bytea[]) q(kind, key)
 WHERE c.kind = q.kind AND c.key = q.key";

const TAKE_CLAIMS: &str = "
WITH busy AS (
  INSERT INTO claims_busy (resource_kind, resource_id, during, aggregate_type, aggregate_id)
  SELECT kind, id, tstzrange(since, until), type, stream
    FROM unnest($5::text[], $6::uuid[], $7::timestamptz[], $8::timestamptz[],
                $9::text[], $10::uuid[]) b(kind, id, since, until, type, stream)
)
INSERT INTO claims_unique (kind, key, aggregate_type, aggregate_id)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[], $4::uuid[])";

const WRITE_TILES: &str = "
INSERT INTO tiles (level, index, hashes)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])";

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

impl Statements {
    /// The statements that write a batch.
    pub(crate) fn of(write: &Write<'_>) -> Result<Statements, sqlx::Error> {
        let claims = &write.claims;
        Ok(Statements {
            keys: keys(&write.accepted)?,
            release_claims: claims.deletes().then(|| released(claims)).transpose()?,
            take_claims: claims.inserts().then(|| taken(claims, &write.accepted)).transpose()?,
            tiles: (!write.tiles.is_empty()).then(|| tiles(&write.tiles)).transpose()?,
            log: rows(write)?,
        })
    }

    /// Sends them. Commits nothing yet.
    pub(crate) async fn execute(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if let Some(arguments) = self.keys {
            failpoint!("write.keys.before");
            sqlx::query_with(WRITE_KEYS, arguments).execute(&mut *connection).await?;
            failpoint!("write.keys.after");
        }
        if let Some(arguments) = self.release_claims {
            failpoint!("write.claims.release.before");
            sqlx::query_with(RELEASE_CLAIMS, arguments).execute(&mut *connection).await?;
            failpoint!("write.claims.release.after");
        }
        if let Some(arguments) = self.take_claims {
            failpoint!("write.claims.take.before");
            sqlx::query_with(TAKE_CLAIMS, arguments).execute(&mut *connection).await?;
            failpoint!("write.claims.take.after");
        }
        if let Some(arguments) = self.tiles {
            failpoint!("write.tiles.before");
            sqlx::query_with(WRITE_TILES, arguments).execute(&mut *connection).await?;
            failpoint!("write.tiles.after");
        }
        failpoint!("write.log.before");
        sqlx::query_with(WRITE_LOG, self.log).execute(connection).await?;
        failpoint!("write.log.after");
        Ok(())
    }
}

/// The arguments of a statement, in the order of its parameters.
macro_rules! arguments {
    ($($value:expr),+ $(,)?) => {{
        let mut arguments = PgArguments::default();
        $(arguments.add($value).map_err(sqlx::Error::Encode)?;)+
        Ok(arguments)
    }};
}

fn rows(write: &Write<'_>) -> Result<PgArguments, sqlx::Error> {
    let accepted = &write.accepted;
    let events: Vec<(&SealedEvent, Uuid)> = accepted
        .iter()
        .flat_map(|append| append.events.iter().map(|event| (event, append.command_id)))
        .collect();
    let mut first_positions = Vec::with_capacity(accepted.len());
    let mut next = write.first;
    for append in accepted {
        first_positions.push(signed(next));
        next += append.events.len() as u64;
    }
    let counts: Vec<i32> = accepted
        .iter()
        .map(|append| i32::try_from(append.events.len()).unwrap_or(i32::MAX))
        .collect();
    macro_rules! column {
        ($event:ident, $value:expr) => {
            events.iter().map(|($event, _)| $value).collect::<Vec<_>>()
        };
    }
    arguments![
        signed(write.first),
        column!(event, event.event_id),
        column!(event, event.stream_type),
        column!(event, event.stream_id),
        column!(event, signed(event.sequence)),
        column!(event, event.event_type.as_str()),
        column!(event, event.event_version.as_str()),
        column!(event, event.subject),
        events.iter().map(|(_, command_id)| *command_id).collect::<Vec<_>>(),
        column!(event, event.recorded_at.to_sqlx()),
        column!(event, event.header.as_slice()),
        column!(event, event.statement.as_slice()),
        column!(event, event.signature.as_slice()),
        column!(event, event.payload.as_slice()),
        column!(event, event.leaf.as_bytes().as_slice()),
        accepted.iter().map(|append| append.command_id).collect::<Vec<_>>(),
        accepted.iter().map(|append| append.request_mac.as_slice()).collect::<Vec<_>>(),
        first_positions,
        counts,
        signed(write.size),
        write.checkpoint.as_bytes(),
    ]
}

fn keys(accepted: &[&Append]) -> Result<Option<PgArguments>, sqlx::Error> {
    let keys: Vec<&NewKey> = accepted.iter().flat_map(|append| &append.new_keys).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let arguments: Result<PgArguments, sqlx::Error> = arguments![
        keys.iter().map(|key| key.key_id).collect::<Vec<_>>(),
        keys.iter().map(|key| key.subject).collect::<Vec<_>>(),
        keys.iter().map(|key| key.kek_id.as_str()).collect::<Vec<_>>(),
        keys.iter().map(|key| key.wrapped.as_slice()).collect::<Vec<_>>(),
    ];
    arguments.map(Some)
}

fn released(net: &Net) -> Result<PgArguments, sqlx::Error> {
    arguments![
        &net.delete_busy,
        net.delete_unique.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        net.delete_unique.iter().map(|(_, key)| key.as_slice()).collect::<Vec<_>>(),
    ]
}

fn taken(net: &Net, accepted: &[&Append]) -> Result<PgArguments, sqlx::Error> {
    let types: HashMap<Uuid, &'static str> = accepted
        .iter()
        .flat_map(|append| &append.events)
        .map(|event| (event.stream_id, event.stream_type))
        .collect();
    let type_of = |stream: &Uuid| types.get(stream).copied().unwrap_or_default();
    let (unique, busy) = (&net.insert_unique, &net.insert_busy);
    arguments![
        unique.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>(),
        unique.iter().map(|(_, key, _)| key.as_slice()).collect::<Vec<_>>(),
        unique.iter().map(|(.., stream)| type_of(stream)).collect::<Vec<_>>(),
        unique.iter().map(|(.., stream)| *stream).collect::<Vec<_>>(),
        busy.iter().map(|(Resource { kind, .. }, ..)| *kind).collect::<Vec<_>>(),
        busy.iter().map(|(Resource { id, .. }, ..)| *id).collect::<Vec<_>>(),
        busy.iter().map(|(_, from, ..)| from.to_sqlx()).collect::<Vec<_>>(),
        busy.iter().map(|(_, _, until, _)| until.to_sqlx()).collect::<Vec<_>>(),
        busy.iter().map(|(.., stream)| type_of(stream)).collect::<Vec<_>>(),
        busy.iter().map(|(.., stream)| *stream).collect::<Vec<_>>(),
    ]
}

fn tiles(tiles: &[audit::tiles::Tile]) -> Result<PgArguments, sqlx::Error> {
    arguments![
        tiles.iter().map(|tile| i16::from(tile.level)).collect::<Vec<_>>(),
        tiles.iter().map(|tile| signed(tile.index)).collect::<Vec<_>>(),
        tiles.iter().map(audit::tiles::Tile::to_bytes).collect::<Vec<_>>(),
    ]
}
