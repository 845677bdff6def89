//! The verifier: it names the first damaged position and what is wrong with it.
//!
//! A [`Verifier`] is fed the log in order, a chunk at a time, and ends with a signed checkpoint.
//! Whatever else is known (leaf hashes kept apart, checkpoints of earlier sizes, a checkpoint the
//! auditor pinned last time) makes the naming more exact; none of it is needed to notice damage.

use std::fmt;
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::jws::PublicKey;
use crate::merkle::Hash;
use crate::note::{NoteError, NoteVerifier};

mod seen;
pub(crate) mod tree;
mod verifier;

pub use seen::{Seen, SeenError};
#[cfg(feature = "postgres")]
pub(crate) use verifier::in_parallel;
#[cfg(feature = "postgres")]
pub(crate) use verifier::with_source;
pub use verifier::{Checked, Verifier, verify_log};

/// How far `recorded_at` may run backwards from one position to a later one.
///
/// Statements are signed by concurrent requests before they are put in order, so a little
/// disorder is normal; a minute is more than any request may take.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// How many threads run at once here. Asked once: the answer is read from several files.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// What an auditor brings along: a log's origin and at least one of its keys.
#[derive(Clone, Debug)]
pub struct Trust {
    origin: String,
    keys: Vec<NoteVerifier>,
}

impl Trust {
    /// Trusts one key of a log, by its verifier key text (`origin+id+key`).
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        Self::parse_all([vkey])
    }

    /// Trusts one key of a log.
    pub fn new(origin: &str, key: &PublicKey) -> Result<Self, NoteError> {
        Ok(Self::from_verifier(NoteVerifier::new(origin, key.to_bytes())?))
    }

    /// Trusts any of several keys of one log, by their verifier key texts.
    pub fn parse_all<'a>(vkeys: impl IntoIterator<Item = &'a str>) -> Result<Self, NoteError> {
        let mut trust: Option<Self> = None;
        for vkey in vkeys {
            let key = NoteVerifier::parse(vkey)?;
            if !key.is_of_a_log() {
                return Err(NoteError::VerifierKey("it is a witness's, which cosigns"));
            }
            match &mut trust {
                None => trust = Some(Self::from_verifier(key)),
                Some(trust) if trust.origin != key.name() => {
                    return Err(NoteError::VerifierKey("the keys are of different logs"));
                }
                Some(trust) if trust.keys.contains(&key) => {}
                Some(trust) => trust.keys.push(key),
            }
        }
        trust.ok_or(NoteError::VerifierKey("there is none"))
    }

    /// Trusts any of several keys of a log.
    #[must_use]
    pub fn any_of(origin: &str, keys: Vec<NoteVerifier>) -> Self {
        let keys = keys.into_iter().filter(|key| key.name() == origin).collect();
        Self { origin: origin.to_owned(), keys }
    }

    fn from_verifier(key: NoteVerifier) -> Self {
        Self { origin: key.name().to_owned(), keys: vec![key] }
    }

    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The trusted keys.
    #[must_use]
    pub fn keys(&self) -> &[NoteVerifier] {
        &self.keys
    }
}

/// How to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far `recorded_at` may run backwards.
    pub clock_tolerance: SignedDuration,
    /// Whether a payload that is not there is damage, or merely counted.
    pub require_payloads: bool,
    /// Threads to check signatures with. 1 starts none.
    pub threads: usize,
    /// How many findings to keep; the rest is counted.
    pub max_findings: usize,
    /// Tree heads whose signatures the caller has checked: the log must still contain them.
    pub pinned: Vec<Checkpoint>,
    /// Checkpoints and receipts the auditor saw before: they must be signed by keys of the log, which must still
    /// contain them.
    pub seen: Vec<Seen>,
}

impl Default for Options {
    fn default() -> Self {
        let threads = if cfg!(target_family = "wasm") { 1 } else { cores().min(16) };
        Self {
            clock_tolerance: CLOCK_TOLERANCE,
            require_payloads: true,
            threads,
            max_findings: 100,
            pinned: Vec::new(),
            seen: Vec::new(),
        }
    }
}

/// One position of the log, as some source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Where the source says it stands.
    pub position: u64,
    /// The JWS header.
    pub header: Vec<u8>,
    /// The statement.
    pub statement: Vec<u8>,
    /// The signature.
    pub signature: [u8; 64],
    /// The stored payload, where the source has it.
    pub payload: Option<Vec<u8>>,
    /// The leaf hash as kept apart from the entry, where the source has it.
    pub leaf_hash: Option<Hash>,
}

/// What is wrong with a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Nothing stands there.
    Missing,
    /// Something stands where nothing may: a position twice, out of order, or beyond the head.
    Unexpected,
    /// Position 0 is not this log's genesis, or not signed by the key it names.
    Genesis,
    /// No trusted key vouches for this log.
    Untrusted,
    /// The JWS header is not that of a signed event.
    Header,
    /// The statement cannot be read.
    Statement,
    /// The signature does not hold.
    Signature,
    /// The signing key is not one the log has named up to there.
    ForeignKey,
    /// The signing key is this log's, but was retired before.
    InactiveKey,
    /// An event of the log's own is not valid.
    Keyring,
    /// The statement belongs to another log.
    Origin,
    /// The stream's sequence has a gap or a repetition.
    Sequence,
    /// The event's id stood elsewhere before.
    DuplicateEvent,
    /// The time runs backwards by more than the tolerance.
    Clock,
    /// The payload is not there.
    PayloadMissing,
    /// The payload is not the one that was signed.
    Payload,
    /// The plaintext is not what the statement committed to.
    Commitment,
    /// The entry is not the one whose leaf hash was kept.
    LeafHash,
    /// A tile is missing, superfluous or has a wrong hash.
    Tile,
    /// The tree of the entries has another root than a checkpoint says.
    Root,
    /// A checkpoint is not valid or not signed by a key active there.
    Checkpoint,
    /// The final checkpoint cannot be read: nothing says how long the log is.
    NoCheckpoint,
    /// The log differs from a tree head or a receipt the auditor saw before: a fork.
    Fork,
    /// What the auditor saw before is not signed by a key of this log that counts there.
    Seen,
    /// An event breaks the rules of holds and erasures.
    Custody,
    /// Something was sealed for a subject after its erasure.
    Erased,
    /// A subject has two data keys, or a data key has two subjects.
    SubjectKey,
    /// A database column says something else than the statement.
    Column,
    /// The row of a command disagrees with the events.
    Command,
    /// The row of the right edge disagrees with the log.
    Head,
    /// A file of an export is missing or malformed.
    File,
    /// A file, folder or link that belongs to no export of this size.
    Stray,
    /// The file of the log's keys is not that of its keys.
    Keys,
}

impl FindingKind {
    /// Whether it is about the log as a whole, and names no position.
    #[must_use]
    pub fn is_of_the_whole(self) -> bool {
        matches!(self, Self::Untrusted | Self::NoCheckpoint | Self::Seen | Self::Stray | Self::Keys)
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The position; the lowest possible one where it cannot be told exactly.
    pub position: u64,
    /// The highest possible position, where only a span can be told.
    pub last: Option<u64>,
    /// What kind of damage.
    pub kind: FindingKind,
    /// What exactly, in words. Holds no content of payloads.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place(), self.kind, self.detail)
    }
}

impl Finding {
    /// Where, in words: a position, a span of positions, or the log as a whole.
    #[must_use]
    pub fn place(&self) -> String {
        match self.last {
            _ if self.kind.is_of_the_whole() => "the log as a whole".to_owned(),
            Some(last) if last > self.position => format!("positions {} to {last}", self.position),
            _ => format!("position {}", self.position),
        }
    }

    /// Findings that name positions come first, the lowest first, a span before what is certain within it, and what is
    /// wrong with events before what is wrong with tiles.
    pub(crate) fn order(&self) -> (bool, u64, bool, bool, Option<u64>) {
        let tile = self.kind == FindingKind::Tile;
        (self.kind.is_of_the_whole(), self.position, self.last.is_none(), tile, self.last)
    }
}

/// What a log was compared with, and held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// `checkpoint` or `receipt`.
    pub kind: &'static str,
    /// What the auditor calls it: a file's name.
    pub name: String,
    /// The size of the log it knows.
    pub size: u64,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The log's identity.
    pub origin: String,
    /// Entries read.
    pub events: u64,
    /// Streams among them.
    pub streams: u64,
    /// The size the checkpoint speaks of, where it could be read.
    pub size: Option<u64>,
    /// The root recomputed from all entries.
    pub root: Hash,
    /// Checkpoints compared with the tree.
    pub checkpoints: u64,
    /// Payloads compared with their digests.
    pub payloads: u64,
    /// Payloads that were not there.
    pub payloads_absent: u64,
    /// Plaintexts compared with their commitments.
    pub plaintexts: u64,
    /// The latest `recorded_at`.
    pub last_recorded_at: Option<Timestamp>,
    /// The verifier keys the verdict rests on: the trusted ones that are the log's first key or signed its checkpoint.
    pub keys: Vec<String>,
    /// What was seen before and found again in this log. Empty: nothing that was removed from its end would show.
    pub compared: Vec<Compared>,
    /// What is wrong, lowest position first.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit, counted only.
    pub more_findings: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.more_findings == 0
    }

    /// What the verdict rests on: as of when, under which keys, compared with what.
    #[must_use]
    pub fn basis(&self) -> Vec<String> {
        let time = self.last_recorded_at.map_or_else(|| "no time".to_owned(), |at| at.to_string());
        let size = self.size.unwrap_or(self.events);
        let mut lines = vec![format!("as of      size {size}, {time}")];
        lines.extend(self.keys.iter().map(|key| format!("under      {key}")));
        if self.compared.is_empty() {
            lines.push(
                "compared   with nothing earlier: a removal of the newest events would not show"
                    .to_owned(),
            );
        }
        for compared in &self.compared {
            let Compared { kind, name, size } = compared;
            lines.push(format!("compared   with the {kind} {name} of size {size}"));
        }
        lines
    }

    /// The first damaged position and what is wrong with it.
    #[must_use]
    pub fn first_damage(&self) -> Option<&Finding> {
        self.findings.first()
    }
}
