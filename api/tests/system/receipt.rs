//! `ledger receipt verify`: offline, through the binary.

use std::fs;

use commands::{Actor, Context, PurposeOfUse, Receipt};
use domain::{Patient, PatientCommand};
use serde_json::json;

use crate::support::{Instance, Random, instance::Ran};

/// The binary as somebody has it who keeps a receipt: without any of the ledger's settings.
async fn verify(instance: &Instance, arguments: &[&str]) -> Ran {
    let mut command = instance.command(["--json", "receipt", "verify"]);
    for name in ["DATABASE_URL", "MONGODB_URI", "REDIS_URL", "LEDGER_KEYS_DIR", "LEDGER_ORIGIN"] {
        command.env_remove(name);
    }
    command.args(arguments);
    instance.finish(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_verified_offline_and_a_changed_byte_is_not_overlooked() {
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let mut receipts: Vec<Receipt> = Vec::new();
    for number in 0..3 {
        let command = json!({ "register": { "name": { "family": format!("Receipt-{number}") } } });
        let command: PatientCommand = serde_json::from_value(command).expect("a command");
        let context = Context::new(Actor::importer(), PurposeOfUse::Hoperat);
        let done = ledger.execute::<Patient>(ledger.new_id(), command, &context).await;
        receipts.push(done.expect("registered"));
    }
    ledger.close().await;
    let (file, key) = (instance.path("receipt.json"), instance.verifier_key());
    let name = file.to_str().expect("text").to_owned();
    let good = serde_json::to_vec_pretty(&receipts[1]).expect("JSON");
    fs::write(&file, &good).expect("written");

    let ran = verify(&instance, &[&name, "--key", &key]).await.succeeded();
    let said = ran.json();
    assert_eq!(said["valid"], true);
    assert_eq!((&said["size"], &said["events"][0]["position"]), (&json!(3), &json!(2)));
    assert_eq!(said["events"][0]["event_type"], "PatientRegistered");
    assert_eq!(said["keys"], json!([key]));
    let checkpoint = audit::checkpoint::Checkpoint::peek(&receipts[1].checkpoint).expect("one");
    assert_eq!(said["root"], checkpoint.root.to_string());
    let text = instance.command(["receipt", "verify", &name, "--key", &key]);
    let text = instance.finish(text).await.succeeded().stdout;
    assert!(text.contains("position 2: PatientRegistered"), "{text}");
    assert!(text.contains("verdict    valid"), "{text}");

    // Keys out of files: verifier keys, one a line, or a JWK Set.
    let stranger = audit::note::NoteSigner::new("other.example", &[7; 32]).expect("a name");
    let keys = instance.path("keys.txt");
    fs::write(&keys, format!("{}\n\n{key}\n", stranger.verifier())).expect("written");
    let keys = keys.to_str().expect("text").to_owned();
    verify(&instance, &[&name, "--key", &keys]).await.succeeded();
    let public =
        audit::jws::EventSigner::new(&instance.keys.event_signing_seeds()[0]).expect("a key");
    let set = json!({ "keys": [public.public().to_jwk()] });
    let jwks = instance.path("keys.json");
    fs::write(&jwks, set.to_string()).expect("written");
    let jwks = jwks.to_str().expect("text").to_owned();
    let origin = crate::support::instance::ORIGIN;
    verify(&instance, &[&name, "--key", &jwks, "--origin", origin]).await.succeeded();
    assert_eq!(verify(&instance, &[&name, "--key", &jwks]).await.status, 1, "of which log?");
    assert_eq!(verify(&instance, &[&name]).await.status, 2, "a key is needed");
    assert_eq!(verify(&instance, &[&name, "--key", "nonsense"]).await.status, 1);
    let other = stranger.verifier().to_string();
    assert_eq!(verify(&instance, &[&name, "--key", &other]).await.status, 3, "another key");

    // Another source's checkpoint: the same, of another size, and of a fork.
    let seen = instance.path("seen");
    let with = seen.to_str().expect("text").to_owned();
    fs::write(&seen, &receipts[1].checkpoint).expect("written");
    let ran = verify(&instance, &[&name, "--key", &key, "--checkpoint", &with]).await.succeeded();
    assert_eq!(ran.json()["compared"], true);
    fs::write(&seen, &receipts[2].checkpoint).expect("written");
    assert_eq!(verify(&instance, &[&name, "--key", &key, "--checkpoint", &with]).await.status, 1);
    let signer = audit::note::NoteSigner::new(origin, &instance.keys.event_signing_seeds()[0]);
    let fork = audit::checkpoint::Checkpoint { root: audit::merkle::empty_root(), ..checkpoint };
    let fork = fork.to_note(&signer.expect("a name")).expect("signed");
    fs::write(&seen, fork).expect("written");
    let ran = verify(&instance, &[&name, "--key", &key, "--checkpoint", &with]).await;
    assert_eq!(ran.status, 3, "a fork");
    assert!(ran.json()["reason"].as_str().is_some_and(|reason| reason.contains("forked")));

    // Anything that means something, changed. (The binary for some; what it calls for every byte.)
    let verifiers = instance.verifiers();
    // What is read of a file, but for `replayed`, which nobody signs.
    let meaning = |bytes: &[u8]| {
        let receipt: Option<Receipt> = serde_json::from_slice(bytes).ok();
        receipt.map(|receipt| Receipt { replayed: false, ..receipt })
    };
    let mut random = Random::new(11);
    let mut refused = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << random.within(0..7);
        let read = meaning(&bad);
        if read == meaning(&good) {
            continue;
        }
        let held = read.is_some_and(|read| audit::proof::verify_receipt(&read, &verifiers).is_ok());
        assert!(!held, "byte {at} can be changed");
        refused += 1;
        if refused % 97 == 0 {
            fs::write(&file, bad).expect("written");
            let ran = verify(&instance, &[&name, "--key", &key]).await;
            // A file that is no text any more cannot be read at all.
            assert!([1, 3].contains(&ran.status), "byte {at}: {}", ran.stdout);
        }
    }
    assert!(refused > 1000, "{refused}");
}
