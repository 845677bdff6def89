//! A range of the log, proved by its tree: much cheaper than a signature for each event.
//!
//! The tree's right edge before the range comes from stored tiles, which are not authenticated; but if the root made from
//! it and from the events of the range is the one of a signed checkpoint, then all of it is what was signed.

use std::collections::VecDeque;

use sqlx::PgConnection;

use super::damage::{Damage, ReadError};
use super::examine::{Examined, Fetched, examine};
use super::reader::{LogReader, VerifiedEvent, verify_signature};
use super::{LogRow, PAGE, StoredKeyring, leaf_hashes, load_tiles, rows, signed, unsigned};
use crate::merkle::{CompactRange, Hash, MAX_SIZE};
use crate::verify::FindingKind;

/// How many right edges are remembered: of the ranges read last, so that a sequential reader needs no tiles.
const FRONTIERS_MAX: usize = 32;

/// Right edges that a checkpoint has proved, the newest last.
#[derive(Debug, Default)]
pub(super) struct Frontiers(VecDeque<CompactRange>);

impl Frontiers {
    fn at(&self, size: u64) -> Option<CompactRange> {
        self.0.iter().rev().find(|tree| tree.size() == size).cloned()
    }

    fn keep(&mut self, tree: CompactRange) {
        self.0.retain(|known| known.size() != tree.size());
        if self.0.len() >= FRONTIERS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(tree);
    }
}

impl LogReader {
    /// The events from `from` on, in order, proved by one signed checkpoint. At most [`PAGE`] of them, and none at
    /// or beyond `to` or the head; fewer where that ends with a checkpoint. Empty only if `from` is at the end.
    ///
    /// Cheapest for a reader that continues where the last call ended.
    pub async fn verify_range(
        &self,
        connection: &mut PgConnection,
        from: u64,
        to: u64,
    ) -> Result<Vec<VerifiedEvent>, ReadError> {
        let to = to.min(from.saturating_add(PAGE as u64)).min(MAX_SIZE);
        let known = self.size();
        let end = if to <= known { known } else { self.head(connection).await?.size };
        let to = to.min(end);
        if from >= to {
            return Ok(Vec::new());
        }
        let keyring = self.keyring(connection).await?;
        let stored = rows(connection, from, to).await?;
        let reader = self.clone();
        let (stored, examined) = tokio::task::spawn_blocking(move || {
            let examined = reader.examine_range(&stored, from, to);
            (stored, examined)
        })
        .await
        .map_err(|_| ReadError::GivenUp)?;
        let examined = examined?;
        let leaves: Vec<Hash> = examined.iter().map(|examined| examined.leaf).collect();
        let proved = self.prove(connection, &keyring, from, &leaves, end).await?;
        let Some(proved) = proved else {
            // The tree does not say which: the signatures may.
            for (row, examined) in stored.iter().zip(&examined) {
                verify_signature(row, examined, Some(&keyring))?;
            }
            let detail = format!("the events up to {to} do not make the root of their checkpoint");
            return Err(Damage::new(from, FindingKind::Root, detail).into());
        };
        let events = stored.into_iter().zip(examined).take(proved);
        Ok(events.map(|(row, examined)| VerifiedEvent::proved(row, examined)).collect())
    }

    fn examine_range(
        &self,
        stored: &[LogRow],
        from: u64,
        to: u64,
    ) -> Result<Vec<Examined>, Damage> {
        let shared = &*self.shared;
        let mut examined = Vec::with_capacity(stored.len());
        for (row, position) in stored.iter().zip(from..) {
            if row.position != position {
                return Err(missing(position));
            }
            examined.push(examine(row, &shared.origin, &shared.policy, Fetched::Whole)?);
        }
        match from + examined.len() as u64 {
            end if end < to => Err(missing(end)),
            _ => Ok(examined),
        }
    }

    /// How many of these leaves are proved to stand from `from` on; `None` if they are not.
    async fn prove(
        &self,
        connection: &mut PgConnection,
        keyring: &StoredKeyring,
        from: u64,
        leaves: &[Hash],
        end: u64,
    ) -> Result<Option<usize>, ReadError> {
        let remembered = {
            let index = self.index();
            let mut each = (from..).zip(leaves).map(|(position, leaf)| index.holds(position, leaf));
            each.try_fold(true, |all, one| Some(all && one?))
        };
        match remembered {
            Some(true) => return Ok(Some(leaves.len())),
            Some(false) => return Ok(None),
            None => {}
        }
        let to = from + leaves.len() as u64;
        let (size, note) = covering(connection, from, to, end).await?;
        let checkpoint = self.checkpoint(keyring, size, &note)?;
        let known = self.frontiers().at(from);
        let mut tree = match known {
            Some(tree) => tree,
            None => right_edge(connection, from).await?,
        };
        for leaf in leaves.iter().take(usize::try_from(size - from).unwrap_or(usize::MAX)) {
            tree.push(*leaf);
        }
        let edge = tree.clone();
        // One append may be longer than a page. Its other leaves are proved along with it, and not looked at.
        while tree.size() < size {
            let more = leaf_hashes(connection, tree.size(), size).await?;
            if more.is_empty() {
                return Err(missing(tree.size()).into());
            }
            more.iter().for_each(|leaf| tree.push(*leaf));
        }
        if tree.root() != checkpoint.root {
            return Ok(None);
        }
        self.frontiers().keep(edge);
        Ok(Some(leaves.len().min(usize::try_from(size - from).unwrap_or(usize::MAX))))
    }
}

/// The largest checkpoint within a range or, if one append is longer than that, the first one beyond.
pub(super) async fn covering(
    connection: &mut PgConnection,
    from: u64,
    to: u64,
    end: u64,
) -> Result<(u64, String), ReadError> {
    let found: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "(SELECT size, coalesce(note, '') FROM checkpoints WHERE size > $1 AND size <= $2 ORDER BY size DESC LIMIT 1)
         UNION ALL
         (SELECT size, coalesce(note, '') FROM checkpoints WHERE size > $2 AND size <= $3 ORDER BY size LIMIT 1)
         LIMIT 1",
    )
    .bind(signed(from))
    .bind(signed(to))
    .bind(signed(end))
    .fetch_optional(connection)
    .await?;
    let damage = |detail| Damage::new(to - 1, FindingKind::Checkpoint, detail);
    let (size, note) = found.ok_or_else(|| damage("no checkpoint covers it".to_owned()))?;
    let size = unsigned(size);
    let note = String::from_utf8(note)
        .map_err(|_| damage(format!("the checkpoint of size {size} is not text")))?;
    Ok((size, note))
}

/// The right edge of the first `size` leaves, as the stored tiles have it.
async fn right_edge(connection: &mut PgConnection, size: u64) -> Result<CompactRange, ReadError> {
    if size == 0 {
        return Ok(CompactRange::new());
    }
    let damage = || Damage::new(size - 1, FindingKind::Tile, "the stored tiles make no tree");
    let tiles = load_tiles(connection, size)
        .await
        .map_err(|error| ReadError::at(size - 1, FindingKind::Tile, error))?;
    Ok(tiles.compact_range().ok_or_else(damage)?)
}

pub(super) fn missing(position: u64) -> Damage {
    Damage::new(position, FindingKind::Missing, "nothing stands there")
}
