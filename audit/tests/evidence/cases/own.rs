//! The payloads of the log's own events and of custody, and the rules of holds, erasures and keys.

use audit::custody;
use audit::statement::{Payload, Statement};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Cases;
use crate::world::{id, patient_event, world};

pub(super) fn add(cases: &mut Cases) {
    own_events(cases);
    custody_events(cases);
    rules(cases);
}

fn own_events(cases: &mut Cases) {
    let world = world(202);
    let payload = |position: usize| {
        let payload = world.entries[position].payload.clone().expect("there");
        String::from_utf8(payload).expect("text")
    };
    let (created, activated, retired) = (payload(0), payload(100), payload(200));
    let with = |kind: &str| json!({ "event_type": kind, "event_version": "1" });
    for (kind, text) in
        [("LedgerCreated", &created), ("KeyActivated", &activated), ("KeyRetired", &retired)]
    {
        let mut add = |name: &str, text: &str, version: &str, valid: bool, why: &str| {
            let case = cases.text("own-event", &format!("{kind}, {name}"), text, valid, why);
            (case["event_type"], case["event_version"]) = (json!(kind), json!(version));
        };
        add("as the writer makes it", text, "1", true, "exactly its members");
        add("version 2", text, "2", false, "the version is not known");
        add("version 01", text, "01", false, "the version is not known");
        add("nothing", "", "1", false, "there is no value");
        add("null", "null", "1", false, "not an object");
        add("an array", "[]", "1", false, "an array is no object");
        add(
            "another member",
            &text.replacen('{', "{\"more\":1,", 1),
            "1",
            false,
            "other members are refused",
        );
        add("no members", "{}", "1", false, "a member is missing");
        let long = format!("{text}{}", " ".repeat(16 * 1024 - text.len()));
        add("16 KiB", &long, "1", true, "16 KiB are the most");
        add("more than 16 KiB", &format!("{long} "), "1", false, "16 KiB are the most");
    }
    let mut other = with("Renamed");
    other["input"] = json!("?");
    cases.add("own-event", "another event type", other, true, "it says nothing about keys");
    cases.edits(
        "own-event",
        &created,
        &with("LedgerCreated"),
        &[
            ("\"origin\":\"", "\"origin\":7,\"x\":\"", false, "other members are refused"),
            ("\"jwk\":{", "\"jwk\":[{", false, "not JSON"),
            ("\"format\":\"coherency-ledger/v1\"", "\"format\":null", false, "a format is text"),
        ],
    );
    let reason = |reason: &str| retired.replacen("\"yearly rotation\"", reason, 1);
    for (name, text, valid, why) in [
        ("a reason of one character", reason("\"x\""), true, "1 to 256 printable characters"),
        (
            "a reason of 256 characters",
            reason(&format!("\"{}\"", "r".repeat(256))),
            true,
            "1 to 256 printable characters",
        ),
        (
            "a reason of 257 characters",
            reason(&format!("\"{}\"", "r".repeat(257))),
            false,
            "1 to 256 printable characters",
        ),
        ("an empty reason", reason("\"\""), false, "1 to 256 printable characters"),
        ("a reason that is null", reason("null"), false, "a reason is text"),
        ("a reason that is a number", reason("1"), false, "a reason is text"),
        ("a reason that is an object", reason("{}"), false, "a reason is text"),
        ("a reason with a newline", reason("\"a\\nb\""), false, "1 to 256 printable characters"),
        ("a reason beyond ASCII", reason("\"\u{e9}\""), false, "1 to 256 printable characters"),
        (
            "half a surrogate pair in the reason",
            reason("\"\\ud800\""),
            false,
            "half of a surrogate pair",
        ),
    ] {
        let mut with = with("KeyRetired");
        with["input"] = json!(text);
        cases.add("own-event", name, with, valid, why);
    }
}

const HOLD: &str = r#"{"HoldPlaced":{"hold_id":"01900000-0000-7000-8000-000000000701","reason":"litigation","authority":"counsel","case_reference":"2026/CV-0815","at":"2026-03-10T20:05:00.123456Z"}}"#;
const RELEASE: &str = r#"{"HoldReleased":{"hold_id":"01900000-0000-7000-8000-000000000701","reason":"matter-closed","authority":"court","at":"2026-03-10T20:05:00.123456Z"}}"#;
const ERASE: &str = r#"{"SubjectErased":{"reason":"patient-request","authority":"person-concerned","case_reference":"DSR-42","at":"2026-03-10T20:05:00.123456Z"}}"#;
const PURGE: &str = r#"{"PurgeRecorded":{"stores":[{"store":"read-models","entries":1},{"store":"cache","entries":2}],"at":"2026-03-10T20:05:00.123456Z"}}"#;

fn custody_events(cases: &mut Cases) {
    for (kind, text) in [
        ("HoldPlaced", HOLD),
        ("HoldReleased", RELEASE),
        ("SubjectErased", ERASE),
        ("PurgeRecorded", PURGE),
    ] {
        let mut add = |name: &str, text: &str, version: &str, valid: bool, why: &str| {
            let case = cases.text("custody-event", &format!("{kind}, {name}"), text, valid, why);
            (case["event_type"], case["event_version"]) = (json!(kind), json!(version));
        };
        add("as the writer makes it", text, "1", true, "exactly its members");
        add("version 2", text, "2", false, "the version is not known");
        add(
            "another name",
            &text.replacen(kind, "Other", 1),
            "1",
            false,
            "the one member is the event type",
        );
        add(
            "another member beside",
            &format!("{},\"x\":1}}", &text[..text.len() - 1]),
            "1",
            false,
            "the one member is the event type",
        );
        add(
            "another member within",
            &text.replacen(":{", ":{\"x\":1,", 1),
            "1",
            false,
            "other members are refused",
        );
        add(
            "no time",
            &text.replacen(",\"at\":\"2026-03-10T20:05:00.123456Z\"", "", 1),
            "1",
            false,
            "a member is missing",
        );
    }
    let with = |kind: &str| json!({ "event_type": kind, "event_version": "1" });
    cases.edits(
        "custody-event",
        HOLD,
        &with("HoldPlaced"),
        &[
            (".123456Z", "Z", true, "the digits of a second may be absent"),
            (".123456Z", ".123456789Z", true, "nine digits are the most"),
            (".123456Z", ".1234567890Z", false, "nine digits are the most"),
            (".123456Z", ".Z", false, "a dot has digits after it"),
            (".123456Z", "+00:00", false, "times are in UTC, written Z"),
            ("2026-03", "2026-02-30T00:00:00Z\",\"x\":\"", false, "there is no such day"),
            ("T20:05:00", "T20:05:60", false, "there are no leap seconds"),
            ("T20", "t20", false, "the letter is a capital"),
            ("litigation", "Litigation", false, "a code is in lower case"),
            ("litigation", "", false, "a code is not empty"),
            (
                "litigation",
                "a-new-reason-2",
                true,
                "a code this version does not know is still a code",
            ),
            ("\"counsel\"", "null", false, "a code is text"),
            ("2026/CV-0815", "A_b.C/d-0", true, "the characters of a case reference"),
            ("2026/CV-0815", "Mrs Smith", false, "a case reference has no space"),
            ("2026/CV-0815", "", false, "a case reference is not empty"),
            ("000000000701", "00000000070A", false, "a UUID is in lower case"),
        ],
    );
    cases.edits(
        "custody-event",
        PURGE,
        &with("PurgeRecorded"),
        &[
            ("\"entries\":1", "\"entries\":0", true, "there may have been none"),
            ("\"entries\":1", "\"entries\":1.0", false, "a fraction is another spelling"),
            ("\"entries\":1", "\"entries\":-1", false, "no number is negative"),
            ("\"cache\"", "\"read-models\"", false, "each store once"),
            (
                "{\"store\":\"read-models\",\"entries\":1},{\"store\":\"cache\",\"entries\":2}",
                "",
                false,
                "one store at least",
            ),
            ("\"stores\":[", "\"stores\":{},\"x\":[", false, "other members are refused"),
        ],
    );
    let mut other = with("Renamed");
    other["input"] = json!("?");
    cases.add("custody-event", "another event type", other, true, "it says nothing about holds");
}

/// A log of statements, as far as the rules look at them.
#[derive(Default)]
struct Log {
    events: Vec<Value>,
}

impl Log {
    fn push(mut self, statement: &Statement, payload: &[u8]) -> Self {
        let statement = String::from_utf8(statement.to_bytes().expect("valid")).expect("text");
        let payload = String::from_utf8_lossy(payload);
        self.events.push(json!({ "statement": statement, "payload": payload }));
        self
    }

    /// Something sealed for a subject, with a key.
    fn sealed(self, stream_type: &str, subject: u64, key: u64) -> Self {
        let position = self.events.len() as u64 + 1;
        let (mut statement, _) = patient_event(position, subject % 7, position);
        statement.stream_type = stream_type.to_owned();
        statement.subject = Some(id(2, subject));
        statement.payload.key_id = Some(id(6, key));
        self.push(&statement, b"sealed")
    }

    fn custody(self, subject: u64, kind: &str, payload: &str) -> Self {
        let position = self.events.len() as u64 + 1;
        let (mut statement, _) = patient_event(position, 0, position);
        statement.stream_type = custody::STREAM_TYPE.to_owned();
        statement.stream_id = id(2, subject);
        statement.event_type = kind.to_owned();
        statement.subject = None;
        statement.payload = Payload::plain(payload.as_bytes());
        statement.media.clear();
        self.push(&statement, payload.as_bytes())
    }

    fn hold(self, hold: u64) -> Self {
        self.custody(
            1,
            "HoldPlaced",
            &HOLD.replacen("01900000-0000-7000-8000-000000000701", &held(hold), 1),
        )
    }

    fn release(self, hold: u64) -> Self {
        self.custody(
            1,
            "HoldReleased",
            &RELEASE.replacen("01900000-0000-7000-8000-000000000701", &held(hold), 1),
        )
    }

    fn erase(self) -> Self {
        self.custody(1, "SubjectErased", ERASE)
    }

    fn purge(self) -> Self {
        self.custody(1, "PurgeRecorded", PURGE)
    }
}

fn held(hold: u64) -> String {
    Uuid::from_u128(u128::from(hold)).to_string()
}

fn rules(cases: &mut Cases) {
    let log = Log::default;
    let mut add = |name: &str, log: Log, valid: bool, why: &str| {
        cases.add("rules", name, json!({ "events": log.events }), valid, why);
    };
    add(
        "a hold released, then the erasure and the purge",
        log().hold(1).release(1).erase().purge(),
        true,
        "in this order",
    );
    add(
        "an erasure without a hold",
        log().sealed("patient", 1, 1).erase(),
        true,
        "nothing holds it",
    );
    add(
        "an erasure under a hold",
        log().hold(1).erase(),
        false,
        "no erasure while a hold is in force",
    );
    add(
        "an erasure under one of two holds",
        log().hold(1).hold(2).release(1).erase(),
        false,
        "no erasure while a hold is in force",
    );
    add("a hold placed twice", log().hold(1).hold(1), false, "a hold is placed once");
    add("a hold placed again", log().hold(1).release(1).hold(1), false, "a hold is placed once");
    add(
        "a hold released twice",
        log().hold(1).release(1).release(1),
        false,
        "a hold is released once",
    );
    add("a hold nobody placed", log().release(1), false, "only a placed hold is released");
    add("a hold after the erasure", log().erase().hold(1), false, "there is nothing left to hold");
    add("two erasures", log().erase().erase(), false, "a record is erased once");
    add("a purge without an erasure", log().purge(), false, "a purge follows an erasure");
    add("two purges", log().erase().purge().purge(), false, "a purge is recorded once");
    add(
        "a hold on another record",
        log().hold(1).custody(2, "SubjectErased", ERASE),
        true,
        "the hold is on another record",
    );
    add(
        "something sealed after the erasure",
        log().sealed("patient", 1, 1).erase().sealed("patient", 1, 1),
        false,
        "nothing may be sealed for an erased subject",
    );
    add(
        "something of another stream sealed after the erasure",
        log().erase().sealed("wound", 1, 1),
        false,
        "nothing may be sealed for an erased subject",
    );
    add(
        "something sealed for another after the erasure",
        log().erase().sealed("patient", 2, 2),
        true,
        "another subject",
    );
    add(
        "an account of the erased person's id",
        log().erase().sealed("account", 1, 3),
        true,
        "an account is no record",
    );
    add(
        "two subjects, two keys",
        log().sealed("patient", 1, 1).sealed("patient", 2, 2).sealed("wound", 1, 1),
        true,
        "each subject has one key",
    );
    add(
        "a second key for a subject",
        log().sealed("patient", 1, 1).sealed("patient", 1, 2),
        false,
        "a subject has one key",
    );
    add(
        "a second key in another stream",
        log().sealed("patient", 1, 1).sealed("wound", 1, 2),
        false,
        "a subject has one key",
    );
    add(
        "a key for two subjects",
        log().sealed("patient", 1, 1).sealed("patient", 2, 1),
        false,
        "a key has one subject",
    );
    add(
        "an account and a person under one id, each with a key",
        log().sealed("patient", 1, 1).sealed("account", 1, 2),
        true,
        "accounts and persons have keys of their own",
    );
    add(
        "an account and a person under one id and key",
        log().sealed("patient", 1, 1).sealed("account", 1, 1),
        true,
        "an early version gave both one key",
    );
    let holds = |count: u64| (0..count).fold(log(), Log::hold);
    add("257 holds", holds(257), false, "256 holds are the most");
    let cut = |length: usize| log().custody(1, "SubjectErased", &ERASE[..length]);
    add("an erasure that cannot be read", cut(40), false, "a payload of custody is read");
}
