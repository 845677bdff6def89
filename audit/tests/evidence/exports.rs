//! An export, untouched and tampered with.

use std::fs;
use std::path::{Path, PathBuf};

use audit::export::{ExportWriter, verify_export};
use audit::verify::{FindingKind, Options, Report};

use crate::world::{World, trust, world};

const SIZE: u64 = 300;

pub(crate) fn write(world: &World, folder: &Path) {
    let mut writer = ExportWriter::create(folder).expect("an empty folder");
    for entry in &world.entries {
        writer.push(entry).expect("in order");
    }
    writer.finish(world.note()).expect("the right checkpoint");
}

fn verify(folder: &Path) -> Report {
    verify_export(folder, &trust(), Options::default(), |_, _| ()).expect("readable")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn an_export_is_verified_file_by_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(SIZE);
    write(&world, folder.path());
    let report = verify(folder.path());
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!((report.events, report.payloads), (SIZE, SIZE));

    let mut all = Vec::new();
    files(folder.path(), &mut all);
    let mut names: Vec<String> = all
        .iter()
        .map(|path| path.strip_prefix(folder.path()).expect("below").display().to_string())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "checkpoint",
            "keys.json",
            "payloads/000",
            "payloads/001.p/44",
            "tile/0/000",
            "tile/0/001.p/44",
            "tile/1/000.p/1",
            "tile/entries/000",
            "tile/entries/001.p/44",
        ]
    );
    for file in &all {
        let good = fs::read(file).expect("readable");
        let step = (good.len() / 5).max(1);
        for at in (0..good.len()).step_by(step) {
            let mut flipped = good.clone();
            flipped[at] ^= 4;
            fs::write(file, &flipped).expect("writable");
            assert!(!verify(folder.path()).is_sound(), "byte {at} of {}", file.display());
        }
        fs::remove_file(file).expect("removable");
        assert!(!verify(folder.path()).is_sound(), "{} removed", file.display());
        fs::write(file, &good[..good.len() - 1]).expect("writable");
        assert!(!verify(folder.path()).is_sound(), "{} cut off", file.display());
        fs::write(file, [good.as_slice(), b"x"].concat()).expect("writable");
        assert!(!verify(folder.path()).is_sound(), "{} too long", file.display());
        fs::write(file, &good).expect("writable");
    }
    fs::write(folder.path().join("tile/stranger"), b"x").expect("writable");
    let report = verify(folder.path());
    assert_eq!(report.first_damage().map(|finding| finding.kind), Some(FindingKind::Stray));
}

#[test]
fn an_export_names_the_position() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(SIZE);
    write(&world, folder.path());
    // The last payload of the first bundle: position 255.
    let file = folder.path().join("payloads/000");
    let mut bytes = fs::read(&file).expect("readable");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("writable");
    let report = verify(folder.path());
    let first = report.first_damage().expect("noticed");
    assert_eq!((first.position, first.kind), (255, FindingKind::Payload));
}

#[test]
fn an_export_without_payloads_is_counted_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = world(9);
    for entry in &mut world.entries[1..] {
        entry.payload = None;
    }
    write(&world, folder.path());
    assert!(!verify(folder.path()).is_sound());
    let options = Options { require_payloads: false, ..Options::default() };
    let report = verify_export(folder.path(), &trust(), options, |_, _| ()).expect("readable");
    assert!(report.is_sound());
    assert_eq!((report.payloads, report.payloads_absent), (1, 8));
}

#[test]
fn a_writer_refuses_what_does_not_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(9);
    let mut writer = ExportWriter::create(&folder.path().join("new")).expect("a new folder");
    assert!(writer.push(&world.entries[1]).is_err());
    writer.push(&world.entries[0]).expect("the genesis");
    assert!(writer.finish(world.note()).is_err());
    fs::write(folder.path().join("file"), b"x").expect("writable");
    assert!(ExportWriter::create(folder.path()).is_err());
}
