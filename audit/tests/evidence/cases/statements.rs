//! Statements, headers, compact JWS, and plaintexts against a commitment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Cases;
use crate::world::{GROUNDS_FROM, World, world};

fn statement(world: &World, position: usize) -> String {
    String::from_utf8(world.entries[position].statement.clone()).expect("text")
}

/// What may be changed in the statement of a sealed event.
const SEALED: &[(&str, &str, bool, &str)] = &[
    ("{\"format\"", " {\n\t\"format\"", true, "blanks are allowed, though no writer makes any"),
    ("\"purpose\":\"TREAT\"", "\"purpose\":\"\\u0054REAT\"", true, "escapes are allowed"),
    ("coherency-event/v1", "coherency-event/v2", false, "the second format names rule and policy"),
    ("coherency-event/v1", "coherency-event/v3", false, "the version is not known"),
    ("coherency-event/v1", "coherency-event/v01", false, "the version is not known"),
    ("\"purpose\"", "\"because\":\"default\",\"purpose\"", false, "the first format has no rule"),
    ("\"purpose\"", "\"client\":\"console\",\"purpose\"", false, "the first format has no client"),
    (
        "\"purpose\"",
        "\"session\":\"01970000-0000-7000-8000-000800000001\",\"purpose\"",
        false,
        "the first format has no session",
    ),
    ("\"coherency-event/v1\"", "null", false, "the format must be text"),
    ("\"origin\":\"ledger", "\"origin\":\"led ger", false, "an origin has no space"),
    ("\"origin\":\"ledger", "\"origin\":\"led+ger", false, "an origin has no plus sign"),
    ("\"origin\":\"ledger", "\"origin\":\"led\\u00a0ger", false, "a no-break space is a space"),
    ("\"origin\":\"ledger", "\"origin\":\"led\\u3000ger", false, "an ideographic space is a space"),
    ("\"origin\":\"ledger", "\"origin\":\"led\\u0085ger", false, "a control character"),
    (
        "\"origin\":\"ledger",
        "\"origin\":\"led\\u200bger",
        true,
        "a zero-width space is not on the list of spaces",
    ),
    ("\"origin\":\"ledger", "\"origin\":\"l\\u00e9dger", true, "an origin need not be ASCII"),
    (
        "\"event_id\":\"01970000-0000-7",
        "\"event_id\":\"01970000-0000-4",
        false,
        "an event's id is a UUIDv7",
    ),
    (
        "\"event_id\":\"01970000-0000-7",
        "\"event_id\":\"01970000-0000-8",
        false,
        "an event's id is a UUIDv7",
    ),
    ("-7000-8000-0001", "-7000-7000-0001", false, "the variant is not that of a UUIDv7"),
    ("-7000-8000-0001", "-7000-c000-0001", false, "the variant is not that of a UUIDv7"),
    ("-7000-8000-0001", "-7000-b000-0001", true, "the variant has two bits"),
    ("\"event_id\":\"0197", "\"event_id\":\"{0197", false, "a UUID has 36 characters"),
    (
        "\"event_id\":\"01970000-0000",
        "\"event_id\":\"019700000000",
        false,
        "a UUID has its hyphens",
    ),
    ("\"event_id\":\"0197", "\"event_id\":\"urn:uuid:0197", false, "a UUID has 36 characters"),
    ("\"stream_id\":\"0197", "\"stream_id\":\"019A", false, "a UUID is in lower case"),
    (
        "\"stream_id\":\"0197",
        "\"stream_id\":\"019a",
        true,
        "other ids than an event's are not looked into",
    ),
    (
        "\"command_id\":\"01970000-0000-7",
        "\"command_id\":\"01970000-0000-0",
        true,
        "a sender chooses the command's id",
    ),
    ("\"command_id\":\"0197", "\"command_id\":\"019g", false, "not a hexadecimal digit"),
    ("\"correlation_id\":\"0197", "\"correlation_id\":\" 197", false, "not a hexadecimal digit"),
    ("\"stream_type\":\"patient\"", "\"stream_type\":\"\"", false, "a name is not empty"),
    ("\"stream_type\":\"patient\"", "\"stream_type\":\"pa tient\"", false, "a name has no space"),
    ("\"stream_type\":\"patient\"", "\"stream_type\":\"p\\u00e4tient\"", false, "a name is ASCII"),
    (
        "\"stream_type\":\"patient\"",
        "\"stream_type\":\"patient\\u007f\"",
        false,
        "a name is printable",
    ),
    ("\"stream_type\":\"patient\"", "\"stream_type\":7", false, "a name is text"),
    ("\"event_type\":\"", "\"event_type\":\"\\n", false, "a name is printable"),
    ("\"sequence\":", "\"sequence\":0,\"other\":", false, "other members are refused"),
    (
        "\"actor_signature\":null",
        "\"actor_signature\":null,\"Subject\":null",
        false,
        "other members are refused",
    ),
    (",\"actor_signature\":null", "", false, "a member that may be null may not be missing"),
    ("\"actor_signature\":null", "\"actor_signature\":\"\"", false, "a signature is not empty"),
    (
        "\"actor_signature\":null",
        "\"actor_signature\":\"eyJ.e30.AA\"",
        true,
        "1 to 8,192 printable characters",
    ),
    ("\"actor_signature\":null", "\"actor_signature\":\"a b\"", false, "a signature has no space"),
    ("\"actor_signature\":null", "\"actor_signature\":\"\\u00e9\"", false, "a signature is ASCII"),
    ("\"actor_signature\":null", "\"actor_signature\":[]", false, "text or null"),
    ("\"actor_signature\":null", "\"actor_signature\":false", false, "text or null"),
    ("\"kind\":\"user\"", "\"kind\":\"service\"", true, "one of three"),
    ("\"kind\":\"user\"", "\"kind\":\"system\"", true, "one of three"),
    ("\"kind\":\"user\"", "\"kind\":\"robot\"", false, "one of three"),
    ("\"kind\":\"user\"", "\"kind\":\"User\"", false, "one of three, in lower case"),
    ("\"kind\":\"user\"", "\"kind\":null", false, "one of three"),
    ("\"kind\":\"user\",", "", false, "an actor has a kind"),
    ("\"role\":\"clinician\"", "\"role\":\"\"", false, "a name is not empty"),
    (
        "\"role\":\"clinician\"",
        "\"role\":\"clinician\",\"name\":\"x\"",
        false,
        "other members are refused",
    ),
    ("\"purpose\":\"TREAT\"", "\"purpose\":null", false, "a purpose is text"),
    ("Z\",\"payload\"", "+00:00\",\"payload\"", false, "times are in UTC, written Z"),
    ("Z\",\"payload\"", "z\",\"payload\"", false, "times are in UTC, written Z"),
    ("Z\",\"payload\"", "0Z\",\"payload\"", false, "a time has six digits of a second"),
    ("Z\",\"payload\"", "\",\"payload\"", false, "times are in UTC, written Z"),
    ("\"recorded_at\":\"2026-11", "\"recorded_at\":\"2026-13", false, "there is no such month"),
    ("\"recorded_at\":\"2026-11-1", "\"recorded_at\":\"2026-02-3", false, "there is no such day"),
    ("\"recorded_at\":\"2026", "\"recorded_at\":\"1970", true, "the first year"),
    ("\"recorded_at\":\"2026", "\"recorded_at\":\"1969", false, "before the first year"),
    ("\"recorded_at\":\"2026", "\"recorded_at\":\"9998", true, "the last year"),
    ("\"recorded_at\":\"2026", "\"recorded_at\":\"9999", false, "after the last year"),
    ("\"recorded_at\":\"2026", "\"recorded_at\":\"0000", false, "before the first year"),
    ("\"recorded_at\":\"2026", "\"recorded_at\":\"+002026", false, "a year has four digits"),
    (
        "\"recorded_at\":\"",
        "\"recorded_at\":1795000000,\"x\":\"",
        false,
        "a time is text, and other members are refused",
    ),
    ("\"encryption\":\"A256GCM\"", "\"encryption\":\"a256gcm\"", false, "not a known encryption"),
    (
        "\"encryption\":\"A256GCM\"",
        "\"encryption\":\"none\"",
        false,
        "a payload in the clear has no key",
    ),
    ("\"encryption\":\"A256GCM\"", "\"encryption\":[\"A256GCM\"]", false, "an encryption is text"),
    (
        "\"subject\":\"01970000-0000-7000-8000-000200000000\"",
        "\"subject\":null",
        false,
        "a sealed payload is about somebody",
    ),
    ("\"subject\":\"0197", "\"subject\":\"019", false, "a UUID has 36 characters"),
    ("\"key_id\":\"0197", "\"key_id\":\"019Z", false, "a UUID is hexadecimal"),
    ("\"commitment\":\"", "\"commitment\":\"00", false, "a digest has 64 digits"),
    ("\"payload\":{", "\"payload\":{\"more\":1,", false, "other members are refused"),
    (
        "\"payload\":{\"sha256\":\"",
        "\"payload\":{\"sha256\":\"A",
        false,
        "a digest has 64 lower-case digits",
    ),
    ("\"size\":86", "\"size\":60", true, "an empty plaintext makes 60 bytes"),
    ("\"size\":86", "\"size\":59", false, "shorter than any sealed payload"),
    ("\"size\":86", "\"size\":1048636", true, "the longest sealed payload"),
    ("\"size\":86", "\"size\":1048637", false, "longer than any sealed payload"),
    ("\"size\":86", "\"size\":86.0", false, "a fraction is another spelling"),
    ("\"size\":86", "\"size\":8.6e1", false, "an exponent is another spelling"),
    ("\"size\":86", "\"size\":\"86\"", false, "a size is a number"),
    ("\"size\":86", "\"size\":true", false, "a size is a number"),
    ("\"media\":[{", "\"media\":[[{", false, "an array too many, and not closed"),
    ("\"size\":7,", "\"size\":9007199254740991,", true, "the largest number"),
    ("\"size\":7,", "\"size\":9007199254740992,", false, "beyond 2^53 - 1"),
    ("\"size\":7,", "\"size\":-0,", false, "no number has a sign"),
    (
        "\"media_type\":\"application/",
        "\"media_type\":\"application /",
        false,
        "a name has no space",
    ),
];

/// What may be changed in the statement of an event whose rule is named.
const WITH_GROUNDS: &[(&str, &str, bool, &str)] = &[
    ("coherency-event/v2", "coherency-event/v1", false, "the first format has no rule"),
    ("coherency-event/v2", "coherency-event/v3", false, "the version is not known"),
    ("coherency-event/v2", "coherency-event/v2 ", false, "the version is not known"),
    ("coherency-event/v2", "coherency-ledger/v2", false, "the version is not known"),
    ("\"coherency-event/v2\"", "2", false, "a format is text"),
    ("\"format\":\"coherency-event/v2\",", "", false, "a statement says which format it has"),
    (
        "\"format\":\"coherency-event/v2\"",
        "\"format\":\"coherency-event\\/v\\u0032\"",
        true,
        "escapes are allowed",
    ),
    (
        "\"because\":\"role:clinician/edit-patient\",",
        "",
        false,
        "nothing is written without the rule that allowed it",
    ),
    ("\"because\":\"role:clinician/edit-patient\"", "\"because\":null", false, "a rule is text"),
    (
        "\"because\":\"role:clinician/edit-patient\"",
        "\"because\":[\"role:clinician/edit-patient\"]",
        false,
        "a rule is text",
    ),
    (
        "\"because\":\"role:clinician/edit-patient\"",
        "\"because\":\"\"",
        false,
        "a rule is not empty",
    ),
    (
        "\"because\":\"role:clinician/edit-patient\"",
        "\"because\":\"-\"",
        true,
        "a rule's id is not taken apart",
    ),
    ("role:clinician/", "role:clinician1/", true, "any id of a rule: later policies have others"),
    ("role:clinician/", "role:\\u0063linician/", true, "escapes are allowed"),
    ("role:clinician/", "Role:clinician/", false, "a rule is in lower case"),
    ("role:clinician/", "role:clinician /", false, "a rule has no space"),
    ("role:clinician/", "role:clinician_/", false, "a rule has no underscore"),
    ("role:clinician/", "role:clinician./", false, "a rule has no full stop"),
    ("role:clinician/", "role:clin\\u0456cian/", false, "a rule is ASCII"),
    ("role:clinician/", "role:clinician\\n/", false, "a rule is printable"),
    (
        "\"because\":\"role",
        "\"because\":\"default\",\"because\":\"role",
        false,
        "a member given twice",
    ),
    ("\"because\":\"role", "\"Because\":\"role", false, "other members are refused"),
    ("\"policy\":\"", "\"policy\":\"0", false, "a digest has 64 digits"),
    ("\"policy\":\"", "\"policy\":\"A", false, "a digest has 64 lower-case digits"),
    ("\"policy\":\"", "\"policy\":null,\"x\":\"", false, "other members are refused"),
    ("\"policy\"", "\"policies\"", false, "other members are refused"),
    ("\"purpose\"", "\"client\":\"console\",\"purpose\"", true, "a client may be named"),
    (
        "\"purpose\"",
        "\"client\":\"https://app.example/smart\",\"purpose\"",
        true,
        "a client is a name",
    ),
    ("\"purpose\"", "\"client\":null,\"purpose\"", false, "a client is left out, not null"),
    ("\"purpose\"", "\"client\":\"\",\"purpose\"", false, "a name is not empty"),
    ("\"purpose\"", "\"client\":\"a b\",\"purpose\"", false, "a name has no space"),
    ("\"purpose\"", "\"client\":\"\\u00e9\",\"purpose\"", false, "a name is ASCII"),
    ("\"purpose\"", "\"client\":7,\"purpose\"", false, "a name is text"),
    ("\"purpose\"", "\"client\":\"a\",\"client\":\"a\",\"purpose\"", false, "a member given twice"),
    (
        "\"purpose\"",
        "\"session\":\"01970000-0000-7000-8000-000800000001\",\"purpose\"",
        true,
        "a session may be named",
    ),
    (
        "\"purpose\"",
        "\"session\":\"01970000-0000-7000-8000-000800000001\",\"client\":\"console\",\"purpose\"",
        true,
        "both may be named, and order says nothing",
    ),
    ("\"purpose\"", "\"session\":null,\"purpose\"", false, "a session is left out, not null"),
    ("\"purpose\"", "\"session\":\"\",\"purpose\"", false, "a session is a UUID"),
    (
        "\"purpose\"",
        "\"session\":\"01970000-0000-7000-8000-00080000000A\",\"purpose\"",
        false,
        "a UUID is in lower case",
    ),
    (
        "\"purpose\"",
        "\"session\":\"01970000-0000-7000-8000-0008000000011\",\"purpose\"",
        false,
        "a UUID has 36 characters",
    ),
    ("\"purpose\"", "\"session\":1,\"purpose\"", false, "a session is a UUID"),
    ("\"purpose\"", "\"consent\":\"a\",\"purpose\"", false, "other members are refused"),
    (
        "\"actor_signature\":null",
        "\"actor_signature\":null,\"because\":null",
        false,
        "a member given twice",
    ),
    (
        "\"role\":\"clinician\"",
        "\"role\":\"clinician\",\"because\":\"role:clinician/edit-patient\"",
        false,
        "the actor has no other members than before",
    ),
    ("\"purpose\":\"TREAT\",", "", false, "a member of the first format may not be missing"),
    (",\"actor_signature\":null", "", false, "a member that may be null may not be missing"),
];

/// Statements of the second format, which name the rule and the policy that has it.
fn with_grounds(cases: &mut Cases) {
    let world = world(GROUNDS_FROM + 8);
    let good = statement(&world, GROUNDS_FROM as usize + 7);
    cases.text("statement", "of the second format", &good, true, "as the writer makes it");
    cases.edits("statement", &good, &json!({}), WITH_GROUNDS);
    let rule = "role:clinician/edit-patient";
    for (length, valid) in [(1, true), (64, true), (65, false), (128, false)] {
        let name = format!("a rule of {length} characters");
        let text = good.replacen(rule, &"r".repeat(length), 1);
        cases.text("statement", &name, &text, valid, "64 characters are the most");
    }
    for (length, valid) in [(128, true), (129, false)] {
        let name = format!("a client of {length} characters");
        let client = format!("\"client\":\"{}\",\"purpose\"", "c".repeat(length));
        let text = good.replacen("\"purpose\"", &client, 1);
        cases.text("statement", &name, &text, valid, "128 characters are the most");
    }
    let members: Value = serde_json::from_str(&good).expect("JSON");
    // `serde_json` sorts the names.
    let sorted = members.to_string();
    cases.text("statement", "its members sorted", &sorted, true, "order says nothing");
    for (digits, valid) in [(63, false), (64, true), (65, false)] {
        let mut with = members.clone();
        with["policy"] = json!("0".repeat(digits));
        let name = format!("a policy of {digits} digits");
        cases.text("statement", &name, &with.to_string(), valid, "a digest has 64 digits");
    }
    let entry = &world.entries[GROUNDS_FROM as usize + 7];
    let jws = audit::jws::compact(&entry.header, &entry.statement, &entry.signature);
    cases.text("jws", "of the second format", &jws, true, "the header is the same for both");
}

pub(super) fn add(cases: &mut Cases) {
    let world = world(9);
    let (genesis, sealed) = (statement(&world, 0), statement(&world, 7));
    cases.text("statement", "the genesis", &genesis, true, "as the writer makes it");
    cases.text("statement", "a sealed event", &sealed, true, "as the writer makes it");
    cases.edits("statement", &sealed, &json!({}), SEALED);
    cases.edits(
        "statement",
        &genesis,
        &json!({}),
        &[
            ("\"subject\":null", "\"subject\":\"01970000-0000-7000-8000-000200000000\"", false, "a payload in the clear is about nobody"),
            ("\"subject\":null,", "", false, "a member that may be null may not be missing"),
            ("\"key_id\":null", "\"key_id\":\"01970000-0000-7000-8000-000200000000\"", false, "a payload in the clear has no key"),
            ("\"key_id\":null,", "", false, "a member that may be null may not be missing"),
            ("\"commitment\":null", "\"commitment\":\"00\"", false, "a payload in the clear has no commitment"),
            ("\"encryption\":\"none\"", "\"encryption\":\"A256GCM\"", false, "a sealed payload has a key"),
            ("\"encryption\":\"none\"", "\"encryption\":null", false, "an encryption is text"),
            ("\"sequence\":1", "\"sequence\":0", false, "sequences begin at 1"),
            ("\"sequence\":1", "\"sequence\":9007199254740991", true, "the largest sequence"),
            ("\"sequence\":1", "\"sequence\":9007199254740992", false, "beyond 2^53 - 1"),
            ("\"sequence\":1", "\"sequence\":1.0", false, "a fraction is another spelling"),
            ("\"sequence\":1", "\"sequence\":1e0", false, "an exponent is another spelling"),
            ("\"sequence\":1", "\"sequence\":-0", false, "no number has a sign"),
            ("\"sequence\":1", "\"sequence\":null", false, "a sequence is a number"),
            ("\"media\":[]", "\"media\":{}", false, "media are an array"),
            ("\"media\":[]", "\"media\":null", false, "media are an array"),
            ("\"actor\":{\"id\":\"01970000-0000-7000-8000-000300000000\",\"kind\":\"system\",\"role\":\"system\"}", "\"actor\":[\"01970000-0000-7000-8000-000300000000\",\"system\",\"system\"]", false, "an array is no object"),
        ],
    );
    let value: Value = serde_json::from_str(&sealed).expect("JSON");
    let values: Vec<&Value> = value.as_object().expect("an object").values().collect();
    let list = serde_json::to_string(&values).expect("JSON");
    cases.text("statement", "an array of the values", &list, false, "an array is no object");
    let (_, file) = sealed.split_once("\"media\":[").expect("there");
    let (file, _) = file.split_once(']').expect("there");
    let media = |count: usize| {
        sealed.replace(&format!("[{file}]"), &format!("[{}]", vec![file; count].join(",")))
    };
    cases.text("statement", "128 files", &media(128), true, "128 files are the most");
    cases.text("statement", "129 files", &media(129), false, "128 files are the most");
    let role = |length: usize| sealed.replacen("clinician", &"r".repeat(length), 1);
    cases.text(
        "statement",
        "a role of 128 characters",
        &role(128),
        true,
        "128 characters are the most",
    );
    cases.text(
        "statement",
        "a role of 129 characters",
        &role(129),
        false,
        "128 characters are the most",
    );
    let signature = |length: usize| {
        sealed.replacen(
            "\"actor_signature\":null",
            &format!("\"actor_signature\":\"{}\"", "s".repeat(length)),
            1,
        )
    };
    cases.text(
        "statement",
        "an actor's signature of 8,192",
        &signature(8192),
        true,
        "8,192 characters are the most",
    );
    cases.text(
        "statement",
        "an actor's signature of 8,193",
        &signature(8193),
        false,
        "8,192 characters are the most",
    );
    let padded = |length: usize| format!("{sealed}{}", " ".repeat(length - sealed.len()));
    cases.text("statement", "48,000 bytes", &padded(48_000), true, "48,000 bytes are the most");
    cases.text("statement", "48,001 bytes", &padded(48_001), false, "48,000 bytes are the most");
    with_grounds(cases);
    headers(cases, &world);
    plaintexts(cases, &world, &sealed);
}

fn headers(cases: &mut Cases, world: &World) {
    let header = String::from_utf8(world.entries[7].header.clone()).expect("text");
    cases.text("header", "as the writer makes it", &header, true, "the one spelling");
    cases.edits(
        "header",
        &header,
        &json!({}),
        &[
            ("{\"alg\"", "{ \"alg\"", false, "there is one spelling"),
            ("EdDSA", "none", false, "there is one algorithm"),
            ("EdDSA", "eddsa", false, "there is one spelling"),
            ("\"alg\":\"EdDSA\",", "", false, "there is one spelling"),
            ("coherency-event+jws", "JWT", false, "there is one type"),
            ("\"kid\":\"", "\"kid\":\"A", false, "a thumbprint has 43 characters"),
            ("\"kid\":\"", "\"kid\":\"\\u0041", false, "there is one spelling"),
            ("jws\"}", "jws\",\"b64\":false}", false, "there is one spelling"),
            ("jws\"}", "jws\"}\n", false, "there is one spelling"),
        ],
    );
    let entry = &world.entries[7];
    let jws = audit::jws::compact(&entry.header, &entry.statement, &entry.signature);
    cases.text("jws", "as the writer makes it", &jws, true, "three parts of base64url");
    let parts: Vec<&str> = jws.split('.').collect();
    for (name, text, why) in [
        ("two parts", parts[..2].join("."), "three parts"),
        ("four parts", format!("{jws}.AA"), "three parts"),
        ("padding", format!("{jws}=="), "base64url has no padding"),
        ("a newline at the end", format!("{jws}\n"), "base64url has no newline"),
        ("a blank in front", format!(" {jws}"), "base64url has no blank"),
        (
            "the other alphabet",
            jws.replacen(parts[2], &parts[2].replace(['-', '_'], "+"), 1),
            "base64url has no plus sign",
        ),
        ("a short signature", jws[..jws.len() - 2].to_owned(), "a signature has 64 bytes"),
        ("a long signature", format!("{jws}AAAA"), "a signature has 64 bytes"),
        ("no statement", format!("{}..{}", parts[0], parts[2]), "an empty statement is no JSON"),
        ("no header", format!(".{}.{}", parts[1], parts[2]), "there is one header"),
        ("nothing", String::new(), "three parts"),
    ] {
        let text = if text == jws { format!("{}+", &jws[..jws.len() - 1]) } else { text };
        cases.text("jws", name, &text, false, why);
    }
    // 64 bytes leave two bits of the last character, which must be zero.
    let last = jws.chars().last().expect("a character");
    let stray = char::from_u32(u32::from(last) + 1).expect("a character");
    cases.text(
        "jws",
        "stray bits",
        &format!("{}{stray}", &jws[..jws.len() - 1]),
        false,
        "base64url has no stray bits",
    );
}

fn plaintexts(cases: &mut Cases, world: &World, sealed: &str) {
    let identity = audit::seal::EventIdentity::of(&world.statements[7]);
    let payload = world.entries[7].payload.as_ref().expect("a payload");
    let commitment = world.statements[7].payload.commitment.expect("sealed").0;
    let key = crate::world::data_key(0);
    let plaintext =
        audit::seal::open_payload(&key, &identity, payload, &commitment).expect("opens");
    let with = |statement: &str, blinding: &[u8]| json!({ "statement": statement, "blinding": STANDARD.encode(blinding) });
    let mut add = |name: &str, plaintext: &[u8], with: Value, valid: bool, why: &str| {
        let case = cases.bytes("plaintext", name, plaintext, valid, why);
        let members = case.as_object_mut().expect("an object");
        members.extend(with.as_object().expect("an object").clone());
    };
    let longer = [&plaintext[..], b" "].concat();
    let mut other = plaintext.to_vec();
    other[3] ^= 1;
    let genesis = statement(world, 0);
    add(
        "what was sealed",
        &plaintext,
        with(sealed, &[3; 32]),
        true,
        "blinding and plaintext make the commitment",
    );
    add("a changed plaintext", &other, with(sealed, &[3; 32]), false, "another plaintext");
    add("a longer plaintext", &longer, with(sealed, &[3; 32]), false, "another plaintext");
    add("another blinding", &plaintext, with(sealed, &[4; 32]), false, "another blinding");
    add("a short blinding", &plaintext, with(sealed, &[3; 31]), false, "a blinding has 32 bytes");
    let moved = [&[3][..], &plaintext[..]].concat();
    add(
        "a byte moved from blinding to plaintext",
        &moved,
        with(sealed, &[3; 31]),
        false,
        "a blinding has 32 bytes",
    );
    add("no plaintext", b"", with(sealed, &[3; 32]), false, "another plaintext");
    add(
        "an event in the clear",
        &plaintext,
        with(&genesis, &[3; 32]),
        false,
        "nothing was committed to",
    );
}
