//! Keys: JWK, verifier keys, strict signatures, and the file of an export's keys.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::Cases;
use super::files::keys_file;
use crate::world::{SEEDS, keys};

/// A point given by its y coordinate, with the sign of x.
fn point(y: &[u8], sign: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..y.len()].copy_from_slice(y);
    bytes[31] |= sign << 7;
    bytes
}

/// p + `plus`, little-endian: below 2^255 for `plus` up to 18.
fn beyond(plus: u8) -> [u8; 32] {
    let mut bytes = [0xFF; 32];
    bytes[0] = 0xED + plus;
    bytes[31] = 0x7F;
    bytes
}

/// Keys of a form that must be refused.
fn weak_keys() -> Vec<(&'static str, [u8; 32], &'static str)> {
    let order_8 = hex::decode("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
    let order_8: [u8; 32] = order_8.expect("hexadecimal").try_into().expect("32 bytes");
    let no_point = (2..)
        .map(|y| point(&[y], 0))
        .find(|bytes| ed25519_dalek::VerifyingKey::from_bytes(bytes).is_err());
    vec![
        ("the neutral point", point(&[1], 0), "a point of small order"),
        ("the neutral point with a sign", point(&[1], 1), "a point of small order"),
        ("order 4", point(&[0], 0), "a point of small order"),
        ("order 2", beyond(0).map(|b| if b == 0xED { 0xEC } else { b }), "a point of small order"),
        ("order 8", order_8, "a point of small order"),
        ("y = p + 3", beyond(3), "y is not reduced"),
        ("y = p + 4", beyond(4), "y is not reduced"),
        ("y = p + 3 with a sign", point(&beyond(3), 1), "y is not reduced"),
        ("y = p", beyond(0), "y is not reduced"),
        ("y = p + 1", beyond(1), "y is not reduced"),
        ("y = 2^255 - 1", beyond(18), "y is not reduced"),
        ("no point", no_point.expect("half of all"), "there is no such point"),
        (
            "no point with a sign",
            point(&no_point.expect("half of all"), 1),
            "there is no such point",
        ),
    ]
}

pub(super) fn add(cases: &mut Cases) {
    jwks(cases);
    verifier_keys(cases);
    signatures(cases);
    files(cases);
}

fn jwks(cases: &mut Cases) {
    let public = keys(&SEEDS[0]).events.public().to_jwk();
    let good = serde_json::to_string(&public).expect("JSON");
    let kid = public.kid.expect("given");
    cases.text("jwk", "as the writer makes it", &good, true, "with its thumbprint");
    let quoted = format!("\"{kid}\"");
    let with_kid = format!(",\"kid\":{quoted}");
    let list = format!("[\"OKP\",\"Ed25519\",\"{}\",{quoted}]", public.x);
    cases.edits(
        "jwk",
        &good,
        &json!({}),
        &[
            (&with_kid, "", true, "the thumbprint may be absent"),
            (&quoted, "null", false, "the thumbprint may be absent, not null"),
            (&quoted, "\"\"", false, "not the thumbprint"),
            (
                &quoted,
                "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
                false,
                "not the thumbprint",
            ),
            (&quoted, "7", false, "a thumbprint is text"),
            ("OKP", "EC", false, "another type of key"),
            ("OKP", "okp", false, "there is one spelling"),
            ("Ed25519", "X25519", false, "another curve"),
            ("\"x\":\"", "\"x\":\" ", false, "base64url has no blank"),
            ("\"x\":\"", "\"x\":\"AA", false, "a key has 32 bytes"),
            ("\"crv\"", "\"d\":\"AA\",\"crv\"", false, "other members are refused"),
            ("\"crv\"", "\"use\":\"sig\",\"crv\"", false, "other members are refused"),
            ("\"kty\":\"OKP\"", "\"kty\":[\"OKP\"]", false, "a type is text"),
            ("\"kty\":\"OKP\",", "", false, "a member is missing"),
            (&good, &list, false, "an array is no object"),
            (&good, "null", false, "null is no object"),
        ],
    );
    for (name, bytes, why) in weak_keys() {
        let x = URL_SAFE_NO_PAD.encode(bytes);
        let text = format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}");
        cases.text("jwk", name, &text, false, why);
    }
}

fn verifier_keys(cases: &mut Cases) {
    let good = keys(&SEEDS[0]).notes.verifier().to_string();
    let parts: Vec<&str> = good.splitn(3, '+').collect();
    cases.text("verifier-key", "as the program prints it", &good, true, "name, id and key");
    let cosigner = audit::note::Cosigner::new("witness.example", &[4; 32]).expect("a name");
    let upper = parts[1].to_uppercase();
    let capital = if upper == parts[1] { "ABCDEF12".to_owned() } else { upper };
    for (name, text, why) in [
        ("a newline at the end", format!("{good}\n"), "base64 has no newline"),
        (
            "another id",
            format!("{}+00000000+{}", parts[0], parts[2]),
            "the id is that of another key",
        ),
        (
            "an id in capitals",
            format!("{}+{capital}+{}", parts[0], parts[2]),
            "the id is in lower case",
        ),
        (
            "an id with a sign",
            format!("{}++{}+{}", parts[0], &parts[1][1..], parts[2]),
            "eight digits",
        ),
        ("a short id", format!("{}+{}+{}", parts[0], &parts[1][1..], parts[2]), "eight digits"),
        ("another name", format!("x{good}"), "the id is that of another name"),
        ("no name", format!("+{}+{}", parts[1], parts[2]), "a name is not empty"),
        ("a space in the name", good.replacen("ledger", "led ger", 1), "a name has no space"),
        ("no key", format!("{}+{}+", parts[0], parts[1]), "a key has 32 bytes"),
        ("no parts", "ledger".to_owned(), "name, id and key"),
        ("nothing", String::new(), "name, id and key"),
        ("a witness's key", cosigner.verifier().to_string(), "a witness cosigns, a log signs"),
        ("too long", format!("{}{good}", "x".repeat(512)), "512 bytes are the most"),
    ] {
        cases.text("verifier-key", name, &text, false, why);
    }
    for (name, bytes, why) in weak_keys() {
        let id = audit::statement::Digest::of(&[b"log.example\n\x01".as_slice(), &bytes].concat())
            .to_string();
        let key = STANDARD.encode([&[1][..], &bytes].concat());
        cases.text("verifier-key", name, &format!("log.example+{}+{key}", &id[..8]), false, why);
    }
}

fn signatures(cases: &mut Cases) {
    let signer = SigningKey::from_bytes(&[1; 32]);
    let (key, message) = (signer.verifying_key().to_bytes(), b"a message");
    let good = signer.sign(message).to_bytes();
    let mut add =
        |name: &str, key: &[u8], message: &[u8], signature: &[u8], valid: bool, why: &str| {
            let case = cases.bytes("signature", name, message, valid, why);
            case["key"] = json!(STANDARD.encode(key));
            case["signature"] = json!(STANDARD.encode(signature));
        };
    add("as it was made", &key, message, &good, true, "it holds");
    add("another message", &key, b"another", &good, false, "another message");
    add("no message", &key, b"", &good, false, "another message");
    add(
        "another key",
        &SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes(),
        message,
        &good,
        false,
        "another key",
    );
    add("cut off", &key, message, &good[..63], false, "a signature has 64 bytes");
    add("too long", &key, message, &[&good[..], &[0]].concat(), false, "a signature has 64 bytes");
    add("zeros", &key, message, &[0; 64], false, "the commitment is of small order");
    let mut flipped = good;
    flipped[40] ^= 1;
    add("a flipped bit", &key, message, &flipped, false, "another scalar");
    // The scalar plus the group's order: the same signature to a reader who reduces it.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .expect("hexadecimal");
    let mut grown = good;
    let mut carry = 0u16;
    for (byte, add) in grown[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    add("a scalar that is not reduced", &key, message, &grown, false, "the scalar is not reduced");
    // Under a key of small order, this signature holds for every message to a reader who is not strict.
    let mut anything = [0; 64];
    anything[0] = 1;
    add(
        "a key of small order",
        &point(&[1], 0),
        message,
        &anything,
        false,
        "a point of small order",
    );
}

fn files(cases: &mut Cases) {
    let xs: Vec<String> = SEEDS.iter().map(|seed| keys(seed).events.public().to_jwk().x).collect();
    let with = json!({ "keys": xs });
    let good = String::from_utf8(keys_file(&with)).expect("text");
    let mut add = |name: &str, text: &str, valid: bool, why: &str| {
        let case = cases.text("keys-file", name, text, valid, why);
        case["keys"] = json!(xs);
    };
    add("as the writer makes it", &good, true, "there is one spelling");
    let value: Value = serde_json::from_str(&good).expect("JSON");
    let mut swapped = value.clone();
    swapped["keys"].as_array_mut().expect("a list").swap(0, 1);
    let pretty =
        |value: &Value| format!("{}\n", serde_json::to_string_pretty(value).expect("JSON"));
    add("members in another order", &pretty(&value), false, "there is one spelling");
    add("keys in another order", &pretty(&swapped), false, "the order is that of activation");
    add("compact", &format!("{value}\n"), false, "there is one spelling");
    add("no newline at the end", good.trim_end(), false, "there is one spelling");
    add("two newlines at the end", &format!("{good}\n"), false, "there is one spelling");
    add("carriage returns", &good.replace('\n', "\r\n"), false, "there is one spelling");
    add("a byte order mark", &format!("\u{feff}{good}"), false, "there is one spelling");
    add("another key", &good.replacen(&xs[0], &xs[1], 1), false, "the keys are those of the log");
    add("nothing", "", false, "there is one spelling");
}
