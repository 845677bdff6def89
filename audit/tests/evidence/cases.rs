//! Edge cases of every format, kept as vectors: what is read, and what is refused, and why.
//!
//! They are made here, reviewed like snapshots (`docs/vectors/cases.json`), and run by both verifiers.

mod exports;
mod files;
mod json;
mod keys;
mod notes;
mod own;
mod proofs;
mod statements;

use audit::checkpoint::Checkpoint;
use audit::custody::{Custody, CustodyEvent};
use audit::jws::{self, Jwk, PublicKey};
use audit::merkle::{self, Hash};
use audit::note::{self, NoteVerifier};
use audit::proof::{Receipt, TlogProof, verify_plaintext, verify_receipt};
use audit::statement::Statement;
use audit::system::SystemEvent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::snapshots::{path, vector};

/// The least number of cases: fewer would mean that some went missing.
const CASES_MIN: usize = 250;

/// Gathers cases.
#[derive(Default)]
struct Cases {
    cases: Vec<Value>,
}

impl Cases {
    /// A case whose input is text.
    fn text(&mut self, kind: &str, name: &str, input: &str, valid: bool, why: &str) -> &mut Value {
        self.add(kind, name, json!({ "input": input }), valid, why)
    }

    /// A case whose input is bytes that need not be text.
    fn bytes(
        &mut self,
        kind: &str,
        name: &str,
        input: &[u8],
        valid: bool,
        why: &str,
    ) -> &mut Value {
        self.add(kind, name, json!({ "base64": STANDARD.encode(input) }), valid, why)
    }

    fn add(&mut self, kind: &str, name: &str, with: Value, valid: bool, why: &str) -> &mut Value {
        let mut case =
            json!({ "kind": kind, "name": format!("{kind}: {name}"), "valid": valid, "why": why });
        let members = case.as_object_mut().expect("an object");
        members.extend(with.as_object().expect("an object").clone());
        self.cases.push(case);
        self.cases.last_mut().expect("just added")
    }

    /// One case for each replacement in a text that is valid as it is.
    fn edits(&mut self, kind: &str, good: &str, with: &Value, edits: &[(&str, &str, bool, &str)]) {
        for (from, to, valid, why) in edits {
            let at = good.matches(from).count();
            assert!(at > 0, "{kind}: {from} is not in {good}");
            let mut with = with.clone();
            with["input"] = json!(good.replacen(from, to, 1));
            let name = format!("{from} as {to}").chars().take(80).collect::<String>();
            self.add(kind, &name, with, *valid, why);
        }
    }
}

fn all() -> Vec<Value> {
    let mut cases = Cases::default();
    json::add(&mut cases);
    statements::add(&mut cases);
    keys::add(&mut cases);
    notes::add(&mut cases);
    own::add(&mut cases);
    proofs::add(&mut cases);
    cases.cases
}

#[test]
fn the_cases_are_the_committed_ones() {
    let cases = all();
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());
    // One case a line: a change shows as the line it is.
    let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
    vector("cases.json", &format!("{{\"cases\":[\n{}\n]}}", lines.join(",\n")));
}

#[test]
fn every_case_comes_out_as_it_must() {
    let text = std::fs::read_to_string(path("cases.json")).expect("the committed cases");
    let cases: Value = serde_json::from_str(&text).expect("JSON");
    let cases = cases["cases"].as_array().expect("a list");
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());
    let valid = cases.iter().filter(|case| case["valid"] == true).count();
    assert!(valid > 40 && cases.len() - valid > 150, "{valid} of {} are valid", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| accepts(case) != case["valid"].as_bool().expect("a verdict"))
        .map(|case| format!("{} must be {}: {}", case["name"], case["valid"], case["why"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn decode(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("base64")).expect("base64")
}

fn hash(value: &Value) -> Option<Hash> {
    Hash::from_base64(value.as_str()?)
}

fn hashes(value: &Value) -> Option<Vec<Hash>> {
    value.as_array()?.iter().map(hash).collect()
}

fn verifiers(value: &Value) -> Vec<NoteVerifier> {
    let keys = value.as_array().expect("keys").iter().map(|key| key.as_str().expect("text"));
    keys.map(|key| NoteVerifier::parse(key).expect("a key")).collect()
}

/// What this implementation says of a case.
fn accepts(case: &Value) -> bool {
    let text = |member: &str| case[member].as_str().unwrap_or_default().to_owned();
    let number = |member: &str| case[member].as_u64().expect("a number");
    let raw = match case.get("base64") {
        Some(bytes) => decode(bytes),
        None => text("input").into_bytes(),
    };
    let utf8 = || std::str::from_utf8(&raw).ok();
    match case["kind"].as_str().expect("a kind") {
        "json" => audit::json::parse(&raw).is_ok(),
        "statement" => Statement::parse(&raw).is_ok(),
        "header" => raw.len() <= jws::MAX_HEADER && jws::kid(&raw).is_ok(),
        "jws" => utf8().and_then(|jws| jws::parse_compact(jws).ok()).is_some_and(|parts| {
            jws::kid(&parts.header).is_ok() && Statement::parse(&parts.statement).is_ok()
        }),
        "jwk" => Jwk::parse(&raw).is_ok_and(|jwk| PublicKey::from_jwk(&jwk).is_ok()),
        "verifier-key" => {
            utf8().is_some_and(|vkey| NoteVerifier::parse(vkey).is_ok_and(|key| key.is_of_a_log()))
        }
        "signature" => {
            let key: Option<[u8; 32]> = decode(&case["key"]).try_into().ok();
            let signature: Option<[u8; 64]> = decode(&case["signature"]).try_into().ok();
            key.zip(signature).is_some_and(|(key, signature)| {
                PublicKey::from_bytes(&key)
                    .is_ok_and(|key| key.verify_message(&raw, &signature).is_ok())
            })
        }
        "checkpoint" => note::text_of(&raw)
            .is_ok_and(|note| Checkpoint::from_note(note, &verifiers(&case["keys"])).is_ok()),
        "receipt" => Receipt::parse(&raw)
            .is_ok_and(|receipt| verify_receipt(&receipt, &verifiers(&case["keys"])).is_ok()),
        "proof" => utf8().and_then(|text| TlogProof::parse(text).ok()).is_some_and(|proof| {
            let leaf = hash(&case["leaf"]).expect("a hash");
            proof.verify(&leaf, &verifiers(&case["keys"])).is_ok()
        }),
        "inclusion" => hashes(&case["proof"]).is_some_and(|proof| {
            let (leaf, root) = (hash(&case["leaf"]), hash(&case["root"]));
            let (leaf, root) = (leaf.expect("a hash"), root.expect("a hash"));
            merkle::verify_inclusion(&leaf, number("index"), number("size"), &proof, &root).is_ok()
        }),
        "consistency" => hashes(&case["proof"]).is_some_and(|proof| {
            let (old, new) = (hash(&case["old_root"]), hash(&case["new_root"]));
            let (old, new) = (old.expect("a hash"), new.expect("a hash"));
            merkle::verify_consistency(number("old"), number("new"), &proof, &old, &new).is_ok()
        }),
        "own-event" => {
            match SystemEvent::parse(&text("event_type"), &text("event_version"), &raw) {
                Ok(Some(SystemEvent::Genesis(genesis))) => {
                    PublicKey::from_jwk(&genesis.jwk).is_ok()
                }
                Ok(Some(SystemEvent::KeyActivated(event))) => {
                    PublicKey::from_jwk(&event.jwk).is_ok()
                }
                read => read.is_ok(),
            }
        }
        "custody-event" => {
            CustodyEvent::parse(&text("event_type"), &text("event_version"), &raw).is_ok()
        }
        "rules" => {
            let mut custody = Custody::default();
            let events = case["events"].as_array().expect("events");
            (0..).zip(events).all(|(position, event)| {
                let text = |member: &str| event[member].as_str().expect("text").as_bytes();
                let statement = Statement::parse(text("statement")).expect("a statement");
                custody.apply(position, &statement, text("payload")).is_ok()
            })
        }
        "keys-file" => files::keys_file(case) == raw,
        "plaintext" => {
            let statement = Statement::parse(text("statement").as_bytes()).expect("a statement");
            verify_plaintext(&statement, &decode(&case["blinding"]), &raw)
        }
        kind => panic!("an unknown kind of case: {kind}"),
    }
}
