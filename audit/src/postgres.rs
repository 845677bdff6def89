//! The log's tables, read-only: the one reader of events and the watch over the log, the right edge, rows in bounded
//! pages, proofs from stored tiles, and the verification of a whole database.

use jiff::Timestamp;
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{PgConnection, Row as _, ValueRef as _};
use uuid::Uuid;

use crate::merkle::{Hash, MerkleError};
use crate::tiles::{Tile, TileBuilder, TileNeeds};
use crate::verify::LogEntry;

mod bounds;
mod damage;
mod examine;
mod index;
mod keyring;
#[cfg(feature = "seal")]
mod keys;
mod lenient;
mod proofs;
mod range;
mod reader;
mod served;
mod tags;
mod verification;
mod watch;

pub use damage::{Damage, ReadError};
use examine::Fetched;
pub use examine::LogPolicy;
pub use index::StreamSeen;
pub use keyring::{StoredKeyring, keyring};
#[cfg(feature = "seal")]
pub use keys::{DataKeyError, DataKeys, StoredKey};
pub use lenient::column;
pub use proofs::{consistency, export_database, inclusion, root};
pub use reader::{LogReader, StreamEnd, VerifiedEvent, VerifiedHead};
pub use tags::EventTags;
pub use verification::{Progress, verify_database, verify_snapshot};
pub use watch::{AppendedEvent, LogHealth, LogWatch, Reread};

/// Rows in a page. A row holds at most about a megabyte.
pub const PAGE: i64 = 256;

/// What can go wrong while reading the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Postgres.
    #[error("the log could not be read from Postgres")]
    Sqlx(#[from] sqlx::Error),
    /// The tree.
    #[error("the stored tree is not complete")]
    Merkle(#[from] MerkleError),
    /// A stored value is not of its format.
    #[error("the stored {what} is malformed")]
    Malformed {
        /// Which value.
        what: &'static str,
    },
    /// The log's own events.
    #[error("the log's own events do not make a keyring")]
    Keyring(#[from] crate::keyring::KeyringError),
    /// The signature of one of them.
    #[error("an event of the log's own is not signed by an active key")]
    Signature(#[from] crate::jws::JwsError),
    /// Writing an export.
    #[error("the export could not be written")]
    Export(#[from] crate::export::ExportError),
    /// There is no log yet.
    #[error("this database holds no log yet")]
    Empty,
}

/// The right edge of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log's identity.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Its compact range.
    pub frontier: Vec<u8>,
    /// The signed note of its size.
    pub checkpoint: Vec<u8>,
    /// The time of the last event; `None` if the column holds no time of this era.
    pub last_recorded_at: Option<Timestamp>,
}

/// A row of `events`, every column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are described in the migration")]
pub struct LogRow {
    pub position: u64,
    pub event_id: Uuid,
    pub aggregate_type: String,
    pub aggregate_id: Uuid,
    pub sequence: i64,
    pub event_type: String,
    pub event_version: String,
    pub subject: Option<Uuid>,
    pub command_id: Uuid,
    /// `None` if the column holds no time of this era.
    pub recorded_at: Option<Timestamp>,
    pub header: Vec<u8>,
    pub statement: Vec<u8>,
    pub signature: Vec<u8>,
    pub payload: Vec<u8>,
    pub leaf_hash: Vec<u8>,
    pub tag: Option<Vec<u8>>,
}

impl LogRow {
    /// The row as the verifier takes it. A signature of another length than 64 becomes zeros,
    /// which no key ever signs.
    #[must_use]
    pub fn to_entry(&self) -> LogEntry {
        LogEntry {
            position: self.position,
            header: self.header.clone(),
            statement: self.statement.clone(),
            signature: <[u8; 64]>::try_from(self.signature.as_slice()).unwrap_or([0; 64]),
            payload: Some(self.payload.clone()),
            // Another length cannot be the hash of anything: zeros, which differ from every leaf.
            leaf_hash: Some(Hash::from_slice(&self.leaf_hash).unwrap_or(Hash([0; 32]))),
        }
    }
}

const COLUMNS: &str = "position, event_id, aggregate_type, aggregate_id, sequence, event_type, \
    event_version, subject, command_id, recorded_at, header, statement, signature, payload, leaf_hash, tag";

impl<'r> sqlx::FromRow<'r, PgRow> for LogRow {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            position: row.try_get::<Option<i64>, _>("position")?.map_or(u64::MAX, unsigned),
            event_id: given(row, "event_id")?,
            aggregate_type: given(row, "aggregate_type")?,
            aggregate_id: given(row, "aggregate_id")?,
            sequence: given(row, "sequence")?,
            event_type: given(row, "event_type")?,
            event_version: given(row, "event_version")?,
            subject: row.try_get("subject")?,
            command_id: given(row, "command_id")?,
            recorded_at: instant(row, "recorded_at")?,
            header: given(row, "header")?,
            statement: given(row, "statement")?,
            signature: given(row, "signature")?,
            payload: given(row, "payload")?,
            leaf_hash: given(row, "leaf_hash")?,
            tag: row.try_get("tag")?,
        })
    }
}

/// A column that is never null in a genuine row: where it is, the constraint was removed, and its default shows as
/// damage of that row and not as a failure of the database.
fn given<T>(row: &PgRow, column: &str) -> Result<T, sqlx::Error>
where
    T: Default + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    Ok(row.try_get::<Option<T>, _>(column)?.unwrap_or_default())
}

/// Negative numbers are impossible by the table's checks; a damaged one becomes the largest.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a `timestamptz` from its wire form, microseconds since 2000, so that a damaged value
/// (or infinity) is distinguished from a database that cannot be read.
fn instant(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    const YEAR_2000: i64 = 946_684_800_000_000;
    let value = row.try_get_raw(column)?;
    if value.is_null() || value.format() != PgValueFormat::Binary {
        return Ok(None);
    }
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    let micros = <[u8; 8]>::try_from(bytes).map(i64::from_be_bytes).ok();
    Ok(micros
        .and_then(|micros| micros.checked_add(YEAR_2000))
        .and_then(|micros| Timestamp::from_microsecond(micros).ok()))
}

/// The right edge; `None` before the genesis.
pub async fn head(connection: &mut PgConnection) -> Result<Option<Head>, DatabaseError> {
    let row =
        sqlx::query("SELECT origin, size, frontier, checkpoint, last_recorded_at FROM ledger_head")
            .fetch_optional(connection)
            .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Head {
        origin: given(&row, "origin")?,
        size: unsigned(row.try_get("size")?),
        frontier: given(&row, "frontier")?,
        checkpoint: given(&row, "checkpoint")?,
        last_recorded_at: instant(&row, "last_recorded_at")?,
    }))
}

/// The rows of `from..to` in order, at most [`PAGE`] of them.
pub async fn rows(
    connection: &mut PgConnection,
    from: u64,
    to: u64,
) -> Result<Vec<LogRow>, DatabaseError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE position >= $1 AND position < $2 \
         ORDER BY position LIMIT $3"
    );
    let rows = sqlx::query_as(&sql)
        .bind(signed(from))
        .bind(signed(to))
        .bind(PAGE)
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// All the rows of `from..to` in order, with or without their payloads: the caller bounds the range.
async fn rows_limited(
    connection: &mut PgConnection,
    from: u64,
    to: u64,
    fetched: Fetched,
) -> Result<Vec<LogRow>, sqlx::Error> {
    let columns = match fetched {
        Fetched::Whole => COLUMNS.to_owned(),
        Fetched::WithoutPayload => COLUMNS.replace("payload", "''::bytea AS payload"),
    };
    let sql = format!(
        "SELECT {columns} FROM events WHERE position >= $1 AND position < $2 ORDER BY position"
    );
    sqlx::query_as(&sql).bind(signed(from)).bind(signed(to)).fetch_all(connection).await
}

/// The signed checkpoint of a size, where one was published.
pub async fn checkpoint(
    connection: &mut PgConnection,
    size: u64,
) -> Result<Option<String>, DatabaseError> {
    let note: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT coalesce(note, '') FROM checkpoints WHERE size = $1")
            .bind(signed(size))
            .fetch_optional(connection)
            .await?;
    note.map(|note| {
        String::from_utf8(note).map_err(|_| DatabaseError::Malformed { what: "checkpoint" })
    })
    .transpose()
}

/// The leaf hashes of `from..to` as stored; at most a tile of them.
async fn leaf_hashes(
    connection: &mut PgConnection,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, DatabaseError> {
    let hashes: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT coalesce(leaf_hash, '') FROM events WHERE position >= $1 AND position < $2 ORDER BY position",
    )
    .bind(signed(from))
    .bind(signed(to.min(from.saturating_add(256))))
    .fetch_all(connection)
    .await?;
    hashes
        .iter()
        .map(|hash| Hash::from_slice(hash).ok_or(DatabaseError::Malformed { what: "leaf hash" }))
        .collect()
}

/// Stored complete tiles of one level, in order; at most 256 of them.
async fn tiles(
    connection: &mut PgConnection,
    level: u8,
    from: u64,
    to: u64,
) -> Result<Vec<Tile>, DatabaseError> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT index, coalesce(hashes, '') FROM tiles WHERE level = $1 AND index >= $2 AND index < $3 \
         ORDER BY index",
    )
    .bind(i16::from(level))
    .bind(signed(from))
    .bind(signed(to.min(from.saturating_add(256))))
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(index, hashes)| {
            Tile::from_bytes(level, unsigned(index), &hashes)
                .ok_or(DatabaseError::Malformed { what: "tile" })
        })
        .collect()
}

async fn tile_roots(
    connection: &mut PgConnection,
    level: u8,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, DatabaseError> {
    let tiles = tiles(connection, level, from, to).await?;
    Ok(tiles.iter().filter_map(Tile::root).collect())
}

/// Restores the incomplete tiles of a log of `size` leaves from stored tiles and leaf hashes. Its
/// [`TileBuilder::compact_range`] must equal the stored frontier: that is the writer's check of
/// its right edge.
pub async fn load_tiles(
    connection: &mut PgConnection,
    size: u64,
) -> Result<TileBuilder, DatabaseError> {
    let needs = TileNeeds::of(size);
    let leaves = leaf_hashes(connection, needs.leaves.start, needs.leaves.end).await?;
    let mut roots = Vec::with_capacity(needs.tiles.len());
    for (level, range) in (0u8..).zip(&needs.tiles) {
        roots.push(tile_roots(connection, level, range.start, range.end).await?);
    }
    Ok(TileBuilder::restore(size, leaves, roots)?)
}
