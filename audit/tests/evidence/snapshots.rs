//! Our own vectors: statement, leaf, checkpoint and receipt, made with fixed keys.

use audit::checkpoint::Checkpoint;
use audit::jws;
use audit::merkle;
use audit::proof::{ProofError, Receipt, ReceiptEvent, TlogProof, verify_receipt};
use audit::seal::{DataKey, KeyWrap as _, LocalKeks};
use audit::seal::{
    EventIdentity, SealError, SnapshotIdentity, commit, open_blob, open_payload, open_snapshot,
    seal_blob, seal_snapshot,
};
use audit::statement::{MAX_STATEMENT, Statement, StatementError};
use serde_json::json;

use crate::world::{ORIGIN, SEEDS, data_key, id, keys, leaf, verifiers, world};

macro_rules! snapshot {
    ($name:literal, $value:expr) => {
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/audit"),
            prepend_module_to_snapshot => false,
        }, { insta::assert_snapshot!($name, $value) })
    };
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

/// The receipt of the command behind positions 6 and 7.
fn receipt() -> Receipt {
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

#[test]
fn statements() {
    let world = world(9);
    for (name, position) in [("statement_genesis", 0), ("statement_sealed", 7)] {
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
        match name {
            "statement_genesis" => snapshot!("statement_genesis", pretty(&value)),
            _ => snapshot!("statement_sealed", pretty(&value)),
        }
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
    snapshot!("checkpoint", pretty(&value));
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
    let wrapped = kek.wrap(id(6, 0), [4; 12], &key).expect("wraps");
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
        "wrapped": hex::encode(&wrapped.bytes),
        "blob_id": id(7, 1),
        "blob": hex::encode(&blob),
    });
    snapshot!("sealing", pretty(&value));

    assert_eq!(commit(&[3; 32], &opened), commitment);
    assert_eq!(
        kek.unwrap(&wrapped.kek_id, id(6, 0), &wrapped.bytes).expect("unwraps").expose(),
        key.expose()
    );
    assert_eq!(
        kek.unwrap(&wrapped.kek_id, id(6, 1), &wrapped.bytes).err(),
        Some(SealError::Refused)
    );
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
    snapshot!("receipt", pretty(&receipt));
    let verified = verify_receipt(&receipt, &verifiers()).expect("holds");
    assert_eq!(verified.statements.len(), 2);
    assert_eq!(verified.checkpoint.origin, ORIGIN);

    let proof = &receipt.to_proofs()[1];
    let text = proof.to_text();
    snapshot!("proof", &text);
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
    refuse(|s| s.format = "coherency-event/v2".to_owned());
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
