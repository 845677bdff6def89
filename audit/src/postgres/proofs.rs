//! Proofs for any position and size, read from stored tiles; and the export of a database.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::PgConnection;

use super::{DatabaseError, head, leaf_hashes, rows, tile_roots, tiles};
use crate::export::ExportWriter;
use crate::merkle::{self, Hash, MerkleError, Node};

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
