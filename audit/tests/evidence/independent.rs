//! `docs/examples/verify.py`: a second verifier, written from `docs/evidence.md` alone, in another language.
//!
//! It must accept what this crate writes, refuse what was tampered with, and name the position.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use audit::export::ExportWriter;
use audit::proof::Receipt;

use crate::snapshots::receipt;
use crate::world::{FIRST_KEY_UNTIL, SEEDS, World, keys, world};

/// The interpreter, with the package `cryptography`; says in one line what is left out without it.
#[expect(clippy::print_stderr, reason = "a test that leaves something out says so")]
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("LEDGER_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("left out: the verifier in Python; LEDGER_PYTHON names no interpreter");
    }
    python
}

/// Its exit status and what it says.
fn run<S: AsRef<OsStr>>(python: &Path, arguments: impl IntoIterator<Item = S>) -> (i32, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/verify.py");
    let output = Command::new(python).arg(script).args(arguments).output().expect("it runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code().expect("it ends by itself"), said)
}

fn vkey() -> String {
    keys(&SEEDS[0]).notes.verifier().to_string()
}

fn export(world: &World, folder: &Path) {
    let mut writer = ExportWriter::create(folder).expect("an empty folder");
    for entry in &world.entries {
        writer.push(entry).expect("in order");
    }
    writer.finish(world.note()).expect("the right checkpoint");
}

#[test]
fn it_accepts_a_receipt_and_refuses_a_changed_one() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("receipt.json");
    let check = |receipt: &Receipt, key: &str| {
        fs::write(&file, serde_json::to_vec(receipt).expect("JSON")).expect("written");
        run(&python, [OsStr::new("receipt"), file.as_os_str(), "--key".as_ref(), key.as_ref()])
    };
    let (status, said) = check(&receipt(), &vkey());
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("position 7: PatientEdited"), "{said}");

    let stranger = keys(&[77; 32]).notes.verifier().to_string();
    assert_eq!(check(&receipt(), &stranger).0, 1, "another key");
    type Edit = fn(&mut Receipt);
    let edits: [(Edit, &str); 6] = [
        (|r| r.events[1].position += 1, "position 8: "),
        (|r| r.events[1].event_type = "Other".to_owned(), "position 7: "),
        (|r| r.events[0].jws.replace_range(200..201, "\u{7e}"), "position 6: "),
        (|r| r.version += 1, "version"),
        (
            |r| {
                r.events[0].proof.pop();
            },
            "position 6: ",
        ),
        (|r| r.checkpoint = r.checkpoint.replacen("\n8\n", "\n9\n", 1), "signature"),
    ];
    for (edit, told) in edits {
        let mut changed = receipt();
        edit(&mut changed);
        let (status, said) = check(&changed, &vkey());
        assert_eq!(status, 1, "{told}: {said}");
        assert!(said.starts_with("NOT valid: ") && said.contains(told), "{told}: {said}");
    }
}

#[test]
fn it_accepts_an_export_and_names_the_position_of_damage() {
    let Some(python) = python() else { return };
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path().join("export");
    // Two keys with an overlap, a whole tile and a begun one.
    let world = world(300);
    export(&world, &folder);
    let seen = temporary.path().join("seen");
    let verify = || {
        let (key, seen) = (vkey(), seen.to_str().expect("text"));
        let folder = folder.to_str().expect("text");
        run(&python, ["export", folder, "--key", &key, "--seen", seen])
    };
    let (_, earlier) =
        world.checkpoints.iter().find(|(size, _)| *size > FIRST_KEY_UNTIL).expect("one");
    fs::write(&seen, earlier).expect("written");
    let (status, said) = verify();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("300 events") && said.contains("2 keys"), "{said}");

    // A byte of an entry, of a payload and of a hash; the last byte of a file belongs to the last record in it.
    for (name, position) in [
        ("tile/entries/000", 255),
        ("tile/entries/001.p/44", 299),
        ("payloads/000", 255),
        ("payloads/001.p/44", 299),
        ("tile/0/000", 255),
        ("tile/1/000.p/1", 0),
    ] {
        let path = folder.join(name);
        let good = fs::read(&path).expect("the file");
        let mut bad = good.clone();
        *bad.last_mut().expect("a byte") ^= 1;
        fs::write(&path, bad).expect("written");
        let (status, said) = verify();
        assert_eq!(status, 1, "{name}: {said}");
        assert!(said.contains(&format!("position {position}: ")), "{name}: {said}");
        fs::write(&path, good).expect("written");
    }
    // A checkpoint by a key that was retired, a fork, a stranger among the files, and a key that vouches for nothing.
    let newest = audit::checkpoint::Checkpoint::peek(world.note()).expect("a checkpoint");
    let retired = newest.to_note(&keys(&SEEDS[0]).notes).expect("signed");
    fs::write(folder.join("checkpoint"), retired).expect("written");
    assert_eq!(verify().0, 1, "signed by a retired key");
    fs::write(folder.join("checkpoint"), world.note()).expect("written");
    let mut fork = audit::checkpoint::Checkpoint::peek(earlier).expect("a checkpoint");
    fork.root = audit::merkle::empty_root();
    fs::write(&seen, fork.to_note(&keys(&SEEDS[1]).notes).expect("signed")).expect("written");
    let (status, said) = verify();
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(&format!("position {}: ", fork.size - 1)), "{said}");
    fs::write(&seen, earlier).expect("written");
    fs::write(folder.join("stranger"), "?").expect("written");
    assert_eq!(verify().0, 1, "a file that does not belong there");
    fs::remove_file(folder.join("stranger")).expect("removed");
    assert_eq!(verify().0, 0, "as it was");
    let stranger = keys(&[77; 32]).notes.verifier().to_string();
    let folder = folder.to_str().expect("text");
    assert_eq!(run(&python, ["export", folder, "--key", &stranger]).0, 1, "another key");
}
