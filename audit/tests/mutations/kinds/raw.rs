//! Entries and payloads changed where they stand; the tiles know what stood there.

use super::{Kind, Mutant, Random, Truth, block, edit_bundle, edit_payloads, kind};
use crate::folder::Folder;
use crate::layout::{path_of, records};
use crate::log::{FOREIGN, Log};

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        kind("a bit of a header", |log, folder, random| flip_part(log, folder, random, 0)),
        kind("a bit of a statement", |log, folder, random| flip_part(log, folder, random, 1)),
        kind("a bit of a signature", |log, folder, random| flip_part(log, folder, random, 2)),
        kind("a bit of an entry's length", |log, folder, random| {
            flip_length(log, folder, random, "tile/entries", 2)
        }),
        kind("a bit of a payload's length", |log, folder, random| {
            flip_length(log, folder, random, "payloads", 4)
        }),
        kind("a bit of a payload", |log, folder, random| {
            in_payload(log, folder, random, |payload, random| {
                let length = payload.len();
                random.flip(payload, 0, length);
            })
        }),
        kind("a payload cut short", |log, folder, random| {
            in_payload(log, folder, random, |payload, random| {
                payload.truncate(random.index(payload.len()));
            })
        }),
        kind("a payload made longer", |log, folder, random| {
            in_payload(log, folder, random, |payload, random| payload.push(random.next() as u8))
        }),
        kind("a payload of other bytes", |log, folder, random| {
            in_payload(log, folder, random, |payload, random| {
                payload.iter_mut().for_each(|byte| *byte = random.next() as u8);
                payload.push(0);
            })
        }),
        kind("a payload that is empty", |log, folder, random| {
            in_payload(log, folder, random, |payload, _| payload.clear())
        }),
        kind("a payload left out", absent_payload),
        kind("two payloads swapped", |log, folder, random| {
            swap(log, folder, random, "payloads", 4)
        }),
        kind("two entries swapped", |log, folder, random| {
            swap(log, folder, random, "tile/entries", 2)
        }),
        kind("neighbouring entries swapped", |log, folder, random| {
            in_bundle(log, folder, random, 1, |found, at, _| found.swap(at, at + 1))
        }),
        kind("an entry twice", |log, folder, random| {
            let mutant = in_bundle(log, folder, random, 1, |found, at, _| {
                let copy = found[at].clone();
                found.insert(at + 1, copy);
                found.pop();
            });
            let Truth::At(at) = mutant.truth else { unreachable!("as it was made") };
            Mutant { truth: Truth::At(at + 1), ..mutant }
        }),
        kind("an entry left out", |log, folder, random| {
            in_bundle(log, folder, random, 0, |found, at, _| drop(found.remove(at)))
        }),
        kind("entries rotated within a bundle", |log, folder, random| {
            in_bundle(log, folder, random, 1, |found, at, _| found[at..].rotate_left(1))
        }),
        kind("an entry that is empty", |log, folder, random| {
            in_entry(log, folder, random, |entry, _| entry.clear())
        }),
        kind("an entry of noise", |log, folder, random| {
            in_entry(log, folder, random, |entry, random| {
                entry.iter_mut().for_each(|byte| *byte = random.next() as u8);
            })
        }),
        kind("an entry with padding", |log, folder, random| {
            in_entry(log, folder, random, |entry, _| entry.extend(b"=="))
        }),
        kind("an entry with a newline", |log, folder, random| {
            in_entry(log, folder, random, |entry, _| entry.push(b'\n'))
        }),
        kind("an entry with a fourth part", |log, folder, random| {
            in_entry(log, folder, random, |entry, _| entry.extend(b".AA"))
        }),
        kind("an entry cut short", |log, folder, random| {
            in_entry(log, folder, random, |entry, random| entry.truncate(random.index(entry.len())))
        }),
        kind("stray bits in a signature", |log, folder, random| {
            in_entry(log, folder, random, |entry, _| {
                // 86 characters hold 64 bytes and four bits that must be zero.
                if let Some(last) = entry.last_mut() {
                    *last += 1;
                }
            })
        }),
        kind("two signatures swapped", |log, folder, random| swap_part(log, folder, random, 2)),
        kind("two statements swapped", |log, folder, random| swap_part(log, folder, random, 1)),
        kind("the header of another key", |log, folder, random| {
            let position = random.within(log.size() / 4 + 1, log.size());
            let header = log.entries[0].parts()[0].clone();
            replace(log, folder, position, |entry| {
                let mut parts = entry.parts();
                parts[0].clone_from(&header);
                entry.of_parts(&parts).jws
            })
        }),
        kind("signed again by a foreign key", |log, folder, random| {
            let position = random.within(0, log.size());
            signed_by(log, folder, position, FOREIGN)
        }),
        kind("signed again by a retired key", |log, folder, random| {
            let position = random.within(log.size() / 4 + 1, log.size());
            signed_by(log, folder, position, 0)
        }),
        kind("signed again by a key not active yet", |log, folder, random| {
            let position = random.within(0, log.size() / 2);
            signed_by(log, folder, position, 2)
        }),
        kind("a statement edited in place", |log, folder, random| {
            let position = random.within(0, log.size());
            let mut statement = log.statements[position as usize].clone();
            "auditor".clone_into(&mut statement.actor.role);
            let bytes = statement.to_bytes().expect("valid");
            replace(log, folder, position, |entry| {
                let mut parts = entry.parts();
                parts[1] = log.sign_bytes(&bytes, Vec::new(), 0).parts()[1].clone();
                entry.of_parts(&parts).jws
            })
        }),
        kind("an event of another log", |log, folder, random| {
            let other = Log::other(16);
            let position = random.within(0, log.size());
            let entry = other.entries[(position % 16) as usize].jws.clone();
            replace(log, folder, position, |_| entry)
        }),
        kind("the genesis of another log", |log, folder, _| {
            let other = Log::impostor(1);
            replace(log, folder, 0, |_| other.entries[0].jws.clone())
        }),
        kind("a bit of the genesis' payload", |log, folder, random| {
            own_payload(log, folder, random, 0)
        }),
        kind("a bit of a new key's payload", |log, folder, random| {
            own_payload(log, folder, random, log.size() / 5)
        }),
        kind("a bit of a retirement's payload", |log, folder, random| {
            own_payload(log, folder, random, log.size() / 4)
        }),
        kind("the activation of a key made unreadable", |log, folder, _| {
            replace(log, folder, log.size() / 2, |_| b"?".to_vec())
        }),
        kind("the retirement of a key made unreadable", |log, folder, _| {
            replace(log, folder, log.size() * 3 / 5, |_| b"?".to_vec())
        }),
        kind("an unreadable entry after all rotations", |log, folder, random| {
            let position = random.within(log.size() * 3 / 5 + 1, log.size());
            replace(log, folder, position, |_| b"not an entry".to_vec())
        }),
        kind("the same, with the first key alone", |log, folder, random| {
            let position = random.within(log.size() * 3 / 5 + 1, log.size());
            let mutant = replace(log, folder, position, |_| b"not an entry".to_vec());
            Mutant { keys: vec![log.vkey(0)], ..mutant }
        }),
        kind("an unreadable rotation, with the first key alone", |log, folder, _| {
            let position = log.size() / 2;
            let mutant = replace(log, folder, position, |_| b"?".to_vec());
            Mutant { keys: vec![log.vkey(0)], truth: Truth::Within(position), ..mutant }
        }),
    ]
}

fn mutant(log: &Log, position: u64, (path, bytes): (String, Vec<u8>)) -> Mutant {
    Mutant::of(log, Truth::At(position)).bytes(&path, bytes)
}

fn replace(
    log: &Log,
    folder: &Folder,
    position: u64,
    with: impl FnOnce(&crate::log::Entry) -> Vec<u8>,
) -> Mutant {
    let record = with(&log.entries[position as usize]);
    mutant(log, position, edit_bundle(log, folder, position, |found, at| found[at] = record))
}

fn signed_by(log: &Log, folder: &Folder, position: u64, key: usize) -> Mutant {
    let statement = &log.statements[position as usize];
    replace(log, folder, position, |_| log.sign(statement, Vec::new(), key).jws)
}

fn in_entry(
    log: &Log,
    folder: &Folder,
    random: &mut Random,
    edit: fn(&mut Vec<u8>, &mut Random),
) -> Mutant {
    let position = random.within(0, log.size());
    replace(log, folder, position, |entry| {
        let mut bytes = entry.jws.clone();
        edit(&mut bytes, random);
        bytes
    })
}

fn flip_part(log: &Log, folder: &Folder, random: &mut Random, part: usize) -> Mutant {
    let position = random.within(0, log.size());
    replace(log, folder, position, |entry| {
        let before: usize = entry.parts()[..part].iter().map(|part| part.len() + 1).sum();
        let mut bytes = entry.jws.clone();
        random.flip(&mut bytes, before, before + entry.parts()[part].len());
        bytes
    })
}

/// An edit within a bundle that leaves `after` records behind the position.
fn in_bundle(
    log: &Log,
    folder: &Folder,
    random: &mut Random,
    after: u64,
    edit: fn(&mut Vec<Vec<u8>>, usize, &mut Random),
) -> Mutant {
    let position = random.within(0, log.size());
    let position = position.min(block(position, log.size()).1 - after);
    mutant(log, position, edit_bundle(log, folder, position, |found, at| edit(found, at, random)))
}

fn in_payload(
    log: &Log,
    folder: &Folder,
    random: &mut Random,
    edit: fn(&mut Vec<u8>, &mut Random),
) -> Mutant {
    let position = random.within(0, log.size());
    mutant(
        log,
        position,
        edit_payloads(log, folder, position, |found, at| edit(&mut found[at], random)),
    )
}

fn own_payload(log: &Log, folder: &Folder, random: &mut Random, position: u64) -> Mutant {
    mutant(
        log,
        position,
        edit_payloads(log, folder, position, |found, at| {
            let length = found[at].len();
            random.flip(&mut found[at], 0, length);
        }),
    )
}

fn flip_length(
    log: &Log,
    folder: &Folder,
    random: &mut Random,
    kind: &str,
    prefix: usize,
) -> Mutant {
    let position = random.within(0, log.size());
    let path = path_of(kind, position, log.size());
    let mut bytes = folder.base[&path].clone();
    let at = records(&bytes, prefix)[(position % 256) as usize];
    random.flip(&mut bytes, at, at + prefix);
    mutant(log, position, (path, bytes))
}

fn absent_payload(log: &Log, folder: &Folder, random: &mut Random) -> Mutant {
    let position = random.within(0, log.size());
    let path = path_of("payloads", position, log.size());
    let mut bytes = folder.base[&path].clone();
    let begins = records(&bytes, 4);
    let at = (position % 256) as usize;
    bytes.splice(begins[at]..begins[at + 1], [0xFF; 4]);
    mutant(log, position, (path, bytes))
}

fn two(log: &Log, random: &mut Random) -> (u64, u64) {
    let first = random.within(0, log.size() - 1);
    (first, random.within(first + 1, log.size()))
}

fn swap(log: &Log, folder: &Folder, random: &mut Random, kind: &str, prefix: usize) -> Mutant {
    let (first, second) = two(log, random);
    let edit = |position: u64, other: u64| {
        let other = if prefix == 2 {
            log.entries[other as usize].jws.clone()
        } else {
            log.entries[other as usize].payload.clone().expect("there")
        };
        (position, other)
    };
    let mut mutant = Mutant::of(log, Truth::At(first));
    let (one, two) = (edit(first, second), edit(second, first));
    if block(first, log.size()) == block(second, log.size()) {
        let (path, bytes) = super::edit_records(log, folder, first, kind, prefix, |found, at| {
            found[at] = one.1;
            found[(second % 256) as usize] = two.1;
        });
        return mutant.bytes(&path, bytes);
    }
    for (position, record) in [one, two] {
        let (path, bytes) =
            super::edit_records(log, folder, position, kind, prefix, |found, at| {
                found[at] = record;
            });
        mutant = mutant.bytes(&path, bytes);
    }
    mutant
}

fn swap_part(log: &Log, folder: &Folder, random: &mut Random, part: usize) -> Mutant {
    let (first, second) = two(log, random);
    let other = log.entries[second as usize].parts()[part].clone();
    replace(log, folder, first, |entry| {
        let mut parts = entry.parts();
        parts[part] = other;
        entry.of_parts(&parts).jws
    })
}
