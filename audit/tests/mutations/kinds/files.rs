//! Whole files: removed, cut, grown, swapped, linked, added; and the checkpoint.

use audit::checkpoint::Checkpoint;

use super::{Change, Kind, Mutant, Random, Truth, block, kind, large, late};
use crate::folder::{Folder, keys_file};
use crate::layout::{path_of, records};
use crate::log::{FOREIGN, Log};

pub(super) fn kinds() -> Vec<Kind> {
    let mut kinds = tiles();
    kinds.extend(bundles());
    kinds.extend(others());
    kinds.extend(checkpoints());
    kinds
}

fn tiles() -> Vec<Kind> {
    vec![
        kind("a bit of a leaf's tile", |log, folder, random| {
            let position = random.within(0, log.size());
            flip_hash(log, folder, random, 0, position, Truth::At(position))
        }),
        kind("a bit of a tile of level 1", |log, folder, random| {
            let block = random.within(0, log.size() / 256);
            flip_hash(log, folder, random, 1, block, Truth::Span(block * 256, block * 256 + 255))
        }),
        large("a bit of a tile of level 2", 65_536, |log, folder, random| {
            flip_hash(log, folder, random, 2, 0, Truth::Span(0, 65_535))
        }),
        kind("a leaf's tile missing", |log, _, random| {
            let (position, truth) = tile_truth(log, random);
            Mutant::of(log, truth).with(&path_of("tile/0", position, log.size()), Change::Gone)
        }),
        kind("a leaf's tile cut short", |log, folder, random| {
            let (position, truth) = tile_truth(log, random);
            cut(log, folder, random, &path_of("tile/0", position, log.size()), truth)
        }),
        kind("a leaf's tile made longer", |log, folder, random| {
            let (position, truth) = tile_truth(log, random);
            longer(log, folder, random, &path_of("tile/0", position, log.size()), truth)
        }),
        kind("a leaf's tile of zeros", |log, folder, random| {
            let position = random.within(0, log.size());
            let truth = Truth::At(block(position, log.size()).0);
            zeros(log, folder, &path_of("tile/0", position, log.size()), truth)
        }),
        kind("two hashes of a tile swapped", |log, folder, random| {
            let position = random.within(0, log.size());
            let position = position.min(block(position, log.size()).1 - 1);
            let path = path_of("tile/0", position, log.size());
            let mut bytes = folder.base[&path].clone();
            let at = (position % 256) as usize * 32;
            bytes[at..at + 64].rotate_left(32);
            Mutant::of(log, Truth::At(position)).bytes(&path, bytes)
        }),
        kind("a tile of level 1 missing", |log, _, random| {
            let (path, truth) = level_one(log, random);
            Mutant::of(log, truth).with(&path, Change::Gone)
        }),
        kind("a tile of level 1 made longer", |log, folder, random| {
            let (path, truth) = level_one(log, random);
            longer(log, folder, random, &path, truth)
        }),
        large("two tiles of leaves swapped", 512, |log, folder, random| {
            swap_files(log, folder, random, "tile/0")
        }),
    ]
}

fn bundles() -> Vec<Kind> {
    vec![
        kind("a bundle of entries missing", |log, _, random| {
            let position = random.within(0, log.size());
            let truth = Truth::At(block(position, log.size()).0);
            Mutant::of(log, truth)
                .with(&path_of("tile/entries", position, log.size()), Change::Gone)
        }),
        kind("a bundle of payloads missing", |log, _, random| {
            let position = random.within(0, log.size());
            let truth = Truth::At(block(position, log.size()).0);
            Mutant::of(log, truth).with(&path_of("payloads", position, log.size()), Change::Gone)
        }),
        kind("a bundle of entries cut short", |log, folder, random| {
            cut_records(log, folder, random, "tile/entries", 2)
        }),
        kind("a bundle of payloads cut short", |log, folder, random| {
            cut_records(log, folder, random, "payloads", 4)
        }),
        kind("a bundle of entries made longer", |log, folder, random| {
            let (path, last) = bundle(log, random, "tile/entries");
            longer(log, folder, random, &path, Truth::At(last))
        }),
        kind("a bundle of payloads made longer", |log, folder, random| {
            let (path, last) = bundle(log, random, "payloads");
            longer(log, folder, random, &path, Truth::At(last))
        }),
        kind("a bundle of entries of zeros", |log, folder, random| {
            let (path, last) = bundle(log, random, "tile/entries");
            zeros(log, folder, &path, Truth::At(last / 256 * 256))
        }),
        kind("a bundle of payloads of zeros", |log, folder, random| {
            let (path, last) = bundle(log, random, "payloads");
            zeros(log, folder, &path, Truth::At(last / 256 * 256))
        }),
        kind("a bundle of entries that is empty", |log, _, random| {
            let (path, last) = bundle(log, random, "tile/entries");
            Mutant::of(log, Truth::At(last / 256 * 256)).bytes(&path, Vec::new())
        }),
        large("two bundles of entries swapped", 512, |log, folder, random| {
            swap_files(log, folder, random, "tile/entries")
        }),
        large("two bundles of payloads swapped", 512, |log, folder, random| {
            swap_files(log, folder, random, "payloads")
        }),
        kind("a bundle under another name", |log, folder, random| {
            let (path, last) = bundle(log, random, "tile/entries");
            let bytes = folder.base[&path].clone();
            let mutant = Mutant::of(log, Truth::At(last / 256 * 256)).with(&path, Change::Gone);
            mutant.bytes("tile/entries/x999/999", bytes)
        }),
        kind("a link for a bundle of entries", |log, _, random| {
            let (path, last) = bundle(log, random, "tile/entries");
            Mutant::of(log, Truth::At(last / 256 * 256)).with(&path, Change::Link)
        }),
        kind("a link for a bundle of payloads", |log, _, random| {
            let (path, last) = bundle(log, random, "payloads");
            Mutant::of(log, Truth::At(last / 256 * 256)).with(&path, Change::Link)
        }),
        kind("a link for a tile", |log, _, random| {
            let (position, truth) = tile_truth(log, random);
            Mutant::of(log, truth).with(&path_of("tile/0", position, log.size()), Change::Link)
        }),
        kind("a folder for a tile", |log, _, random| {
            let (position, truth) = tile_truth(log, random);
            Mutant::of(log, truth).with(&path_of("tile/0", position, log.size()), Change::Folder)
        }),
    ]
}

fn others() -> Vec<Kind> {
    vec![
        kind("a file too many", |log, _, random| {
            let names = [
                "stranger",
                "tile/stranger",
                "tile/0/999",
                "tile/3/000",
                "payloads/x001/000",
                ".hidden",
                "tile/entries/000.p/7",
            ];
            Mutant::of(log, Truth::Whole).bytes(random.one::<&str>(&names), vec![0; 32])
        }),
        kind("an empty folder", |log, _, random| {
            let names = ["folder", "tile/7", "payloads/x009", "tile/entries/x001"];
            Mutant::of(log, Truth::Whole).with(random.one::<&str>(&names), Change::Folder)
        }),
        kind("a link too many", |log, _, random| {
            let names = ["link", "tile/link", "payloads/link"];
            Mutant::of(log, Truth::Whole).with(random.one::<&str>(&names), Change::Link)
        }),
        kind("the file of the keys missing", |log, _, _| {
            Mutant::of(log, Truth::Whole).with("keys.json", Change::Gone)
        }),
        kind("a link for the file of the keys", |log, _, _| {
            Mutant::of(log, Truth::Whole).with("keys.json", Change::Link)
        }),
        kind("a bit of the file of the keys", |log, folder, random| {
            let mut bytes = folder.base["keys.json"].clone();
            let length = bytes.len();
            random.flip(&mut bytes, 0, length);
            Mutant::of(log, Truth::Whole).bytes("keys.json", bytes)
        }),
        kind("keys in another order", |log, _, _| {
            Mutant::of(log, Truth::Whole).bytes("keys.json", keys_file(log, &[1, 0, 2]))
        }),
        kind("a key left out of the file", |log, _, _| {
            Mutant::of(log, Truth::Whole).bytes("keys.json", keys_file(log, &[0, 2]))
        }),
        kind("a foreign key in the file", |log, _, _| {
            Mutant::of(log, Truth::Whole).bytes("keys.json", keys_file(log, &[0, 1, 2, FOREIGN]))
        }),
        kind("the file of the keys in another spelling", |log, folder, random| {
            let text = String::from_utf8(folder.base["keys.json"].clone()).expect("text");
            let spellings = [
                text.replace(' ', ""),
                format!("{text}\n"),
                text.replace('\n', "\r\n"),
                text.trim_end().to_owned(),
            ];
            Mutant::of(log, Truth::Whole)
                .bytes("keys.json", random.one(&spellings).clone().into_bytes())
        }),
        kind("a trusted key that is a stranger's", |log, _, _| Mutant {
            keys: vec![log.vkey(FOREIGN)],
            ..Mutant::of(log, Truth::Whole)
        }),
        kind("a trusted key that is retired and not the first", |log, _, _| Mutant {
            keys: vec![log.vkey(1)],
            ..Mutant::of(log, Truth::Whole)
        }),
    ]
}

fn checkpoints() -> Vec<Kind> {
    vec![
        kind("no checkpoint", |log, _, _| {
            Mutant::of(log, Truth::Whole).with("checkpoint", Change::Gone)
        }),
        kind("a link for the checkpoint", |log, _, _| {
            Mutant::of(log, Truth::Whole).with("checkpoint", Change::Link)
        }),
        kind("a bit of the checkpoint", |log, folder, random| {
            let mut bytes = folder.base["checkpoint"].clone();
            let length = bytes.len();
            random.flip(&mut bytes, 0, length);
            let truth = note_truth(&bytes);
            Mutant::of(log, truth).bytes("checkpoint", bytes)
        }),
        kind("a checkpoint cut short", |log, folder, random| {
            cut(log, folder, random, "checkpoint", Truth::Whole)
        }),
        kind("a checkpoint made longer", |log, folder, random| {
            longer(log, folder, random, "checkpoint", Truth::Whole)
        }),
        kind("a checkpoint of another size", |log, folder, random| {
            let size = random.within(2, log.size() * 2);
            let size = if size == log.size() { size + 1 } else { size };
            let text = String::from_utf8(folder.base["checkpoint"].clone()).expect("text");
            let text = text.replacen(&format!("\n{}\n", log.size()), &format!("\n{size}\n"), 1);
            Mutant::of(log, Truth::Span(0, size - 1)).bytes("checkpoint", text.into_bytes())
        }),
        kind("a checkpoint by a foreign key", |log, _, _| signed_by(log, FOREIGN)),
        kind("a checkpoint by a retired key", |log, _, _| signed_by(log, 0)),
        kind("a checkpoint by a foreign key that is trusted", |log, _, _| Mutant {
            keys: vec![log.vkey(FOREIGN)],
            ..signed_by(log, FOREIGN)
        }),
        kind("a checkpoint of another log", |log, _, _| {
            let note = Log::other(1).checkpoint(&log.leaves, 2);
            Mutant::of(log, Truth::Span(0, log.size() - 1)).bytes("checkpoint", note.into_bytes())
        }),
        kind("an older checkpoint before newer files", |log, _, random| {
            let size = late(log, random).max(2);
            // Of complete bundles nothing would be missing: those files would merely be too many.
            let size = if size.is_multiple_of(256) { size - 1 } else { size };
            let note = log.genuine(size).into_bytes();
            Mutant::of(log, Truth::Span(0, size - 1)).bytes("checkpoint", note)
        }),
        kind("a fork of what was seen", |log, _, random| {
            let size = random.within(2, log.size());
            let mut leaves = log.leaves[..size as usize].to_vec();
            leaves[0] = leaves[1];
            let seen = log.checkpoint(&leaves, log.signer(size - 1));
            Mutant::of(log, Truth::Span(0, size - 1)).seen(seen)
        }),
        kind("something seen by a foreign key", |log, _, random| {
            let size = random.within(1, log.size());
            let seen = log.checkpoint(&log.leaves[..size as usize], FOREIGN);
            Mutant::of(log, Truth::Whole).seen(seen)
        }),
    ]
}

fn note_truth(bytes: &[u8]) -> Truth {
    let note = std::str::from_utf8(bytes).ok().and_then(|note| Checkpoint::peek(note).ok());
    match note.map(|checkpoint| checkpoint.size) {
        None | Some(0) => Truth::Whole,
        Some(1) => Truth::At(0),
        Some(size) => Truth::Span(0, size - 1),
    }
}

fn signed_by(log: &Log, key: usize) -> Mutant {
    let note = log.checkpoint(&log.leaves, key).into_bytes();
    Mutant::of(log, Truth::Span(0, log.size() - 1)).bytes("checkpoint", note)
}

fn bundle(log: &Log, random: &mut Random, kind: &str) -> (String, u64) {
    let position = random.within(0, log.size());
    (path_of(kind, position, log.size()), block(position, log.size()).1)
}

fn tile_truth(log: &Log, random: &mut Random) -> (u64, Truth) {
    let position = random.within(0, log.size());
    let (first, last) = block(position, log.size());
    (position, Truth::Span(first, last))
}

fn level_one(log: &Log, random: &mut Random) -> (String, Truth) {
    let blocks = log.size() / 256;
    let block = random.within(0, blocks);
    let first = block / 256 * 256;
    let width = (blocks - first).min(256);
    let truth = Truth::Span(first * 256, (first + width) * 256 - 1);
    (path_of("tile/1", block, blocks), truth)
}

fn flip_hash(
    log: &Log,
    folder: &Folder,
    random: &mut Random,
    level: u32,
    at: u64,
    truth: Truth,
) -> Mutant {
    let count = log.size() >> (8 * level);
    let path = path_of(&format!("tile/{level}"), at, count);
    let mut bytes = folder.base[&path].clone();
    let from = (at % 256) as usize * 32;
    random.flip(&mut bytes, from, from + 32);
    Mutant::of(log, truth).bytes(&path, bytes)
}

fn cut(log: &Log, folder: &Folder, random: &mut Random, path: &str, truth: Truth) -> Mutant {
    let bytes = &folder.base[path];
    Mutant::of(log, truth).bytes(path, bytes[..random.index(bytes.len())].to_vec())
}

fn cut_records(
    log: &Log,
    folder: &Folder,
    random: &mut Random,
    kind: &str,
    prefix: usize,
) -> Mutant {
    let (path, last) = bundle(log, random, kind);
    let bytes = &folder.base[&path];
    let length = random.index(bytes.len());
    let at = records(bytes, prefix).iter().filter(|begins| **begins <= length).count() as u64 - 1;
    Mutant::of(log, Truth::At(last / 256 * 256 + at)).bytes(&path, bytes[..length].to_vec())
}

fn longer(log: &Log, folder: &Folder, random: &mut Random, path: &str, truth: Truth) -> Mutant {
    let mut bytes = folder.base[path].clone();
    bytes.extend((0..random.within(1, 40)).map(|_| b'x'));
    Mutant::of(log, truth).bytes(path, bytes)
}

fn zeros(log: &Log, folder: &Folder, path: &str, truth: Truth) -> Mutant {
    Mutant::of(log, truth).bytes(path, vec![0; folder.base[path].len()])
}

fn swap_files(log: &Log, folder: &Folder, random: &mut Random, kind: &str) -> Mutant {
    let complete = log.size() / 256;
    let first = random.within(0, complete - 1);
    let second = random.within(first + 1, complete);
    let paths = [first, second].map(|block| path_of(kind, block * 256, log.size()));
    Mutant::of(log, Truth::At(first * 256))
        .bytes(&paths[0], folder.base[&paths[1]].clone())
        .bytes(&paths[1], folder.base[&paths[0]].clone())
}
