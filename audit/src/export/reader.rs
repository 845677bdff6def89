//! Reads and verifies an export: every file, and that there is no other.
//!
//! Entries and tiles tell of the same leaves, and the signed root tells which of them is right where they disagree
//! (`verify::tree`). So damage is named exactly, unless both were changed alike: then it is a span.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::{fs, io};

use super::{ABSENT, CHECKPOINT, ExportError, KEYS, keys_file};
use crate::checkpoint::Checkpoint;
use crate::jws::{self, MAX_COMPACT};
use crate::merkle::{self, CompactRange, Hash};
use crate::note::{self, MAX_NOTE};
use crate::seal::{MAX_PAYLOAD, OVERHEAD};
use crate::tiles::{TILE_WIDTH, hashes_from_bytes, tile_path};
use crate::verify::tree::{BlockSource, Blocks, next_level};
use crate::verify::{Compared, FindingKind, LogEntry, Options, Report, Seen, Trust, Verifier};

const MAX_ENTRIES: u64 = (TILE_WIDTH * (2 + MAX_COMPACT)) as u64;
const MAX_PAYLOADS: u64 = (TILE_WIDTH * (4 + MAX_PAYLOAD + OVERHEAD)) as u64;
const MAX_KEYS_FILE: u64 = 1024 * 1024;
const MAX_FILES: usize = 10_000_000;
const WIDTH: u64 = TILE_WIDTH as u64;

struct Export<'a> {
    folder: &'a Path,
    verifier: Verifier,
    blocks: Blocks,
    /// The trees of the entries and of the tiles so far; none once something is missing.
    made: Option<CompactRange>,
    kept: Option<CompactRange>,
    seen: BTreeMap<u64, Vec<Earlier>>,
    leaves_seen: BTreeMap<u64, Vec<Leaf>>,
    known: BTreeSet<String>,
}

/// Something seen before, with what the export says at its size once that is read.
struct Earlier {
    seen: Option<Seen>,
    checkpoint: Checkpoint,
    made: Option<Hash>,
    kept: Option<Hash>,
}

/// A leaf that a receipt proves.
struct Leaf {
    hash: Hash,
    name: String,
    found: bool,
}

/// Verifies an export with nothing but a trusted key. `progress` is given the positions done and
/// the size the checkpoint speaks of.
pub fn verify_export(
    folder: &Path,
    trust: &Trust,
    mut options: Options,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, ExportError> {
    let pinned = std::mem::take(&mut options.pinned);
    let seen = std::mem::take(&mut options.seen);
    let mut export = Export {
        folder,
        verifier: Verifier::without_tree(trust.clone(), options),
        blocks: Blocks::default(),
        made: Some(CompactRange::new()),
        kept: Some(CompactRange::new()),
        seen: BTreeMap::new(),
        leaves_seen: BTreeMap::new(),
        known: BTreeSet::new(),
    };
    export.expect(pinned, seen);
    let bytes = export.read(CHECKPOINT, MAX_NOTE as u64)?.unwrap_or_default();
    // Bytes that are no text make no note, as an empty text does.
    let note = note::text_of(&bytes).unwrap_or_default().to_owned();
    let size = match Checkpoint::peek(&note) {
        Ok(checkpoint) => checkpoint.size,
        // Nothing says how long the log is.
        Err(error) => {
            let detail = format!("the final checkpoint cannot be read: {error}");
            export.verifier.report(0, FindingKind::NoCheckpoint, detail);
            return Ok(export.verifier.conclude(&note));
        }
    };
    if size == 0 {
        export.verifier.report(0, FindingKind::Genesis, "the log has no genesis");
    }
    for index in 0..size.div_ceil(WIDTH) {
        let count = (size - index * WIDTH).min(WIDTH);
        if !export.take_bundle(index, count as usize, size)? {
            break;
        }
        progress(index * WIDTH + count, size);
    }
    export.compare_tree(&note, size)?;
    export.compare_keys()?;
    export.find_strangers()?;
    Ok(export.verifier.conclude(&note))
}

impl Export<'_> {
    fn expect(&mut self, pinned: Vec<Checkpoint>, seen: Vec<Seen>) {
        let earlier = |seen, checkpoint| Earlier { seen, checkpoint, made: None, kept: None };
        for checkpoint in pinned {
            let at = self.seen.entry(checkpoint.size).or_default();
            at.push(earlier(None, checkpoint));
        }
        for seen in seen {
            for (position, hash) in seen.leaves() {
                let leaf = Leaf { hash, name: seen.name().to_owned(), found: false };
                self.leaves_seen.entry(position).or_default().push(leaf);
            }
            let checkpoint = seen.checkpoint().clone();
            let at = self.seen.entry(checkpoint.size).or_default();
            at.push(earlier(Some(seen), checkpoint));
        }
    }

    /// One bundle of entries with its tile and its payloads. `false`: the export ends here.
    fn take_bundle(&mut self, index: u64, count: usize, size: u64) -> Result<bool, ExportError> {
        let first = index * WIDTH;
        let tile_name = tile_path("tile/0", index, count);
        let tile = self.read(&tile_name, (TILE_WIDTH * 32) as u64)?;
        let name = tile_path("tile/entries", index, count);
        let bytes = self.read(&name, MAX_ENTRIES)?;
        let payload_name = tile_path("payloads", index, count);
        if bytes.is_none() && tile.is_none() {
            let detail = format!("neither {name} nor {tile_name} can be read");
            self.verifier.report_span(first, size - 1, FindingKind::Missing, detail);
            self.verifier.skip(size - first);
            (self.made, self.kept) = (None, None);
            return Ok(false);
        }
        let hashes = tile.as_deref().and_then(hashes_from_bytes);
        let hashes = hashes.filter(|hashes| hashes.len() == count);
        let last = first + count as u64 - 1;
        if hashes.is_none() {
            let detail = format!("{tile_name} is missing or does not hold {count} hashes");
            self.verifier.report_span(first, last, FindingKind::Tile, detail);
        }
        let Some(bytes) = bytes else {
            self.verifier.report(first, FindingKind::Missing, format!("{name} is missing"));
            let payloads = self.read(&payload_name, MAX_PAYLOADS)?;
            if payloads.is_none() {
                let detail = format!("{payload_name} is missing");
                self.verifier.report_span(first, last, FindingKind::File, detail);
            }
            self.verifier.skip(count as u64);
            self.take_leaves(first, &vec![None; count], hashes.as_deref());
            return Ok(true);
        };
        let payload_bytes = self.read(&payload_name, MAX_PAYLOADS)?;
        if payload_bytes.is_none() {
            let detail = format!("{payload_name} is missing");
            self.verifier.report(first, FindingKind::File, detail);
        }
        let payload_bytes = payload_bytes.unwrap_or_default();
        let mut payloads = Reader(&payload_bytes);
        let mut entries = Reader(&bytes);
        let mut leaves = Vec::with_capacity(count);
        let mut read = Vec::with_capacity(count);
        for (at, position) in (0..count).zip(first..) {
            let payload = payloads.payload();
            let Some(entry) = entries.entry() else {
                self.verifier.push(&read);
                read.clear();
                let detail = format!("{name} ends before this position");
                self.verifier.report(position, FindingKind::File, detail);
                self.verifier.skip((count - at) as u64);
                break;
            };
            let leaf = merkle::leaf_hash(entry);
            leaves.push(Some(leaf));
            let parts =
                std::str::from_utf8(entry).ok().and_then(|jws| jws::parse_compact(jws).ok());
            let Some(parts) = parts else {
                self.verifier.push(&read);
                read.clear();
                let detail = format!("{name} holds no readable entry for this position");
                self.verifier.push_unreadable(position, leaf, detail);
                continue;
            };
            read.push(LogEntry {
                position,
                header: parts.header,
                statement: parts.statement,
                signature: parts.signature,
                payload: payload.map(<[u8]>::to_vec),
                leaf_hash: None,
            });
        }
        self.verifier.push(&read);
        for (reader, name) in [(entries, &name), (payloads, &payload_name)] {
            if !reader.0.is_empty() && leaves.len() == count {
                let detail = format!("{name} holds more than {count} records");
                self.verifier.report(last, FindingKind::File, detail);
            }
        }
        leaves.resize(count, None);
        self.take_leaves(first, &leaves, hashes.as_deref());
        Ok(true)
    }

    /// Notes what a block's leaves are, and what the trees say at the sizes that were seen before.
    fn take_leaves(&mut self, first: u64, leaves: &[Option<Hash>], tile: Option<&[Hash]>) {
        self.blocks.push(leaves.len(), leaves, tile);
        for (at, leaf) in leaves.iter().enumerate() {
            let position = first + at as u64;
            push(&mut self.made, *leaf);
            push(&mut self.kept, tile.map(|tile| tile[at]));
            for seen in self.leaves_seen.get_mut(&position).into_iter().flatten() {
                seen.found = Some(seen.hash) == *leaf;
            }
            // A root costs a hash for each level, so it is made only at a size that was seen before.
            for earlier in self.seen.get_mut(&(position + 1)).into_iter().flatten() {
                earlier.made = root(self.made.as_ref());
                earlier.kept = root(self.kept.as_ref());
            }
        }
    }

    /// Finds out which leaves are those of the signed root, and names what is not.
    fn compare_tree(&mut self, note: &str, size: u64) -> Result<(), ExportError> {
        let above = self.read_level_one(size)?;
        let signed = self.verifier.authenticate(note);
        let resolved = signed.as_ref().ok().and_then(|signed| self.blocks.resolve(&signed.root));
        self.verifier.count_checkpoint();
        let vouched = resolved.is_some();
        let good = self.compare_seen(vouched, size);
        if let Some((blocks, truths)) = resolved {
            self.name_blocks(&truths, size);
            self.compare_upper_tiles(&blocks, &above, size)?;
            return Ok(());
        }
        if let Some(position) = self.blocks.first_difference() {
            let detail =
                "entry and tile disagree on this leaf, and the signed root is that of neither";
            self.verifier.report(position, FindingKind::LeafHash, detail);
        }
        let last = self.verifier.first_certain().unwrap_or(u64::MAX).min(size.saturating_sub(1));
        let up_to = if good > 0 {
            format!("; up to {good} a checkpoint seen before agrees")
        } else {
            String::new()
        };
        match signed {
            Err(error) => {
                let detail = format!("{error}; so nothing says which entries belong here{up_to}");
                self.verifier.report_span(good.min(last), last, FindingKind::Checkpoint, detail);
            }
            Ok(_) => {
                let detail = format!(
                    "neither the entries nor the tiles lead to the root of the checkpoint{up_to}"
                );
                self.verifier.report_span(good.min(last), last, FindingKind::Root, detail);
            }
        }
        self.read_upper_tiles(size)
    }

    /// The log ends at the size seen before, or grew from it. Gives back up to where that is certain.
    fn compare_seen(&mut self, vouched: bool, size: u64) -> u64 {
        let mut good = 0;
        let mut agreed = true;
        let mut refused = BTreeSet::new();
        for (at, earlier) in std::mem::take(&mut self.seen) {
            for Earlier { seen, checkpoint, made, kept } in earlier {
                let name = seen.as_ref().map_or("given", Seen::name).to_owned();
                let held = seen.as_ref().is_none_or(|seen| self.verifier.believe(seen, at));
                if !held {
                    refused.insert(name);
                    continue;
                }
                if at > size {
                    let detail = format!(
                        "the checkpoint {name} of size {at} was seen, but the log ends before"
                    );
                    self.verifier.report(size, FindingKind::Missing, detail);
                    continue;
                }
                // Where the signed root vouches for the tile and not for the entry, the tile is the log.
                let same = if checkpoint.origin != self.verifier.origin() {
                    false
                } else {
                    let empty = (at == 0).then(merkle::empty_root);
                    let root = Some(checkpoint.root);
                    root == made || (vouched && root == kept) || root == empty
                };
                if same {
                    if agreed && made == Some(checkpoint.root) {
                        good = at;
                    }
                    let receipt = seen.as_ref().is_some_and(Seen::is_receipt);
                    let kind = if receipt { "receipt" } else { "checkpoint" };
                    self.verifier.count_compared(Compared { kind, name, size: at });
                } else {
                    agreed = false;
                    let detail = format!(
                        "the log is not the one whose checkpoint {name} of size {at} was seen"
                    );
                    let last = at.saturating_sub(1);
                    let certain = self.verifier.first_certain().unwrap_or(last).min(last);
                    self.verifier.report_span(
                        good.min(certain),
                        certain,
                        FindingKind::Fork,
                        detail,
                    );
                }
            }
        }
        for (position, leaves) in std::mem::take(&mut self.leaves_seen) {
            for leaf in
                leaves.into_iter().filter(|leaf| !leaf.found && !refused.contains(&leaf.name))
            {
                let detail = format!("the event is not the one of the receipt {}", leaf.name);
                // With the tree vouched for, this very event was changed; else an earlier one may have moved it.
                let at = position.min(size);
                let from = if vouched { at } else { good.min(at) };
                self.verifier.report_span(from, at, FindingKind::Fork, detail);
            }
        }
        good
    }

    fn name_blocks(&mut self, truths: &[BlockSource], size: u64) {
        for (index, truth) in (0u64..).zip(truths) {
            let first = index * WIDTH;
            let last = (first + WIDTH).min(size) - 1;
            match truth {
                BlockSource::Entries { tile: None | Some(None) } => {}
                BlockSource::Entries { tile: Some(Some(at)) } => {
                    let detail = "the hash in the tile of level 0 is not that of the entry, which is the log's";
                    self.verifier.report(first + at, FindingKind::Tile, detail);
                }
                BlockSource::Tile { leaf } => {
                    let detail = "the entry is not the one that was signed: the tile of level 0 holds the log's hash";
                    self.verifier.report(first + leaf, FindingKind::LeafHash, detail);
                }
                BlockSource::Above => {
                    let certain = self.verifier.first_certain().unwrap_or(last).min(last);
                    let detail = "neither entries nor the tile of level 0 are the log's, as the tile of level 1 knows";
                    let from = first.min(certain);
                    self.verifier.report_span(from, certain, FindingKind::Root, detail);
                }
            }
        }
    }

    /// The tiles of level 1, which know the roots of complete blocks.
    fn read_level_one(&mut self, size: u64) -> Result<Vec<Hash>, ExportError> {
        let count = size / WIDTH;
        let mut all = Vec::new();
        for index in 0..count.div_ceil(WIDTH) {
            let width = (count - index * WIDTH).min(WIDTH);
            match self.read_tile(1, index, width)? {
                None => all.resize(all.len() + width as usize, Hash([0; 32])),
                Some(hashes) => {
                    self.blocks.above((index * WIDTH) as usize, &hashes);
                    all.extend(hashes);
                }
            }
            if self.blocks.len() < (index * WIDTH) as usize {
                break;
            }
        }
        Ok(all)
    }

    fn compare_upper_tiles(
        &mut self,
        blocks: &[Hash],
        level_one: &[Hash],
        size: u64,
    ) -> Result<(), ExportError> {
        self.compare_level(1, blocks, level_one, size);
        let mut made = next_level(blocks);
        for level in 2.. {
            if made.is_empty() {
                break;
            }
            let mut stored = Vec::with_capacity(made.len());
            for (index, chunk) in (0u64..).zip(made.chunks(TILE_WIDTH)) {
                let hashes = self.read_tile(level, index, chunk.len() as u64)?;
                stored.extend(hashes.unwrap_or_else(|| chunk.to_vec()));
            }
            self.compare_level(level, &made, &stored, size);
            made = next_level(&made);
        }
        Ok(())
    }

    fn compare_level(&mut self, level: u8, made: &[Hash], stored: &[Hash], size: u64) {
        let span = WIDTH.pow(u32::from(level));
        for (at, (made, stored)) in (0u64..).zip(made.iter().zip(stored)) {
            if made != stored && *stored != Hash([0; 32]) {
                let detail = format!("hash {at} of level {level} is not that of the log");
                let last = ((at + 1) * span).min(size) - 1;
                self.verifier.report_span(at * span, last, FindingKind::Tile, detail);
            }
        }
    }

    /// Reads the tiles above level 1 of a tree that is not known, so that none is taken for a stray file.
    fn read_upper_tiles(&mut self, size: u64) -> Result<(), ExportError> {
        let mut count = size / WIDTH / WIDTH;
        let mut level = 2;
        while count > 0 {
            for index in 0..count.div_ceil(WIDTH).min(self.blocks.len() as u64) {
                let width = (count - index * WIDTH).min(WIDTH);
                self.read_tile(level, index, width)?;
            }
            count /= WIDTH;
            level += 1;
        }
        Ok(())
    }

    /// A tile above level 0, with a finding if it is missing.
    fn read_tile(
        &mut self,
        level: u8,
        index: u64,
        width: u64,
    ) -> Result<Option<Vec<Hash>>, ExportError> {
        let name = tile_path(&format!("tile/{level}"), index, width as usize);
        let bytes = self.read(&name, (TILE_WIDTH * 32) as u64)?;
        let hashes = bytes.as_deref().and_then(hashes_from_bytes);
        let hashes = hashes.filter(|hashes| hashes.len() as u64 == width);
        if hashes.is_none() {
            let span = WIDTH.pow(u32::from(level));
            let first = index * WIDTH * span;
            let detail = format!("{name} is missing or does not hold {width} hashes");
            self.verifier.report_span(first, first + width * span - 1, FindingKind::Tile, detail);
        }
        Ok(hashes)
    }

    fn compare_keys(&mut self) -> Result<(), ExportError> {
        let bytes = self.read(KEYS, MAX_KEYS_FILE)?;
        if self.verifier.is_uncertain() {
            // Which keys the log had is not known, and why was said.
            return Ok(());
        }
        let Some(keyring) = self.verifier.keyring() else { return Ok(()) };
        if bytes != Some(keys_file(keyring)?) {
            let detail = format!("{KEYS} does not hold exactly the log's keys");
            self.verifier.report(0, FindingKind::Keys, detail);
        }
        Ok(())
    }

    /// Files, folders and links that belong to no export of this size.
    fn find_strangers(&mut self) -> Result<(), ExportError> {
        let folders_known: BTreeSet<String> = self
            .known
            .iter()
            .flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned()))
            .collect();
        let mut folders = vec![String::new()];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            let failed = |source| ExportError::Io { path: folder.clone(), source };
            for entry in fs::read_dir(self.folder.join(&folder)).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                seen += 1;
                if seen > MAX_FILES {
                    self.verifier.report(0, FindingKind::Stray, "the export has too many files");
                    return Ok(());
                }
                let kind = entry.file_type().map_err(failed)?;
                let belongs = if kind.is_dir() {
                    folders_known.contains(&path)
                } else {
                    kind.is_file() && self.known.contains(&path)
                };
                if !belongs {
                    let detail = format!("{path} does not belong to this export");
                    self.verifier.report(0, FindingKind::Stray, detail);
                } else if kind.is_dir() {
                    folders.push(path);
                }
            }
        }
        Ok(())
    }

    /// A file of at most `limit` bytes; `None` where it is missing, longer, or no file but a link or the like.
    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ExportError> {
        self.known.insert(path.to_owned());
        let failed = |source| ExportError::Io { path: path.to_owned(), source };
        let found = self.folder.join(path);
        let missing = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        match fs::symlink_metadata(&found) {
            Ok(found) if found.is_file() && found.len() <= limit => {}
            Ok(_) => return Ok(None),
            Err(error) if missing(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let file = match fs::File::open(found) {
            Ok(file) => file,
            Err(error) if missing(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }
}

fn push(tree: &mut Option<CompactRange>, leaf: Option<Hash>) {
    match (tree.as_mut(), leaf) {
        (Some(tree), Some(leaf)) => tree.push(leaf),
        _ => *tree = None,
    }
}

fn root(tree: Option<&CompactRange>) -> Option<Hash> {
    tree.map(CompactRange::root)
}

/// Reads length-prefixed records off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn entry(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some(entry)
    }

    fn payload(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length);
        if length == ABSENT {
            self.0 = rest;
            return None;
        }
        let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(payload)
    }
}
