//! Receipts, proof files, inclusion and consistency proofs.

use audit::merkle::{self, Hash};
use serde_json::{Value, json};

use super::Cases;
use crate::snapshots::receipt;
use crate::world::{World, keys, verifiers, world};

pub(super) fn add(cases: &mut Cases) {
    receipts(cases);
    proof_files(cases);
    inclusions(cases);
    consistencies(cases);
}

/// The event of a receipt at some position of a world, under its newest checkpoint.
pub(super) fn receipt_of(world: &World, positions: std::ops::Range<usize>) -> Value {
    let leaves = world.leaves();
    let events: Vec<Value> = positions
        .clone()
        .map(|position| {
            let (entry, statement) = (&world.entries[position], &world.statements[position]);
            let proof =
                merkle::inclusion_proof(position as u64, leaves.len() as u64, leaves.as_slice());
            json!({
                "position": position,
                "event_id": statement.event_id,
                "event_type": statement.event_type,
                "jws": audit::jws::compact(&entry.header, &entry.statement, &entry.signature),
                "proof": proof.expect("within"),
            })
        })
        .collect();
    let last = &world.statements[positions.end - 1];
    json!({
        "command_id": last.command_id,
        "stream_type": last.stream_type,
        "stream_id": last.stream_id,
        "version": last.sequence,
        "position": positions.end - 1,
        "events": events,
        "checkpoint": world.note(),
        "replayed": false,
    })
}

fn receipts(cases: &mut Cases) {
    let good = serde_json::to_string(&receipt()).expect("JSON");
    let known: Vec<String> = verifiers().iter().map(ToString::to_string).collect();
    let with = json!({ "keys": known });
    let note = &receipt().checkpoint;
    let mut add = |name: &str, text: &str, keys: &[String], valid: bool, why: &str| {
        cases.text("receipt", name, text, valid, why)["keys"] = json!(keys);
    };
    add("as the writer makes it", &good, &known, true, "two events under a checkpoint");
    let value: Value = serde_json::from_str(&good).expect("JSON");
    let pretty = serde_json::to_string_pretty(&value).expect("JSON");
    add(
        "members in another order, with blanks",
        &pretty,
        &known,
        true,
        "order and blanks say nothing",
    );
    add(
        "another key",
        &good,
        &[keys(&[77; 32]).notes.verifier().to_string()],
        false,
        "no known key signed",
    );
    add(
        "one key too many",
        &good,
        &[known.clone(), known.clone()].concat(),
        true,
        "a key given twice is one key",
    );
    let rotated = world(300);
    for (name, positions, valid) in [
        ("before the rotation", 99..100),
        ("across the rotation", 100..101),
        ("after the retirement", 250..251),
    ]
    .map(|(name, positions)| (name, positions, true))
    {
        let text = receipt_of(&rotated, positions).to_string();
        add(name, &text, &known, valid, "a receipt's holder trusts the keys he brings");
        add(
            &format!("{name}, with the newest key alone"),
            &text,
            &known[1..],
            name == "after the retirement",
            "events and checkpoint are signed by keys he brings",
        );
        add(
            &format!("{name}, with the first key alone"),
            &text,
            &known[..1],
            false,
            "the checkpoint is signed by the newest key",
        );
    }
    let empty = json!({
        "command_id": value["command_id"], "stream_type": "", "stream_id": "00000000-0000-0000-0000-000000000000",
        "version": 0, "position": null, "events": [], "checkpoint": note, "replayed": true,
    });
    add("a command that changed nothing", &empty.to_string(), &known, true, "there are no events");
    let mut changed = |name: &str, member: &str, to: Value, valid: bool, why: &str| {
        let mut receipt = empty.clone();
        receipt[member] = to;
        add(name, &receipt.to_string(), &known, valid, why);
    };
    changed(
        "no events, but a position",
        "position",
        json!(7),
        false,
        "the position is that of the last event",
    );
    changed(
        "no events, and a stream's name",
        "stream_type",
        json!("patient"),
        true,
        "nothing speaks against it",
    );
    changed("no events, and no name", "stream_type", json!("a b"), false, "a name has no space");
    changed("no events, and null for a list", "events", Value::Null, false, "events are an array");
    let list =
        Value::from_iter(value.as_object().expect("an object").values().cloned()).to_string();
    cases.edits(
        "receipt",
        &good,
        &with,
        &[
            (&good, &list, false, "an array is no object"),
            ("\"replayed\":false", "\"replayed\":true", true, "it may answer a repeated command"),
            ("\"replayed\":false", "\"replayed\":null", false, "true or false"),
            ("\"replayed\":false", "\"replayed\":0", false, "true or false"),
            (",\"replayed\":false", "", false, "a member is missing"),
            (
                "\"replayed\":false",
                "\"replayed\":false,\"more\":1",
                false,
                "other members are refused",
            ),
            (
                "\"command_id\":\"0197",
                "\"command_id\":\"0198",
                false,
                "not the command that was signed",
            ),
            (
                "\"command_id\":\"01970000-",
                "\"command_id\":\"01970000",
                false,
                "a UUID has its hyphens",
            ),
            (
                "\"command_id\":\"01970000-0000-7000-8000-000400000006\"",
                "\"command_id\":\"{01970000-0000-7000-8000-000400000006}\"",
                false,
                "a UUID has 36 characters",
            ),
            (
                "\"stream_type\":\"patient\"",
                "\"stream_type\":\"wound\"",
                false,
                "not what was signed",
            ),
            ("\"stream_id\":\"0197", "\"stream_id\":\"0198", false, "not what was signed"),
            ("\"version\":", "\"version\":1", false, "not what was signed"),
            ("\"version\":", "\"version\":\"", false, "a version is a number"),
            (
                "\"position\":7,\"events\"",
                "\"position\":6,\"events\"",
                false,
                "the position is that of the last event",
            ),
            (
                "\"position\":7,\"events\"",
                "\"position\":null,\"events\"",
                false,
                "the position is that of the last event",
            ),
            (
                "\"position\":7,\"events\"",
                "\"position\":7.0,\"events\"",
                false,
                "a fraction is another spelling",
            ),
            ("\"position\":6,", "\"position\":5,", false, "the event is not there"),
            ("\"position\":6,", "\"position\":-0,", false, "no number has a sign"),
            ("\"position\":6,", "\"position\":6e0,", false, "an exponent is another spelling"),
            ("\"position\":6,", "\"position\":9007199254740991,", false, "the event is not there"),
            ("\"position\":6,", "\"position\":null,", false, "an event has a position"),
            ("\"event_id\":\"0197", "\"event_id\":\"0198", false, "not what was signed"),
            ("\"event_type\":\"Patient", "\"event_type\":\"patient", false, "not what was signed"),
            ("\"jws\":\"", "\"jws\":\"A", false, "not the leaf"),
            ("\"proof\":[\"", "\"proof\":[\"A", false, "a hash has 32 bytes"),
            (
                "\"proof\":[",
                "\"proof\":[\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\",",
                false,
                "a hash too many",
            ),
            ("\"proof\":[", "\"proof\":[null,", false, "a hash is text"),
            ("\"proof\":[", "\"proof\":{},\"x\":[", false, "other members are refused"),
            ("\"checkpoint\":\"", "\"checkpoint\":\"x", false, "the signature is of another text"),
            ("\"checkpoint\":\"", "\"checkpoint\":null,\"x\":\"", false, "a checkpoint is text"),
        ],
    );
    let events = value["events"].as_array().expect("events");
    let mut edited = |name: &str, edit: &dyn Fn(&mut Vec<Value>), why: &str| {
        let mut receipt = value.clone();
        let mut events = events.clone();
        edit(&mut events);
        receipt["events"] = json!(events);
        cases.text("receipt", name, &receipt.to_string(), false, why)["keys"] = json!(known);
    };
    edited("events in another order", &|events| events.reverse(), "positions ascend without gaps");
    edited(
        "an event twice",
        &|events| events.push(events[1].clone()),
        "positions ascend without gaps",
    );
    edited(
        "the last event missing",
        &|events| drop(events.pop()),
        "the position is that of the last event",
    );
    edited("an event as an array", &|events| events[0] = json!([6, "x"]), "an array is no object");
}

fn proof_files(cases: &mut Cases) {
    let receipt = receipt();
    let good = receipt.to_proofs()[1].to_text();
    let leaf = merkle::leaf_hash(receipt.events[1].jws.as_bytes()).to_string();
    let known: Vec<String> = verifiers().iter().map(ToString::to_string).collect();
    let with = json!({ "keys": known, "leaf": leaf });
    let mut as_written = with.clone();
    as_written["input"] = json!(good);
    cases.add("proof", "as the writer makes it", as_written, true, "the leaf is in the log");
    cases.edits(
        "proof",
        &good,
        &with,
        &[
            ("@v1\n", "@v1\nextra AAAA\n", true, "what is extra is not looked into"),
            ("@v1\n", "@v1\nextra AAA\n", false, "base64 is padded"),
            ("@v1\n", "@v1\nextra\n", false, "an index must follow"),
            ("@v1\n", "@v1\n\n", false, "an index must follow"),
            ("@v1\n", "@v2\n", false, "another version"),
            ("c2sp", " c2sp", false, "the first line has one spelling"),
            ("index 7", "index 07", false, "a number has one spelling"),
            ("index 7", "index  7", false, "a number has one spelling"),
            ("index 7", "index 6", false, "another position"),
            ("index 7", "index 8", false, "not in the tree"),
            ("index 7", "Index 7", false, "the line has one spelling"),
            (
                "index 7\n",
                "index 7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
                false,
                "a hash too many",
            ),
            ("index 7\n", "index 7\r\n", false, "a number has one spelling"),
            ("\n\nledger", "\n\n\nledger", false, "the note begins with the origin"),
            ("\n8\n", "\n9\n", false, "the signature is of another text"),
        ],
    );
    let mut other = with.clone();
    other["input"] = json!(good);
    other["leaf"] = json!(merkle::leaf_hash(b"other"));
    cases.add("proof", "another leaf", other, false, "another leaf");
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|at| merkle::leaf_hash(&at.to_be_bytes())).collect()
}

fn inclusions(cases: &mut Cases) {
    let all = leaves(300);
    let mut add = |name: String,
                   index: u64,
                   size: u64,
                   proof: &[Hash],
                   root: Hash,
                   valid: bool,
                   why: &str| {
        let leaf = all.get(index as usize).copied().unwrap_or(all[0]);
        let with =
            json!({ "leaf": leaf, "index": index, "size": size, "proof": proof, "root": root });
        cases.add("inclusion", &name, with, valid, why);
    };
    let tree = |size: u64| (merkle::tree_root(size, all.as_slice()).expect("whole"), size);
    for (index, size) in [
        (0, 1),
        (0, 2),
        (1, 2),
        (2, 3),
        (6, 7),
        (255, 256),
        (256, 257),
        (299, 300),
        (0, 300),
        (100, 300),
    ] {
        let (root, size) = tree(size);
        let proof = merkle::inclusion_proof(index, size, all.as_slice()).expect("within");
        add(format!("{index} of {size}"), index, size, &proof, root, true, "the proof of the tree");
    }
    let (root, _) = tree(300);
    let proof = merkle::inclusion_proof(100, 300, all.as_slice()).expect("within");
    add("another index".to_owned(), 101, 300, &proof, root, false, "another leaf");
    add("a hash too few".to_owned(), 100, 300, &proof[1..], root, false, "the proof has a length");
    add(
        "a hash too many".to_owned(),
        100,
        300,
        &[&proof[..], &[root]].concat(),
        root,
        false,
        "the proof has a length",
    );
    add("another root".to_owned(), 100, 300, &proof, proof[0], false, "another tree");
    add("beyond the tree".to_owned(), 300, 300, &proof, root, false, "not in the tree");
    add(
        "the empty tree".to_owned(),
        0,
        0,
        &[],
        merkle::empty_root(),
        false,
        "nothing is in the empty tree",
    );
    add(
        "a size beyond 2^53 - 1".to_owned(),
        0,
        1 << 53,
        &proof,
        root,
        false,
        "beyond the largest tree",
    );
}

fn consistencies(cases: &mut Cases) {
    let all = leaves(300);
    let root = |size: u64| merkle::tree_root(size, all.as_slice()).expect("whole");
    let proof =
        |old: u64, new: u64| merkle::consistency_proof(old, new, all.as_slice()).expect("within");
    let mut add = |name: &str,
                   sizes: (u64, u64),
                   proof: &[Hash],
                   roots: (Hash, Hash),
                   valid: bool,
                   why: &str| {
        let with = json!({ "old": sizes.0, "new": sizes.1, "proof": proof, "old_root": roots.0, "new_root": roots.1 });
        cases.add("consistency", name, with, valid, why);
    };
    for (old, new) in [
        (1, 2),
        (1, 300),
        (2, 3),
        (3, 7),
        (7, 8),
        (8, 9),
        (128, 300),
        (255, 256),
        (256, 300),
        (257, 300),
        (299, 300),
    ] {
        add(
            &format!("{old} to {new}"),
            (old, new),
            &proof(old, new),
            (root(old), root(new)),
            true,
            "the older is a prefix",
        );
    }
    add("one size", (7, 7), &[], (root(7), root(7)), true, "the roots are equal");
    add("one size, two roots", (7, 7), &[], (root(7), root(8)), false, "a fork");
    add(
        "one size, and a hash",
        (7, 7),
        &[root(7)],
        (root(7), root(7)),
        false,
        "a proof between equal sizes is empty",
    );
    add(
        "from the empty tree",
        (0, 7),
        &[],
        (merkle::empty_root(), root(7)),
        false,
        "it would prove nothing",
    );
    add(
        "from the empty tree, with a hash",
        (0, 7),
        &[root(7)],
        (merkle::empty_root(), root(7)),
        false,
        "it would prove nothing",
    );
    add(
        "from the empty tree to itself",
        (0, 0),
        &[],
        (merkle::empty_root(), merkle::empty_root()),
        false,
        "it would prove nothing",
    );
    add(
        "to a smaller tree",
        (8, 7),
        &proof(7, 8),
        (root(8), root(7)),
        false,
        "a log does not shrink",
    );
    add("no proof", (7, 8), &[], (root(7), root(8)), false, "the proof has a length");
    add(
        "a hash too few",
        (128, 300),
        &proof(128, 300)[1..],
        (root(128), root(300)),
        false,
        "the proof has a length",
    );
    add(
        "a hash too many",
        (3, 7),
        &[&proof(3, 7)[..], &[root(3)]].concat(),
        (root(3), root(7)),
        false,
        "the proof has a length",
    );
    add("another old root", (3, 7), &proof(3, 7), (root(4), root(7)), false, "not a prefix");
    add("another new root", (3, 7), &proof(3, 7), (root(3), root(8)), false, "not a prefix");
    add("another old size", (5, 7), &proof(3, 7), (root(3), root(7)), false, "not a prefix");
    add(
        "a size beyond 2^53 - 1",
        (3, 1 << 53),
        &proof(3, 7),
        (root(3), root(7)),
        false,
        "beyond the largest tree",
    );
}
