//! The custody of records, as far as a verifier without keys follows it: holds, erasures, and whose key sealed what.
//!
//! Events of stream type `custody` are in the clear. What they say of medicine does not matter here; what matters is
//! that no record was erased under a hold, that nothing was sealed for a subject after its erasure, and that each
//! subject has one data key.

use std::collections::HashMap;

use uuid::Uuid;

use crate::json::{self, JsonError, Members, Value};
use crate::statement::{Digest, ENCRYPTION_NONE, Statement};

/// The stream type of a record's custody; the stream's id is the subject's.
pub const STREAM_TYPE: &str = "custody";

/// The stream type whose subjects are accounts. All other subjects are persons whose records are kept.
pub const ACCOUNT_STREAM_TYPE: &str = "account";

/// The longest payload of a custody event that is read.
pub const MAX_CUSTODY_PAYLOAD: usize = 16 * 1024;

/// The most holds one record may ever have, released ones included.
pub const MAX_HOLDS: usize = 256;

const EVENT_VERSION: &str = "1";
const MAX_CODE: usize = 64;

/// Which rule is broken.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The payload is longer than [`MAX_CUSTODY_PAYLOAD`].
    #[error("a payload of {0} bytes is too long for an event of custody")]
    TooLong(usize),
    /// The payload.
    #[error("the payload of an event of custody cannot be read")]
    Json(#[from] JsonError),
    /// A rule of holds and erasures.
    #[error("{0}")]
    Rule(&'static str),
    /// Something was sealed for a subject whose key had been destroyed.
    #[error("the subject was erased at position {at}, and nothing may be sealed for it after that")]
    Erased {
        /// Where the erasure stands.
        at: u64,
    },
    /// A subject's payloads are sealed with two keys.
    #[error("an earlier payload of this subject is sealed with another key")]
    SecondKey,
    /// A key seals payloads of two subjects.
    #[error("the key has sealed a payload of another subject before")]
    SharedKey,
}

/// What an event of custody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustodyEvent {
    /// `HoldPlaced`.
    HoldPlaced {
        /// The hold.
        hold_id: Uuid,
    },
    /// `HoldReleased`.
    HoldReleased {
        /// The hold.
        hold_id: Uuid,
    },
    /// `SubjectErased`.
    SubjectErased,
    /// `PurgeRecorded`.
    PurgeRecorded,
}

impl CustodyEvent {
    /// Reads a payload. `None`: an event type that says nothing about holds and erasures.
    pub fn parse(
        event_type: &str,
        event_version: &str,
        payload: &[u8],
    ) -> Result<Option<Self>, CustodyError> {
        let names: (&'static str, &'static [&'static str]) = match event_type {
            "HoldPlaced" => {
                ("HoldPlaced", &["hold_id", "reason", "authority", "case_reference", "at"])
            }
            "HoldReleased" => ("HoldReleased", &["hold_id", "reason", "authority", "at"]),
            "SubjectErased" => ("SubjectErased", &["reason", "authority", "case_reference", "at"]),
            "PurgeRecorded" => ("PurgeRecorded", &["stores", "at"]),
            _ => return Ok(None),
        };
        if event_version != EVENT_VERSION {
            return Err(CustodyError::Rule("the version of this event is not known"));
        }
        if payload.len() > MAX_CUSTODY_PAYLOAD {
            return Err(CustodyError::TooLong(payload.len()));
        }
        let (name, members) = names;
        let Value::Object(mut outer) = json::parse(payload)? else {
            return Err(json::shape("the payload", "an object").into());
        };
        let inner = match outer.pop() {
            Some((found, inner)) if found == name && outer.is_empty() => inner,
            _ => return Err(json::shape("the payload", "an object named like the event").into()),
        };
        let mut inner = Members::exactly(inner, name, members)?;
        for code in ["reason", "authority"].into_iter().filter(|code| members.contains(code)) {
            need(is_code(&inner.text(code)?), code, "a code")?;
        }
        if members.contains(&"case_reference") {
            let reference = inner.text("case_reference")?;
            need(is_case_reference(&reference), "case_reference", "a case reference")?;
        }
        need(is_instant(&inner.text("at")?), "at", "an instant")?;
        Ok(Some(match name {
            "HoldPlaced" => Self::HoldPlaced { hold_id: inner.uuid("hold_id")? },
            "HoldReleased" => Self::HoldReleased { hold_id: inner.uuid("hold_id")? },
            "SubjectErased" => Self::SubjectErased,
            _ => {
                check_stores(inner.list("stores")?)?;
                Self::PurgeRecorded
            }
        }))
    }
}

fn need(holds: bool, what: &'static str, expected: &'static str) -> Result<(), JsonError> {
    if holds { Ok(()) } else { Err(json::shape(what, expected)) }
}

fn check_stores(stores: Vec<Value<'_>>) -> Result<(), JsonError> {
    let mut seen = Vec::with_capacity(stores.len());
    for store in stores {
        let mut members = Members::exactly(store, "a store", &["store", "entries"])?;
        let name = members.text("store")?;
        members.number("entries")?;
        need(is_code(&name) && !seen.contains(&name), "store", "a code, each once")?;
        seen.push(name);
    }
    need(!seen.is_empty(), "stores", "one at least")
}

fn is_code(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_case_reference(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// `2026-03-10T20:05:00Z`, with one to nine digits of a second where they are given.
fn is_instant(text: &str) -> bool {
    let Some((seconds, rest)) = text.split_at_checked(19) else { return false };
    let Some(fraction) = rest.strip_suffix('Z') else { return false };
    let digits = fraction.strip_prefix('.').unwrap_or(fraction);
    let fraction = if fraction.is_empty() {
        digits.is_empty()
    } else {
        fraction.starts_with('.')
            && (1..=9).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    fraction && crate::statement::is_instant(&format!("{seconds}.000000Z"))
}

#[derive(Debug, Default)]
struct Record {
    /// Whether each hold is in force.
    holds: HashMap<Uuid, bool>,
    erased_at: Option<u64>,
    purged: bool,
}

/// Follows holds, erasures and keys through a log. Given the events in order, each once its signature holds.
#[derive(Debug, Default)]
pub struct Custody {
    records: HashMap<Uuid, Record>,
    /// By subject (and whether it is an account), the key of its payloads.
    keys: HashMap<(bool, Uuid), Uuid>,
    subjects: HashMap<Uuid, Uuid>,
}

impl Custody {
    /// Takes the next event; the payload is asked for where it is of stream type `custody`.
    pub fn apply(
        &mut self,
        position: u64,
        statement: &Statement,
        payload: &[u8],
    ) -> Result<(), CustodyError> {
        if let Some(subject) = statement.subject {
            self.take_subject(position, statement, subject)?;
        }
        if statement.stream_type != STREAM_TYPE {
            return Ok(());
        }
        if statement.payload.encryption != ENCRYPTION_NONE {
            return Err(CustodyError::Rule("an event of custody is sealed"));
        }
        if statement.payload.sha256 != Digest::of(payload) {
            return Err(CustodyError::Rule("the payload is not the one that was signed"));
        }
        let event = CustodyEvent::parse(&statement.event_type, &statement.event_version, payload)?;
        let record = self.records.entry(statement.stream_id).or_default();
        match event {
            None => Ok(()),
            Some(event) => record.apply(position, event),
        }
    }

    fn take_subject(
        &mut self,
        position: u64,
        statement: &Statement,
        subject: Uuid,
    ) -> Result<(), CustodyError> {
        let account = statement.stream_type == ACCOUNT_STREAM_TYPE;
        let erased = self.records.get(&subject).and_then(|record| record.erased_at);
        if let Some(at) = erased.filter(|at| *at < position && !account) {
            return Err(CustodyError::Erased { at });
        }
        let Some(key) = statement.payload.key_id else { return Ok(()) };
        if *self.keys.entry((account, subject)).or_insert(key) != key {
            return Err(CustodyError::SecondKey);
        }
        if *self.subjects.entry(key).or_insert(subject) != subject {
            return Err(CustodyError::SharedKey);
        }
        Ok(())
    }

    /// Where a subject's erasure stands, if it was erased.
    #[must_use]
    pub fn erased_at(&self, subject: Uuid) -> Option<u64> {
        self.records.get(&subject).and_then(|record| record.erased_at)
    }
}

impl Record {
    fn apply(&mut self, position: u64, event: CustodyEvent) -> Result<(), CustodyError> {
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(CustodyError::Rule(rule)) };
        match event {
            CustodyEvent::HoldPlaced { hold_id } => {
                rule(self.erased_at.is_none(), "a hold on a record that was erased before")?;
                rule(self.holds.len() < MAX_HOLDS, "too many holds on one record")?;
                let fresh = self.holds.insert(hold_id, true).is_none();
                rule(fresh, "the hold was placed before")
            }
            CustodyEvent::HoldReleased { hold_id } => match self.holds.insert(hold_id, false) {
                Some(true) => Ok(()),
                Some(false) => rule(false, "the hold was released before"),
                None => rule(false, "the hold was never placed"),
            },
            CustodyEvent::SubjectErased => {
                rule(self.erased_at.is_none(), "the record was erased before")?;
                self.erased_at = Some(position);
                rule(!self.holds.values().any(|held| *held), "erased while a hold was in force")
            }
            CustodyEvent::PurgeRecorded => {
                rule(self.erased_at.is_some(), "a purge of a record that was not erased")?;
                let fresh = !std::mem::replace(&mut self.purged, true);
                rule(fresh, "the purge was recorded before")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{CustodyEvent, Record, is_instant};

    #[test]
    fn a_record_has_256_holds_at_most() {
        let mut record = Record::default();
        let mut place = |number: u128| {
            record.apply(0, CustodyEvent::HoldPlaced { hold_id: Uuid::from_u128(number) })
        };
        assert!((0..256).all(|number| place(number).is_ok()));
        assert!(place(256).is_err());
    }

    #[test]
    fn payloads_are_read_exactly() {
        let hold = r#"{"HoldPlaced":{"hold_id":"01900000-0000-7000-8000-000000000701","reason":"litigation","authority":"counsel","case_reference":"2026/CV-0815","at":"2026-03-10T20:05:00.123456Z"}}"#;
        let parse = |text: &str| CustodyEvent::parse("HoldPlaced", "1", text.as_bytes());
        assert!(matches!(parse(hold), Ok(Some(CustodyEvent::HoldPlaced { .. }))));
        assert!(matches!(CustodyEvent::parse("Other", "1", b"?"), Ok(None)));
        assert!(CustodyEvent::parse("HoldPlaced", "2", hold.as_bytes()).is_err());
        assert!(CustodyEvent::parse("HoldReleased", "1", hold.as_bytes()).is_err());
        for (from, to) in [
            ("litigation", "Litigation"),
            ("litigation", ""),
            ("2026/CV-0815", "a b"),
            ("2026/CV-0815", ""),
            (".123456Z", ".Z"),
            (".123456Z", "+00:00"),
            ("-000000000701", "-00000000070A"),
            ("\"HoldPlaced\"", "\"other\""),
            ("\"at\"", "\"when\""),
            ("}}", "},\"more\":1}"),
        ] {
            assert!(parse(&hold.replacen(from, to, 1)).is_err(), "{from} as {to}");
        }
        for good in
            ["2026-03-10T20:05:00Z", "2026-03-10T20:05:00.1Z", "2026-03-10T20:05:00.123456789Z"]
        {
            assert!(is_instant(good), "{good}");
        }
        for bad in [
            "2026-03-10T20:05:00",
            "2026-02-30T20:05:00Z",
            "2026-03-10T20:05:60Z",
            "2026-03-10T20:05:00.1234567890Z",
        ] {
            assert!(!is_instant(bad), "{bad}");
        }
    }
}
