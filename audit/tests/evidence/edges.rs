//! What is seldom at stake: the words of a verdict, what was seen beyond the end, tiles of a tree nobody knows.

use std::fs;
use std::path::Path;

use audit::checkpoint::Checkpoint;
use audit::custody::{self, Custody, CustodyError};
use audit::export::{ExportWriter, verify_export};
use audit::merkle::{
    CompactRange, Hash, MAX_SIZE, MerkleError, inclusion_root, verify_consistency,
};
use audit::proof;
use audit::statement::{Payload, Statement};
use audit::tiles::TileBuilder;
use audit::verify::{Finding, FindingKind, LogEntry, Options, Report, Seen, Verifier, verify_log};

use crate::snapshots::receipt;
use crate::world::{
    ORIGIN, SEEDS, World, entry, id, keys, leaf, patient_event, recorded_at, trust, world,
};

fn verify(entries: &[LogEntry], note: &str, seen: Vec<Seen>) -> Report {
    verify_log(entries, note, trust(), Options { seen, ..Options::default() })
}

fn seen(name: &str, bytes: &str) -> Seen {
    Seen::parse(name, bytes.as_bytes()).expect("it reads")
}

/// A checkpoint of this size and root, signed by the key of a seed.
fn signed(size: u64, root: Hash, seed: &[u8; 32]) -> String {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
    checkpoint.to_note(&keys(seed).notes).expect("signed")
}

/// The note of exactly these entries.
fn note_of(entries: &[LogEntry]) -> String {
    let mut tree = CompactRange::new();
    tree.append(&entries.iter().map(leaf).collect::<Vec<_>>());
    signed(tree.size(), tree.root(), &SEEDS[0])
}

fn kinds(report: &Report) -> Vec<FindingKind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn a_verdict_says_what_it_is_worth() {
    let world = world(12);
    let alone = verify(&world.entries, world.note(), Vec::new());
    let beginning = [
        format!("as of      size 12, {}", recorded_at(11)),
        format!("under      {}", keys(&SEEDS[0]).notes.verifier()),
    ];
    let nothing = "compared   with nothing earlier: a removal of the newest events would not show";
    assert_eq!(alone.basis(), [&beginning[..], &[nothing.to_owned()]].concat());

    let receipt = receipt();
    let of_receipt = Checkpoint::peek(&receipt.checkpoint).expect("a checkpoint").size;
    let (smaller, note) = &world.checkpoints[0];
    let holder = serde_json::to_string(&receipt).expect("JSON");
    let both = vec![seen("old.txt", note), seen("mine.json", &holder)];
    let report = verify(&world.entries, world.note(), both);
    assert!(report.is_sound(), "{:?}", report.findings);
    let compared = [
        format!("compared   with the checkpoint old.txt of size {smaller}"),
        format!("compared   with the receipt mine.json of size {of_receipt}"),
    ];
    assert_eq!(report.basis(), [beginning, compared].concat());
}

#[test]
fn a_place_is_a_position_a_span_or_the_log() {
    let finding = |kind, last| Finding { position: 5, last, kind, detail: "so it is".to_owned() };
    for (kind, last, place) in [
        (FindingKind::Root, None, "position 5"),
        (FindingKind::Root, Some(5), "position 5"),
        (FindingKind::Root, Some(6), "positions 5 to 6"),
        (FindingKind::Stray, Some(6), "the log as a whole"),
    ] {
        let finding = finding(kind, last);
        assert_eq!(finding.place(), place);
        assert_eq!(finding.to_string(), format!("{place}: {kind}: so it is"));
    }
}

#[test]
fn what_was_seen_counts_only_if_the_log_signed_it() {
    let small = world(12);
    let stranger = |size| seen("theirs", &signed(size, Hash([7; 32]), &[77; 32]));
    let report = verify(&small.entries, small.note(), vec![stranger(9)]);
    assert_eq!((kinds(&report), report.compared.len()), (vec![FindingKind::Seen], 0));

    // Beyond the end the log is too short, whoever signed; but who it was is told.
    let longer = world(20);
    let report = verify(&small.entries, small.note(), vec![seen("ours", longer.note())]);
    assert_eq!(kinds(&report), [FindingKind::Missing]);
    assert_eq!(report.findings[0].position, 12);
    let report = verify(&small.entries, small.note(), vec![stranger(20)]);
    assert_eq!(kinds(&report), [FindingKind::Missing, FindingKind::Seen]);
    assert!(report.findings[1].detail.contains("it knows 20 events, and this log ends at 12"));
}

#[test]
fn another_event_than_that_of_a_receipt_is_named() {
    let world = world(12);
    let holder = serde_json::to_string(&receipt()).expect("JSON");
    let mut entries = world.entries.clone();
    let mut statement = world.statements[7].clone();
    statement.purpose = "HPAYMT".to_owned();
    let payload = entries[7].payload.clone().expect("a payload");
    entries[7] = entry(7, &statement, payload, &keys(&SEEDS[0]).events);
    let report = verify(&entries, &note_of(&entries), vec![seen("mine", &holder)]);
    let named: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.position == 7).collect();
    assert!(
        named.iter().any(|finding| finding.kind == FindingKind::Fork
            && finding.detail == "the event is not the one of the receipt mine"),
        "{:?}",
        report.findings
    );
}

#[test]
fn how_much_is_missing_at_the_end_is_said() {
    let world = world(12);
    let report = verify(&world.entries[..10], world.note(), Vec::new());
    let first = report.first_damage().expect("noticed");
    assert_eq!((first.position, first.kind), (10, FindingKind::Missing));
    assert_eq!(first.detail, "2 positions are missing from here to the log's end");
}

/// The statement and payload by which patient 1 is erased.
fn erasure(position: u64) -> (Statement, Vec<u8>) {
    let payload = br#"{"SubjectErased":{"reason":"request","authority":"privacy-officer","case_reference":"C-1","at":"2026-03-10T20:05:00Z"}}"#;
    let (statement, _) = patient_event(position, 1, 1);
    let statement = Statement {
        stream_type: custody::STREAM_TYPE.to_owned(),
        event_type: "SubjectErased".to_owned(),
        subject: None,
        payload: Payload::plain(payload),
        media: Vec::new(),
        ..statement
    };
    (statement, payload.to_vec())
}

#[test]
fn who_is_erased_is_known_by_the_position() {
    let mut custody = Custody::default();
    assert_eq!(custody.erased_at(id(2, 1)), None);
    let (statement, payload) = erasure(12);
    custody.apply(12, &statement, &payload).expect("allowed");
    assert_eq!((custody.erased_at(id(2, 1)), custody.erased_at(id(2, 2))), (Some(12), None));
    // What stands there or before is no trespass, whatever comes after is.
    let (of_patient, sealed) = patient_event(12, 1, 9);
    assert!(custody.apply(12, &of_patient, &sealed).is_ok());
    let refused = custody.apply(13, &of_patient, &sealed);
    assert!(matches!(refused, Err(CustodyError::Erased { at: 12 })), "{refused:?}");
    assert_eq!((custody::MAX_CUSTODY_PAYLOAD, proof::MAX_RECEIPT), (16_384, 67_108_864));
}

#[test]
fn whom_a_log_erases_is_known_as_far_as_it_was_taken_in() {
    let mut verifier = Verifier::new(trust(), Options::default());
    verifier.push(&world(12).entries);
    assert!(!verifier.is_erased(id(2, 1)));
    let (statement, payload) = erasure(12);
    verifier.push(&[entry(12, &statement, payload, &keys(&SEEDS[0]).events)]);
    assert!(verifier.is_erased(id(2, 1)) && !verifier.is_erased(id(2, 2)));
}

#[test]
fn an_event_of_custody_is_bounded() {
    let padded = |length: usize| {
        let (statement, mut payload) = erasure(12);
        payload.resize(length, b' ');
        let payload = (Payload::plain(&payload), payload);
        let statement = Statement { payload: payload.0, ..statement };
        Custody::default().apply(12, &statement, &payload.1)
    };
    assert!(padded(custody::MAX_CUSTODY_PAYLOAD).is_ok());
    for length in [custody::MAX_CUSTODY_PAYLOAD + 1, custody::MAX_CUSTODY_PAYLOAD + 2] {
        let refused = padded(length);
        assert!(matches!(refused, Err(CustodyError::TooLong(found)) if found == length));
    }
}

#[test]
fn what_is_sealed_for_whom_is_followed_through_the_log() {
    let world = world(12);
    let of = |subject| {
        let events =
            world.statements.iter().filter(|statement| statement.stream_id == id(2, subject));
        events.count() as u64 + 1
    };
    let with_key = |(statement, sealed): (Statement, Vec<u8>), key| {
        let payload = Payload { key_id: Some(key), ..statement.payload };
        (Statement { payload, ..statement }, sealed)
    };
    for (what, added, kind) in [
        ("after its erasure", vec![erasure(12), patient_event(13, 1, of(1))], FindingKind::Erased),
        (
            "under a second key",
            vec![with_key(patient_event(12, 1, of(1)), id(6, 99))],
            FindingKind::SubjectKey,
        ),
        (
            "under another's key",
            vec![with_key(patient_event(12, 5, 1), id(6, 1))],
            FindingKind::SubjectKey,
        ),
        ("erased twice", vec![erasure(12), second(erasure(13))], FindingKind::Custody),
    ] {
        let mut entries = world.entries.clone();
        for (position, (statement, payload)) in (12..).zip(added) {
            entries.push(entry(position, &statement, payload, &keys(&SEEDS[0]).events));
        }
        let report = verify(&entries, &note_of(&entries), Vec::new());
        let last = entries.len() as u64 - 1;
        let found: Vec<(u64, FindingKind)> =
            report.findings.iter().map(|finding| (finding.position, finding.kind)).collect();
        assert_eq!(found, [(last, kind)], "{what}");
    }
}

/// The same as the next event of its stream.
fn second((statement, payload): (Statement, Vec<u8>)) -> (Statement, Vec<u8>) {
    (Statement { sequence: statement.sequence + 1, ..statement }, payload)
}

#[test]
fn a_tree_of_the_largest_size_is_compared_and_no_larger_one() {
    let root = Hash([1; 32]);
    let compared = |new| verify_consistency(1, new, &[], &root, &root);
    assert_eq!(compared(MAX_SIZE + 1), Err(MerkleError::TooLarge(MAX_SIZE + 1)));
    assert!(!matches!(compared(MAX_SIZE), Ok(()) | Err(MerkleError::TooLarge(_))));
    let included = |size| inclusion_root(&root, 5, size, &[]);
    assert_eq!(included(MAX_SIZE + 1), Err(MerkleError::TooLarge(MAX_SIZE + 1)));
    assert_eq!(included(MAX_SIZE + 2), Err(MerkleError::TooLarge(MAX_SIZE + 2)));
    assert!(matches!(included(MAX_SIZE), Err(MerkleError::ProofLength { .. })));
    // Position 5 of 13: three hashes below the subtree of eight, one above it.
    assert_eq!(included(13), Err(MerkleError::ProofLength { expected: 4, actual: 0 }));
    // The last of seven has a sibling on each level where it has one, and no more.
    let last = inclusion_root(&root, 6, 7, &[]);
    assert_eq!(last, Err(MerkleError::ProofLength { expected: 2, actual: 0 }));
    let restored = |size| TileBuilder::restore(size, Vec::new(), Vec::new()).map(|_| ());
    assert_eq!(restored(MAX_SIZE + 1), Err(MerkleError::TooLarge(MAX_SIZE + 1)));
    assert!(matches!(restored(MAX_SIZE), Err(MerkleError::MissingNode { .. })));
}

fn write(world: &World, folder: &Path) {
    let mut writer = ExportWriter::create(folder).expect("an empty folder");
    for entry in &world.entries {
        writer.push(entry).expect("in order");
    }
    writer.finish(world.note()).expect("the right checkpoint");
}

fn verify_folder(folder: &Path) -> Report {
    verify_export(folder, &trust(), Options::default(), |_, _| ()).expect("readable")
}

#[test]
fn the_leaf_on_which_entry_and_tile_disagree_is_named_in_any_block() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(300);
    write(&world, folder.path());
    let tile = folder.path().join("tile/0/001.p/44");
    let mut hashes = fs::read(&tile).expect("readable");
    hashes[14 * 32] ^= 1;
    fs::write(&tile, hashes).expect("writable");
    let note = signed(300, Hash([7; 32]), &SEEDS[1]);
    fs::write(folder.path().join("checkpoint"), note).expect("writable");
    let report = verify_folder(folder.path());
    let named = report.findings.iter().filter(|finding| finding.kind == FindingKind::LeafHash);
    assert_eq!(named.map(|finding| finding.position).collect::<Vec<_>>(), [256 + 14]);
}

/// Where the tree is not known, its upper tiles cannot be compared; but they belong to the export.
#[test]
fn upper_tiles_of_a_tree_that_is_not_known_are_no_strangers() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&world(512), folder.path());
    // 300 hashes on level 2, one on level 3.
    let note = signed(300 * 65_536, Hash([7; 32]), &SEEDS[1]);
    fs::write(folder.path().join("checkpoint"), note).expect("writable");
    let upper = ["tile/2/000", "tile/2/001.p/44", "tile/3/000.p/1"];
    for (name, width) in upper.into_iter().zip([256, 44, 1]) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, vec![5; width * 32]).expect("writable");
    }
    let report = verify_folder(folder.path());
    assert!(!report.is_sound());
    for finding in &report.findings {
        let named = upper.iter().any(|name| finding.detail.contains(&name[..6]));
        assert!(!named, "{finding}");
    }
}

#[test]
fn what_is_missing_to_the_end_of_an_export_is_a_span() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&world(300), folder.path());
    for name in ["tile/0/001.p/44", "tile/entries/001.p/44"] {
        fs::remove_file(folder.path().join(name)).expect("removable");
    }
    let report = verify_folder(folder.path());
    let missing: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.kind == FindingKind::Missing)
        .map(|finding| (finding.position, finding.last))
        .collect();
    assert_eq!(missing, [(256, Some(299))]);
}

#[test]
fn an_entry_that_cannot_be_read_is_counted_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(12);
    write(&world, folder.path());
    let bundle = folder.path().join("tile/entries/000.p/12");
    let mut bytes = fs::read(&bundle).expect("readable");
    let genesis = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[2 + genesis + 2] = 0xFF;
    fs::write(&bundle, bytes).expect("writable");
    let report = verify_folder(folder.path());
    let first = report.first_damage().map(|finding| finding.position);
    assert_eq!((report.events, first), (12, Some(1)));
}

#[test]
fn a_capture_of_the_largest_size_is_sealed_and_opened() {
    let key = audit::seal::DataKey::from_bytes([1; 32]);
    let longest = vec![5; audit::seal::MAX_BLOB];
    let sealed =
        audit::seal::seal_blob(&key, [2; 12], id(7, 1), &longest).expect("just short enough");
    assert_eq!(sealed.len(), longest.len() + 28);
    let opened = audit::seal::open_blob(&key, id(7, 1), &sealed).expect("opens");
    assert!(**opened == *longest);
}
