//! Somebody who recomputes every hash and tile, but cannot sign.

use super::{Change, Kind, Mutant, Random, Truth, kind, large, late, of_files, rebuild};
use crate::folder::{Folder, keys_file};
use crate::layout::{self, path_of};
use crate::log::{Entry, FOREIGN, Log};

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        kind("rebuilt: a bit of a header", |log, folder, random| flip_part(log, folder, random, 0)),
        kind("rebuilt: a bit of a statement", |log, folder, random| {
            flip_part(log, folder, random, 1)
        }),
        kind("rebuilt: a bit of a signature", |log, folder, random| {
            flip_part(log, folder, random, 2)
        }),
        kind("rebuilt: an event removed", |log, folder, random| {
            let position = late(log, random);
            rebuild(log, folder, Truth::Within(position), |entries| {
                drop(entries.remove(position as usize));
            })
        }),
        kind("rebuilt: the last event of a stream removed", |log, folder, random| {
            let stream = |position: u64| {
                let statement = &log.statements[position as usize];
                (statement.stream_type.clone(), statement.stream_id)
            };
            let start = late(log, random);
            let last = (start..log.size()).rev().find(|at| stream(*at) == stream(start));
            let position = last.expect("itself");
            rebuild(log, folder, Truth::Within(position), |entries| {
                drop(entries.remove(position as usize));
            })
        }),
        kind("rebuilt: some events removed", |log, folder, random| {
            let position = late(log, random);
            let end = random.within(position + 1, log.size() + 1);
            rebuild(log, folder, Truth::Within(position), |entries| {
                drop(entries.drain(position as usize..end as usize));
            })
        }),
        kind("rebuilt: the newest events removed", |log, folder, random| {
            let end = late(log, random);
            rebuild(log, folder, Truth::Within(end), |entries| entries.truncate(end as usize))
        }),
        large("rebuilt: the oldest events removed", 0, |log, folder, random| {
            let count = random.within(1, log.size() / 2);
            rebuild(log, folder, Truth::Within(0), |entries| drop(entries.drain(..count as usize)))
        }),
        kind("rebuilt: an event twice", |log, folder, random| {
            let position = late(log, random);
            rebuild(log, folder, Truth::Within(position + 1), |entries| {
                entries.insert(position as usize + 1, entries[position as usize].clone());
            })
        }),
        kind("rebuilt: an event inserted by a foreign key", |log, folder, random| {
            let position = late(log, random);
            let (statement, payload) =
                log.sealed(crate::log::ORIGIN, 9_000_000, "patient", 99, 99, 1);
            let entry = log.sign(&statement, payload, FOREIGN);
            rebuild(log, folder, Truth::Within(position), |entries| {
                entries.insert(position as usize, entry);
            })
        }),
        kind("rebuilt: an event in the place of another", |log, folder, random| {
            let position = late(log, random);
            let other = random.within(1, log.size());
            let other = if other == position { position - 1 } else { other };
            rebuild(log, folder, Truth::Within(position), |entries| {
                entries[position as usize] = entries[other as usize].clone();
            })
        }),
        kind("rebuilt: neighbours swapped", |log, folder, random| {
            let position = late(log, random);
            rebuild(log, folder, Truth::Within(position), |entries| {
                entries.swap(position as usize, position as usize + 1);
            })
        }),
        kind("rebuilt: two events swapped", |log, folder, random| {
            let first = late(log, random);
            let second = random.within(first + 1, log.size());
            rebuild(log, folder, Truth::Within(first), |entries| {
                entries.swap(first as usize, second as usize);
            })
        }),
        kind("rebuilt: an event moved to the end", |log, folder, random| {
            let position = late(log, random);
            rebuild(log, folder, Truth::Within(position), |entries| {
                let moved = entries.remove(position as usize);
                entries.push(moved);
            })
        }),
        kind("rebuilt: the order reversed from a position on", |log, folder, random| {
            let position = late(log, random);
            rebuild(log, folder, Truth::Within(position), |entries| {
                entries[position as usize..].reverse();
            })
        }),
        kind("rebuilt: signed again by a foreign key", |log, folder, random| {
            resigned(log, folder, random, FOREIGN)
        }),
        kind("rebuilt: signed again by a retired key", |log, folder, random| {
            resigned(log, folder, random, 1)
        }),
        kind("rebuilt: a payload and its digest, unsigned", |log, folder, random| {
            let position = late(log, random);
            let mut statement = log.statements[position as usize].clone();
            let payload = vec![7; statement.payload.size as usize];
            statement.payload.sha256 = audit::statement::Digest::of(&payload);
            let bytes = statement.to_bytes().expect("valid");
            edited(log, folder, position, |entry| {
                let mut parts = entry.parts();
                parts[1] = log.sign_bytes(&bytes, Vec::new(), 0).parts()[1].clone();
                Entry { payload: Some(payload), ..entry.of_parts(&parts) }
            })
        }),
        kind("rebuilt, with a foreign key's checkpoint", |log, folder, random| {
            let position = late(log, random);
            let mut entries = log.entries.clone();
            entries[position as usize] = foreign(log, position);
            with_checkpoint(log, folder, Truth::Within(position), &entries, FOREIGN, &[0, 1, 2])
        }),
        kind("rebuilt, with a foreign key's checkpoint and keys", |log, folder, random| {
            let position = late(log, random);
            let mut entries = log.entries.clone();
            entries[position as usize] = foreign(log, position);
            with_checkpoint(
                log,
                folder,
                Truth::Within(position),
                &entries,
                FOREIGN,
                &[0, 1, 2, FOREIGN],
            )
        }),
        kind("an entry and its tile changed", |log, folder, random| {
            // Only in complete blocks does a tile above know better.
            let position = random.within(0, log.size() / 256 * 256);
            let tile = path_of("tile/0", position, log.size());
            let entry = foreign(log, position);
            let mut hashes = folder.base[&tile].clone();
            let at = (position % 256) as usize * 32;
            hashes[at..at + 32].copy_from_slice(entry.leaf().as_bytes());
            let (path, bytes) = super::edit_bundle(log, folder, position, |found, at| {
                found[at] = entry.jws.clone();
            });
            Mutant::of(log, Truth::Within(position)).bytes(&path, bytes).bytes(&tile, hashes)
        }),
        kind("an entry changed, and another hash of its tile", |log, folder, random| {
            let position = random.within(0, log.size() / 256 * 256);
            let tile = path_of("tile/0", position, log.size());
            let mut hashes = folder.base[&tile].clone();
            random.flip(&mut hashes, 0, 256 * 32);
            let flipped =
                hashes.iter().zip(&folder.base[&tile]).position(|(a, b)| a != b).expect("flipped")
                    as u64
                    / 32;
            let first = position.min(position / 256 * 256 + flipped);
            let entry = foreign(log, position);
            let (path, bytes) = super::edit_bundle(log, folder, position, |found, at| {
                found[at] = entry.jws.clone();
            });
            Mutant::of(log, Truth::Within(first)).bytes(&path, bytes).bytes(&tile, hashes)
        }),
        large("an entry changed, and a hash of another tile", 512, |log, folder, random| {
            let position = random.within(0, 256);
            let other = random.within(256, 512.min(log.size()));
            let tile = path_of("tile/0", other, log.size());
            let mut hashes = folder.base[&tile].clone();
            let at = (other % 256) as usize * 32;
            random.flip(&mut hashes, at, at + 32);
            let entry = foreign(log, position);
            let (path, bytes) = super::edit_bundle(log, folder, position, |found, at| {
                found[at] = entry.jws.clone();
            });
            Mutant::of(log, Truth::At(position)).bytes(&path, bytes).bytes(&tile, hashes)
        }),
        kind(
            "the newest events removed, with an older checkpoint, and a newer one seen",
            |log, folder, random| {
                let size = late(log, random);
                truncated(log, folder, size).seen(log.genuine(log.size()))
            },
        ),
        kind(
            "the newest events removed, with an older checkpoint, and a receipt seen",
            |log, folder, random| {
                let size = late(log, random);
                let position = random.within(size, log.size());
                truncated(log, folder, size).seen(log.receipt(position, log.size()))
            },
        ),
        kind(
            "the newest events removed, and older and newer checkpoints seen",
            |log, folder, random| {
                let size = late(log, random).max(2);
                let older = log.genuine(random.within(1, size));
                truncated(log, folder, size).seen(older).seen(log.genuine(log.size()))
            },
        ),
        kind(
            "rebuilt: a bit of a statement, and an older checkpoint seen",
            |log, folder, random| {
                let position = late(log, random);
                let seen = log.genuine(random.within(1, position + 1));
                flip_at(log, folder, random, position, 1).seen(seen)
            },
        ),
        Kind { name: "a log of the same name by somebody else", least: 0, mutate: impostor },
    ]
}

fn edited(log: &Log, folder: &Folder, position: u64, edit: impl FnOnce(&Entry) -> Entry) -> Mutant {
    rebuild(log, folder, Truth::Within(position), |entries| {
        entries[position as usize] = edit(&entries[position as usize]);
    })
}

fn flip_part(log: &Log, folder: &Folder, random: &mut Random, part: usize) -> Mutant {
    let position = late(log, random);
    flip_at(log, folder, random, position, part)
}

fn flip_at(log: &Log, folder: &Folder, random: &mut Random, position: u64, part: usize) -> Mutant {
    edited(log, folder, position, |entry| {
        let before: usize = entry.parts()[..part].iter().map(|part| part.len() + 1).sum();
        let mut entry = entry.clone();
        let length = log.entries[position as usize].parts()[part].len();
        random.flip(&mut entry.jws, before, before + length);
        entry
    })
}

fn foreign(log: &Log, position: u64) -> Entry {
    let mut statement = log.statements[position as usize].clone();
    "forger".clone_into(&mut statement.actor.role);
    let payload = log.entries[position as usize].payload.clone().expect("there");
    log.sign(&statement, payload, FOREIGN)
}

fn resigned(log: &Log, folder: &Folder, random: &mut Random, key: usize) -> Mutant {
    let position = late(log, random).max(log.size() * 3 / 5 + 1);
    let mut statement = log.statements[position as usize].clone();
    "forger".clone_into(&mut statement.actor.role);
    edited(log, folder, position, |entry| {
        log.sign(&statement, entry.payload.clone().expect("there"), key)
    })
}

/// All tiles made to fit, and a checkpoint of them by some key.
pub(super) fn with_checkpoint(
    log: &Log,
    folder: &Folder,
    truth: Truth,
    entries: &[Entry],
    key: usize,
    keys: &[usize],
) -> Mutant {
    let mut files =
        layout::files(entries.iter().map(|entry| (entry.jws.as_slice(), entry.payload.as_deref())));
    let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
    files.insert("checkpoint".to_owned(), log.checkpoint(&leaves, key).into_bytes());
    files.insert("keys.json".to_owned(), keys_file(log, keys));
    of_files(log, folder, truth, files)
}

/// The log as it was at an earlier size, whole and genuine.
fn truncated(log: &Log, folder: &Folder, size: u64) -> Mutant {
    let entries = &log.entries[..size as usize];
    let mut files =
        layout::files(entries.iter().map(|entry| (entry.jws.as_slice(), entry.payload.as_deref())));
    files.insert("checkpoint".to_owned(), log.genuine(size).into_bytes());
    let activated = [0, log.size() / 5, log.size() / 2];
    let keys: Vec<usize> = (0..3).filter(|key| activated[*key] < size).collect();
    files.insert("keys.json".to_owned(), keys_file(log, &keys));
    of_files(log, folder, Truth::At(size), files)
}

fn impostor(log: &Log, folder: &Folder, _: &mut Random) -> Mutant {
    let size = log.size().min(1_000);
    let other = Log::impostor(size);
    let mut files = layout::files(
        other.entries.iter().map(|entry| (entry.jws.as_slice(), entry.payload.as_deref())),
    );
    files.insert("checkpoint".to_owned(), other.genuine(size).into_bytes());
    files.insert("keys.json".to_owned(), keys_file(&other, &[0, 1, 2]));
    let mutant = of_files(log, folder, Truth::Whole, files);
    debug_assert!(mutant.changes.values().any(|change| matches!(change, Change::Bytes(_))));
    mutant
}
