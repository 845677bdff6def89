//! A deterministic log: several streams, two keys with an overlap, several events an append, statements of both formats.

use audit::checkpoint::Checkpoint;
use audit::jws::{self, EventSigner};
use audit::merkle::{Appended, CompactRange, Hash};
use audit::note::{NoteSigner, NoteVerifier};
use audit::seal::{DataKey, EventIdentity, Sealed, seal_payload};
use audit::statement::{self, Actor, Digest, Grounds, Media, Payload, Statement};
use audit::system::{self, KeyActivatedPayload, KeyRetiredPayload, SystemContext, SystemEvent};
use audit::tiles::{Tile, TileBuilder};
use audit::verify::{LogEntry, Trust};
use jiff::Timestamp;
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "ledger.clinic.example/test";
pub(crate) const SECOND_KEY_FROM: u64 = 101;
pub(crate) const FIRST_KEY_UNTIL: u64 = 200;
/// From here on statements say by which rule the action was allowed, as if another version of the program had taken over.
pub(crate) const GROUNDS_FROM: u64 = 64;

/// The seeds of the two keys.
pub(crate) const SEEDS: [[u8; 32]; 2] = [[1; 32], [2; 32]];

pub(crate) struct Keys {
    pub(crate) events: EventSigner,
    pub(crate) notes: NoteSigner,
}

pub(crate) fn keys(seed: &[u8; 32]) -> Keys {
    Keys {
        events: EventSigner::new(seed).expect("a key"),
        notes: NoteSigner::new(ORIGIN, seed).expect("a name"),
    }
}

pub(crate) fn trust() -> Trust {
    Trust::new(ORIGIN, keys(&SEEDS[0]).events.public()).expect("a name")
}

pub(crate) fn verifiers() -> Vec<NoteVerifier> {
    SEEDS.iter().map(|seed| keys(seed).notes.verifier().clone()).collect()
}

pub(crate) fn id(kind: u64, number: u64) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 | u128::from(kind << 32 | number))
}

pub(crate) fn data_key(subject: u64) -> DataKey {
    DataKey::from_bytes([subject as u8 + 7; 32])
}

pub(crate) struct World {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) checkpoints: Vec<(u64, String)>,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) appended: Vec<Appended>,
    pub(crate) tree: CompactRange,
}

impl World {
    pub(crate) fn note(&self) -> &str {
        &self.checkpoints.last().expect("a checkpoint").1
    }

    pub(crate) fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(leaf).collect()
    }
}

pub(crate) fn leaf(entry: &LogEntry) -> Hash {
    jws::leaf(&entry.header, &entry.statement, &entry.signature)
}

/// Signs a statement into an entry, without a leaf hash kept apart.
pub(crate) fn entry(
    position: u64,
    statement: &Statement,
    payload: Vec<u8>,
    signer: &EventSigner,
) -> LogEntry {
    let bytes = statement.to_bytes().expect("a valid statement");
    let signed = signer.sign(&bytes);
    LogEntry {
        position,
        header: signed.header,
        statement: bytes,
        signature: signed.signature,
        payload: Some(payload),
        leaf_hash: None,
    }
}

pub(crate) fn recorded_at(position: u64) -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_000_000 + position as i64 * 1_000_003)
        .expect("in range")
}

/// Why something was allowed, as the ledger says it today.
pub(crate) fn grounds(because: &str) -> Grounds {
    let policy = Digest::of(b"a policy");
    Grounds { because: because.to_owned(), policy, client: None, session: None }
}

/// The same statement in the format of its position.
fn in_format(position: u64, statement: Statement) -> Statement {
    let grounds = statement.grounds.filter(|_| position >= GROUNDS_FROM);
    Statement { grounds, ..statement }
}

fn system_context(position: u64) -> SystemContext {
    SystemContext {
        event_id: id(1, position),
        command_id: id(4, position),
        correlation_id: id(5, position),
        actor: Actor { id: id(3, 0), kind: "system".to_owned(), role: "system".to_owned() },
        grounds: grounds("system:manage-keys"),
        recorded_at: recorded_at(position),
    }
}

/// The sealed body and statement of one event of patient `subject`.
pub(crate) fn patient_event(position: u64, subject: u64, sequence: u64) -> (Statement, Vec<u8>) {
    let stream_id = id(2, subject);
    let event_id = id(1, position);
    let identity =
        EventIdentity { origin: ORIGIN, event_id, stream_type: "patient", stream_id, sequence };
    let mut nonce = [9; 12];
    nonce[..8].copy_from_slice(&position.to_be_bytes());
    let body = format!(r#"{{"note":"body of event {position}"}}"#);
    let sealed: Sealed =
        seal_payload(&data_key(subject), nonce, [3; 32], &identity, body.as_bytes())
            .expect("within limits");
    let media = (position % 50 == 7).then(|| Media {
        sha256: statement::Digest::of(b"capture"),
        size: 7,
        media_type: "application/vnd.coherency.capture+tar".to_owned(),
    });
    let statement = Statement {
        origin: ORIGIN.to_owned(),
        event_id,
        stream_type: "patient".to_owned(),
        stream_id,
        sequence,
        event_type: "PatientEdited".to_owned(),
        event_version: "1".to_owned(),
        subject: Some(stream_id),
        actor: Actor { id: id(3, 1), kind: "user".to_owned(), role: "clinician".to_owned() },
        grounds: Some(grounds("role:clinician/edit-patient")),
        purpose: "TREAT".to_owned(),
        // Two events for one command, most of the time.
        command_id: id(4, position - position % 2),
        correlation_id: id(5, position),
        recorded_at: recorded_at(position),
        payload: Payload::sealed(&sealed, id(6, subject)),
        media: media.into_iter().collect(),
        actor_signature: None,
    };
    (in_format(position, statement), sealed.bytes)
}

/// A log of `size` events. The leaf hashes are kept in the entries.
pub(crate) fn world(size: u64) -> World {
    let [first, second] = SEEDS.map(|seed| keys(&seed));
    let mut world = World {
        entries: Vec::new(),
        statements: Vec::new(),
        checkpoints: Vec::new(),
        tiles: Vec::new(),
        appended: Vec::new(),
        tree: CompactRange::new(),
    };
    let mut tiles = TileBuilder::new();
    let mut sequences = [0; 7];
    let mut own = 0;
    let mut batch = Vec::new();
    for position in 0..size {
        let event = match position {
            0 => Some(SystemEvent::Genesis(system::GenesisPayload {
                origin: ORIGIN.to_owned(),
                format: audit::FORMAT.to_owned(),
                jwk: first.events.public().to_jwk(),
            })),
            position if position + 1 == SECOND_KEY_FROM => {
                let jwk = second.events.public().to_jwk();
                Some(SystemEvent::KeyActivated(KeyActivatedPayload { jwk }))
            }
            FIRST_KEY_UNTIL => Some(SystemEvent::KeyRetired(KeyRetiredPayload {
                kid: first.events.public().thumbprint().to_owned(),
                reason: "yearly rotation".to_owned(),
            })),
            _ => None,
        };
        let (statement, payload) = match event {
            Some(event) => {
                own += 1;
                let context = system_context(position);
                let drafted = system::draft(ORIGIN, own, &event, context);
                let (statement, payload) = drafted.expect("valid");
                (in_format(position, statement), payload)
            }
            None => {
                let subject = position * position % 7;
                sequences[subject as usize] += 1;
                patient_event(position, subject, sequences[subject as usize])
            }
        };
        // While both keys are active, they take turns.
        let by_second = position > FIRST_KEY_UNTIL
            || ((SECOND_KEY_FROM..FIRST_KEY_UNTIL).contains(&position) && position % 2 == 1);
        let signer = if by_second { &second } else { &first };
        let mut entry = entry(position, &statement, payload, &signer.events);
        let hash = leaf(&entry);
        entry.leaf_hash = Some(hash);
        batch.push(hash);
        world.entries.push(entry);
        world.statements.push(statement);
        // Appends of one to six events; a command is never split.
        if position == 0 || position + 1 == size || (position % 6 == 1 || position % 10 == 3) {
            let appended = world.tree.append(&batch);
            world.tiles.extend(tiles.append(&batch));
            batch.clear();
            let checkpoint =
                Checkpoint { origin: ORIGIN.to_owned(), size: appended.size, root: appended.root };
            let note = checkpoint.to_note(&signer.notes).expect("signed");
            world.checkpoints.push((appended.size, note));
            world.appended.push(appended);
        }
    }
    world
}
