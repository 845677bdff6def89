//! Published vectors of what this crate uses beyond `audit`: the keyed hash of claims and derived ids.

use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// Says in one line what is left out where the vectors are absent.
#[expect(clippy::print_stderr, reason = "a test that leaves something out says so")]
fn vectors() -> Option<Value> {
    let data = std::env::var("LEDGER_DATA").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let file = data.join("vectors/wycheproof/hmac_sha256_test.json");
    let Ok(text) = std::fs::read(file) else {
        eprintln!("left out: the published vectors of HMAC, which are not on this machine");
        return None;
    };
    Some(serde_json::from_slice(&text).expect("the vectors' JSON"))
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("text").as_bytes();
    let digit = |at: usize| char::from(text[at]).to_digit(16).expect("a digit") as u8;
    (0..text.len()).step_by(2).map(|at| digit(at) << 4 | digit(at + 1)).collect()
}

#[test]
fn wycheproof_hmac_sha256() {
    let Some(vectors) = vectors() else { return };
    let mut count = 0;
    for group in vectors["testGroups"].as_array().expect("groups") {
        for case in group["tests"].as_array().expect("cases") {
            let key = unhex(&case["key"]);
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key length");
            mac.update(&unhex(&case["msg"]));
            // Half of the groups have the tag cut to 128 bits.
            let held = mac.verify_truncated_left(&unhex(&case["tag"])).is_ok();
            assert_eq!(held, case["result"] == "valid", "case {}", case["tcId"]);
            count += 1;
        }
    }
    assert!(count > 50);
}
