//! An export as bytes: every file, from entries and a checkpoint, tiles included.

use std::collections::BTreeMap;
use std::path::Path;

use audit::merkle::leaf_hash;
use audit::tiles::{TILE_WIDTH, TileBuilder, hashes_to_bytes, tile_path};

/// The files of a folder, by path.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The files of entries: bundles, payloads and all tiles made of them.
pub(crate) fn files<'a>(
    entries: impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
) -> Files {
    let size = entries.len();
    let mut files = Files::new();
    let mut tiles = TileBuilder::new();
    let (mut bundle, mut payloads) = (Vec::new(), Vec::new());
    for (at, (jws, payload)) in entries.enumerate() {
        bundle.extend_from_slice(&(jws.len() as u16).to_be_bytes());
        bundle.extend_from_slice(jws);
        match payload {
            None => payloads.extend_from_slice(&u32::MAX.to_be_bytes()),
            Some(payload) => {
                payloads.extend_from_slice(&(payload.len() as u32).to_be_bytes());
                payloads.extend_from_slice(payload);
            }
        }
        if (at + 1) % TILE_WIDTH == 0 || at + 1 == size {
            let (index, width) = ((at / TILE_WIDTH) as u64, at % TILE_WIDTH + 1);
            files.insert(tile_path("tile/entries", index, width), std::mem::take(&mut bundle));
            files.insert(tile_path("payloads", index, width), std::mem::take(&mut payloads));
        }
        for tile in tiles.push(leaf_hash(jws)) {
            let path = tile_path(&format!("tile/{}", tile.level), tile.index, TILE_WIDTH);
            files.insert(path, tile.to_bytes());
        }
    }
    for (level, hashes) in (0u32..).zip(tiles.partial()) {
        if !hashes.is_empty() {
            let index = size as u64 >> (8 * (level + 1));
            let path = tile_path(&format!("tile/{level}"), index, hashes.len());
            files.insert(path, hashes_to_bytes(hashes));
        }
    }
    files
}

/// The path of the file of some kind that holds a position, in an export of some size.
pub(crate) fn path_of(kind: &str, position: u64, size: u64) -> String {
    let index = position / TILE_WIDTH as u64;
    let width = (size - index * TILE_WIDTH as u64).min(TILE_WIDTH as u64);
    tile_path(kind, index, width as usize)
}

/// Where each record of a file begins (its length included), and where the last ends.
pub(crate) fn records(bytes: &[u8], prefix: usize) -> Vec<usize> {
    let mut at = 0;
    let mut begins = vec![0];
    while at + prefix <= bytes.len() {
        let length =
            bytes[at..at + prefix].iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        at += prefix + if prefix == 4 && length == u32::MAX as usize { 0 } else { length };
        begins.push(at);
    }
    begins
}

/// Writes files below a folder.
pub(crate) fn write(folder: &Path, files: &Files) {
    for (path, bytes) in files {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().expect("below a folder")).expect("a folder");
        std::fs::write(file, bytes).expect("written");
    }
}

/// What differs between two exports: the new bytes of each file, or none where it is gone.
pub(crate) fn changes(old: &Files, new: &Files) -> BTreeMap<String, Option<Vec<u8>>> {
    let gone = old.keys().filter(|path| !new.contains_key(*path)).map(|path| (path.clone(), None));
    let changed = new.iter().filter(|(path, bytes)| old.get(*path) != Some(bytes));
    gone.chain(changed.map(|(path, bytes)| (path.clone(), Some(bytes.clone())))).collect()
}
