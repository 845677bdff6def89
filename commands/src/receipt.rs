//! What the caller of a command holds in hand afterwards: made at the append, or again from the log.

use std::collections::BTreeMap;

use audit::jws;
use audit::merkle::{Hash, HashSource, Node, inclusion_proof, inclusion_ranges, subtree_nodes};
use audit::statement::Statement;
use audit::tiles::{TILE_WIDTH, hashes_from_bytes};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

pub use audit::proof::{Receipt, ReceiptEvent};

use crate::error::CommandError;
use crate::sequencer::{Appended, Recorded, signed, unsigned};

/// The receipt of a command just appended.
pub(crate) fn of(command_id: Uuid, appended: Appended) -> Receipt {
    let Appended { append, checkpoint } = appended;
    let (stream_type, stream_id, version) = append.events.last().map_or_else(
        || (String::new(), Uuid::nil(), 0),
        |last| (last.stream_type.to_owned(), last.stream_id, last.sequence),
    );
    let events: Vec<ReceiptEvent> = append
        .events
        .into_iter()
        .zip(append.proofs)
        .zip(append.first..)
        .map(|((event, proof), position)| ReceiptEvent {
            position,
            event_id: event.event_id,
            event_type: event.event_type,
            jws: event.jws,
            proof,
        })
        .collect();
    Receipt {
        command_id,
        stream_type,
        stream_id,
        version,
        position: events.last().map(|event| event.position),
        events,
        checkpoint: checkpoint.to_string(),
        replayed: false,
    }
}

/// What the log remembers of a command.
pub(crate) async fn recorded(
    pool: &PgPool,
    command_id: Uuid,
) -> Result<Option<Recorded>, CommandError> {
    let row = sqlx::query(
        "SELECT request_mac, first_position, event_count, log_size FROM commands WHERE command_id = $1",
    )
    .bind(command_id)
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mac: &[u8] = row.try_get(0)?;
    let count: i32 = row.try_get(2)?;
    Ok(Some(Recorded {
        request_mac: mac.try_into().map_err(|_| damaged("a request MAC is malformed"))?,
        first: unsigned(row.try_get(1)?),
        count: unsigned(i64::from(count)),
        log_size: unsigned(row.try_get(3)?),
    }))
}

/// The same receipt again, from the log and its stored tiles.
pub(crate) async fn replay(
    pool: &PgPool,
    command_id: Uuid,
    recorded: Recorded,
) -> Result<Receipt, CommandError> {
    let mut connection = pool.acquire().await?;
    let checkpoint: Vec<u8> = sqlx::query("SELECT note FROM checkpoints WHERE size = $1")
        .bind(signed(recorded.log_size))
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    let checkpoint =
        String::from_utf8(checkpoint).map_err(|_| damaged("a checkpoint is not text"))?;
    let rows = sqlx::query(
        "SELECT position, event_id, event_type, aggregate_type, aggregate_id, sequence,
                header, statement, signature
           FROM events WHERE position >= $1 AND position < $2 ORDER BY position",
    )
    .bind(signed(recorded.first))
    .bind(signed(recorded.first + recorded.count))
    .fetch_all(&mut *connection)
    .await?;
    let positions = recorded.first..recorded.first + recorded.count;
    let nodes = read_nodes(&mut connection, positions, recorded.log_size).await?;
    let mut receipt = Receipt {
        command_id,
        stream_type: String::new(),
        stream_id: Uuid::nil(),
        version: 0,
        position: None,
        events: Vec::with_capacity(rows.len()),
        checkpoint,
        replayed: true,
    };
    for row in &rows {
        let position = unsigned(row.try_get(0)?);
        let signature: &[u8] = row.try_get(8)?;
        let signature = signature.try_into().map_err(|_| damaged("a signature is not 64 bytes"))?;
        receipt.stream_type = row.try_get(3)?;
        receipt.stream_id = row.try_get(4)?;
        receipt.version = unsigned(row.try_get(5)?);
        receipt.position = Some(position);
        receipt.events.push(ReceiptEvent {
            position,
            event_id: row.try_get(1)?,
            event_type: row.try_get(2)?,
            jws: jws::compact(row.try_get(6)?, row.try_get(7)?, signature),
            proof: inclusion_proof(position, recorded.log_size, &nodes)
                .map_err(|error| CommandError::Damaged(Box::new(error)))?,
        });
    }
    Ok(receipt)
}

/// Who did what a receipt is for, as it was signed.
pub(crate) fn actor(receipt: &Receipt) -> Option<Uuid> {
    let first = receipt.events.first()?;
    let parts = jws::parse_compact(&first.jws).ok()?;
    Some(Statement::parse(&parts.statement).ok()?.actor.id)
}

/// The tree's nodes that the proofs of these positions are made of, read from complete tiles and, at
/// the right edge of the tree of that time, from leaf hashes.
async fn read_nodes(
    connection: &mut PgConnection,
    positions: std::ops::Range<u64>,
    size: u64,
) -> Result<BTreeMap<Node, Hash>, CommandError> {
    let mut nodes = BTreeMap::new();
    let mut tiles = BTreeMap::new();
    for position in positions {
        let ranges = inclusion_ranges(position, size)
            .map_err(|error| CommandError::Damaged(Box::new(error)))?;
        for (start, end) in ranges {
            for node in subtree_nodes(start, end) {
                if let std::collections::btree_map::Entry::Vacant(entry) = nodes.entry(node) {
                    entry.insert(read_node(connection, &mut tiles, node).await?);
                }
            }
        }
    }
    Ok(nodes)
}

type Tiles = BTreeMap<(u8, u64), Vec<Hash>>;

async fn read_node(
    connection: &mut PgConnection,
    tiles: &mut Tiles,
    node: Node,
) -> Result<Hash, CommandError> {
    let missing = || damaged("a part of the tree is missing");
    let (level, height) = (node.level / 8, node.level % 8);
    let width = 1_u64 << height;
    let first = node.index * width;
    let tile = first / TILE_WIDTH as u64;
    if !tiles.contains_key(&(level, tile)) {
        let hashes = read_tile(connection, level, tile).await?;
        tiles.insert((level, tile), hashes);
    }
    let at = usize::try_from(first % TILE_WIDTH as u64).unwrap_or(usize::MAX);
    let hashes = tiles.get(&(level, tile)).ok_or_else(missing)?;
    let run = hashes.get(at..at + (1_usize << height)).ok_or_else(missing)?;
    run.node(Node { level: height, index: 0 }).map_err(|_| missing())
}

/// A tile, complete or not. An incomplete one of the leaves is read from the events; an incomplete one
/// above holds the roots of the complete ones below.
async fn read_tile(
    connection: &mut PgConnection,
    level: u8,
    index: u64,
) -> Result<Vec<Hash>, CommandError> {
    let malformed = || damaged("a tile is malformed");
    let stored = sqlx::query("SELECT hashes FROM tiles WHERE level = $1 AND index = $2")
        .bind(i16::from(level))
        .bind(signed(index))
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = stored {
        return hashes_from_bytes(row.try_get(0)?).ok_or_else(malformed);
    }
    let width = TILE_WIDTH as u64;
    let (first, end) = (index * width, (index + 1) * width);
    let query = match level.checked_sub(1) {
        None => sqlx::query(
            "SELECT leaf_hash FROM events WHERE position >= $1 AND position < $2 ORDER BY position",
        ),
        Some(below) => sqlx::query(
            "SELECT hashes FROM tiles WHERE level = $3 AND index >= $1 AND index < $2 ORDER BY index",
        )
        .bind(signed(first))
        .bind(signed(end))
        .bind(i16::from(below)),
    };
    let query = if level == 0 { query.bind(signed(first)).bind(signed(end)) } else { query };
    let rows = query.fetch_all(&mut *connection).await?;
    let mut hashes = Vec::with_capacity(rows.len());
    for row in &rows {
        let parts = hashes_from_bytes(row.try_get(0)?).ok_or_else(malformed)?;
        let height = if level == 0 { 0 } else { 8 };
        hashes.push(
            parts.as_slice().node(Node { level: height, index: 0 }).map_err(|_| malformed())?,
        );
    }
    Ok(hashes)
}

fn damaged(what: &'static str) -> CommandError {
    CommandError::Damaged(what.into())
}
