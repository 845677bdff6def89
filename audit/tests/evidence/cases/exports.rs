//! Changes to an export, with the place each verifier must name: `docs/vectors/export` and `exports.json`.

use audit::checkpoint::Checkpoint;
use audit::export::{ExportWriter, verify_export};
use audit::merkle::CompactRange;
use audit::verify::{Options, Seen, Trust};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::files::{apply, copy};
use crate::layout::{self, Files, records};
use crate::snapshots::{path, vector};
use crate::world::{FIRST_KEY_UNTIL, SEEDS, World, keys, leaf, world};

const SIZE: u64 = 300;
const FIRST: &str = "the trusted key is the log's first";

/// What is expected: valid, one position, a span, or the whole.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    At(u64),
    Span(u64, u64),
    Whole,
}
use Place::{At, Nowhere, Span, Whole};

struct Exports {
    world: World,
    base: Files,
    cases: Vec<Value>,
}

impl Exports {
    fn add(&mut self, name: &str, edits: Vec<Value>, seen: &[String], place: Place, why: &str) {
        self.with_keys(name, edits, seen, &[vkey(0)], place, why);
    }

    fn with_keys(
        &mut self,
        name: &str,
        edits: Vec<Value>,
        seen: &[String],
        keys: &[String],
        place: Place,
        why: &str,
    ) {
        let (position, last) = match place {
            Nowhere | Whole => (None, None),
            At(position) => (Some(position), None),
            Span(first, last) => (Some(first), Some(last)),
        };
        let valid = matches!(place, Nowhere);
        self.cases.push(json!({
            "name": name, "edits": edits, "keys": keys, "seen": seen,
            "valid": valid, "position": position, "last": last, "why": why,
        }));
    }

    /// A flipped bit of a file.
    fn flip(&self, path: &str, at: usize) -> Vec<Value> {
        let byte = self.base[path][at] ^ 1;
        vec![
            json!({ "op": "splice", "path": path, "at": at, "length": 1, "base64": STANDARD.encode([byte]) }),
        ]
    }

    /// The edits that turn the export into another one.
    fn edits_to(&self, files: &Files) -> Vec<Value> {
        let changes = layout::changes(&self.base, files).into_iter();
        changes.map(|(path, bytes)| match bytes {
            None => json!({ "op": "remove", "path": path }),
            Some(bytes) => {
                let empty = Vec::new();
                let old = self.base.get(&path).unwrap_or(&empty);
                let front = old.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
                let rest = old.len().min(bytes.len()) - front;
                let back = old.iter().rev().zip(bytes.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
                json!({
                    "op": "splice", "path": path, "at": front, "length": old.len() - front - back,
                    "base64": STANDARD.encode(&bytes[front..bytes.len() - back]),
                })
            }
        }).collect()
    }

    /// The export of other entries, whose tiles all fit them, beside the checkpoint there was.
    fn rebuilt(&self, edit: impl FnOnce(&mut Vec<(Vec<u8>, Vec<u8>)>)) -> Files {
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = self.world.entries.iter().map(raw).collect();
        edit(&mut entries);
        let mut files = layout::files(
            entries.iter().map(|(jws, payload)| (jws.as_slice(), Some(payload.as_slice()))),
        );
        for name in ["checkpoint", "keys.json"] {
            files.insert(name.to_owned(), self.base[name].clone());
        }
        files
    }

    /// The bytes of a file with one record in the place of another.
    fn record(&self, path: &str, prefix: usize, at: usize, record: &[u8]) -> Vec<Value> {
        let begins = records(&self.base[path], prefix);
        let length = (record.len() as u32).to_be_bytes();
        let with = [&length[4 - prefix..], record].concat();
        vec![json!({
            "op": "splice", "path": path, "at": begins[at], "length": begins[at + 1] - begins[at], "base64": STANDARD.encode(with),
        })]
    }
}

fn raw(entry: &audit::verify::LogEntry) -> (Vec<u8>, Vec<u8>) {
    let jws = audit::jws::compact(&entry.header, &entry.statement, &entry.signature);
    (jws.into_bytes(), entry.payload.clone().expect("there"))
}

fn vkey(seed: usize) -> String {
    keys(&SEEDS[seed]).notes.verifier().to_string()
}

fn write(value: &str, bytes: &[u8]) -> Vec<Value> {
    vec![
        json!({ "op": "remove", "path": value }),
        json!({ "op": "splice", "path": value, "base64": STANDARD.encode(bytes) }),
    ]
}

fn base(world: &World) -> Files {
    let entries: Vec<_> = world.entries.iter().map(raw).collect();
    let mut files = layout::files(
        entries.iter().map(|(jws, payload)| (jws.as_slice(), Some(payload.as_slice()))),
    );
    files.insert("checkpoint".to_owned(), world.note().as_bytes().to_vec());
    let xs: Vec<String> = SEEDS.iter().map(|seed| keys(seed).events.public().to_jwk().x).collect();
    files.insert("keys.json".to_owned(), super::files::keys_file(&json!({ "keys": xs })));
    files
}

/// The checkpoint of the first entries of a world at some size, by one of its keys.
fn note_at(world: &World, size: u64, seed: usize) -> String {
    let mut tree = CompactRange::new();
    world.entries[..size as usize].iter().for_each(|entry| tree.push(leaf(entry)));
    let origin = crate::world::ORIGIN.to_owned();
    Checkpoint { origin, size, root: tree.root() }
        .to_note(&keys(&SEEDS[seed]).notes)
        .expect("signed")
}

fn all() -> Exports {
    let world = world(SIZE);
    let base = base(&world);
    let mut all = Exports { world, base, cases: Vec::new() };
    checkpoints(&mut all);
    files(&mut all);
    entries(&mut all);
    rebuilt(&mut all);
    all
}

fn checkpoints(all: &mut Exports) {
    let (before, across, after) =
        (note_at(&all.world, 90, 0), note_at(&all.world, 150, 0), note_at(&all.world, 250, 1));
    let receipt = super::proofs::receipt_of(&all.world, 100..101).to_string();
    let old_receipt = {
        let mut small = crate::world::world(SIZE);
        small.entries.truncate(90);
        small.checkpoints = vec![(90, before.clone())];
        super::proofs::receipt_of(&small, 40..41).to_string()
    };
    all.add("untouched", vec![], &[], Nowhere, FIRST);
    for (name, seen) in [
        ("a checkpoint by the first key", &before),
        ("a checkpoint while both keys were active", &across),
        ("a checkpoint by the second key", &after),
        ("a receipt under the newest checkpoint", &receipt),
        ("a receipt under the first key's checkpoint", &old_receipt),
    ] {
        let seen = std::slice::from_ref(seen);
        all.add(
            &format!("seen: {name}"),
            vec![],
            seen,
            Nowhere,
            "all keys of the log are known for what was seen",
        );
        all.with_keys(
            &format!("seen: {name}, with the second key trusted"),
            vec![],
            seen,
            &[vkey(1)],
            Nowhere,
            "the trusted key signed the checkpoint",
        );
    }
    all.with_keys(
        "two trusted keys",
        vec![],
        &[before.clone(), after.clone(), receipt.clone()],
        &[vkey(0), vkey(1)],
        Nowhere,
        "both are the log's",
    );
    let stranger = keys(&[77; 32]).notes.verifier().to_string();
    all.with_keys(
        "a stranger's key",
        vec![],
        &[],
        std::slice::from_ref(&stranger),
        Whole,
        "no trusted key vouches",
    );
    all.with_keys(
        "a stranger's key and the log's",
        vec![],
        &[],
        &[stranger, vkey(0)],
        Nowhere,
        "one trusted key vouches",
    );
    all.add(
        "seen: a checkpoint by the retired key",
        vec![],
        &[note_at(&all.world, 250, 0)],
        Whole,
        "the key did not count at that size",
    );
    all.add(
        "seen: a checkpoint by the second key before it was active",
        vec![],
        &[note_at(&all.world, 90, 1)],
        Whole,
        "the key did not count at that size",
    );
    let empty = Checkpoint {
        origin: crate::world::ORIGIN.to_owned(),
        size: 250,
        root: audit::merkle::empty_root(),
    };
    let fork = empty.to_note(&keys(&SEEDS[1]).notes).expect("signed");
    all.add(
        "seen: a fork",
        vec![],
        std::slice::from_ref(&fork),
        Span(0, 249),
        "somewhere below the size that was seen",
    );
    all.add(
        "seen: a fork, and one that agrees",
        vec![],
        &[fork, note_at(&all.world, 90, 0)],
        Span(90, 249),
        "up to 90 it agrees",
    );
    let grown = crate::world::world(310);
    let more = grown.note().to_owned();
    all.add("seen: a larger log", vec![], &[more], At(300), "the newest events were removed");
    let of_it = super::proofs::receipt_of(&grown, 305..306).to_string();
    all.add(
        "seen: a receipt of an event beyond the end",
        vec![],
        &[of_it],
        At(300),
        "the newest events were removed",
    );
    let newest = Checkpoint::peek(all.world.note()).expect("a checkpoint");
    let by = |seed: &[u8; 32]| newest.to_note(&keys(seed).notes).expect("signed");
    all.add(
        "a checkpoint by the retired key",
        write("checkpoint", by(&SEEDS[0]).as_bytes()),
        &[],
        Span(0, 299),
        "the key does not count at the end",
    );
    all.with_keys(
        "a checkpoint by a key the log never named, which is trusted",
        write("checkpoint", by(&[77; 32]).as_bytes()),
        &[],
        &[keys(&[77; 32]).notes.verifier().to_string()],
        Span(0, 299),
        "the key is not the log's",
    );
    let both = keys(&SEEDS[0]).notes.add(all.world.note()).expect("signed");
    all.add(
        "a checkpoint by the second and the retired key",
        write("checkpoint", both.as_bytes()),
        &[],
        Nowhere,
        "a line by a key that does not count is ignored",
    );
    let older = note_at(&all.world, 256, 1);
    all.add(
        "an older checkpoint",
        write("checkpoint", older.as_bytes()),
        &[],
        Whole,
        "files beyond its size do not belong",
    );
    all.add(
        "no checkpoint",
        vec![json!({ "op": "remove", "path": "checkpoint" })],
        &[],
        Whole,
        "nothing says how long the log is",
    );
    let note = all.base["checkpoint"].clone();
    let mut invalid = note.clone();
    invalid.extend_from_slice(b"\xe2\x80\x94 oth\xffer AAAAAAAA\n");
    all.add(
        "a checkpoint that is no UTF-8",
        write("checkpoint", &invalid),
        &[],
        Whole,
        "nothing says how long the log is",
    );
    let at = note.len() - 20;
    let flipped = all.flip("checkpoint", at);
    all.add(
        "a flipped bit in the checkpoint's signature",
        flipped,
        &[],
        Span(0, 299),
        "nothing says which entries belong",
    );
    let flipped = all.flip("checkpoint", at);
    all.add(
        "a flipped bit in the checkpoint, and one seen",
        flipped,
        &[note_at(&all.world, 250, 1)],
        Span(250, 299),
        "up to 250 it agrees",
    );
}

fn files(all: &mut Exports) {
    let remove = |path: &str| vec![json!({ "op": "remove", "path": path })];
    for (path, place) in [
        ("tile/0/000", Span(0, 255)),
        ("tile/0/001.p/44", Span(256, 299)),
        ("tile/1/000.p/1", Span(0, 255)),
        ("tile/entries/000", At(0)),
        ("tile/entries/001.p/44", At(256)),
        ("payloads/000", At(0)),
        ("payloads/001.p/44", At(256)),
        ("keys.json", Whole),
    ] {
        all.add(&format!("without {path}"), remove(path), &[], place, "a file is missing");
        let mut linked = vec![
            json!({ "op": "rename", "path": path, "to": format!("../{}", path.replace('/', "-")) }),
        ];
        linked.push(
            json!({ "op": "link", "path": format!("../{}", path.replace('/', "-")), "to": path }),
        );
        all.add(&format!("a link for {path}"), linked, &[], place, "a link is no file");
        let longer = vec![json!({ "op": "splice", "path": path, "base64": "AA==" })];
        let place = match path {
            "tile/entries/000" | "payloads/000" => At(255),
            "tile/entries/001.p/44" | "payloads/001.p/44" => At(299),
            _ => place,
        };
        all.add(&format!("a byte more in {path}"), longer, &[], place, "a file is too long");
    }
    for path in
        ["stranger", "tile/stranger", "tile/0/002", "tile/entries/001.p/43", "payloads/.hidden"]
    {
        let edits = vec![json!({ "op": "splice", "path": path, "base64": "AA==" })];
        all.add(&format!("a file {path}"), edits, &[], Whole, "it does not belong");
    }
    for path in ["empty", "tile/9", "payloads/x001"] {
        let edits = vec![json!({ "op": "folder", "path": path })];
        all.add(
            &format!("an empty folder {path}"),
            edits,
            &[],
            Whole,
            "it holds nothing of the export",
        );
    }
    let keys = String::from_utf8(all.base["keys.json"].clone()).expect("text");
    let compact = keys.replace(['\n', ' '], "");
    all.add(
        "keys.json in another spelling",
        write("keys.json", compact.as_bytes()),
        &[],
        Whole,
        "there is one spelling",
    );
}

fn entries(all: &mut Exports) {
    let (bundle, second) = ("tile/entries/000", "tile/entries/001.p/44");
    let both = [vkey(0), vkey(1)];
    let begins = records(&all.base[bundle], 2);
    for (name, position, offset) in [("header", 40, 12), ("statement", 41, 300), ("length", 42, 1)]
    {
        let edits = all.flip(bundle, begins[position] + offset);
        let (name, at) = (format!("a flipped bit in a {name}"), At(position as u64));
        all.with_keys(&name, edits, &[], &both, at, "the tile knows the entry");
    }
    let edits = all.flip(bundle, begins[42] + 1);
    all.add(
        "a flipped bit in a length, with the first key alone",
        edits,
        &[],
        Span(0, 42),
        "the rotation after it cannot be read, so whose the checkpoint is cannot be told",
    );
    let edits = all.flip(bundle, begins[44] - 3);
    all.add("a flipped bit in a signature", edits, &[], At(43), "the tile knows the entry");
    let edits = all.record(second, 2, 44 - 10, b"nothing that can be read");
    all.add(
        "an entry after the rotation that cannot be read",
        edits,
        &[],
        At(290),
        "its leaf hash is known nevertheless",
    );
    let edits = all.record(bundle, 2, FIRST_KEY_UNTIL as usize, b"");
    all.add(
        "the retirement of a key is empty",
        edits,
        &[],
        At(FIRST_KEY_UNTIL),
        "the tile knows the entry",
    );
    let edits = all.record(bundle, 2, 100, b"");
    all.with_keys(
        "the activation of a key is empty",
        edits.clone(),
        &[],
        &[vkey(0), vkey(1)],
        At(100),
        "the second key is trusted, and vouches for the root",
    );
    all.add(
        "the activation of a key is empty, with the first key alone",
        edits,
        &[],
        Span(0, 100),
        "whose the checkpoint is cannot be told",
    );
    let edits = all.record(bundle, 2, 0, b"");
    all.with_keys(
        "the genesis is empty",
        edits,
        &[],
        &[vkey(0), vkey(1)],
        At(0),
        "there is no genesis",
    );
    let swapped = all.base[bundle][begins[61]..begins[62]].to_vec();
    let other = all.base[bundle][begins[60]..begins[61]].to_vec();
    let edits = vec![
        json!({ "op": "splice", "path": bundle, "at": begins[60], "length": begins[62] - begins[60], "base64": STANDARD.encode([swapped, other].concat()) }),
    ];
    all.add("two entries in another order", edits, &[], At(60), "the tile knows the entry");
    let edits = vec![
        json!({ "op": "splice", "path": bundle, "at": begins[70], "length": begins[71] - begins[70] }),
    ];
    all.with_keys("an entry left out", edits, &[], &both, At(70), "the tile knows the entry");
    let payloads = records(&all.base["payloads/000"], 4);
    let edits = all.flip("payloads/000", payloads[80] + 20);
    all.add("a flipped bit in a payload", edits, &[], At(80), "the statement has its digest");
    let edits = all.flip("payloads/000", payloads[81] + 1);
    all.with_keys(
        "a flipped bit in a payload's length",
        edits,
        &[],
        &both,
        At(81),
        "the payloads from there on are others",
    );
    let absent = vec![
        json!({ "op": "splice", "path": "payloads/000", "at": payloads[82], "length": payloads[83] - payloads[82], "base64": "/////w==" }),
    ];
    all.add("a payload left out", absent, &[], At(82), "payloads are expected");
    let edits = all.flip("tile/0/000", 90 * 32);
    all.add("a flipped bit in a tile of level 0", edits, &[], At(90), "the entry is the log's");
    let edits = all.flip("tile/1/000.p/1", 5);
    all.add(
        "a flipped bit in a tile of level 1",
        edits,
        &[],
        Span(0, 255),
        "it is the hash of 256 leaves",
    );
    let both = [all.flip(bundle, begins[92] + 300), all.flip("tile/0/000", 93 * 32)].concat();
    all.add(
        "an entry and another hash of its tile changed",
        both,
        &[],
        Span(0, 92),
        "the tile of level 1 knows the block, the signature the entry",
    );
    let apart = [all.flip(bundle, begins[94] + 300), all.flip("tile/0/001.p/44", 32)].concat();
    all.add(
        "an entry and a hash of another tile changed",
        apart,
        &[],
        At(94),
        "each block is told by what is left of it",
    );
}

fn rebuilt(all: &mut Exports) {
    let removed = all.rebuilt(|entries| drop(entries.remove(120)));
    let mut edits = all.edits_to(&removed);
    all.add(
        "an event removed, and all tiles made to fit",
        edits.clone(),
        &[],
        Span(0, 124),
        "the next event of its stream is the first that does not fit",
    );
    edits = all.edits_to(&all.rebuilt(|entries| entries[120].0[500] ^= 1));
    all.add(
        "an event changed, and all tiles made to fit",
        edits.clone(),
        &[],
        Span(0, 120),
        "its signature does not hold, and what else was changed cannot be told",
    );
    all.add(
        "an event changed, all tiles made to fit, and a checkpoint seen",
        edits,
        &[note_at(&all.world, 110, 0)],
        Span(110, 120),
        "up to 110 it agrees",
    );
    edits = all.edits_to(&all.rebuilt(|entries| entries.swap(130, 131)));
    all.add(
        "two events swapped, and all tiles made to fit",
        edits,
        &[],
        Span(0, 299),
        "as far as they go, all signatures and sequences hold",
    );
    let older = note_at(&all.world, 290, 1);
    let mut truncated = all.rebuilt(|entries| entries.truncate(290));
    truncated.insert("checkpoint".to_owned(), older.as_bytes().to_vec());
    let edits = all.edits_to(&truncated);
    all.add(
        "the newest events removed, with an older checkpoint",
        edits.clone(),
        &[],
        Nowhere,
        "nothing seen before, nothing to tell it by",
    );
    all.add(
        "the newest events removed, with an older checkpoint, and the newest seen",
        edits,
        &[all.world.note().to_owned()],
        At(290),
        "the log ends before what was seen",
    );
    let resigned = |all: &Exports, seed: usize| {
        let mut statement = all.world.statements[170].clone();
        statement.purpose = "HPAYMT".to_owned();
        let payload = all.world.entries[170].payload.clone().expect("there");
        raw(&crate::world::entry(170, &statement, payload, &keys(&SEEDS[seed]).events))
    };
    let forged = resigned(all, 0);
    let mut files = all.rebuilt(|entries| entries[170] = forged);
    let mut tree = CompactRange::new();
    for path in ["tile/0/000", "tile/0/001.p/44"] {
        audit::tiles::hashes_from_bytes(&files[path])
            .expect("hashes")
            .into_iter()
            .for_each(|leaf| tree.push(leaf));
    }
    let note =
        Checkpoint { origin: crate::world::ORIGIN.to_owned(), size: SIZE, root: tree.root() };
    files.insert(
        "checkpoint".to_owned(),
        note.to_note(&keys(&SEEDS[1]).notes).expect("signed").into_bytes(),
    );
    let edits = all.edits_to(&files);
    all.add(
        "history rewritten by the log itself",
        edits.clone(),
        &[],
        Nowhere,
        "nothing seen before, nothing to tell it by",
    );
    all.add(
        "history rewritten by the log itself, and checkpoints seen",
        edits.clone(),
        &[note_at(&all.world, 110, 0), note_at(&all.world, 250, 1)],
        Span(110, 249),
        "a fork between the two",
    );
    let receipt = super::proofs::receipt_of(&all.world, 170..171).to_string();
    all.add(
        "history rewritten by the log itself, and a receipt seen",
        edits,
        &[receipt],
        Span(0, 299),
        "a fork below the receipt's size",
    );
}

#[test]
fn the_export_and_its_changes_are_the_committed_ones() {
    let all = all();
    let folder = path("export");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        let _absent = std::fs::remove_dir_all(&folder);
        layout::write(&folder, &all.base);
    }
    for (name, bytes) in &all.base {
        let committed = std::fs::read(folder.join(name)).expect("the committed export");
        assert!(committed == *bytes, "{name} is not the committed one");
    }
    let lines: Vec<String> = all.cases.iter().map(Value::to_string).collect();
    vector("exports.json", &format!("{{\"cases\":[\n{}\n]}}", lines.join(",\n")));
    // The writer of exports makes the very same files.
    let written = tempfile::tempdir().expect("a folder");
    let mut writer = ExportWriter::create(written.path()).expect("empty");
    all.world.entries.iter().for_each(|entry| writer.push(entry).expect("in order"));
    writer.finish(all.world.note()).expect("the right checkpoint");
    for (name, bytes) in &all.base {
        assert!(std::fs::read(written.path().join(name)).expect("written") == *bytes, "{name}");
    }
}

#[test]
fn every_change_to_the_export_is_named_where_it_is() {
    let text = std::fs::read_to_string(path("exports.json")).expect("the committed cases");
    let cases: Value = serde_json::from_str(&text).expect("JSON");
    let cases = cases["cases"].as_array().expect("a list");
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("export");
        copy(&path("export"), &folder);
        case["edits"].as_array().expect("edits").iter().for_each(|edit| apply(&folder, edit));
        let keys =
            case["keys"].as_array().expect("keys").iter().map(|key| key.as_str().expect("text"));
        let trust = Trust::parse_all(keys).expect("keys");
        let seen = case["seen"].as_array().expect("what was seen").iter().map(|seen| {
            Seen::parse("seen", seen.as_str().expect("text").as_bytes()).expect("it reads")
        });
        let options = Options { seen: seen.collect(), ..Options::default() };
        let report = verify_export(&folder, &trust, options, |_, _| ()).expect("readable");
        let first = report.first_damage();
        let place = first.filter(|first| !first.kind.is_of_the_whole());
        let said = (
            first.is_none(),
            place.map(|place| place.position),
            place.and_then(|place| place.last),
        );
        let must = (
            case["valid"].as_bool().expect("a verdict"),
            case["position"].as_u64(),
            case["last"].as_u64(),
        );
        if said != must {
            let findings: Vec<String> =
                report.findings.iter().take(5).map(ToString::to_string).collect();
            wrong.push(format!(
                "{} must be {must:?}, not {said:?}: {} {findings:#?}",
                case["name"], case["why"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
