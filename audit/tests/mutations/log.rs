//! A genuine log of any size, with key rotations, holds and erasures inside, statements of both formats, and whatever its
//! keys can sign.

use audit::checkpoint::Checkpoint;
use audit::jws::{self, EventSigner};
use audit::merkle::{self, CompactRange, Hash};
use audit::note::NoteSigner;
use audit::statement::{self, Actor, Digest, Grounds, Payload, Statement};
use audit::system::{
    self, GenesisPayload, KeyActivatedPayload, KeyRetiredPayload, SystemContext, SystemEvent,
};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "ledger.clinic.example/mutations";
pub(crate) const PATIENTS: u64 = 61;
/// The patient whose record is held, released and erased.
pub(crate) const ERASED: u64 = 60;

/// The keys of the log, in the order of activation, and one the log never names.
pub(crate) const FOREIGN: usize = 3;
const SEEDS: [[u8; 32]; 4] = [[11; 32], [12; 32], [13; 32], [14; 32]];

/// One event: its leaf data, and its payload.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) jws: Vec<u8>,
    pub(crate) payload: Option<Vec<u8>>,
}

impl Entry {
    pub(crate) fn leaf(&self) -> Hash {
        merkle::leaf_hash(&self.jws)
    }

    /// Header, statement and signature, as text between the dots.
    pub(crate) fn parts(&self) -> Vec<String> {
        let text = std::str::from_utf8(&self.jws).expect("ASCII");
        text.split('.').map(str::to_owned).collect()
    }

    pub(crate) fn of_parts(&self, parts: &[String]) -> Entry {
        Entry { jws: parts.join(".").into_bytes(), payload: self.payload.clone() }
    }
}

pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) leaves: Vec<Hash>,
    events: Vec<EventSigner>,
    notes: Vec<NoteSigner>,
    /// The first and last position each of the log's keys may sign.
    pub(crate) periods: Vec<(u64, u64)>,
}

pub(crate) fn id(kind: u64, number: u64) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 | u128::from(kind << 40 | number))
}

fn recorded_at(position: u64) -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_000_000 + position as i64 * 250_007)
        .expect("in range")
}

impl Log {
    pub(crate) fn new(size: u64) -> Log {
        Log::of(ORIGIN, size, SEEDS)
    }

    /// A log of the same name that somebody else made with keys of his own.
    pub(crate) fn impostor(size: u64) -> Log {
        Log::of(ORIGIN, size, [[21; 32], [22; 32], [23; 32], [24; 32]])
    }

    /// A log of another name, by the same keys.
    pub(crate) fn other(size: u64) -> Log {
        Log::of("ledger.clinic.example/other", size, SEEDS)
    }

    fn of(origin: &str, size: u64, seeds: [[u8; 32]; 4]) -> Log {
        let last = u64::MAX;
        let mut log = Log {
            entries: Vec::new(),
            statements: Vec::new(),
            leaves: Vec::new(),
            events: seeds.iter().map(|seed| EventSigner::new(seed).expect("a key")).collect(),
            notes: seeds
                .iter()
                .map(|seed| NoteSigner::new(origin, seed).expect("a name"))
                .collect(),
            periods: vec![(0, size / 4), (size / 5 + 1, size * 3 / 5), (size / 2 + 1, last)],
        };
        let mut sequences = std::collections::HashMap::new();
        for position in 0..size {
            let mut next = |stream: (&'static str, u64)| {
                let sequence = sequences.entry(stream).or_insert(0u64);
                *sequence += 1;
                *sequence
            };
            let (statement, payload) = match log.own_event(position, size) {
                Some(event) => {
                    let context = context(position);
                    system::draft(origin, next(("ledger", 0)), &event, context).expect("valid")
                }
                None => match custody_event(position, size) {
                    Some((kind, payload)) => {
                        let sequence = next(("custody", ERASED));
                        log.custody(origin, position, ERASED, kind, &payload, sequence)
                    }
                    None => {
                        let patient = patient(position, size);
                        let kind = if position % 5 == 2 { "wound" } else { "patient" };
                        log.sealed(origin, position, kind, patient, patient, next((kind, patient)))
                    }
                },
            };
            // The first statements are of the first format, as an earlier version left them.
            let has_grounds = position > size / 10;
            let grounds = statement.grounds.filter(|_| has_grounds);
            let statement = Statement { grounds, ..statement };
            let signer = log.signer(position);
            let entry = log.sign(&statement, payload, signer);
            log.leaves.push(entry.leaf());
            log.entries.push(entry);
            log.statements.push(statement);
        }
        log
    }

    pub(crate) fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The newest key that may sign a position.
    pub(crate) fn signer(&self, position: u64) -> usize {
        let may = |(from, until): &(u64, u64)| (*from..=*until).contains(&position);
        self.periods.iter().rposition(may).expect("an active key")
    }

    pub(crate) fn vkey(&self, key: usize) -> String {
        self.notes[key].verifier().to_string()
    }

    pub(crate) fn jwk_x(&self, key: usize) -> String {
        self.events[key].public().to_jwk().x
    }

    fn own_event(&self, position: u64, size: u64) -> Option<SystemEvent> {
        let jwk = |key: usize| self.events[key].public().to_jwk();
        let retired = |key: usize| {
            let kid = self.events[key].public().thumbprint().to_owned();
            Some(SystemEvent::KeyRetired(KeyRetiredPayload {
                kid,
                reason: "superseded".to_owned(),
            }))
        };
        let activated =
            |key| Some(SystemEvent::KeyActivated(KeyActivatedPayload { jwk: jwk(key) }));
        match position {
            0 => Some(SystemEvent::Genesis(GenesisPayload {
                origin: self.notes[0].verifier().name().to_owned(),
                format: audit::FORMAT.to_owned(),
                jwk: jwk(0),
            })),
            _ if position == size / 5 => activated(1),
            _ if position == size / 4 => retired(0),
            _ if position == size / 2 => activated(2),
            _ if position == size * 3 / 5 => retired(1),
            _ => None,
        }
    }

    /// A sealed event. What is sealed does not matter to somebody without the key: bytes of the right length.
    pub(crate) fn sealed(
        &self,
        origin: &str,
        position: u64,
        kind: &str,
        patient: u64,
        key: u64,
        sequence: u64,
    ) -> (Statement, Vec<u8>) {
        let seed = Digest::of(&position.to_be_bytes());
        let payload: Vec<u8> =
            seed.0.iter().cycle().take(61 + position as usize % 7).copied().collect();
        let payload_of = Payload {
            sha256: Digest::of(&payload),
            size: payload.len() as u64,
            encryption: statement::ENCRYPTION_A256GCM.to_owned(),
            key_id: Some(id(6, key)),
            commitment: Some(Digest::of(&seed.0)),
        };
        let statement = Statement {
            origin: origin.to_owned(),
            event_id: id(1, position),
            stream_type: kind.to_owned(),
            stream_id: id(if kind == "wound" { 7 } else { 2 }, patient),
            sequence,
            event_type: "Edited".to_owned(),
            event_version: "1".to_owned(),
            subject: Some(id(2, patient)),
            actor: Actor { id: id(3, 1), kind: "user".to_owned(), role: "clinician".to_owned() },
            grounds: Some(grounds("role:clinician/edit-patient")),
            purpose: "TREAT".to_owned(),
            command_id: id(4, position),
            correlation_id: id(5, position),
            recorded_at: recorded_at(position),
            payload: payload_of,
            media: Vec::new(),
            actor_signature: None,
        };
        (statement, payload)
    }

    pub(crate) fn custody(
        &self,
        origin: &str,
        position: u64,
        patient: u64,
        kind: &str,
        payload: &str,
        sequence: u64,
    ) -> (Statement, Vec<u8>) {
        let (statement, _) = self.sealed(origin, position, "custody", patient, patient, sequence);
        let payload = payload.as_bytes().to_vec();
        let statement = Statement {
            event_type: kind.to_owned(),
            subject: None,
            payload: Payload::plain(&payload),
            ..statement
        };
        (statement, payload)
    }

    pub(crate) fn sign(&self, statement: &Statement, payload: Vec<u8>, key: usize) -> Entry {
        let bytes = statement.to_bytes().expect("a valid statement");
        self.sign_bytes(&bytes, payload, key)
    }

    pub(crate) fn sign_bytes(&self, statement: &[u8], payload: Vec<u8>, key: usize) -> Entry {
        let signed = self.events[key].sign(statement);
        let jws = jws::compact(&signed.header, statement, &signed.signature);
        Entry { jws: jws.into_bytes(), payload: Some(payload) }
    }

    /// The checkpoint of these leaves, by some key.
    pub(crate) fn checkpoint(&self, leaves: &[Hash], key: usize) -> String {
        let mut tree = CompactRange::new();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        let origin = self.notes[key].verifier().name().to_owned();
        let checkpoint = Checkpoint { origin, size: tree.size(), root: tree.root() };
        checkpoint.to_note(&self.notes[key]).expect("signed")
    }

    /// The checkpoint the log itself signed at a size.
    pub(crate) fn genuine(&self, size: u64) -> String {
        self.checkpoint(&self.leaves[..size as usize], self.signer(size - 1))
    }

    /// The receipt of one event, under the checkpoint of a size.
    pub(crate) fn receipt(&self, position: u64, size: u64) -> String {
        let (entry, statement) =
            (&self.entries[position as usize], &self.statements[position as usize]);
        let proof = merkle::inclusion_proof(position, size, &self.leaves[..size as usize]);
        json!({
            "command_id": statement.command_id,
            "stream_type": statement.stream_type,
            "stream_id": statement.stream_id,
            "version": statement.sequence,
            "position": position,
            "events": [{
                "position": position,
                "event_id": statement.event_id,
                "event_type": statement.event_type,
                "jws": std::str::from_utf8(&entry.jws).expect("ASCII"),
                "proof": proof.expect("within"),
            }],
            "checkpoint": self.genuine(size),
            "replayed": false,
        })
        .to_string()
    }
}

fn grounds(because: &str) -> Grounds {
    let policy = Digest::of(b"a policy");
    Grounds { because: because.to_owned(), policy, client: None, session: None }
}

fn context(position: u64) -> SystemContext {
    SystemContext {
        event_id: id(1, position),
        command_id: id(4, position),
        correlation_id: id(5, position),
        actor: Actor { id: id(3, 0), kind: "system".to_owned(), role: "system".to_owned() },
        grounds: grounds("system:manage-keys"),
        recorded_at: recorded_at(position),
    }
}

/// Whom an event is about: the erased one only before the erasure.
fn patient(position: u64, size: u64) -> u64 {
    let patient = position.wrapping_mul(position).wrapping_add(position * 7) % PATIENTS;
    if patient == ERASED && position > size / 3 { 0 } else { patient }
}

const REST: &str = r#""authority":"court","at":"2026-11-21T22:08:00.5Z""#;

pub(crate) fn hold(number: u64) -> String {
    let hold = id(9, number);
    format!(
        r#"{{"HoldPlaced":{{"hold_id":"{hold}","reason":"audit","case_reference":"A-{number}",{REST}}}}}"#
    )
}

pub(crate) fn release(number: u64) -> String {
    format!(r#"{{"HoldReleased":{{"hold_id":"{}","reason":"withdrawn",{REST}}}}}"#, id(9, number))
}

pub(crate) fn erasure() -> String {
    format!(r#"{{"SubjectErased":{{"reason":"ordered","case_reference":"E-1",{REST}}}}}"#)
}

fn custody_event(position: u64, size: u64) -> Option<(&'static str, String)> {
    let at = |numerator: u64| size * numerator / 100;
    match position {
        _ if position == at(36) => Some(("HoldPlaced", hold(1))),
        _ if position == at(37) => Some(("HoldReleased", release(1))),
        _ if position == at(38) => Some(("SubjectErased", erasure())),
        _ => None,
    }
}
