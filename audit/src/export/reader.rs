//! Reads and verifies an export: every file, and that there is no other.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::{fs, io};

use super::{ABSENT, CHECKPOINT, ExportError, KEYS, keys_file};
use crate::checkpoint::Checkpoint;
use crate::jws::{self, MAX_COMPACT};
use crate::merkle::Hash;
use crate::note::MAX_NOTE;
use crate::seal::{MAX_PAYLOAD, OVERHEAD};
use crate::tiles::{TILE_WIDTH, TileBuilder, hashes_from_bytes, tile_path};
use crate::verify::{FindingKind, LogEntry, Options, Report, Trust, Verifier};

const MAX_ENTRIES: u64 = (TILE_WIDTH * (2 + MAX_COMPACT)) as u64;
const MAX_PAYLOADS: u64 = (TILE_WIDTH * (4 + MAX_PAYLOAD + OVERHEAD)) as u64;
const MAX_KEYS_FILE: u64 = 1024 * 1024;
const MAX_FILES: usize = 10_000_000;

struct Export<'a> {
    folder: &'a Path,
    verifier: Verifier,
    tiles: TileBuilder,
    known: BTreeSet<String>,
}

/// Verifies an export with nothing but a trusted key. `progress` is given the positions done and
/// the size the checkpoint speaks of.
pub fn verify_export(
    folder: &Path,
    trust: &Trust,
    options: Options,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, ExportError> {
    let mut export = Export {
        folder,
        verifier: Verifier::new(trust.clone(), options),
        tiles: TileBuilder::new(),
        known: BTreeSet::new(),
    };
    let note = export.read(CHECKPOINT, MAX_NOTE as u64)?.unwrap_or_default();
    let note = String::from_utf8_lossy(&note).into_owned();
    let size = match Checkpoint::peek(&note) {
        Ok(checkpoint) => checkpoint.size,
        // Nothing says how long the log is; the final checkpoint is reported below.
        Err(_) => return Ok(export.verifier.finish(&note)),
    };
    let width = TILE_WIDTH as u64;
    for index in 0..size.div_ceil(width) {
        let count = (size - index * width).min(width);
        if !export.take_bundle(index, count as usize)? {
            break;
        }
        progress(index * width + count, size);
    }
    export.compare_partial_tiles(size)?;
    export.compare_keys()?;
    export.find_strangers()?;
    Ok(export.verifier.finish(&note))
}

impl Export<'_> {
    /// One bundle of entries with its tile and its payloads. `false`: the log ends here.
    fn take_bundle(&mut self, index: u64, count: usize) -> Result<bool, ExportError> {
        let first = index * TILE_WIDTH as u64;
        let tile_name = tile_path("tile/0", index, count);
        let hashes = self.read_tile(&tile_name, first, count)?;
        let name = tile_path("tile/entries", index, count);
        let Some(bytes) = self.read(&name, MAX_ENTRIES)? else {
            self.verifier.report(first, FindingKind::Missing, format!("{name} is missing"));
            return Ok(false);
        };
        let payload_name = tile_path("payloads", index, count);
        let payload_bytes = self.read(&payload_name, MAX_PAYLOADS)?;
        if payload_bytes.is_none() {
            let detail = format!("{payload_name} is missing");
            self.verifier.report(first, FindingKind::File, detail);
        }
        let payload_bytes = payload_bytes.unwrap_or_default();
        let mut payloads = Reader(&payload_bytes);
        let mut entries = Reader(&bytes);
        let mut read = Vec::with_capacity(count);
        for (at, position) in (0..count).zip(first..) {
            let payload = payloads.payload();
            let parts = entries
                .entry()
                .and_then(|entry| std::str::from_utf8(entry).ok())
                .and_then(|jws| jws::parse_compact(jws).ok());
            let Some(parts) = parts else {
                let detail = format!("{name} holds no readable entry for this position");
                self.verifier.report(position, FindingKind::File, detail);
                break;
            };
            read.push(LogEntry {
                position,
                header: parts.header,
                statement: parts.statement,
                signature: parts.signature,
                payload: payload.map(<[u8]>::to_vec),
                leaf_hash: hashes.as_ref().and_then(|hashes| hashes.get(at)).copied(),
            });
        }
        let last = first + read.len() as u64;
        let checked = self.verifier.push(&read);
        for (reader, name) in [(entries, &name), (payloads, &payload_name)] {
            if !reader.0.is_empty() && read.len() == count {
                let detail = format!("{name} holds more than {count} records");
                self.verifier.report(last.saturating_sub(1), FindingKind::File, detail);
            }
        }
        let leaves: Vec<Hash> = checked.iter().map(|checked| checked.leaf_hash).collect();
        for tile in self.tiles.append(&leaves) {
            // Level 0 was compared leaf by leaf.
            if tile.level > 0 {
                self.compare_tile(tile.level, tile.index, &tile.hashes)?;
            }
        }
        Ok(read.len() == count)
    }

    fn compare_partial_tiles(&mut self, size: u64) -> Result<(), ExportError> {
        if self.tiles.size() != size {
            return Ok(());
        }
        for (level, hashes) in (0u8..).zip(self.tiles.partial().to_vec()).skip(1) {
            if !hashes.is_empty() {
                self.compare_tile(level, size >> (8 * (u32::from(level) + 1)), &hashes)?;
            }
        }
        Ok(())
    }

    fn compare_tile(&mut self, level: u8, index: u64, hashes: &[Hash]) -> Result<(), ExportError> {
        let span = 256u64.pow(u32::from(level));
        let first = index * 256 * span;
        let name = tile_path(&format!("tile/{level}"), index, hashes.len());
        let Some(stored) = self.read_tile(&name, first, hashes.len())? else { return Ok(()) };
        if let Some(at) = stored.iter().zip(hashes).position(|(stored, made)| stored != made) {
            let detail = format!("hash {at} of {name} is not that of the entries");
            self.verifier.report(first + at as u64 * span, FindingKind::Tile, detail);
        }
        Ok(())
    }

    fn read_tile(
        &mut self,
        name: &str,
        first: u64,
        count: usize,
    ) -> Result<Option<Vec<Hash>>, ExportError> {
        let bytes = self.read(name, (TILE_WIDTH * 32) as u64)?;
        let hashes = bytes.as_deref().and_then(hashes_from_bytes);
        let hashes = hashes.filter(|hashes| hashes.len() == count);
        if hashes.is_none() {
            let detail = format!("{name} is missing or does not hold {count} hashes");
            self.verifier.report(first, FindingKind::Tile, detail);
        }
        Ok(hashes)
    }

    fn compare_keys(&mut self) -> Result<(), ExportError> {
        let bytes = self.read(KEYS, MAX_KEYS_FILE)?;
        let Some(keyring) = self.verifier.keyring() else { return Ok(()) };
        if bytes != Some(keys_file(keyring)?) {
            let detail = format!("{KEYS} does not hold exactly the log's keys");
            self.verifier.report(0, FindingKind::File, detail);
        }
        Ok(())
    }

    /// Files that belong to no export of this size.
    fn find_strangers(&mut self) -> Result<(), ExportError> {
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
                    self.verifier.report(0, FindingKind::File, "the export has too many files");
                    return Ok(());
                }
                if entry.file_type().map_err(failed)?.is_dir() {
                    folders.push(path);
                } else if !self.known.contains(&path) {
                    let detail = format!("{path} does not belong to this export");
                    self.verifier.report(self.tiles.size(), FindingKind::File, detail);
                }
            }
        }
        Ok(())
    }

    /// A file of at most `limit` bytes; `None` where it is missing or longer.
    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ExportError> {
        self.known.insert(path.to_owned());
        let failed = |source| ExportError::Io { path: path.to_owned(), source };
        let file = match fs::File::open(self.folder.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }
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
