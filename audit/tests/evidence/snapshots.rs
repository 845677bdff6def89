//! Our own vectors: statement, leaf, checkpoint, cosignature and receipt, made with fixed keys.
//!
//! They are committed in `docs/vectors`. Each is made again and compared byte by byte, so that none changes
//! unnoticed; and each is read back from the file and checked, as another implementation would.

use audit::checkpoint::Checkpoint;
use audit::jws;
use audit::merkle;
use audit::note;
use audit::proof::{ProofError, Receipt, ReceiptEvent, TlogProof, verify_receipt};
use audit::seal::{Binding, DataKey, KeyWrap as _, LocalKeks, SubjectKind};
use audit::seal::{
    EventIdentity, SealError, SnapshotIdentity, commit, open_blob, open_payload, open_snapshot,
    seal_blob, seal_snapshot,
};
use audit::statement::{FORMAT_V1, FORMAT_V2, MAX_STATEMENT, Statement, StatementError};
use serde_json::json;

use crate::world::{GROUNDS_FROM, ORIGIN, SEEDS, data_key, id, keys, leaf, verifiers, world};

/// Compares with the committed vector; writes it where `INSTA_UPDATE=always` asks for that, as for snapshots.
pub(crate) fn vector(name: &str, value: &str) {
    let path = path(name);
    let value = format!("{}\n", value.trim_end_matches('\n'));
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &value).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, value, "{name} is not the committed vector");
}

pub(crate) fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors").join(name)
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

/// The receipt of the command behind positions 6 and 7.
pub(crate) fn receipt() -> Receipt {
    let world = world(12);
    let appended = &world.appended[world.appended.iter().position(|a| a.size > 7).expect("there")];
    let events = (6..8)
        .map(|position: u64| {
            let entry = &world.entries[position as usize];
            let statement = &world.statements[position as usize];
            ReceiptEvent {
                position,
                event_id: statement.event_id,
                event_type: statement.event_type.clone(),
                jws: jws::compact(&entry.header, &entry.statement, &entry.signature),
                proof: appended.proofs[(position - appended.first) as usize].clone(),
            }
        })
        .collect();
    let last = &world.statements[7];
    let note = world.checkpoints.iter().find(|(size, _)| *size == appended.size).expect("there");
    Receipt {
        command_id: last.command_id,
        stream_type: last.stream_type.clone(),
        stream_id: last.stream_id,
        version: last.sequence,
        position: Some(7),
        events,
        checkpoint: note.1.clone(),
        replayed: false,
    }
}

/// The vectors of one statement each: two as they were before statements named a rule, and one that does.
const STATEMENTS: [(&str, usize); 3] = [
    ("statement_genesis", 0),
    ("statement_sealed", 7),
    ("statement_grounds", GROUNDS_FROM as usize + 7),
];

#[test]
fn statements() {
    let world = world(GROUNDS_FROM + 8);
    for (name, position) in STATEMENTS {
        let entry = &world.entries[position];
        let bytes = std::str::from_utf8(&entry.statement).expect("text");
        let value = json!({
            "header": std::str::from_utf8(&entry.header).expect("text"),
            "statement": bytes,
            "signature": hex::encode(entry.signature),
            "jws": jws::compact(&entry.header, &entry.statement, &entry.signature),
            "leaf_hash": leaf(entry),
            "payload": hex::encode(entry.payload.as_ref().expect("there")),
        });
        vector(&format!("{name}.json"), &pretty(&value));
        assert_eq!(Statement::parse(&entry.statement).expect("reads"), world.statements[position]);
    }
}

#[test]
fn keys_and_checkpoint() {
    let keys = keys(&SEEDS[0]);
    let world = world(9);
    let value = json!({
        "seed": hex::encode(SEEDS[0]),
        "jwk": keys.events.public().to_jwk(),
        "vkey": keys.notes.verifier().to_string(),
        "leaf_hashes": world.leaves(),
        "frontier": hex::encode(world.tree.to_bytes()),
        "checkpoint": world.note(),
        "ledger_stream_id": audit::system::stream_id(ORIGIN),
    });
    vector("checkpoint.json", &pretty(&value));
}

#[test]
fn sealing() {
    let world = world(9);
    let (statement, entry) = (&world.statements[7], &world.entries[7]);
    let identity = EventIdentity::of(statement);
    let sealed = entry.payload.as_ref().expect("a payload");
    let commitment = statement.payload.commitment.expect("sealed").0;
    let key = data_key(7 * 7 % 7);
    let opened = open_payload(&key, &identity, sealed, &commitment).expect("opens");
    let kek = LocalKeks::new([5; 32], []);
    let binding =
        Binding { origin: ORIGIN, kind: SubjectKind::Patient, subject: id(2, 0), key_id: id(6, 0) };
    let wrapped = kek.wrap(&binding, [4; 12], &key).expect("wraps");
    let blob = seal_blob(&key, [8; 12], id(7, 1), b"capture").expect("seals");
    let value = json!({
        "data_key": hex::encode(key.expose()),
        "associated_data": String::from_utf8(identity.aad()).expect("text"),
        "sealed": hex::encode(sealed),
        "plaintext": String::from_utf8(opened.to_vec()).expect("text"),
        "blinding": hex::encode([3; 32]),
        "commitment": hex::encode(commitment),
        "kek": hex::encode([5; 32]),
        "kek_id": wrapped.kek_id,
        "key_id": id(6, 0),
        "wrap_associated_data": String::from_utf8(binding.aad()).expect("text"),
        "wrapped": hex::encode(&wrapped.bytes),
        "blob_id": id(7, 1),
        "blob": hex::encode(&blob),
    });
    vector("sealing.json", &pretty(&value));

    assert_eq!(commit(&[3; 32], &opened), commitment);
    assert_eq!(
        kek.unwrap(&wrapped.kek_id, &binding, &wrapped.bytes).expect("unwraps").expose(),
        key.expose()
    );
    for other in [
        Binding { origin: "ledger.example.org/other", ..binding },
        Binding { kind: SubjectKind::Account, ..binding },
        Binding { subject: id(2, 1), ..binding },
        Binding { key_id: id(6, 1), ..binding },
    ] {
        let refused = kek.unwrap(&wrapped.kek_id, &other, &wrapped.bytes);
        assert_eq!(refused.err(), Some(SealError::Refused), "{other:?}");
    }
    let as_v1 = kek.unwrap_v1(&wrapped.kek_id, id(6, 0), &wrapped.bytes);
    assert_eq!(as_v1.err(), Some(SealError::Refused), "no wrap passes for one of before");
    assert_eq!(&**open_blob(&key, id(7, 1), &blob).expect("opens"), b"capture");
    assert_eq!(open_blob(&key, id(7, 2), &blob).err(), Some(SealError::Refused));
    let refused = |result: Result<zeroize::Zeroizing<Vec<u8>>, SealError>| result.err();
    let other = DataKey::from_bytes([0; 32]);
    assert_eq!(
        refused(open_payload(&other, &identity, sealed, &commitment)),
        Some(SealError::Refused)
    );
    let moved = EventIdentity { sequence: identity.sequence + 1, ..identity };
    assert_eq!(refused(open_payload(&key, &moved, sealed, &commitment)), Some(SealError::Refused));
    assert_eq!(
        refused(open_payload(&key, &identity, sealed, &[0; 32])),
        Some(SealError::Commitment)
    );
    assert_eq!(
        refused(open_payload(&key, &identity, &sealed[..59], &commitment)),
        Some(SealError::Size(59))
    );
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 0x80;
        assert_eq!(
            refused(open_payload(&key, &identity, &flipped, &commitment)),
            Some(SealError::Refused)
        );
    }
}

#[test]
fn a_kind_of_subject_has_one_word() {
    for kind in [SubjectKind::Patient, SubjectKind::Account, SubjectKind::Practitioner] {
        assert_eq!(SubjectKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(SubjectKind::Patient.as_str(), "patient");
    for other in ["", "Patient", "patient ", "ledger"] {
        assert_eq!(SubjectKind::parse(other), None, "{other}");
    }
}

/// Wrapped by another implementation, as evidence.md describes the version before: it names no subject, but its key id.
#[test]
fn a_wrap_of_version_1_opens_under_its_own_id_alone() {
    let wrapped = "090909090909090909090909c30820c9c93701c678534d48a9da82109ec079fd339833e1305f374ee950f8fa\
                   fa01989c0530ac89ed8fe949a1b29727";
    let wrapped = hex::decode(wrapped).expect("hex");
    let kek = LocalKeks::new([5; 32], [[1; 32]]);
    let kek_id = "local-b9ca804a829883d4";
    let opened = kek.unwrap_v1(kek_id, id(6, 0), &wrapped).expect("unwraps");
    assert_eq!(opened.expose(), &[7; 32]);
    let other = kek.unwrap_v1(kek_id, id(6, 1), &wrapped);
    assert_eq!(other.err(), Some(SealError::Refused), "another key's");
    let by_another = kek.unwrap_v1(&kek.kek_id(), id(6, 0), &wrapped);
    assert_eq!(by_another.err(), Some(SealError::Refused), "another key-encryption key");
}

#[test]
fn a_kept_state_opens_as_itself_alone() {
    let (key, other) = (data_key(1), data_key(2));
    let identity = SnapshotIdentity {
        origin: "ledger.clinic.example/test",
        stream_type: "patient",
        stream_id: id(1, 1),
        event_id: id(2, 1),
        version: 128,
        state_version: 1,
    };
    let aad = "coherency/snapshot/v1\nledger.clinic.example/test\npatient\n\
               01970000-0000-7000-8000-000100000001\n01970000-0000-7000-8000-000200000001\n128\n1\n";
    assert_eq!(identity.aad(), aad.as_bytes());
    let sealed = seal_snapshot(&key, [6; 12], &identity, b"state").expect("seals");
    assert_eq!(&**open_snapshot(&key, &identity, &sealed).expect("opens"), b"state");
    let moved = [
        SnapshotIdentity { origin: "another.example", ..identity },
        SnapshotIdentity { stream_type: "wound", ..identity },
        SnapshotIdentity { stream_id: id(1, 2), ..identity },
        SnapshotIdentity { event_id: id(2, 2), ..identity },
        SnapshotIdentity { version: 127, ..identity },
        SnapshotIdentity { state_version: 2, ..identity },
    ];
    for moved in moved {
        let refused = open_snapshot(&key, &moved, &sealed).err();
        assert_eq!(refused, Some(SealError::Refused), "{moved:?}");
    }
    assert_eq!(open_snapshot(&other, &identity, &sealed).err(), Some(SealError::Refused));
    assert_eq!(open_snapshot(&key, &identity, &sealed[..27]).err(), Some(SealError::Size(27)));
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 0x80;
        assert_eq!(open_snapshot(&key, &identity, &flipped).err(), Some(SealError::Refused));
    }
}

#[test]
fn receipts() {
    let receipt = receipt();
    vector("receipt.json", &pretty(&receipt));
    let verified = verify_receipt(&receipt, &verifiers()).expect("holds");
    assert_eq!(verified.statements.len(), 2);
    assert_eq!(verified.checkpoint.origin, ORIGIN);

    let proof = &receipt.to_proofs()[1];
    let text = proof.to_text();
    vector("proof.tlog-proof", &text);
    assert_eq!(&TlogProof::parse(&text).expect("reads"), proof);
    let leaf = merkle::leaf_hash(receipt.events[1].jws.as_bytes());
    proof.verify(&leaf, &verifiers()).expect("holds");
    let extra = TlogProof { extra: Some(b"extra".to_vec()), ..proof.clone() };
    assert_eq!(TlogProof::parse(&extra.to_text()).expect("reads"), extra);
}

#[test]
fn a_changed_receipt_is_refused() {
    type Edit = fn(&mut Receipt);
    let edits: [(&str, Edit); 12] = [
        ("command", |r| r.command_id = id(4, 99)),
        ("stream", |r| r.stream_id = id(2, 99)),
        ("stream type", |r| r.stream_type = "wound".to_owned()),
        ("version", |r| r.version += 1),
        ("position", |r| r.position = None),
        ("event id", |r| r.events[0].event_id = id(1, 99)),
        ("event type", |r| r.events[0].event_type = "Other".to_owned()),
        ("event position", |r| r.events[0].position += 1),
        ("order", |r| r.events.swap(0, 1)),
        ("proof", |r| {
            r.events[1].proof.pop();
        }),
        ("statement", |r| r.events[1].jws = r.events[0].jws.clone()),
        ("checkpoint", |r| r.checkpoint = r.checkpoint.replacen("\n8\n", "\n9\n", 1)),
    ];
    for (name, edit) in edits {
        let mut changed = receipt();
        edit(&mut changed);
        assert_ne!(changed, receipt(), "{name}");
        assert!(verify_receipt(&changed, &verifiers()).is_err(), "{name}");
    }
    let stranger = keys(&[77; 32]).notes.verifier().clone();
    assert!(matches!(verify_receipt(&receipt(), &[stranger]), Err(ProofError::Checkpoint(_))));
    // A key under another name speaks for another log.
    let other = audit::note::NoteSigner::new("other.example", &SEEDS[0]).expect("a name");
    assert!(verify_receipt(&receipt(), &[other.verifier().clone()]).is_err());
}

#[test]
fn statements_have_bounds() {
    let world = world(9);
    let good = world.statements[7].clone();
    let refuse = |edit: fn(&mut Statement)| {
        let mut statement = good.clone();
        edit(&mut statement);
        assert!(statement.to_bytes().is_err());
        let bytes = serde_json::to_vec(&statement).expect("JSON");
        assert!(Statement::parse(&bytes).is_err());
    };
    refuse(|s| s.origin = "a b".to_owned());
    refuse(|s| s.sequence = 0);
    refuse(|s| s.stream_type = "with space".to_owned());
    refuse(|s| s.event_type = String::new());
    refuse(|s| s.purpose = "x".repeat(129));
    refuse(|s| s.payload.encryption = "ROT13".to_owned());
    refuse(|s| s.payload.key_id = None);
    refuse(|s| s.payload.encryption = "none".to_owned());
    refuse(|s| s.media = vec![s.media[0].clone(); 129]);
    refuse(|s| s.actor_signature = Some("x".repeat(9000)));
    let mut finer = good.clone();
    finer.recorded_at += jiff::SignedDuration::from_nanos(1);
    assert!(finer.to_bytes().is_err(), "a nanosecond cannot be written");
    let bytes = good.to_bytes().expect("valid");
    let text = String::from_utf8(bytes).expect("text");
    for broken in [
        text.replacen('{', r#"{"extra":1,"#, 1),
        text.replacen('{', r#"{"sequence":1,"#, 1),
        text.replacen("Z\"", "+00:00\"", 1),
        text.replacen("\"subject\"", "\"Subject\"", 1),
        format!("{text} x"),
        text.to_uppercase(),
    ] {
        assert!(Statement::parse(broken.as_bytes()).is_err(), "{broken}");
    }
    let long = vec![b' '; MAX_STATEMENT + 1];
    assert!(matches!(Statement::parse(&long), Err(StatementError::TooLong(_))));
    // The longest statement still fits the 16-bit length of an entry bundle.
    let header = keys(&SEEDS[0]).events.public().header();
    let longest = jws::compact(&header, &vec![b'x'; MAX_STATEMENT], &[0; 64]);
    assert!(longest.len() <= jws::MAX_COMPACT, "{}", longest.len());
    assert!(jws::parse_compact(&longest).is_ok());
}

#[test]
fn a_checkpoint_is_signed_under_the_origin() {
    let signer = keys(&SEEDS[0]).notes;
    let root = merkle::empty_root();
    let other = Checkpoint { origin: "other.example".to_owned(), size: 0, root };
    assert!(other.to_note(&signer).is_err());
    let text = other.to_text();
    let signed = signer.sign(&text).expect("signed");
    assert!(Checkpoint::from_note(&signed, &[signer.verifier().clone()]).is_err());
    for bad in [
        "a\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nextension\n",
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n",
        "a b\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "a\n-1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n99999999999999999999\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
    ] {
        assert!(Checkpoint::from_text(bad).is_err(), "{bad}");
    }
}

/// The seed of the witness in the vectors, and the time it signs.
const WITNESS: ([u8; 32], u64) = ([4; 32], 1_795_000_000);

#[test]
fn cosignatures_of_a_witness() {
    let world = world(9);
    let cosigner = note::Cosigner::new("witness.example/test", &WITNESS.0).expect("a name");
    let (text, _) = world.note().rsplit_once("\n\n").expect("signatures");
    let line = cosigner.line(&format!("{text}\n"), WITNESS.1);
    let value = json!({
        "seed": hex::encode(WITNESS.0),
        "vkey": cosigner.verifier().to_string(),
        "time": WITNESS.1,
        "message": format!("cosignature/v1\ntime {}\n{text}\n", WITNESS.1),
        "line": line,
        "note": format!("{}{line}", world.note()),
    });
    vector("cosignature.json", &pretty(&value));
}

fn committed(name: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(path(name)).expect("a committed vector");
    serde_json::from_str(&text).expect("JSON")
}

fn text<'a>(value: &'a serde_json::Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member}"))
}

/// What another implementation does with the files, with this one's means of verification.
#[test]
fn the_committed_vectors_hold() {
    let checkpoint = committed("checkpoint.json");
    let key = note::NoteVerifier::parse(text(&checkpoint, "vkey")).expect("a key");
    let head = Checkpoint::from_note(text(&checkpoint, "checkpoint"), std::slice::from_ref(&key));
    let head = head.expect("signed");
    let leaves: Vec<merkle::Hash> =
        serde_json::from_value(checkpoint["leaf_hashes"].clone()).expect("hashes");
    assert_eq!(merkle::tree_root(head.size, leaves.as_slice()).expect("whole"), head.root);
    let jwk = jws::Jwk::parse(checkpoint["jwk"].to_string().as_bytes()).expect("a JWK");
    let public = jws::PublicKey::from_jwk(&jwk).expect("a key");
    assert_eq!(public.to_bytes(), key.key());

    for (name, position) in STATEMENTS {
        let vector = committed(&format!("{name}.json"));
        let parts = jws::parse_compact(text(&vector, "jws")).expect("a compact JWS");
        public.verify(&parts.header, &parts.statement, &parts.signature).expect("signed");
        assert_eq!(parts.statement, text(&vector, "statement").as_bytes());
        assert_eq!(parts.header, text(&vector, "header").as_bytes());
        let leaf = merkle::leaf_hash(text(&vector, "jws").as_bytes());
        assert_eq!(leaf.to_string(), text(&vector, "leaf_hash"));
        assert!(leaves.get(position).is_none_or(|known| *known == leaf), "{name}");
        let statement = Statement::parse(&parts.statement).expect("a statement");
        let format = if position < GROUNDS_FROM as usize { FORMAT_V1 } else { FORMAT_V2 };
        assert_eq!(statement.format(), format, "{name}");
        assert_eq!(statement.to_bytes().expect("valid"), parts.statement, "{name}");
        let payload = hex::decode(text(&vector, "payload")).expect("hexadecimal");
        assert_eq!(statement.payload.sha256, audit::statement::Digest::of(&payload));
        assert_eq!(statement.payload.size, payload.len() as u64);
    }

    let receipt = std::fs::read(path("receipt.json")).expect("a receipt");
    let receipt = Receipt::parse(&receipt).expect("a receipt");
    let verified = verify_receipt(&receipt, std::slice::from_ref(&key)).expect("holds");
    assert_eq!(verified.statements.len(), 2);
    let proof = std::fs::read_to_string(path("proof.tlog-proof")).expect("a proof file");
    let proof = TlogProof::parse(&proof).expect("reads");
    let leaf = merkle::leaf_hash(receipt.events[1].jws.as_bytes());
    proof.verify(&leaf, std::slice::from_ref(&key)).expect("holds");

    let cosignature = committed("cosignature.json");
    let witness = note::NoteVerifier::parse(text(&cosignature, "vkey")).expect("a key");
    let known = [key, witness];
    let opened = note::open(text(&cosignature, "note"), &known).expect("holds");
    assert_eq!(opened.signed_by, known);
    let later = text(&cosignature, "note").replace(&head.size.to_string(), "10");
    assert!(note::open(&later, &known[1..]).is_err());
}
