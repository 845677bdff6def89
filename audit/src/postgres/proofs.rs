//! Proofs for any position and size, tiles and bundles as they are served, read from stored tiles; and the
//! export of a database.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::PgConnection;

use super::{DatabaseError, head, leaf_hashes, rows, signed, tile_roots, tiles};
use crate::export::ExportWriter;
use crate::jws;
use crate::merkle::{self, Hash, MerkleError, Node};
use crate::tiles::{TILE_WIDTH, hashes_to_bytes};

/// The inclusion proof of a position in the tree of `size` leaves, which must not be larger than
/// the log.
pub async fn inclusion(
    connection: &mut PgConnection,
    position: u64,
    size: u64,
) -> Result<Vec<Hash>, DatabaseError> {
    let nodes = read_nodes(connection, &merkle::inclusion_ranges(position, size)?).await?;
    Ok(merkle::inclusion_proof(position, size, &nodes)?)
}

/// The consistency proof between two sizes of the log.
pub async fn consistency(
    connection: &mut PgConnection,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, DatabaseError> {
    let nodes = read_nodes(connection, &merkle::consistency_ranges(old, new)?).await?;
    Ok(merkle::consistency_proof(old, new, &nodes)?)
}

/// The root of the tree of the first `size` leaves, from stored tiles.
pub async fn root(connection: &mut PgConnection, size: u64) -> Result<Hash, DatabaseError> {
    if size == 0 {
        return Ok(merkle::empty_root());
    }
    let nodes = read_nodes(connection, &[(0, size)]).await?;
    Ok(merkle::tree_root(size, &nodes)?)
}

/// A hash tile of the log as it stands, complete or cut to `width` hashes; `None` where the log does
/// not reach that far.
pub async fn hash_tile(
    connection: &mut PgConnection,
    level: u8,
    index: u64,
    width: usize,
) -> Result<Option<Vec<u8>>, DatabaseError> {
    let Some((first, end)) = within(connection, level, index, width).await? else {
        return Ok(None);
    };
    let stored = tiles(connection, level, index, index + 1).await?.pop();
    let hashes = match stored {
        Some(tile) => tile.hashes[..width].to_vec(),
        None if level == 0 => leaf_hashes(connection, first, end).await?,
        None => tile_roots(connection, level - 1, first, end).await?,
    };
    if hashes.len() != width {
        return Err(MerkleError::MissingNode { level: 8 * level, index: first }.into());
    }
    Ok(Some(hashes_to_bytes(&hashes)))
}

/// A bundle of `width` entries of the log as it stands; `None` where the log does not reach that far.
pub async fn entry_bundle(
    connection: &mut PgConnection,
    index: u64,
    width: usize,
) -> Result<Option<Vec<u8>>, DatabaseError> {
    let Some((first, end)) = within(connection, 0, index, width).await? else { return Ok(None) };
    let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT header, statement, signature FROM events WHERE position >= $1 AND position < $2 \
         ORDER BY position",
    )
    .bind(signed(first))
    .bind(signed(end))
    .fetch_all(connection)
    .await?;
    if rows.len() != width {
        let index = first + rows.len() as u64;
        return Err(MerkleError::MissingNode { level: 0, index }.into());
    }
    let malformed = || DatabaseError::Malformed { what: "entry" };
    let mut bundle = Vec::new();
    for (header, statement, signature) in rows {
        let signature = signature.as_slice().try_into().map_err(|_| malformed())?;
        let entry = jws::compact(&header, &statement, signature);
        let length = u16::try_from(entry.len()).map_err(|_| malformed())?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry.as_bytes());
    }
    Ok(Some(bundle))
}

/// The range of hashes of that level which a tile holds, if the log has all of them.
async fn within(
    connection: &mut PgConnection,
    level: u8,
    index: u64,
    width: usize,
) -> Result<Option<(u64, u64)>, DatabaseError> {
    let size = head(connection).await?.ok_or(DatabaseError::Empty)?.size;
    let hashes = 256u64.checked_pow(u32::from(level)).map_or(0, |span| size / span);
    let range = index.checked_mul(TILE_WIDTH as u64).and_then(|first| {
        let end = first.checked_add(width as u64)?;
        ((1..=TILE_WIDTH).contains(&width) && end <= hashes).then_some((first, end))
    });
    Ok(range)
}

/// Reads the perfect subtrees that make up the ranges: one tile serves many of them.
async fn read_nodes(
    connection: &mut PgConnection,
    ranges: &[(u64, u64)],
) -> Result<BTreeMap<Node, Hash>, DatabaseError> {
    let nodes: BTreeSet<Node> =
        ranges.iter().flat_map(|(start, end)| merkle::subtree_nodes(*start, *end)).collect();
    let mut stored = BTreeMap::new();
    let mut read = BTreeMap::new();
    for node in nodes {
        let (level, width) = (node.level / 8, 1u64 << (node.level % 8));
        let first = node.index * width;
        let tile = (level, first / 256);
        if let Entry::Vacant(vacant) = stored.entry(tile) {
            vacant.insert(tiles(connection, level, tile.1, tile.1 + 1).await?.pop());
        }
        let from = (first % 256) as usize;
        let hashes = match stored.get(&tile).and_then(Option::as_ref) {
            Some(tile) => tile.hashes[from..from + width as usize].to_vec(),
            // The tile at the right edge is not complete, so its hashes come from a level below.
            None if level == 0 => leaf_hashes(connection, first, first + width).await?,
            None => tile_roots(connection, level - 1, first, first + width).await?,
        };
        let missing = MerkleError::MissingNode { level: node.level, index: node.index };
        if hashes.len() as u64 != width {
            return Err(missing.into());
        }
        read.insert(node, merkle::perfect_root(&hashes).ok_or(missing)?);
    }
    Ok(read)
}

/// Exports the log as it stands into an empty or new folder; gives back the number of events.
pub async fn export_database(
    connection: &mut PgConnection,
    folder: &Path,
    mut progress: impl FnMut(super::Progress),
) -> Result<u64, DatabaseError> {
    let head = head(connection).await?.ok_or(DatabaseError::Empty)?;
    let mut writer = ExportWriter::create(folder)?;
    let mut next = 0;
    while next < head.size {
        let page = rows(connection, next, head.size).await?;
        if page.is_empty() {
            return Err(MerkleError::MissingNode { level: 0, index: next }.into());
        }
        for row in &page {
            writer.push(&row.to_entry())?;
            next = row.position + 1;
        }
        progress(super::Progress { done: next, total: head.size });
    }
    let note = String::from_utf8(head.checkpoint)
        .map_err(|_| DatabaseError::Malformed { what: "checkpoint" })?;
    writer.finish(&note)?;
    Ok(head.size)
}
