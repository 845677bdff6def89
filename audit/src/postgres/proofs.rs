//! Proofs for any position and size, tiles and bundles, as the tables have them, which are not authenticated: the code that
//! serves them proves them first ([`super::served`]). And the export of a database.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::PgConnection;

use super::damage::{Damage, ReadError};
use super::range::missing;
use super::{DatabaseError, head, leaf_hashes, rows, signed, tile_roots, tiles, unsigned};
use crate::export::ExportWriter;
use crate::jws;
use crate::merkle::{self, Hash, MerkleError, Node};
use crate::tiles::TILE_WIDTH;
use crate::verify::FindingKind;

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

/// The hashes `first..end` of a level, which lie in one tile.
pub(super) async fn hash_tile(
    connection: &mut PgConnection,
    level: u8,
    first: u64,
    end: u64,
) -> Result<Vec<Hash>, DatabaseError> {
    let index = first / TILE_WIDTH as u64;
    let width = usize::try_from(end - first).unwrap_or_default();
    let hashes = match tiles(connection, level, index, index + 1).await?.pop() {
        Some(tile) => tile.hashes[..width].to_vec(),
        None if level == 0 => leaf_hashes(connection, first, end).await?,
        None => tile_roots(connection, level - 1, first, end).await?,
    };
    if hashes.len() != width {
        return Err(MerkleError::MissingNode { level: 8 * level, index: first }.into());
    }
    Ok(hashes)
}

/// The entries `first..end` of the log.
pub(super) async fn entries(
    connection: &mut PgConnection,
    first: u64,
    end: u64,
) -> Result<Vec<String>, ReadError> {
    /// Position, header, statement, signature.
    type Stored = (i64, Vec<u8>, Vec<u8>, Vec<u8>);
    let rows: Vec<Stored> = sqlx::query_as(
        "SELECT position, coalesce(header, ''), coalesce(statement, ''), coalesce(signature, '') FROM events
          WHERE position >= $1 AND position < $2 ORDER BY position",
    )
    .bind(signed(first))
    .bind(signed(end))
    .fetch_all(connection)
    .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for (position, (stored, header, statement, signature)) in (first..).zip(rows) {
        if unsigned(stored) != position {
            return Err(missing(position).into());
        }
        let signature = signature.as_slice().try_into().map_err(|_| {
            Damage::new(position, FindingKind::Signature, "the signature has not 64 bytes")
        })?;
        entries.push(jws::compact(&header, &statement, signature));
    }
    match first + entries.len() as u64 {
        next if next < end => Err(missing(next).into()),
        _ => Ok(entries),
    }
}

/// The range of hashes of that level which a tile holds, if a log of this size has all of them.
pub(super) fn within(size: u64, level: u8, index: u64, width: usize) -> Option<(u64, u64)> {
    let hashes = 256u64.checked_pow(u32::from(level)).map_or(0, |span| size / span);
    let first = index.checked_mul(TILE_WIDTH as u64)?;
    let end = first.checked_add(width as u64)?;
    ((1..=TILE_WIDTH).contains(&width) && end <= hashes).then_some((first, end))
}

/// Reads the perfect subtrees that make up the ranges: one tile serves many of them.
pub(super) async fn read_nodes(
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
