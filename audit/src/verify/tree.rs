//! Which hashes of an export the signed root vouches for: what tells a changed entry from a changed tile.
//!
//! The leaves come in blocks of 256, as the tiles do. For each block there are up to three sources of its root: made
//! from the entries, made from the tile of level 0, and kept in the tile of level 1. A combination of them that leads
//! to the signed root is the truth, since a second preimage is infeasible to find; whatever differs from it was changed.

use crate::merkle::{CompactRange, Hash, node_hash, perfect_root};
use crate::tiles::TILE_WIDTH;

/// What is known of 256 neighbouring leaves, or of the fewer ones at the end.
#[derive(Debug, Default)]
pub(crate) struct Block {
    made: Option<PartialTree>,
    kept: Option<PartialTree>,
    above: Option<Hash>,
    /// The first leaf, within the block, whose entry is missing or not the one of the tile.
    differs: Option<u64>,
    /// How many leaves it has.
    width: u64,
}

/// The leaves of one source, hashed together as far as they can be.
type PartialTree = CompactRange;

/// Which source has the leaves that lead to the signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BlockSource {
    /// The entries are those of the log; the tile of level 0 may differ, first at this leaf (or as a whole).
    Entries {
        /// How the tile differs, if it does.
        tile: Option<Option<u64>>,
    },
    /// The tile of level 0 is that of the log, and the entries first differ at this leaf.
    Tile {
        /// Which leaf within the block.
        leaf: u64,
    },
    /// Neither is: only the tile of level 1 knows the block's root.
    Above,
}

/// The blocks of a whole export.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    blocks: Vec<Block>,
}

#[derive(Clone, Copy)]
enum LeafSource {
    Made,
    Kept,
    Above,
    Majority,
}

fn range(leaves: &[Hash]) -> CompactRange {
    let mut range = CompactRange::new();
    leaves.iter().for_each(|leaf| range.push(*leaf));
    range
}

impl Blocks {
    /// Adds a block of `width` leaves: the leaf hashes of its entries, `None` where it is missing, and its tile.
    pub(crate) fn push(&mut self, width: usize, entries: &[Option<Hash>], tile: Option<&[Hash]>) {
        let whole: Option<Vec<Hash>> = entries.iter().copied().collect();
        let differs = (0..width).find(|at| {
            let entry = entries.get(*at).copied().flatten();
            entry.is_none() || tile.is_some_and(|tile| tile.get(*at).copied() != entry)
        });
        self.blocks.push(Block {
            made: whole.filter(|whole| whole.len() == width).map(|whole| range(&whole)),
            kept: tile.map(range),
            above: None,
            differs: differs.map(|at| at as u64),
            width: width as u64,
        });
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Adds what a tile of level 1 says of the complete blocks from `first` on.
    pub(crate) fn above(&mut self, first: usize, hashes: &[Hash]) {
        for (block, hash) in self.blocks.iter_mut().skip(first).zip(hashes) {
            block.above = Some(*hash);
        }
    }

    /// The leaf at which entries and tile first disagree, over all blocks.
    pub(crate) fn first_difference(&self) -> Option<u64> {
        let found =
            self.blocks.iter().enumerate().find_map(|(at, block)| Some((at, block.differs?)));
        found.map(|(at, leaf)| at as u64 * TILE_WIDTH as u64 + leaf)
    }

    /// The root of a complete block, from one source.
    fn choose(&self, at: usize, source: LeafSource) -> Option<Hash> {
        let block = &self.blocks[at];
        let made = block.made.as_ref().map(PartialTree::root);
        let kept = block.kept.as_ref().map(PartialTree::root);
        match source {
            LeafSource::Made => made,
            LeafSource::Kept => kept,
            LeafSource::Above => block.above,
            LeafSource::Majority if made.is_some() && (made == kept || made == block.above) => made,
            LeafSource::Majority => kept.or(block.above).or(made),
        }
    }

    /// The roots of all complete blocks, of which the signed root is made together with the entries or the tile at
    /// the end; and what is true of each block. `None`: no combination leads to the root.
    pub(crate) fn resolve(&self, root: &Hash) -> Option<(Vec<Hash>, Vec<BlockSource>)> {
        let complete = self.blocks.iter().filter(|block| block.width == TILE_WIDTH as u64).count();
        let tail = self.blocks.get(complete);
        let tails =
            [tail.and_then(|tail| tail.made.as_ref()), tail.and_then(|tail| tail.kept.as_ref())];
        for source in [LeafSource::Made, LeafSource::Kept, LeafSource::Above, LeafSource::Majority]
        {
            let chosen: Option<Vec<Hash>> =
                (0..complete).map(|at| self.choose(at, source)).collect();
            let Some(chosen) = chosen else { continue };
            for end in tails {
                if tail.is_some() && end.is_none() || combine(&chosen, end) != *root {
                    continue;
                }
                let end = end.map(PartialTree::root);
                let truths = chosen.iter().copied().chain(end);
                let truths = self.blocks.iter().zip(truths).map(|(block, root)| block.truth(&root));
                let truths = truths.collect();
                return Some((chosen, truths));
            }
        }
        None
    }
}

impl Block {
    fn truth(&self, root: &Hash) -> BlockSource {
        let is = |side: &Option<PartialTree>| side.as_ref().map(PartialTree::root) == Some(*root);
        match (is(&self.made), is(&self.kept)) {
            (true, true) => BlockSource::Entries { tile: None },
            (true, false) => BlockSource::Entries { tile: Some(self.differs) },
            (false, true) => BlockSource::Tile { leaf: self.differs.unwrap_or_default() },
            (false, false) => BlockSource::Above,
        }
    }
}

/// The root over complete blocks and the leaves after them.
fn combine(blocks: &[Hash], tail: Option<&CompactRange>) -> Hash {
    let blocks = range(blocks);
    let Some(tail) = tail else { return blocks.root() };
    blocks.nodes().iter().rev().fold(tail.root(), |right, left| node_hash(left, &right))
}

/// The hashes of the next level of tiles: the roots of each 256.
pub(crate) fn next_level(hashes: &[Hash]) -> Vec<Hash> {
    hashes.chunks_exact(TILE_WIDTH).filter_map(perfect_root).collect()
}

#[cfg(test)]
mod tests {
    use super::{BlockSource, Blocks, combine, perfect_root};
    use crate::merkle::Hash;
    use crate::tiles::TILE_WIDTH;

    /// Four blocks, of which each source is wrong in one: only what two sources agree on leads to the root.
    #[test]
    fn two_of_three_tellings_are_believed() {
        let leaves = |block: u8| -> Vec<Hash> { vec![Hash([block; 32]); TILE_WIDTH] };
        let wrong = Hash([99; 32]);
        let mut blocks = Blocks::default();
        for block in 0..4 {
            let mut entries: Vec<_> = leaves(block).into_iter().map(Some).collect();
            let mut tile = leaves(block);
            match block {
                0 => entries[9] = Some(wrong),
                1 => tile[7] = wrong,
                _ => {}
            }
            blocks.push(TILE_WIDTH, &entries, Some(&tile));
        }
        let roots: Vec<Hash> =
            (0..4).map(|block| perfect_root(&leaves(block)).expect("perfect")).collect();
        let mut above = roots.clone();
        above[2] = wrong;
        blocks.above(0, &above);
        let (chosen, truths) =
            blocks.resolve(&combine(&roots, None)).expect("it leads to the root");
        assert_eq!(chosen, roots);
        let entries = |tile| BlockSource::Entries { tile };
        let expected =
            [BlockSource::Tile { leaf: 9 }, entries(Some(Some(7))), entries(None), entries(None)];
        assert_eq!(truths, expected);
        assert_eq!(blocks.first_difference(), Some(9));
        assert!(blocks.resolve(&wrong).is_none());
    }
}
