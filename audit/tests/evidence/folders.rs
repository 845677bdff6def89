//! Exports of which a part is missing, cut short or beyond reach: what is said of the rest.

use std::fs;
use std::path::Path;

use audit::checkpoint::Checkpoint;
use audit::export::{ExportError, ExportWriter, verify_export};
use audit::merkle::{self, CompactRange, Hash};
use audit::statement::Actor;
use audit::system::{self, KeyActivatedPayload, SystemContext, SystemEvent};
use audit::tiles::{TILE_WIDTH, hashes_to_bytes, tile_path};
use audit::verify::{FindingKind, LogEntry, Options, Report, Seen};

use crate::exports::write;
use crate::snapshots::receipt;
use crate::world::{ORIGIN, SEEDS, entry, grounds, id, keys, leaf, recorded_at, trust, world};

const WIDTH: u64 = TILE_WIDTH as u64;

fn verify(folder: &Path) -> Report {
    let options = Options { max_findings: 10_000, ..Options::default() };
    verify_export(folder, &trust(), options, |_, _| ()).expect("readable")
}

fn of_kind(report: &Report, kind: FindingKind) -> Vec<(u64, Option<u64>)> {
    let named = report.findings.iter().filter(|finding| finding.kind == kind);
    named.map(|finding| (finding.position, finding.last)).collect()
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("writable");
}

fn signed(size: u64, root: Hash) -> String {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
    checkpoint.to_note(&keys(&SEEDS[0]).notes).expect("signed")
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = CompactRange::new();
    tree.append(leaves);
    tree.root()
}

#[test]
fn how_far_it_is_verified_is_told_bundle_by_bundle() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&world(600), folder.path());
    let mut told = Vec::new();
    let tell = |done, size| told.push((done, size));
    let report = verify_export(folder.path(), &trust(), Options::default(), tell);
    let report = report.expect("readable");
    assert!(report.is_sound());
    assert_eq!(report.checkpoints, 1, "an export has one");
    assert_eq!(told, [(256, 600), (512, 600), (600, 600)]);
}

/// What is missing of one bundle is no fault of the next, nor of the streams that go on there.
#[test]
fn what_follows_a_gap_is_not_blamed_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(600);
    write(&world, folder.path());
    let name = folder.path().join("tile/entries/001");
    let bytes = fs::read(&name).expect("readable");
    let mut end = 0;
    for _ in 0..100 {
        end += 2 + usize::from(u16::from_be_bytes([bytes[end], bytes[end + 1]]));
    }
    fs::write(&name, &bytes[..end]).expect("writable");
    let report = verify(folder.path());
    let first = report.first_damage().map(|finding| (finding.position, finding.kind));
    assert_eq!(first, Some((256 + 100, FindingKind::File)));
    for kind in [FindingKind::Unexpected, FindingKind::Sequence, FindingKind::Missing] {
        assert_eq!(of_kind(&report, kind), [], "{kind}");
    }

    fs::remove_file(&name).expect("removable");
    let report = verify(folder.path());
    let first = report.first_damage().map(|finding| (finding.position, finding.kind));
    assert_eq!(first, Some((256, FindingKind::Missing)));
    for kind in [FindingKind::Unexpected, FindingKind::Sequence] {
        assert_eq!(of_kind(&report, kind), [], "{kind}");
    }
}

/// An export shows a log as it is, also an event that nobody can read; but it begins with the genesis.
#[test]
fn a_writer_reads_only_what_the_keys_depend_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = world(12);
    world.entries[7].statement = b"no statement, and longer than the name of any stream".to_vec();
    let root = root(&world.entries.iter().map(leaf).collect::<Vec<_>>());
    let mut writer = ExportWriter::create(folder.path()).expect("an empty folder");
    for entry in &world.entries {
        writer.push(entry).expect("in order");
    }
    writer.finish(&signed(12, root)).expect("the right checkpoint");
    for (size, root) in [(12, Hash([7; 32])), (13, root)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = ExportWriter::create(folder.path()).expect("an empty folder");
        for entry in &world.entries {
            writer.push(entry).expect("in order");
        }
        let refused = writer.finish(&signed(size, root));
        assert!(matches!(refused, Err(ExportError::OtherTree)), "{refused:?}");
    }
    let report = verify(folder.path());
    let first = report.first_damage().map(|finding| (finding.position, finding.kind));
    assert_eq!(first, Some((7, FindingKind::Statement)));

    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = ExportWriter::create(folder.path()).expect("an empty folder");
    let payload = world.entries[1].payload.clone().expect("a payload");
    let other = entry(0, &world.statements[1], payload, &keys(&SEEDS[0]).events);
    let refused = writer.push(&other);
    assert!(matches!(refused, Err(ExportError::Keyring(_))), "{refused:?}");
    let nobody = LogEntry { statement: b"no statement".to_vec(), ..other };
    let refused = writer.push(&nobody);
    assert!(matches!(refused, Err(ExportError::Statement(_))), "{refused:?}");
}

/// What is wrong with the files of a block is told for the block's own positions.
#[test]
fn a_block_is_named_by_its_own_positions() {
    let world = world(600);
    let removed: [(&[&str], _, _); 4] = [
        (&["tile/0/001"], FindingKind::Tile, (256, Some(511))),
        (&["tile/0/002.p/88"], FindingKind::Tile, (512, Some(599))),
        (&["tile/entries/001", "payloads/001"], FindingKind::File, (256, Some(511))),
        (&["tile/entries/002.p/88", "payloads/002.p/88"], FindingKind::File, (512, Some(599))),
    ];
    for (names, kind, span) in removed {
        let folder = tempfile::tempdir().expect("a folder");
        write(&world, folder.path());
        for name in names {
            fs::remove_file(folder.path().join(name)).expect("removable");
        }
        assert_eq!(of_kind(&verify(folder.path()), kind), [span], "{names:?}");
    }
    for (name, last) in [("tile/entries/001", 511), ("payloads/002.p/88", 599)] {
        let folder = tempfile::tempdir().expect("a folder");
        write(&world, folder.path());
        let mut longer = fs::read(folder.path().join(name)).expect("readable");
        longer.push(0);
        put(folder.path(), name, &longer);
        let found = of_kind(&verify(folder.path()), FindingKind::File);
        assert_eq!(found, [(last, None)], "{name}");
    }
}

/// An event put in the place of another by somebody who has the log's key, in the entries and in their tile.
#[test]
fn a_block_that_only_the_tile_above_contradicts_is_a_span() {
    let [genuine, other] = [0; 2].map(|_| tempfile::tempdir().expect("a folder"));
    let mut world = world(600);
    write(&world, genuine.path());
    let mut statement = world.statements[300].clone();
    statement.purpose = "HPAYMT".to_owned();
    let payload = world.entries[300].payload.clone().expect("kept");
    world.entries[300] = entry(300, &statement, payload, &keys(&SEEDS[1]).events);
    let mut writer = ExportWriter::create(other.path()).expect("an empty folder");
    for entry in &world.entries {
        writer.push(entry).expect("in order");
    }
    let note = signed(600, root(&world.leaves()));
    writer.finish(&note).expect("the right checkpoint");
    for name in ["checkpoint", "tile/1/000.p/2"] {
        fs::copy(genuine.path().join(name), other.path().join(name)).expect("copied");
    }
    let report = verify(other.path());
    let found: Vec<_> =
        report.findings.iter().map(|one| (one.position, one.last, one.kind)).collect();
    assert_eq!(found, [(256, Some(511), FindingKind::Root)]);
}

/// A file that may be there, and that the system does not get at, is not a missing one: nothing is judged.
#[test]
fn what_cannot_be_reached_is_an_error_and_no_verdict() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&world(12), folder.path());
    let payloads = folder.path().join("payloads");
    fs::remove_dir_all(&payloads).expect("removable");
    std::os::unix::fs::symlink("payloads", &payloads).expect("a link that leads to itself");
    let read = verify_export(folder.path(), &trust(), Options::default(), |_, _| ());
    let Err(ExportError::Io { path, .. }) = read else { panic!("{read:?}") };
    assert_eq!(path, "payloads/000.p/12");
}

/// However large the checkpoint says the log is: tiles are looked for as far as there are entries, and once beyond.
#[test]
fn a_log_that_ends_early_is_not_searched_to_the_size_it_claims() {
    for blocks in [0, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        if blocks > 0 {
            write(&world(blocks * WIDTH), folder.path());
            fs::remove_file(folder.path().join("tile/1/000.p/2")).expect("removable");
        }
        let size = 1_000 * WIDTH * WIDTH;
        put(folder.path(), "checkpoint", signed(size, Hash([7; 32])).as_bytes());
        let report = verify(folder.path());
        let missing =
            report.findings.iter().filter(|one| one.detail.contains(" is missing or does"));
        let named: Vec<_> =
            missing.map(|one| one.detail.split(' ').next().expect("a name")).collect();
        let level_one = named.iter().filter(|name| name.starts_with("tile/1/")).collect::<Vec<_>>();
        assert_eq!(level_one, [&"tile/1/000", &"tile/1/001"], "{blocks} blocks");
        let from = blocks * WIDTH;
        assert!(of_kind(&report, FindingKind::Missing).contains(&(from, Some(size - 1))));
    }
}

/// A second tile of level 1 stands above the blocks from 65,536 leaves on. No event of this log is left but its tiles.
#[test]
fn the_second_tile_of_level_one_is_compared_with_its_own_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let leaves = |block: u64| -> Vec<Hash> {
        (0..WIDTH)
            .map(|at| {
                let mut leaf = [5; 32];
                leaf[..8].copy_from_slice(&(block * WIDTH + at).to_be_bytes());
                Hash(leaf)
            })
            .collect()
    };
    let (blocks, size) = (WIDTH + 1, (WIDTH + 1) * WIDTH);
    let all: Vec<Vec<Hash>> = (0..blocks).map(leaves).collect();
    let roots: Vec<Hash> = all.iter().map(|one| root(one)).collect();
    for (index, block) in (0..).zip(&all) {
        put(path, &tile_path("tile/0", index, TILE_WIDTH), &hashes_to_bytes(block));
    }
    put(path, "checkpoint", signed(size, root(&all.concat())).as_bytes());
    let (first, second) = (tile_path("tile/1", 0, TILE_WIDTH), tile_path("tile/1", 1, 1));
    let above = tile_path("tile/2", 0, 1);
    put(path, &above, &hashes_to_bytes(&[root(&roots[..TILE_WIDTH])]));
    let span = Some(size - 1);
    let last_block = WIDTH * WIDTH;

    // The first one is gone, and the second one is wrong: each is named for itself.
    put(path, &second, &hashes_to_bytes(&[Hash([9; 32])]));
    let report = verify(path);
    assert_eq!(
        of_kind(&report, FindingKind::Tile),
        [(0, Some(last_block - 1)), (last_block, span)]
    );

    // The tile of level 0 is gone: the second one knows the root of that block, and of no other.
    put(path, &first, &hashes_to_bytes(&roots[..TILE_WIDTH]));
    put(path, &second, &hashes_to_bytes(&roots[TILE_WIDTH..]));
    let tile = tile_path("tile/0", WIDTH, TILE_WIDTH);
    put(path, &tile, &[5; 31]);
    let report = verify(path);
    assert_eq!(of_kind(&report, FindingKind::Tile), [(last_block, span)]);
    assert!(report.findings.iter().all(|one| !one.detail.contains("lead to the root")));

    // The tile above them both is read and compared as well.
    put(path, &tile, &hashes_to_bytes(&all[TILE_WIDTH]));
    let report = verify(path);
    for kind in [FindingKind::Tile, FindingKind::Stray] {
        assert_eq!(of_kind(&report, kind), [], "{kind}");
    }
    put(path, &above, &hashes_to_bytes(&[Hash([9; 32])]));
    assert_eq!(of_kind(&verify(path), FindingKind::Tile), [(0, Some(last_block - 1))]);
    put(path, &above, &hashes_to_bytes(&[root(&roots[..TILE_WIDTH])]));
    fs::remove_file(path.join(&second)).expect("removable");
    assert_eq!(of_kind(&verify(path), FindingKind::Tile), [(last_block, span)]);
}

/// What was seen before tells up to where an export is right which leads to no signed root.
#[test]
fn how_far_a_checkpoint_seen_before_agrees_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(60);
    write(&world, folder.path());
    put(folder.path(), "checkpoint", signed(60, Hash([7; 32])).as_bytes());
    let report = |seen: Vec<Seen>| {
        let options = Options { seen, ..Options::default() };
        let report = verify_export(folder.path(), &trust(), options, |_, _| ()).expect("readable");
        let root = report.findings.into_iter().find(|finding| finding.kind == FindingKind::Root);
        root.expect("noticed")
    };
    let said = "neither the entries nor the tiles lead to the root of the checkpoint";
    let alone = report(Vec::new());
    assert_eq!((alone.position, alone.last, &*alone.detail), (0, Some(59), said));
    let (size, note) = &world.checkpoints[world.checkpoints.len() / 2];
    let after = report(vec![Seen::parse("before", note.as_bytes()).expect("it reads")]);
    let said = format!("{said}; up to {size} a checkpoint seen before agrees");
    assert_eq!((after.position, after.last, after.detail), (*size, Some(59), said));
}

/// Whoever holds an earlier checkpoint or a receipt learns that it was found again in the export, and by which size.
#[test]
fn what_an_export_was_compared_with_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(12);
    write(&world, folder.path());
    let receipt = receipt();
    let of_receipt = Checkpoint::peek(&receipt.checkpoint).expect("a checkpoint").size;
    let receipt = serde_json::to_string(&receipt).expect("JSON");
    let (smaller, note) = &world.checkpoints[0];
    let seen = [("old.txt", note), ("mine.json", &receipt)];
    let seen = seen.map(|(name, bytes)| Seen::parse(name, bytes.as_bytes()).expect("it reads"));
    let pinned = vec![Checkpoint::peek(note).expect("a checkpoint")];
    let options = Options { seen: seen.to_vec(), pinned, ..Options::default() };
    let report = verify_export(folder.path(), &trust(), options, |_, _| ()).expect("readable");
    assert!(report.is_sound(), "{:?}", report.findings);
    let mut told: Vec<_> =
        report.compared.iter().map(|one| (one.kind, &*one.name, one.size)).collect();
    told.sort_unstable();
    let expected = [
        ("checkpoint", "given", *smaller),
        ("checkpoint", "old.txt", *smaller),
        ("receipt", "mine.json", of_receipt),
    ];
    assert_eq!(told, expected);
    assert_eq!(verify(folder.path()).compared, []);
}

/// A tile that is wrong says nothing of the events: where the log forked is no nearer for it.
#[test]
fn a_missing_tile_narrows_no_fork() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&world(300), folder.path());
    fs::remove_file(folder.path().join("tile/0/000")).expect("removable");
    let other = Checkpoint { origin: ORIGIN.to_owned(), size: 290, root: Hash([7; 32]) };
    let note = other.to_note(&keys(&SEEDS[1]).notes);
    let seen = Seen::parse("before", note.expect("signed").as_bytes()).expect("it reads");
    let options = Options { seen: vec![seen], ..Options::default() };
    let report = verify_export(folder.path(), &trust(), options, |_, _| ()).expect("readable");
    assert_eq!(of_kind(&report, FindingKind::Tile), [(0, Some(255))]);
    assert_eq!(of_kind(&report, FindingKind::Fork), [(0, Some(289))]);
}

/// A checkpoint of the empty log says nothing but that, and only with the root of the empty tree.
#[test]
fn every_log_grew_from_an_empty_one() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&world(12), folder.path());
    for (root, agrees) in [(merkle::empty_root(), true), (Hash([7; 32]), false)] {
        let seen = Seen::parse("before", signed(0, root).as_bytes()).expect("it reads");
        let pinned = Checkpoint { origin: ORIGIN.to_owned(), size: 0, root };
        for options in [
            Options { seen: vec![seen], ..Options::default() },
            Options { pinned: vec![pinned], ..Options::default() },
        ] {
            let report = verify_export(folder.path(), &trust(), options, |_, _| ());
            let report = report.expect("readable");
            assert_eq!(report.compared.len(), usize::from(agrees));
            assert_eq!(of_kind(&report, FindingKind::Fork).len(), usize::from(!agrees));
        }
    }
}

/// Behind a checkpoint seen before that disagrees, another that agrees makes nothing certain.
#[test]
fn what_agrees_behind_a_fork_narrows_no_span() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(60);
    write(&world, folder.path());
    let sizes: Vec<u64> = world.checkpoints.iter().map(|(size, _)| *size).collect();
    let [first, second, third, fourth] = [2, 4, 6, 8].map(|at| sizes[at]);
    let other = |size| signed(size, Hash([7; 32]));
    let notes = [&world.checkpoints[2].1, &other(second), &world.checkpoints[6].1, &other(fourth)];
    let seen = notes.map(|note| Seen::parse("before", note.as_bytes()).expect("it reads"));
    let options = Options { seen: seen.to_vec(), ..Options::default() };
    let report = verify_export(folder.path(), &trust(), options, |_, _| ()).expect("readable");
    let told: Vec<u64> = report.compared.iter().map(|one| one.size).collect();
    assert_eq!(told, [first, third]);
    let fork = (first, Some(second - 1));
    assert_eq!(of_kind(&report, FindingKind::Fork), [fork, fork]);
}

/// Whoever holds a receipt learns that another event stands in its place, whoever signed that one.
#[test]
fn another_event_than_that_of_a_receipt_is_named_in_an_export() {
    let folder = tempfile::tempdir().expect("a folder");
    let receipt = receipt();
    let position = receipt.events[0].position;
    let mut world = world(12);
    let mut statement = world.statements[position as usize].clone();
    statement.purpose = "HPAYMT".to_owned();
    let payload = world.entries[position as usize].payload.clone().expect("kept");
    world.entries[position as usize] =
        entry(position, &statement, payload, &keys(&SEEDS[0]).events);
    let mut writer = ExportWriter::create(folder.path()).expect("an empty folder");
    for entry in &world.entries {
        writer.push(entry).expect("in order");
    }
    writer.finish(&signed(12, root(&world.leaves()))).expect("the right checkpoint");
    let receipt = serde_json::to_string(&receipt).expect("JSON");
    let seen = vec![Seen::parse("mine.json", receipt.as_bytes()).expect("it reads")];
    let options = Options { seen, ..Options::default() };
    let report = verify_export(folder.path(), &trust(), options, |_, _| ()).expect("readable");
    let said = "the event is not the one of the receipt mine.json";
    let named: Vec<_> = report.findings.iter().filter(|one| one.detail == said).collect();
    let last = named.first().map(|one| one.last.unwrap_or(one.position));
    assert_eq!((named.len(), last), (1, Some(position)));
}

/// As long as the longest records could make it a file is read; a byte longer, and it counts as missing.
#[test]
fn files_are_bounded() {
    let entries = WIDTH * (2 + 65_535);
    let payloads = WIDTH * (4 + 1_048_576 + 60);
    let world = world(12);
    for (name, limit, beyond) in [
        ("tile/entries/000.p/12", entries, (0, FindingKind::Missing)),
        ("payloads/000.p/12", payloads, (0, FindingKind::File)),
    ] {
        for (length, first) in [(limit, (11, FindingKind::File)), (limit + 1, beyond)] {
            let folder = tempfile::tempdir().expect("a folder");
            write(&world, folder.path());
            let file = fs::OpenOptions::new().write(true).open(folder.path().join(name));
            file.expect("writable").set_len(length).expect("zeros, which take no room on the disk");
            let report = verify(folder.path());
            let found = report.first_damage().map(|finding| (finding.position, finding.kind));
            assert_eq!(found, Some(first), "{name} of {length} bytes");
        }
    }
}

#[test]
fn the_file_of_keys_holds_many() {
    let first = keys(&SEEDS[0]);
    let mut log = vec![world(1).entries.remove(0)];
    for position in 1..20 {
        let other = keys(&[position as u8 + 50; 32]);
        let event =
            SystemEvent::KeyActivated(KeyActivatedPayload { jwk: other.events.public().to_jwk() });
        let context = SystemContext {
            event_id: id(1, position),
            command_id: id(4, position),
            correlation_id: id(5, position),
            actor: Actor { id: id(3, 0), kind: "system".to_owned(), role: "system".to_owned() },
            grounds: grounds("system:manage-keys"),
            recorded_at: recorded_at(position),
        };
        let (statement, payload) =
            system::draft(ORIGIN, position + 1, &event, context).expect("valid");
        log.push(entry(position, &statement, payload, &first.events));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = ExportWriter::create(folder.path()).expect("an empty folder");
    for entry in &log {
        writer.push(entry).expect("in order");
    }
    let root = root(&log.iter().map(leaf).collect::<Vec<_>>());
    writer.finish(&signed(20, root)).expect("the right checkpoint");
    let file = fs::read_to_string(folder.path().join("keys.json")).expect("readable");
    assert_eq!(file.matches("\"crv\"").count(), 20);
    let report = verify(folder.path());
    assert!(report.is_sound(), "{:?}", report.findings);
}
