//! Notes and checkpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Cases;
use crate::world::{ORIGIN, SEEDS, keys, world};

pub(super) fn add(cases: &mut Cases) {
    let (first, second) = (keys(&SEEDS[0]).notes, keys(&SEEDS[1]).notes);
    let world = world(9);
    let note = world.note().to_owned();
    let (text, line) = note.rsplit_once("\n\n").expect("signatures");
    let (text, line) = (format!("{text}\n"), line.to_owned());
    let vkey = first.verifier().to_string();
    let both = vec![vkey.clone(), second.verifier().to_string()];
    let by_second = second.add(&note).expect("signed");
    let witness = audit::note::Cosigner::new("witness.example", &[4; 32]).expect("a name");
    let under_origin = audit::note::Cosigner::new(ORIGIN, &[4; 32]).expect("a name");
    let foreign = format!("\u{2014} other.example {}\n", STANDARD.encode([7; 68]));
    let mut add = |name: &str, note: &str, keys: &[String], valid: bool, why: &str| {
        cases.text("checkpoint", name, note, valid, why)["keys"] = json!(keys);
    };
    let known = &[vkey.clone()][..];
    add("as the writer makes it", &note, known, true, "three lines and a signature");
    add("two keys", &by_second, &both, true, "each known key's signature holds");
    add(
        "a line by another key of the same name",
        &by_second,
        known,
        true,
        "lines by unknown keys are ignored",
    );
    add(
        "a line by another name",
        &format!("{note}{foreign}"),
        known,
        true,
        "lines by unknown keys are ignored",
    );
    add(
        "a line by another name first",
        &format!("{text}\n{foreign}{line}"),
        known,
        true,
        "lines by unknown keys are ignored",
    );
    add(
        "an unknown line twice",
        &format!("{note}{foreign}{foreign}"),
        known,
        true,
        "lines by unknown keys are ignored",
    );
    add(
        "a cosignature by an unknown witness",
        &format!("{note}{}", witness.line(&text, 1_795_000_000)),
        known,
        true,
        "lines by unknown keys are ignored",
    );
    add("a known key twice", &format!("{note}{line}"), known, false, "one key signs once");
    add("another key", &note, &[second.verifier().to_string()], false, "no known key signed");
    add("no key", &note, &[], false, "no known key signed");
    add(
        "a witness's line alone",
        &format!("{text}\n{}", under_origin.line(&text, 1_795_000_000)),
        known,
        false,
        "a cosignature never stands in for the log's signature",
    );
    let other = audit::note::NoteSigner::new("other.example", &SEEDS[0]).expect("a name");
    add(
        "the same key under another name",
        &other.sign(&text).expect("signed"),
        &[other.verifier().to_string()],
        false,
        "the key's name must be the origin",
    );
    let mut wrong = by_second.clone().into_bytes();
    let at = wrong.len() - 10;
    wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
    let wrong = String::from_utf8(wrong).expect("text");
    add(
        "a wrong line by a known key",
        &wrong,
        &both,
        false,
        "a wrong signature by a known key refuses the note",
    );
    add("a wrong line by an unknown key", &wrong, known, true, "lines by unknown keys are ignored");
    for (name, extra, why) in [
        ("a line that is none", "hello\n", "a signature line has a dash, a name and base64"),
        (
            "a hyphen for the dash",
            "- other.example AAAAAAAA\n",
            "a signature line begins with an em dash",
        ),
        ("a line without base64", "\u{2014} other.example\n", "a signature line has three parts"),
        ("two spaces", "\u{2014} other.example  AAAAAAAA\n", "one space stands between"),
        ("a space at the end", "\u{2014} other.example AAAAAAAA \n", "one space stands between"),
        ("no name", "\u{2014}  AAAAAAAA\n", "a name is not empty"),
        ("a plus in the name", "\u{2014} a+b AAAAAAAA\n", "a name has no plus sign"),
        ("no padding", "\u{2014} other.example AAAAAAA\n", "base64 is padded"),
        ("stray bits", "\u{2014} other.example AAAAAAB=\n", "base64 has no stray bits"),
        (
            "a short signature",
            "\u{2014} other.example AAAAAA==\n",
            "an id of four bytes and a signature",
        ),
        ("an empty line at the end", "\n", "the text ends at the last empty line"),
        ("no newline at the end", "\u{2014} other.example AAAAAAAA", "the last line ends too"),
        ("a carriage return", "\u{2014} other.example AAAAAAAA\r\n", "a control character"),
        ("a tab", "\u{2014} other.example\tAAAAAAAA\n", "a control character"),
        ("a delete character", "\u{2014} oth\u{7f}er.example AAAAAAAA\n", "a control character"),
        (
            "a C1 control character",
            "\u{2014} oth\u{85}er.example AAAAAAAA\n",
            "a control character",
        ),
        (
            "a no-break space in the name",
            "\u{2014} oth\u{a0}er.example AAAAAAAA\n",
            "a name has no space",
        ),
    ] {
        add(name, &format!("{note}{extra}"), known, false, why);
    }
    let lines = |count: usize| format!("{note}{}", foreign.repeat(count));
    add("100 lines", &lines(99), known, true, "100 signatures are the most");
    add("101 lines", &lines(100), known, false, "100 signatures are the most");
    let long = format!("\u{2014} {} {}\n", "n".repeat(100), STANDARD.encode(vec![7; 36_000]));
    let filled = |length: usize| {
        let rest = length - note.len() - long.len() - "\u{2014} x \n".len();
        format!("{note}{long}\u{2014} x {}\n", STANDARD.encode(vec![7; rest / 4 * 3]))
    };
    assert!(filled(65_536).len() <= 65_536 && filled(65_536).len() > 65_530);
    add("almost 64 KiB", &filled(65_536), known, true, "64 KiB are the most");
    add("more than 64 KiB", &filled(65_544), known, false, "64 KiB are the most");
    // Signed by the log's own key, and still not a checkpoint.
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for (name, text, valid, why) in [
        (
            "the empty log",
            format!("{ORIGIN}\n0\n{root}\n"),
            true,
            "a size may be 0 as far as notes go",
        ),
        (
            "the largest size",
            format!("{ORIGIN}\n9007199254740991\n{root}\n"),
            true,
            "2^53 - 1 is the largest size",
        ),
        (
            "too large a size",
            format!("{ORIGIN}\n9007199254740992\n{root}\n"),
            false,
            "beyond 2^53 - 1",
        ),
        ("a leading zero", format!("{ORIGIN}\n09\n{root}\n"), false, "a number has one spelling"),
        ("a sign", format!("{ORIGIN}\n+9\n{root}\n"), false, "a number has one spelling"),
        ("minus zero", format!("{ORIGIN}\n-0\n{root}\n"), false, "a number has one spelling"),
        ("no size", format!("{ORIGIN}\n\n{root}\n"), false, "a size is a number"),
        ("Arabic digits", format!("{ORIGIN}\n\u{669}\n{root}\n"), false, "digits are ASCII"),
        (
            "a blank before the size",
            format!("{ORIGIN}\n 9\n{root}\n"),
            false,
            "a number has one spelling",
        ),
        (
            "an extension line",
            format!("{ORIGIN}\n9\n{root}\nextension\n"),
            false,
            "there are no extension lines",
        ),
        ("an empty line more", format!("{ORIGIN}\n9\n{root}\n\n"), false, "three lines"),
        ("two lines", format!("{ORIGIN}\n9\n"), false, "three lines"),
        ("a short root", format!("{ORIGIN}\n9\nAAAA\n"), false, "a root has 32 bytes"),
        (
            "stray bits in the root",
            format!("{ORIGIN}\n9\n{}V=\n", &root[..42]),
            false,
            "base64 has no stray bits",
        ),
        (
            "base64url in the root",
            format!("{ORIGIN}\n9\n{}\n", root.replace('+', "-").replace('/', "_")),
            false,
            "the other alphabet",
        ),
        ("a space in the origin", format!("led ger\n9\n{root}\n"), false, "a name has no space"),
        ("no origin", format!("\n9\n{root}\n"), false, "a name is not empty"),
        (
            "a long origin",
            format!("{}\n9\n{root}\n", "o".repeat(256)),
            false,
            "255 bytes are the most",
        ),
    ] {
        add(name, &first.sign(&text).expect("signed"), known, valid, why);
    }
    let invalid = [note.as_bytes(), b"\xe2\x80\x94 oth\xffer.example AAAAAAAA\n"].concat();
    cases.bytes("checkpoint", "a byte that is no UTF-8", &invalid, false, "a note is UTF-8")["keys"] =
        json!(known);
    cases.bytes("checkpoint", "nothing", b"", false, "there is no note")["keys"] = json!(known);
}
