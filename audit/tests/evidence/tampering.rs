//! The tamper matrix: every kind of damage is noticed, and the first position named.

use audit::checkpoint::Checkpoint;
use audit::merkle::CompactRange;
use audit::statement::Statement;
use audit::verify::{FindingKind, LogEntry, Options, Report, Trust, Verifier, verify_log};

use crate::world::{ORIGIN, SEEDS, World, entry, id, keys, leaf, patient_event, trust, world};

const SIZE: u64 = 300;

fn options() -> Options {
    Options { threads: 2, ..Options::default() }
}

fn without_hashes(entries: &[LogEntry]) -> Vec<LogEntry> {
    entries.iter().cloned().map(|entry| LogEntry { leaf_hash: None, ..entry }).collect()
}

/// Renumbers the entries, as somebody who covers his traces would; the leaf hashes stay where
/// they were kept.
fn renumber(world: &World, mut entries: Vec<LogEntry>) -> Vec<LogEntry> {
    for (position, entry) in (0u64..).zip(&mut entries) {
        entry.position = position;
        entry.leaf_hash = world.entries.get(position as usize).and_then(|kept| kept.leaf_hash);
    }
    entries
}

fn verify(entries: &[LogEntry], note: &str) -> Report {
    verify_log(entries, note, trust(), options())
}

fn verify_with_checkpoints(world: &World, entries: &[LogEntry]) -> Report {
    let mut verifier = Verifier::new(trust(), options());
    for (size, note) in &world.checkpoints {
        verifier.expect_checkpoint(*size, note.clone());
    }
    for chunk in entries.chunks(64) {
        verifier.push(chunk);
    }
    verifier.finish(world.note())
}

#[track_caller]
fn assert_first(report: &Report, position: u64, kind: FindingKind) {
    let first = report.first_damage().expect("damage is found");
    let kinds: Vec<_> =
        report.findings.iter().filter(|f| f.position == position).map(|f| f.kind).collect();
    assert!(first.position == position && kinds.contains(&kind), "{:#?}", report.findings);
}

fn resigned(world: &World, position: u64, seed: usize, edit: impl Fn(&mut Statement)) -> LogEntry {
    let mut statement = world.statements[position as usize].clone();
    edit(&mut statement);
    let payload = world.entries[position as usize].payload.clone().expect("a payload");
    let kept = world.entries[position as usize].leaf_hash;
    let seed = SEEDS.get(seed).copied().unwrap_or([77; 32]);
    LogEntry { leaf_hash: kept, ..entry(position, &statement, payload, &keys(&seed).events) }
}

#[test]
fn an_untouched_log_is_sound() {
    let world = world(SIZE);
    for entries in [world.entries.clone(), without_hashes(&world.entries)] {
        let report = verify_with_checkpoints(&world, &entries);
        assert!(report.is_sound(), "{:#?}", report.findings);
        assert_eq!((report.events, report.size), (SIZE, Some(SIZE)));
        assert_eq!(report.root, world.tree.root());
        assert_eq!(report.streams, 5);
        assert_eq!(report.payloads, SIZE);
        assert_eq!(report.checkpoints, world.checkpoints.len() as u64 + 1);
    }
}

/// Bits all over every part of an entry, and of the checkpoint.
#[test]
fn any_flipped_bit_is_named() {
    let world = world(9);
    let entries = without_hashes(&world.entries);
    let victim = 7;
    let flip = |part: fn(&mut LogEntry) -> &mut [u8], kinds: &[FindingKind]| {
        let length = part(&mut entries[victim].clone()).len();
        for bit in (0..length * 8).step_by(13) {
            let mut entries = entries.clone();
            part(&mut entries[victim])[bit / 8] ^= 1 << (bit % 8);
            let report = verify(&entries, world.note());
            let first = report.first_damage().expect("noticed");
            assert_eq!(first.position, victim as u64, "bit {bit}: {:#?}", report.findings);
            assert!(kinds.iter().any(|kind| report.findings.iter().any(|f| f.kind == *kind)));
        }
    };
    use FindingKind as K;
    flip(|entry| &mut entry.header, &[K::Header, K::ForeignKey]);
    flip(|entry| &mut entry.statement, &[K::Statement, K::Signature, K::Origin]);
    flip(|entry| &mut entry.signature, &[K::Signature]);
    flip(|entry| entry.payload.as_mut().expect("a payload"), &[K::Payload]);
    for bit in (0..world.note().len() * 8).step_by(11) {
        let mut note = world.note().to_owned().into_bytes();
        note[bit / 8] ^= 1 << (bit % 8);
        let note = String::from_utf8_lossy(&note).into_owned();
        assert!(!verify(&entries, &note).is_sound(), "bit {bit} of the checkpoint");
    }
}

#[test]
fn removal_is_named() {
    let world = world(SIZE);
    for position in [1u64, 42, 137, 299] {
        let mut entries = world.entries.clone();
        entries.remove(position as usize);
        let expected = if position == 299 { 299 } else { position };
        assert_first(&verify(&entries, world.note()), expected, FindingKind::Missing);
        let renumbered = renumber(&world, entries);
        let kind = if position == 299 { FindingKind::Missing } else { FindingKind::LeafHash };
        assert_first(&verify(&renumbered, world.note()), position, kind);
        // Without hashes kept apart, the next event of the stream or a checkpoint tells.
        let report = verify_with_checkpoints(&world, &without_hashes(&renumbered));
        let first = report.first_damage().expect("noticed").position;
        assert!(first.abs_diff(position) < 12, "{first} for {position}");
    }
}

#[test]
fn insertion_is_named_even_if_the_log_itself_signed_it() {
    let world = world(SIZE);
    let (mut statement, payload) = patient_event(9_999, 99, 1);
    statement.recorded_at = crate::world::recorded_at(150);
    let inserted = entry(150, &statement, payload, &keys(&SEEDS[0]).events);
    let mut entries = world.entries.clone();
    entries.insert(150, inserted);
    let entries = renumber(&world, entries);
    assert_first(&verify(&entries, world.note()), 150, FindingKind::LeafHash);
    let report = verify_with_checkpoints(&world, &without_hashes(&entries));
    let first = report.first_damage().expect("noticed");
    let append = world.checkpoints.iter().rev().find(|(size, _)| *size <= 150).expect("earlier").0;
    assert_eq!((first.position, first.kind), (append, FindingKind::Root));
}

#[test]
fn reordering_is_named() {
    let world = world(SIZE);
    let mut entries = world.entries.clone();
    entries.swap(60, 61);
    assert_first(&verify(&entries, world.note()), 60, FindingKind::Missing);
    let entries = renumber(&world, entries);
    assert_first(&verify(&entries, world.note()), 60, FindingKind::LeafHash);
    let report = verify_with_checkpoints(&world, &without_hashes(&entries));
    let first = report.first_damage().expect("noticed").position;
    assert!((55..=61).contains(&first), "{first}");
}

#[test]
fn truncation_is_named() {
    let world = world(SIZE);
    let head = world.entries[3..].to_vec();
    assert_first(&verify(&head, world.note()), 0, FindingKind::Missing);
    assert_first(&verify(&renumber(&world, head), world.note()), 0, FindingKind::Genesis);
    for end in [250, 150, 50, 1] {
        let tail = &world.entries[..end as usize];
        // Before the second key was activated, only an auditor who knows it can read the end.
        let known = Trust::parse(&keys(&SEEDS[1]).notes.verifier().to_string()).expect("a key");
        let report = verify_log(tail, world.note(), known, options());
        assert_first(&report, end, FindingKind::Missing);
        assert!(!verify(tail, world.note()).is_sound());
    }
    // The log goes on, but the checkpoint shown is an older one.
    let (size, note) = &world.checkpoints[world.checkpoints.len() - 2];
    assert_first(&verify(&world.entries, note), *size, FindingKind::Unexpected);
    // The auditor saw a larger log before.
    let pinned = Checkpoint::peek(world.note()).expect("a checkpoint");
    let options = Options { pinned: vec![pinned], ..options() };
    let report = verify_log(&world.entries[..*size as usize], note, trust(), options);
    assert_first(&report, *size, FindingKind::Missing);
}

#[test]
fn swaps_are_named() {
    let world = world(SIZE);
    let mut entries = without_hashes(&world.entries);
    let (a, b) = entries.split_at_mut(200);
    std::mem::swap(&mut a[33].payload, &mut b[4].payload);
    assert_first(&verify(&entries, world.note()), 33, FindingKind::Payload);
    let mut entries = without_hashes(&world.entries);
    let (a, b) = entries.split_at_mut(200);
    std::mem::swap(&mut a[34].signature, &mut b[4].signature);
    assert_first(&verify(&entries, world.note()), 34, FindingKind::Signature);
    let mut entries = without_hashes(&world.entries);
    entries[35].payload = None;
    assert_first(&verify(&entries, world.note()), 35, FindingKind::PayloadMissing);
    let options = Options { require_payloads: false, ..options() };
    let report = verify_log(&entries, world.note(), trust(), options);
    assert!(report.is_sound() && report.payloads_absent == 1);
}

#[test]
fn keys_count_only_where_they_are_active() {
    let world = world(SIZE);
    for (position, seed, kind) in [
        (250, 0, FindingKind::InactiveKey),
        (201, 0, FindingKind::InactiveKey),
        // Nobody knows the second key before the log names it.
        (50, 1, FindingKind::ForeignKey),
        (100, 1, FindingKind::ForeignKey),
        (50, 9, FindingKind::ForeignKey),
        (299, 9, FindingKind::ForeignKey),
    ] {
        let mut entries = without_hashes(&world.entries);
        entries[position as usize] = resigned(&world, position, seed, |_| ());
        entries[position as usize].leaf_hash = None;
        assert_first(&verify(&entries, world.note()), position, kind);
    }
    // A retired key cannot sign a checkpoint either.
    let checkpoint = Checkpoint::peek(world.note()).expect("a checkpoint");
    let note = checkpoint.to_note(&keys(&SEEDS[0]).notes).expect("signed");
    assert_first(&verify(&world.entries, &note), SIZE - 1, FindingKind::Checkpoint);
    // The other key alone is a good beginning too: it signed the end.
    let known = Trust::new(ORIGIN, keys(&SEEDS[1]).events.public()).expect("a name");
    assert!(verify_log(&world.entries, world.note(), known, options()).is_sound());
    let stranger = Trust::new(ORIGIN, keys(&[77; 32]).events.public()).expect("a name");
    let report = verify_log(&world.entries, world.note(), stranger, options());
    assert_first(&report, 0, FindingKind::Untrusted);
}

/// What somebody with the log's own key could do: the hashes and checkpoints still tell.
#[test]
fn edits_by_the_signer_are_named() {
    type Edit = fn(&mut Statement);
    let world = world(SIZE);
    let edits: [(u64, FindingKind, Edit); 8] = [
        (120, FindingKind::LeafHash, |s| s.event_type = "PatientRegistered".to_owned()),
        (120, FindingKind::Sequence, |s| s.stream_id = id(2, 999)),
        (120, FindingKind::Sequence, |s| s.sequence += 1),
        (120, FindingKind::Clock, |s| s.recorded_at = crate::world::recorded_at(50)),
        (120, FindingKind::LeafHash, |s| s.recorded_at = crate::world::recorded_at(90)),
        (120, FindingKind::Origin, |s| s.origin = "ledger.clinic.example/other".to_owned()),
        (120, FindingKind::DuplicateEvent, |s| s.event_id = id(1, 77)),
        (120, FindingKind::Payload, |s| s.payload.size += 1),
    ];
    for (position, kind, edit) in edits {
        let mut entries = world.entries.clone();
        entries[position as usize] = resigned(&world, position, 0, edit);
        let report = verify_with_checkpoints(&world, &entries);
        assert_first(&report, position, kind);
        assert!(report.findings.iter().any(|f| f.kind == FindingKind::Root), "{kind}");
    }
}

#[test]
fn a_fork_is_told_by_whoever_saw_the_log_before() {
    let world = world(SIZE);
    let (_, seen) = world.checkpoints.iter().rev().find(|(size, _)| *size <= 180).expect("earlier");
    let seen = Checkpoint::peek(seen).expect("a checkpoint");
    // The operator rewrites position 170 and signs everything anew.
    let mut entries = without_hashes(&world.entries);
    entries[170] = resigned(&world, 170, 0, |s| s.purpose = "HPAYMT".to_owned());
    entries[170].leaf_hash = None;
    let mut tree = CompactRange::new();
    tree.append(&entries.iter().map(leaf).collect::<Vec<_>>());
    let forged = Checkpoint { origin: ORIGIN.to_owned(), size: SIZE, root: tree.root() };
    let note = forged.to_note(&keys(&SEEDS[1]).notes).expect("signed");
    assert!(verify(&entries, &note).is_sound(), "nobody else can tell");
    let options = Options { pinned: vec![seen.clone()], ..options() };
    let report = verify_log(&entries, &note, trust(), options.clone());
    let first = report.first_damage().expect("noticed");
    assert_eq!(first.kind, FindingKind::Fork);
    assert!(first.position < seen.size);
    assert!(verify_log(&world.entries, world.note(), trust(), options).is_sound());
}

#[test]
fn too_many_findings_are_counted_and_the_lowest_kept() {
    let world = world(SIZE);
    let mut entries = without_hashes(&world.entries);
    for entry in &mut entries[10..] {
        entry.signature[0] ^= 1;
    }
    let options = Options { max_findings: 20, ..options() };
    let report = verify_log(&entries, world.note(), trust(), options);
    assert_first(&report, 10, FindingKind::Signature);
    assert_eq!(report.findings.len(), 20);
    assert!(report.more_findings > 200);
}
