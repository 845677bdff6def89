//! The kinds of mutation, each with the truth of what it damaged.

mod files;
mod holder;
mod raw;
mod rebuilt;

use std::collections::BTreeMap;

use crate::folder::Folder;
use crate::layout::{self, Files, path_of, records};
use crate::log::{Entry, Log};

/// What becomes of a path.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Gone,
    Bytes(Vec<u8>),
    Folder,
    Link,
}

/// What was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Nothing.
    Sound,
    /// The export as a whole: it must be said of no position.
    Whole,
    /// This position, which can be told exactly and must be.
    At(u64),
    /// This position; with all tiles made to fit it can only be told within a span.
    Within(u64),
    /// Exactly these positions: those below a hash, or all.
    Span(u64, u64),
}

/// A changed export, and what an auditor brings along.
pub(crate) struct Mutant {
    pub(crate) changes: BTreeMap<String, Change>,
    pub(crate) keys: Vec<String>,
    pub(crate) seen: Vec<String>,
    pub(crate) truth: Truth,
}

impl Mutant {
    pub(crate) fn untouched(log: &Log) -> Mutant {
        Mutant {
            changes: BTreeMap::new(),
            keys: vec![log.vkey(0), log.vkey(2)],
            seen: Vec::new(),
            truth: Truth::Sound,
        }
    }

    fn of(log: &Log, truth: Truth) -> Mutant {
        Mutant { truth, ..Mutant::untouched(log) }
    }

    fn with(mut self, path: &str, change: Change) -> Mutant {
        self.changes.insert(path.to_owned(), change);
        self
    }

    fn bytes(self, path: &str, bytes: Vec<u8>) -> Mutant {
        self.with(path, Change::Bytes(bytes))
    }

    fn seen(mut self, seen: String) -> Mutant {
        self.seen.push(seen);
        self
    }
}

/// A kind of mutation, and the least size of a log that has room for it.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) least: u64,
    pub(crate) mutate: fn(&Log, &Folder, &mut Random) -> Mutant,
}

const fn kind(name: &'static str, mutate: fn(&Log, &Folder, &mut Random) -> Mutant) -> Kind {
    Kind { name, least: 0, mutate }
}

const fn large(
    name: &'static str,
    least: u64,
    mutate: fn(&Log, &Folder, &mut Random) -> Mutant,
) -> Kind {
    Kind { name, least, mutate }
}

/// All of them.
pub(crate) static KINDS: std::sync::LazyLock<Vec<Kind>> = std::sync::LazyLock::new(|| {
    let mut kinds = raw::kinds();
    kinds.extend(files::kinds());
    kinds.extend(rebuilt::kinds());
    kinds.extend(holder::kinds());
    kinds
});

/// Numbers from a seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `from` up to, not including, `to`.
    fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    fn index(&mut self, length: usize) -> usize {
        self.within(0, length as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    fn flip(&mut self, bytes: &mut [u8], from: usize, to: usize) {
        let at = from + self.index(to - from);
        bytes[at] ^= 1 << self.index(8);
    }
}

/// The positions of a bundle.
fn block(position: u64, size: u64) -> (u64, u64) {
    let first = position / 256 * 256;
    (first, (first + 256).min(size) - 1)
}

/// The bundle of a position with its records edited; tiles and everything else stay as they are.
fn edit_bundle(
    log: &Log,
    folder: &Folder,
    position: u64,
    edit: impl FnOnce(&mut Vec<Vec<u8>>, usize),
) -> (String, Vec<u8>) {
    edit_records(log, folder, position, "tile/entries", 2, edit)
}

fn edit_payloads(
    log: &Log,
    folder: &Folder,
    position: u64,
    edit: impl FnOnce(&mut Vec<Vec<u8>>, usize),
) -> (String, Vec<u8>) {
    edit_records(log, folder, position, "payloads", 4, edit)
}

fn edit_records(
    log: &Log,
    folder: &Folder,
    position: u64,
    kind: &str,
    prefix: usize,
    edit: impl FnOnce(&mut Vec<Vec<u8>>, usize),
) -> (String, Vec<u8>) {
    let path = path_of(kind, position, log.size());
    let bytes = &folder.base[&path];
    let begins = records(bytes, prefix);
    let mut found: Vec<Vec<u8>> =
        begins.windows(2).map(|pair| bytes[pair[0] + prefix..pair[1]].to_vec()).collect();
    edit(&mut found, (position % 256) as usize);
    let mut bytes = Vec::new();
    for record in found {
        bytes.extend_from_slice(&(record.len() as u32).to_be_bytes()[4 - prefix..]);
        bytes.extend_from_slice(&record);
    }
    (path, bytes)
}

/// The export of edited entries, all tiles made to fit, beside the checkpoint and the keys there were.
fn rebuild(log: &Log, folder: &Folder, truth: Truth, edit: impl FnOnce(&mut Vec<Entry>)) -> Mutant {
    let mut entries = log.entries.clone();
    edit(&mut entries);
    let files =
        layout::files(entries.iter().map(|entry| (entry.jws.as_slice(), entry.payload.as_deref())));
    of_files(log, folder, truth, files)
}

fn of_files(log: &Log, folder: &Folder, truth: Truth, mut files: Files) -> Mutant {
    for name in ["checkpoint", "keys.json"] {
        if !files.contains_key(name) {
            files.insert(name.to_owned(), folder.base[name].clone());
        }
    }
    let mut mutant = Mutant::of(log, truth);
    for (path, bytes) in layout::changes(&folder.base, &files) {
        let change = bytes.map_or(Change::Gone, Change::Bytes);
        mutant.changes.insert(path, change);
    }
    mutant
}

/// A position late enough in a large log that not all of it has to be written again.
fn late(log: &Log, random: &mut Random) -> u64 {
    let size = log.size();
    let from = if size > 10_000 { size - 3_000 } else { 1 };
    random.within(from, size - 1)
}
