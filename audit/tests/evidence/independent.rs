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

/// The interpreter, with the package `cryptography`: as `make test` names it, or the one of the machine.
pub(crate) fn python() -> PathBuf {
    std::env::var_os("LEDGER_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

/// Its exit status and what it says.
pub(crate) fn run<S: AsRef<OsStr>>(
    python: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> (i32, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/verify.py");
    let output = Command::new(python).arg(script).args(arguments).output();
    let output =
        output.expect("an interpreter: LEDGER_PYTHON names one with the package cryptography");
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
    let python = python();
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
    let python = python();
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
    for (name, place) in [
        ("tile/entries/000", "position 255: "),
        ("tile/entries/001.p/44", "position 299: "),
        ("payloads/000", "position 255: "),
        ("payloads/001.p/44", "position 299: "),
        ("tile/0/000", "position 255: "),
        ("tile/1/000.p/1", "positions 0 to 255: "),
    ] {
        let path = folder.join(name);
        let good = fs::read(&path).expect("the file");
        let mut bad = good.clone();
        *bad.last_mut().expect("a byte") ^= 1;
        fs::write(&path, bad).expect("written");
        let (status, said) = verify();
        assert_eq!(status, 1, "{name}: {said}");
        assert!(said.starts_with(&format!("NOT valid: {place}")), "{name}: {said}");
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
    assert!(said.contains(&format!("positions 0 to {}: ", fork.size - 1)), "{said}");
    fs::write(&seen, earlier).expect("written");
    fs::write(folder.join("stranger"), "?").expect("written");
    assert_eq!(verify().0, 1, "a file that does not belong there");
    fs::remove_file(folder.join("stranger")).expect("removed");
    assert_eq!(verify().0, 0, "as it was");
    let stranger = keys(&[77; 32]).notes.verifier().to_string();
    let folder = folder.to_str().expect("text");
    assert_eq!(run(&python, ["export", folder, "--key", &stranger]).0, 1, "another key");
}

#[test]
fn it_comes_out_as_the_vectors_want() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors");
    let (status, said) = run(&python(), ["vectors".as_ref(), vectors.as_os_str()]);
    assert_eq!(status, 0, "{said}");
    let count: usize = said.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(count >= 280, "{said}");
}

/// What no verifier may choke on: it says in a line what is wrong, and ends with 1.
#[test]
fn it_never_ends_in_a_traceback() {
    let (python, temporary) = (python(), tempfile::tempdir().expect("a folder"));
    let file = temporary.path().join("receipt.json");
    let good = serde_json::to_string(&receipt()).expect("JSON");
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1).into_bytes()
    };
    let digits = "9".repeat(5000);
    let cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\xff\xfe".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        "[".repeat(100_000).into_bytes(),
        format!("{}{}", "{\"a\":".repeat(50_000), "1").into_bytes(),
        digits.clone().into_bytes(),
        replaced("\"version\":", &format!("\"version\":{digits},\"x\":")),
        replaced("\"stream_type\":\"", "\"stream_type\":\"\\ud800"),
        replaced("\"checkpoint\":\"", "\"checkpoint\":\"\\ud800"),
        replaced("\"jws\":\"", "\"jws\":\"\\udfff"),
        replaced("\"jws\":\"", "\"jws\":\"\u{e9}"),
        replaced("\"position\":6", "\"position\":-0"),
        replaced("\"position\":6", "\"position\":6.0"),
        replaced("\"position\":6", "\"position\":true"),
        replaced("\"proof\":[", "\"proof\":[null,"),
        replaced("\"events\":[", "\"events\":{},\"x\":["),
    ];
    for case in cases {
        fs::write(&file, &case).expect("written");
        let (status, said) = run(
            &python,
            [OsStr::new("receipt"), file.as_os_str(), "--key".as_ref(), vkey().as_ref()],
        );
        let shown = String::from_utf8_lossy(&case[..case.len().min(60)]).into_owned();
        assert_eq!(status, 1, "{shown}: {said}");
        assert!(said.starts_with("NOT valid: ") && said.lines().count() == 1, "{shown}: {said}");
    }
    for key in ["", "a+b", "a+00000000+AA==", "\u{e9}+00000000+AQ==", &format!("{}\n", vkey())] {
        let (status, said) =
            run(&python, [OsStr::new("receipt"), file.as_os_str(), "--key".as_ref(), key.as_ref()]);
        assert_eq!(status, 1, "{key}: {said}");
    }
    let missing = temporary.path().join("missing");
    for command in ["receipt", "export"] {
        let (status, said) = run(
            &python,
            [command.as_ref(), missing.as_os_str(), "--key".as_ref(), vkey().as_ref()],
        );
        assert_eq!(status, 1, "{said}");
        assert!(said.starts_with("NOT valid: "), "{said}");
    }
}
