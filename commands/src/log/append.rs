//! What is handed to the sequencer: a decided command with its sealed events.

use audit::mac::TAG_LEN;
use audit::merkle::Hash;
use audit::seal::SubjectKind;
use audit::system;
use jiff::Timestamp;
use uuid::Uuid;

use super::change::Change;
use super::command::CommandKey;

/// An event, sealed and signed; only its position is open.
#[derive(Clone, Debug)]
pub(crate) struct SealedEvent {
    pub(crate) event_id: Uuid,
    pub(crate) stream_type: &'static str,
    pub(crate) stream_id: Uuid,
    pub(crate) sequence: u64,
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    pub(crate) subject: Option<Uuid>,
    pub(crate) recorded_at: Timestamp,
    pub(crate) header: Vec<u8>,
    pub(crate) statement: Vec<u8>,
    pub(crate) signature: [u8; 64],
    pub(crate) payload: Vec<u8>,
    pub(crate) leaf: Hash,
    /// The ledger's own, on the leaf.
    pub(crate) tag: [u8; TAG_LEN],
    /// The compact JWS the leaf was made of; it goes into the receipt.
    pub(crate) jws: String,
}

/// A data key that begins to exist with this append.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub(crate) key_id: Uuid,
    pub(crate) subject: Uuid,
    pub(crate) kind: SubjectKind,
    pub(crate) kek_id: String,
    pub(crate) wrapped: Vec<u8>,
}

/// A stream the command was decided on, and the version it had then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) stream_type: &'static str,
    pub(crate) stream_id: Uuid,
    pub(crate) version: u64,
}

/// One decided command.
#[derive(Debug)]
pub(crate) struct Append {
    /// Whose command it is.
    pub(crate) actor: Uuid,
    pub(crate) command_id: Uuid,
    pub(crate) request_mac: [u8; 32],
    pub(crate) expected: Vec<Expected>,
    /// The streams of others that it relies on, and the versions as of which they may be relied on.
    pub(crate) relied_on: Vec<Expected>,
    /// Streams that there must not be: of other kinds of subjects, under the id of one that begins here.
    pub(crate) absent: Vec<(&'static str, Uuid)>,
    pub(crate) events: Vec<SealedEvent>,
    pub(crate) claims: Vec<(Uuid, Change)>,
    pub(crate) new_keys: Vec<NewKey>,
    /// Whose data key it destroys.
    pub(crate) erase: Option<Uuid>,
}

impl Append {
    pub(crate) fn key(&self) -> CommandKey {
        CommandKey { actor: self.actor, id: self.command_id }
    }

    /// The streams whose versions decide whether it is appended.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&'static str, Uuid)> {
        let expected = self.expected.iter().chain(&self.relied_on);
        let expected = expected.map(|expected| (expected.stream_type, expected.stream_id));
        expected.chain(self.absent.iter().copied())
    }

    /// The bytes it brings, roughly; a batch is bounded by them.
    pub(crate) fn size(&self) -> usize {
        self.events.iter().map(|event| event.payload.len() + 2 * event.statement.len() + 512).sum()
    }

    /// The ids of which the database takes each once, at least of one actor: the command's, and the subjects that get a
    /// data key.
    pub(crate) fn unique_ids(&self) -> impl Iterator<Item = Uuid> {
        let subjects = self.new_keys.iter().map(|key| key.subject);
        std::iter::once(self.command_id).chain(subjects)
    }

    /// Whether it takes claims or gives some back: of its own streams, or those of whom it erases.
    pub(crate) fn has_claims(&self) -> bool {
        !self.claims.is_empty() || self.erase.is_some()
    }

    /// Whether it must have a transaction to itself: what it changes is not among what one command of a
    /// batch shows the next.
    pub(crate) fn needs_own_transaction(&self) -> bool {
        self.erase.is_some()
            || self.events.iter().any(|event| event.stream_type == system::STREAM_TYPE)
    }
}
