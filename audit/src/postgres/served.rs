//! What is served of the log to auditors: keys, tiles, bundles and proofs, each proved here before it is given away.
//!
//! The client verifies it again. But what cannot be proved would be the ledger vouching for what an attacker wrote into its
//! tables, so here it is damage, and is not served.

use std::sync::Arc;

use sqlx::PgConnection;

use super::damage::{Damage, ReadError};
use super::proofs::{self, read_nodes, root};
use super::range::missing;
use super::reader::{LogReader, VerifiedHead};
use super::{DatabaseError, StoredKeyring, leaf_hashes};
use crate::merkle::{
    CompactRange, Hash, leaf_hash, subtree_nodes, verify_consistency, verify_inclusion,
};
use crate::tiles::hashes_to_bytes;
use crate::verify::FindingKind;

impl LogReader {
    /// The log's public keys as of its head, each proved by the statement that activated it.
    pub async fn keys(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Arc<StoredKeyring>, ReadError> {
        self.head(connection).await?;
        self.keyring(connection).await
    }

    /// The inclusion proof of a position in the tree of the first `size` leaves, and the signed note of that size; `None`
    /// where no checkpoint of that size is stored. The head has its own, whatever the table of checkpoints holds.
    pub async fn inclusion(
        &self,
        connection: &mut PgConnection,
        head: &VerifiedHead,
        position: u64,
        size: u64,
    ) -> Result<Option<(Vec<Hash>, String)>, ReadError> {
        let at = |error| ReadError::at(position, FindingKind::Tile, error);
        let (signed_root, note) = if size == head.size {
            (head.root, head.note.clone())
        } else {
            let keyring = self.keyring(connection).await?;
            let Some(note) = super::checkpoint(connection, size).await.map_err(at)? else {
                return Ok(None);
            };
            (self.checkpoint(&keyring, size, &note)?.root, note)
        };
        let proof = proofs::inclusion(connection, position, size).await.map_err(at)?;
        let leaf = leaf_hashes(connection, position, position + 1).await.map_err(at)?;
        let leaf = leaf.first().ok_or_else(|| missing(position))?;
        verify_inclusion(leaf, position, size, &proof, &signed_root)
            .map_err(|error| at(error.into()))?;
        Ok(Some((proof, note)))
    }

    /// The consistency proof between two sizes: at least 1, and at most that of the head.
    pub async fn consistency(
        &self,
        connection: &mut PgConnection,
        head: &VerifiedHead,
        old: u64,
        new: u64,
    ) -> Result<Vec<Hash>, ReadError> {
        let proved: Result<Vec<Hash>, DatabaseError> = async {
            let (before, after) = (root(connection, old).await?, root(connection, new).await?);
            let proof = proofs::consistency(connection, old, new).await?;
            verify_consistency(old, new, &proof, &before, &after)?;
            // The stored tiles said so; what was signed must go on from there.
            let rest = proofs::consistency(connection, new, head.size).await?;
            verify_consistency(new, head.size, &rest, &after, &head.root)?;
            Ok(proof)
        }
        .await;
        proved.map_err(|error| ReadError::at(old.saturating_sub(1), FindingKind::Tile, error))
    }

    /// A hash tile of the log, complete or cut to `width` hashes; `None` where the log does not reach that far.
    pub async fn hash_tile(
        &self,
        connection: &mut PgConnection,
        level: u8,
        index: u64,
        width: usize,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let head = self.head(connection).await?;
        let Some((first, end)) = proofs::within(head.size, level, index, width) else {
            return Ok(None);
        };
        let height = 8 * level;
        let hashes = proofs::hash_tile(connection, level, first, end)
            .await
            .map_err(|error| ReadError::at(first << height, FindingKind::Tile, error))?;
        prove(connection, &head, height, first, &hashes).await?;
        Ok(Some(hashes_to_bytes(&hashes)))
    }

    /// A bundle of `width` entries of the log; `None` where the log does not reach that far.
    pub async fn entry_bundle(
        &self,
        connection: &mut PgConnection,
        index: u64,
        width: usize,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let head = self.head(connection).await?;
        let Some((first, end)) = proofs::within(head.size, 0, index, width) else {
            return Ok(None);
        };
        let entries = proofs::entries(connection, first, end).await?;
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry.as_bytes())).collect();
        prove(connection, &head, 0, first, &leaves).await?;
        let mut bundle = Vec::new();
        for (position, entry) in (first..).zip(&entries) {
            let length = u16::try_from(entry.len()).map_err(|_| {
                Damage::new(position, FindingKind::Statement, "it is longer than an entry may be")
            })?;
            bundle.extend_from_slice(&length.to_be_bytes());
            bundle.extend_from_slice(entry.as_bytes());
        }
        Ok(Some(bundle))
    }
}

/// Proves that these are the roots of perfect subtrees of one height, from the index `first` on: the tree that ends with
/// them must grow into the one that was signed.
async fn prove(
    connection: &mut PgConnection,
    head: &VerifiedHead,
    height: u8,
    first: u64,
    hashes: &[Hash],
) -> Result<(), ReadError> {
    let start = first << height;
    let end = (first + hashes.len() as u64) << height;
    let proved: Result<(), DatabaseError> = async {
        let before = read_nodes(connection, &[(0, start)]).await?;
        let before: Vec<Hash> =
            subtree_nodes(0, start).iter().filter_map(|node| before.get(node).copied()).collect();
        let mut tree = CompactRange::from_bytes(start, &hashes_to_bytes(&before))?;
        for hash in hashes {
            tree.push_subtree(height, *hash)?;
        }
        let rest = proofs::consistency(connection, end, head.size).await?;
        Ok(verify_consistency(end, head.size, &rest, &tree.root(), &head.root)?)
    }
    .await;
    proved.map_err(|error| ReadError::at(start, FindingKind::Tile, error))
}
