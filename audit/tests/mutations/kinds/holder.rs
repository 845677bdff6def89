//! What somebody with the log's own keys does against its rules, signed and in the tree; and the history he rewrites,
//! which only what was seen before can tell.

use audit::statement::Statement;
use uuid::Uuid;

use super::rebuilt::with_checkpoint;
use super::{Kind, Mutant, Random, Truth, kind, late};
use crate::folder::Folder;
use crate::log::{self, ERASED, Entry, Log, ORIGIN, PATIENTS, id};

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        kind("signed: a sequence skipped", |log, folder, random| {
            edit(log, folder, random, |statement, _| statement.sequence += 1)
        }),
        kind("signed: an event's id twice", |log, folder, random| {
            edit(log, folder, random, |statement, position| {
                statement.event_id = id(1, position - 1);
            })
        }),
        kind("signed: back-dated by an hour", |log, folder, random| {
            edit(log, folder, random, |statement, _| {
                statement.recorded_at -= jiff::SignedDuration::from_hours(1);
            })
        }),
        kind("signed: another log's name", |log, folder, random| {
            edit(log, folder, random, |statement, _| {
                "ledger.clinic.example/x".clone_into(&mut statement.origin);
            })
        }),
        kind("signed: another digest", |log, folder, random| {
            edit(log, folder, random, |statement, _| statement.payload.sha256.0[0] ^= 1)
        }),
        kind("signed: another size", |log, folder, random| {
            edit(log, folder, random, |statement, _| statement.payload.size += 1)
        }),
        kind("signed: a subject's second key", |log, folder, random| {
            edit(log, folder, random, |statement, _| statement.payload.key_id = Some(id(6, 777)))
        }),
        kind("signed: a key's second subject", |log, folder, random| {
            edit(log, folder, random, |statement, position| {
                statement.subject = Some(id(2, 888 + position));
                statement.stream_id = id(2, 888 + position);
                statement.sequence = 1;
            })
        }),
        kind("signed: an array for an object", |log, folder, random| {
            respell(log, folder, random, |text| {
                let (front, actor) = text.split_once("\"actor\":{").expect("an actor");
                let (actor, back) = actor.split_once('}').expect("its end");
                let values: Vec<&str> = actor
                    .split(',')
                    .filter_map(|member| member.split_once(':'))
                    .map(|(_, value)| value)
                    .collect();
                format!("{front}\"actor\":[{}]{back}", values.join(","))
            })
        }),
        kind("signed: a nullable member missing", |log, folder, random| {
            respell(log, folder, random, |text| text.replace(",\"actor_signature\":null", ""))
        }),
        kind("signed: a member twice", |log, folder, random| {
            respell(log, folder, random, |text| {
                text.replacen("\"purpose\":", "\"purpose\":\"HPAYMT\",\"purpose\":", 1)
            })
        }),
        kind("signed: a number with a fraction", |log, folder, random| {
            respell(log, folder, random, |text| {
                text.replacen(",\"event_type\"", ".0,\"event_type\"", 1)
            })
        }),
        kind("signed: a UUID in capitals", |log, folder, random| {
            respell(log, folder, random, |text| {
                text.replacen("\"command_id\":\"0197", "\"command_id\":\"019A", 1)
            })
        }),
        kind("signed: half of a surrogate pair", |log, folder, random| {
            respell(log, folder, random, |text| {
                text.replacen("\"purpose\":\"", "\"purpose\":\"\\ud800", 1)
            })
        }),
        kind("signed: an actor of no known kind", |log, folder, random| {
            respell(log, folder, random, |text| {
                text.replacen("\"kind\":\"user\"", "\"kind\":\"robot\"", 1).replacen(
                    "\"kind\":\"system\"",
                    "\"kind\":\"robot\"",
                    1,
                )
            })
        }),
        kind("signed: sealed after the erasure", |log, folder, random| {
            let position = random.within(log.size() * 38 / 100 + 1, log.size());
            let sequence = next_sequence(log, "patient", id(2, ERASED), position);
            let (statement, payload) =
                log.sealed(ORIGIN, position, "patient", ERASED, ERASED, sequence);
            signed(log, folder, position, &statement, payload)
        }),
        kind("signed: a hold after the erasure", |log, folder, random| {
            let position = random.within(log.size() * 38 / 100 + 1, log.size());
            custody(log, folder, position, "HoldPlaced", &log::hold(2), 4)
        }),
        kind("signed: an erasure under a hold", |log, folder, _| {
            let position = log.size() * 37 / 100;
            custody(log, folder, position, "SubjectErased", &log::erasure(), 2)
        }),
        kind("signed: a second erasure", |log, folder, random| {
            let position = random.within(log.size() * 38 / 100 + 1, log.size());
            custody(log, folder, position, "SubjectErased", &log::erasure(), 4)
        }),
        kind("signed: a hold released that nobody placed", |log, folder, _| {
            custody(log, folder, log.size() * 36 / 100, "HoldReleased", &log::release(1), 1)
        }),
        kind("signed: a custody payload nobody can read", |log, folder, random| {
            let position = random.within(log.size() * 38 / 100 + 1, log.size());
            custody(log, folder, position, "PurgeRecorded", "{\"PurgeRecorded\":{}}", 4)
        }),
        kind("rewritten, with checkpoints seen before and after", |log, folder, random| {
            let position = late(log, random).max(3);
            let before = log.genuine(random.within(1, position));
            let after = log.genuine(random.within(position + 1, log.size() + 1));
            rewritten(log, folder, position).seen(before).seen(after)
        }),
        kind("rewritten, with the receipt of the event seen", |log, folder, random| {
            let position = late(log, random);
            let size = random.within(position + 1, log.size() + 1);
            rewritten(log, folder, position).seen(log.receipt(position, size))
        }),
        kind("rewritten, with a receipt of a later event seen", |log, folder, random| {
            let position = late(log, random);
            let later = random.within(position + 1, log.size());
            rewritten(log, folder, position).seen(log.receipt(later, log.size()))
        }),
    ]
}

/// A sealed event from the second half on, whose patient has had an event before.
fn sealed(log: &Log, random: &mut Random) -> u64 {
    let from = late(log, random).max(log.size() / 2);
    let fits = |position: &u64| {
        let subject = log.statements[*position as usize].subject;
        let earlier = &log.statements[..*position as usize];
        subject.is_some()
            && earlier
                .iter()
                .rev()
                .take(4 * PATIENTS as usize)
                .any(|statement| statement.subject == subject)
    };
    (from..log.size()).chain(log.size() / 2..log.size()).find(fits).expect("there are many")
}

fn signed(
    log: &Log,
    folder: &Folder,
    position: u64,
    statement: &Statement,
    payload: Vec<u8>,
) -> Mutant {
    replaced(log, folder, position, log.sign(statement, payload, log.signer(position)))
}

fn replaced(log: &Log, folder: &Folder, position: u64, entry: Entry) -> Mutant {
    let mut entries = log.entries.clone();
    entries[position as usize] = entry;
    with_checkpoint(log, folder, Truth::At(position), &entries, 2, &[0, 1, 2])
}

fn edit(log: &Log, folder: &Folder, random: &mut Random, edit: fn(&mut Statement, u64)) -> Mutant {
    let position = sealed(log, random);
    let mut statement = log.statements[position as usize].clone();
    edit(&mut statement, position);
    let payload = log.entries[position as usize].payload.clone().expect("there");
    signed(log, folder, position, &statement, payload)
}

/// The same statement in a spelling that must be refused.
fn respell(log: &Log, folder: &Folder, random: &mut Random, respell: fn(&str) -> String) -> Mutant {
    let position = sealed(log, random);
    let bytes = log.statements[position as usize].to_bytes().expect("valid");
    let text = String::from_utf8(bytes).expect("text");
    let other = respell(&text);
    assert_ne!(text, other);
    let payload = log.entries[position as usize].payload.clone().expect("there");
    replaced(log, folder, position, log.sign_bytes(other.as_bytes(), payload, log.signer(position)))
}

fn next_sequence(log: &Log, kind: &str, stream: Uuid, before: u64) -> u64 {
    let earlier = log.statements[..before as usize].iter();
    earlier
        .filter(|statement| statement.stream_type == kind && statement.stream_id == stream)
        .count() as u64
        + 1
}

fn custody(
    log: &Log,
    folder: &Folder,
    position: u64,
    kind: &str,
    payload: &str,
    sequence: u64,
) -> Mutant {
    let (statement, payload) = log.custody(ORIGIN, position, ERASED, kind, payload, sequence);
    signed(log, folder, position, &statement, payload)
}

/// A history that holds together, but is not the one that was published.
fn rewritten(log: &Log, folder: &Folder, position: u64) -> Mutant {
    let mut statement = log.statements[position as usize].clone();
    "HPAYMT".clone_into(&mut statement.purpose);
    let payload = log.entries[position as usize].payload.clone().expect("there");
    let mutant = signed(log, folder, position, &statement, payload);
    Mutant { truth: Truth::Within(position), ..mutant }
}
