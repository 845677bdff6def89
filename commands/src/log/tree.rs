//! The log's Merkle tree as far as it is needed to append: its right edge, without anything older.

use audit::checkpoint::Checkpoint;
use audit::keyring::Keyring;
use audit::merkle::{Appended, CompactRange, Hash, verify_consistency};
use audit::postgres::{DatabaseError, consistency, load_tiles};
use audit::tiles::{Tile, TileBuilder};
use sqlx::{PgConnection, Row};

use super::number::signed;
use super::published::Published;
use crate::failpoints::failpoint;

/// How many leaf hashes are read at a time when another process has appended.
const CATCH_UP_PAGE: i64 = 4096;

/// Why the right edge could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("the database failed while the right edge was read")]
    Database(#[from] sqlx::Error),
    #[error("the stored tree is incomplete")]
    Tree(#[source] DatabaseError),
    #[error("{0}")]
    Damaged(String),
}

impl From<DatabaseError> for TreeError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Sqlx(error) => TreeError::Database(error),
            other => TreeError::Tree(other),
        }
    }
}

/// The perfect subtrees and the incomplete tiles of a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogTree {
    range: CompactRange,
    tiles: TileBuilder,
}

impl LogTree {
    pub(crate) fn size(&self) -> u64 {
        self.range.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.range.root()
    }

    pub(crate) fn frontier(&self) -> Vec<u8> {
        self.range.to_bytes()
    }

    /// Appends leaves; gives back their proofs and the tiles they completed.
    pub(crate) fn append(&mut self, leaves: &[Hash]) -> (Appended, Vec<Tile>) {
        let tiles = self.tiles.append(leaves);
        (self.range.append(leaves), tiles)
    }

    /// Recomputes the edge from the stored tiles and leaf hashes alone.
    pub(crate) async fn recompute(
        connection: &mut PgConnection,
        size: u64,
    ) -> Result<LogTree, TreeError> {
        failpoint!("recompute.before");
        let tiles = load_tiles(connection, size).await?;
        failpoint!("recompute.after");
        let range = tiles
            .compact_range()
            .ok_or_else(|| TreeError::Damaged("the stored tiles make no tree".to_owned()))?;
        Ok(LogTree { range, tiles })
    }

    /// Adds what other processes appended since, and checks that the result is their frontier.
    pub(crate) async fn catch_up(
        &mut self,
        connection: &mut PgConnection,
        size: u64,
        frontier: &[u8],
    ) -> Result<(), TreeError> {
        if size < self.size() {
            return Err(TreeError::Damaged(format!(
                "the log has shrunk from {} to {size} events",
                self.size()
            )));
        }
        while self.size() < size {
            let count = (size - self.size()).min(CATCH_UP_PAGE as u64);
            let leaves = read_leaves(connection, self.size(), count).await?;
            self.append(&leaves);
        }
        if self.frontier() == frontier {
            Ok(())
        } else {
            Err(TreeError::Damaged(format!(
                "the frontier of {size} events is not the one of their leaf hashes"
            )))
        }
    }
}

impl LogTree {
    /// The tree must be the one that a checkpoint says, signed by a key active at its size.
    pub(crate) fn compare(&self, note: &[u8], keyring: &Keyring) -> Result<(), TreeError> {
        let size = self.size();
        let damaged =
            |what: &str| TreeError::Damaged(format!("the checkpoint of {size} events {what}"));
        let note = std::str::from_utf8(note).map_err(|_| damaged("is not text"))?;
        let checkpoint = Checkpoint::from_note(note, &keyring.verifiers(size))
            .map_err(|_| damaged("is not signed by an active key"))?;
        if checkpoint.origin != keyring.origin() || checkpoint.size != size {
            return Err(damaged("speaks of another log or size"));
        }
        if checkpoint.root != self.root() {
            return Err(damaged("has another root than the stored leaf hashes"));
        }
        Ok(())
    }

    /// The tree must contain what this process has published: a log that was set back must not be forked.
    pub(crate) async fn continues(
        &self,
        connection: &mut PgConnection,
        published: &Published,
    ) -> Result<(), TreeError> {
        let (old, new) = (published.size, self.size());
        let damaged =
            |what: &str| TreeError::Damaged(format!("the log of {new} events {what} of {old}"));
        let before = Checkpoint::peek(&published.checkpoint)
            .map_err(|_| damaged("follows a malformed checkpoint"))?;
        if new < old {
            return Err(damaged("is shorter than the published one"));
        }
        let proof = if new == old { Vec::new() } else { consistency(connection, old, new).await? };
        verify_consistency(old, new, &proof, &before.root, &self.root())
            .map_err(|_| damaged("does not contain the published one"))
    }
}

async fn read_leaves(
    connection: &mut PgConnection,
    first: u64,
    count: u64,
) -> Result<Vec<Hash>, TreeError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    failpoint!("catch-up.before");
    let rows = sqlx::query(
        "SELECT position, leaf_hash FROM events WHERE position >= $1 AND position < $2 ORDER BY position",
    )
    .bind(signed(first))
    .bind(signed(first + count))
    .fetch_all(&mut *connection)
    .await?;
    failpoint!("catch-up.after");
    let mut leaves = Vec::with_capacity(rows.len());
    for (row, position) in rows.iter().zip(first..) {
        let found: i64 = row.try_get(0)?;
        let bytes: &[u8] = row.try_get(1)?;
        let leaf = Hash::from_slice(bytes).filter(|_| found == signed(position));
        leaves.push(leaf.ok_or_else(|| missing(position))?);
    }
    if leaves.len() as u64 == count {
        Ok(leaves)
    } else {
        Err(missing(first + leaves.len() as u64))
    }
}

fn missing(position: u64) -> TreeError {
    TreeError::Damaged(format!("event {position} is missing"))
}
