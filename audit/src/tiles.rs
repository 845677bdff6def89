//! Tiles of 256 hashes (C2SP tlog-tiles): paths, and the builder that completes them.
//!
//! Tile `(L, N)` holds the roots of 256 neighbouring perfect subtrees of `256^L` leaves. The log
//! stores complete tiles only; the [`TileBuilder`] keeps the incomplete ones of the right edge.

use crate::merkle::{CompactRange, Hash, MAX_SIZE, MerkleError, perfect_root};

/// Hashes in a complete tile.
pub const TILE_WIDTH: usize = 256;

/// Levels a tree of [`MAX_SIZE`] leaves can have tiles on.
pub const MAX_LEVELS: u8 = 7;

/// A complete tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Tile level; level 0 holds leaf hashes.
    pub level: u8,
    /// Index within the level.
    pub index: u64,
    /// Exactly [`TILE_WIDTH`] hashes.
    pub hashes: Vec<Hash>,
}

impl Tile {
    /// The hashes, concatenated: 8192 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        hashes_to_bytes(&self.hashes)
    }

    /// Reads a complete tile.
    #[must_use]
    pub fn from_bytes(level: u8, index: u64, bytes: &[u8]) -> Option<Self> {
        let hashes = hashes_from_bytes(bytes)?;
        (hashes.len() == TILE_WIDTH).then_some(Self { level, index, hashes })
    }

    /// The root over the tile's hashes: hash `index` of the next level.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        perfect_root(&self.hashes)
    }
}

/// Concatenates hashes.
#[must_use]
pub fn hashes_to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Splits concatenated hashes; at most one tile of them.
#[must_use]
pub fn hashes_from_bytes(bytes: &[u8]) -> Option<Vec<Hash>> {
    if !bytes.len().is_multiple_of(32) || bytes.len() > TILE_WIDTH * 32 {
        return None;
    }
    bytes.chunks_exact(32).map(Hash::from_slice).collect()
}

/// What [`TileBuilder::restore`] must be given for a tree of some size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileNeeds {
    /// Positions whose leaf hashes make up the incomplete tile of level 0.
    pub leaves: std::ops::Range<u64>,
    /// By level, from 0: indices of complete tiles whose roots make up the incomplete tile above.
    pub tiles: Vec<std::ops::Range<u64>>,
}

impl TileNeeds {
    /// What a tree of `size` leaves needs.
    #[must_use]
    pub fn of(size: u64) -> Self {
        let width = TILE_WIDTH as u64;
        let mut tiles = Vec::new();
        let mut count = size / width;
        while count > 0 {
            tiles.push(count - count % width..count);
            count /= width;
        }
        Self { leaves: size - size % width..size, tiles }
    }
}

/// The incomplete tiles of a tree's right edge.
///
/// Appending to a clone and keeping the clone once a transaction has committed is cheap: a builder
/// holds at most 255 hashes for each level.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TileBuilder {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl TileBuilder {
    /// A builder for the tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Restores the builder of a tree of `size` leaves.
    ///
    /// `leaves` are the leaf hashes of [`TileNeeds::leaves`]; `tile_roots[L]` are the
    /// [`Tile::root`]s of [`TileNeeds::tiles`]`[L]`, in order.
    pub fn restore(
        size: u64,
        leaves: Vec<Hash>,
        tile_roots: Vec<Vec<Hash>>,
    ) -> Result<Self, MerkleError> {
        if size > MAX_SIZE {
            return Err(MerkleError::TooLarge(size));
        }
        let needs = TileNeeds::of(size);
        let check = |level: u8, range: &std::ops::Range<u64>, given: usize| {
            if given as u64 == range.end - range.start {
                Ok(())
            } else {
                Err(MerkleError::MissingNode { level, index: range.start + given as u64 })
            }
        };
        check(0, &needs.leaves, leaves.len())?;
        for (level, range) in needs.tiles.iter().enumerate() {
            let given = tile_roots.get(level).map_or(0, Vec::len);
            check(8 * (level as u8 + 1), range, given)?;
        }
        if size == 0 {
            return Ok(Self::new());
        }
        let mut levels = vec![leaves];
        levels.extend(tile_roots);
        levels.truncate(needs.tiles.len() + 1);
        Ok(Self { size, levels })
    }

    /// Leaves in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the incomplete tiles, by level.
    #[must_use]
    pub fn partial(&self) -> &[Vec<Hash>] {
        &self.levels
    }

    /// Appends a leaf hash and gives back the tiles it completed, lowest level first.
    pub fn push(&mut self, leaf: Hash) -> Vec<Tile> {
        let mut completed = Vec::new();
        self.size += 1;
        let mut carried = leaf;
        let mut count = self.size;
        for level in 0.. {
            if self.levels.len() == usize::from(level) {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[usize::from(level)];
            hashes.push(carried);
            if hashes.len() < TILE_WIDTH {
                break;
            }
            count /= TILE_WIDTH as u64;
            let tile = Tile { level, index: count - 1, hashes: std::mem::take(hashes) };
            let root = tile.root();
            completed.push(tile);
            match root {
                Some(root) => carried = root,
                None => break,
            }
        }
        completed
    }

    /// Appends leaf hashes and gives back the tiles they completed.
    pub fn append(&mut self, leaves: &[Hash]) -> Vec<Tile> {
        leaves.iter().flat_map(|leaf| self.push(*leaf)).collect()
    }

    /// The tree's right edge, from the incomplete tiles: what the stored frontier must equal.
    #[must_use]
    pub fn compact_range(&self) -> Option<CompactRange> {
        let mut bytes = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut at = 0;
            while at < hashes.len() {
                let width = 1 << (hashes.len() - at).ilog2();
                bytes.extend_from_slice(&perfect_root(&hashes[at..at + width])?.0);
                at += width;
            }
        }
        CompactRange::from_bytes(self.size, &bytes).ok()
    }
}

/// The path of a tile or an entry bundle below the log's prefix: `tile/<level>/<index>[.p/<width>]`.
#[must_use]
pub fn tile_path(kind: &str, index: u64, width: usize) -> String {
    let mut groups = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    let path = format!("{kind}/{}", groups.join("/"));
    if width == TILE_WIDTH { path } else { format!("{path}.p/{width}") }
}

/// Reads the end of such a path, `<index>[.p/<width>]`: the index and the number of hashes. There is one
/// spelling of each; a partial tile has 1 to 255 hashes.
#[must_use]
pub fn parse_tile_index(text: &str) -> Option<(u64, usize)> {
    let (groups, width) = match text.split_once(".p/") {
        None => (text, TILE_WIDTH),
        Some((groups, width)) => {
            let width = crate::encoding::decimal(width)?;
            let width = usize::try_from(width).ok().filter(|width| (1..TILE_WIDTH).contains(width));
            (groups, width?)
        }
    };
    // Three digits a group: more groups than these are beyond the largest log.
    let mut groups = groups.splitn(7, '/').peekable();
    let mut index = 0u64;
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    // Each index has one spelling: whatever else was read as this number, as `+07` is, is refused here.
    (tile_path("", index, width).strip_prefix('/') == Some(text)).then_some((index, width))
}

#[cfg(test)]
mod tests {
    use super::{parse_tile_index, tile_path};

    #[test]
    fn paths_have_one_spelling() {
        for (index, width) in [(0, 256), (7, 1), (999, 255), (1000, 256), (1_234_067, 12)] {
            let path = tile_path("tile/0", index, width);
            let end = path.strip_prefix("tile/0/").expect("the level");
            assert_eq!(parse_tile_index(end), Some((index, width)), "{path}");
        }
        for wrong in [
            "",
            "0",
            "00",
            "0000",
            "x000",
            "x000/000",
            "x001",
            "001/000",
            "x001/x000",
            "000.p/0",
            "000.p/256",
            "000.p/01",
            "000.p/",
            "000.p/1/2",
            "-01",
            "+07",
            "x001/+07",
            "00a",
            "x001/00",
            "../000",
            "x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(parse_tile_index(wrong), None, "{wrong}");
        }
    }
}
