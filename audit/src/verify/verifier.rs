//! The work of verifying, a chunk at a time.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Finding, FindingKind, LogEntry, Options, Report, Trust};
use crate::checkpoint::Checkpoint;
use crate::jws;
use crate::keyring::{Keyring, KeyringError};
use crate::merkle::{CompactRange, Hash};
use crate::note::NoteVerifier;
use crate::seal::{MAX_PAYLOAD, OVERHEAD};
use crate::statement::{Digest, ENCRYPTION_NONE, Statement};
use crate::system;

/// What the verifier made of one entry.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Where it stands.
    pub position: u64,
    /// The statement, where it could be read.
    pub statement: Option<Statement>,
    /// The leaf hash, recomputed.
    pub leaf_hash: Hash,
}

/// What can be told of an entry by itself.
struct Examined {
    kid: Option<String>,
    statement: Result<Statement, String>,
    leaf_hash: Hash,
    payload: Option<(Digest, u64)>,
}

/// A signature still to be checked, and with which key.
struct Pending<'a> {
    entry: &'a LogEntry,
    key: usize,
}

struct Expected {
    note: Option<String>,
    checkpoint: Option<Checkpoint>,
}

/// Verifies a log that is fed to it in order.
pub struct Verifier {
    trust: Trust,
    options: Options,
    keyring: Option<Keyring>,
    tree: CompactRange,
    next: u64,
    events: u64,
    /// Set once entries were missing or superfluous: roots cannot agree after that.
    broken: bool,
    good_size: u64,
    bad_root: bool,
    expected: BTreeMap<u64, Vec<Expected>>,
    stream_types: HashMap<String, u32>,
    streams: HashMap<(u32, Uuid), u64>,
    event_ids: HashSet<Uuid>,
    latest: Option<Timestamp>,
    checkpoints: u64,
    payloads: u64,
    payloads_absent: u64,
    plaintexts: u64,
    findings: Vec<Finding>,
    more_findings: u64,
}

impl Verifier {
    /// Begins at position 0.
    #[must_use]
    pub fn new(trust: Trust, options: Options) -> Self {
        let mut verifier = Self {
            trust,
            options,
            keyring: None,
            tree: CompactRange::new(),
            next: 0,
            events: 0,
            broken: false,
            good_size: 0,
            bad_root: false,
            expected: BTreeMap::new(),
            stream_types: HashMap::new(),
            streams: HashMap::new(),
            event_ids: HashSet::new(),
            latest: None,
            checkpoints: 0,
            payloads: 0,
            payloads_absent: 0,
            plaintexts: 0,
            findings: Vec::new(),
            more_findings: 0,
        };
        for pinned in verifier.options.pinned.clone() {
            let expected = Expected { note: None, checkpoint: Some(pinned.clone()) };
            verifier.expected.entry(pinned.size).or_default().push(expected);
        }
        verifier
    }

    /// Leaves so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The position after the last one read.
    #[must_use]
    pub fn next_position(&self) -> u64 {
        self.next
    }

    /// The tree of the leaves so far.
    #[must_use]
    pub fn tree(&self) -> &CompactRange {
        &self.tree
    }

    /// The log's keys so far; `None` before a valid genesis.
    #[must_use]
    pub fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    /// Announces a signed checkpoint of a size that is still to come.
    pub fn expect_checkpoint(&mut self, size: u64, note: String) {
        let expected = Expected { note: Some(note), checkpoint: None };
        self.expected.entry(size).or_default().push(expected);
    }

    /// Reports damage that was found elsewhere (a column, a tile, a file).
    pub fn report(&mut self, position: u64, kind: FindingKind, detail: impl Into<String>) {
        if self.findings.len() < self.options.max_findings.max(1) {
            self.findings.push(Finding { position, kind, detail: detail.into() });
            return;
        }
        // A late pass may find an earlier position: the lowest ones are kept.
        self.more_findings += 1;
        let last = self.findings.iter_mut().max_by_key(|finding| finding.position);
        if let Some(last) = last.filter(|last| position < last.position) {
            *last = Finding { position, kind, detail: detail.into() };
        }
    }

    /// Whether positions were found missing within a range: what depends on them is no finding of
    /// its own.
    #[must_use]
    pub fn has_gap(&self, positions: std::ops::RangeInclusive<u64>) -> bool {
        self.findings.iter().any(|finding| {
            finding.kind == FindingKind::Missing && positions.contains(&finding.position)
        })
    }

    /// Counts plaintexts that were opened and compared with their commitments.
    pub fn count_plaintexts(&mut self, count: u64) {
        self.plaintexts += count;
    }

    /// Verifies the next entries, which must come in the order of their positions.
    pub fn push(&mut self, entries: &[LogEntry]) -> Vec<Checked> {
        let examined = in_parallel(self.options.threads, entries, examine);
        let mut pending = Vec::with_capacity(entries.len());
        let mut checked = Vec::with_capacity(entries.len());
        for (entry, examined) in entries.iter().zip(examined) {
            if let Some(key) = self.take(entry, &examined) {
                pending.push(Pending { entry, key });
            }
            checked.push(Checked {
                position: entry.position,
                statement: examined.statement.ok(),
                leaf_hash: examined.leaf_hash,
            });
        }
        let Some(keyring) = &self.keyring else { return checked };
        let periods = keyring.periods();
        let held = in_parallel(self.options.threads, &pending, |pending| {
            let LogEntry { header, statement, signature, .. } = pending.entry;
            periods[pending.key].key.verify(header, statement, signature)
        });
        for (pending, held) in pending.iter().zip(held) {
            if let Err(error) = held {
                let position = pending.entry.position;
                self.report(position, FindingKind::Signature, error.to_string());
            }
        }
        checked
    }

    /// Everything about one entry that depends on those before it. Gives back the key its
    /// signature is still to be checked with.
    fn take(&mut self, entry: &LogEntry, examined: &Examined) -> Option<usize> {
        let position = entry.position;
        self.events += 1;
        if position < self.next {
            self.broken = true;
            self.report(
                position,
                FindingKind::Unexpected,
                "the position stands twice or is out of order",
            );
            return None;
        }
        if position > self.next {
            self.broken = true;
            let missing = position - self.next;
            self.report(
                self.next,
                FindingKind::Missing,
                format!("{missing} positions are missing from here"),
            );
        }
        self.next = position + 1;
        if entry.leaf_hash.is_some_and(|kept| kept != examined.leaf_hash) {
            self.report(
                position,
                FindingKind::LeafHash,
                "the entry is not the one whose leaf hash was kept",
            );
        }
        let key = self.take_statement(entry, examined);
        self.tree.push(examined.leaf_hash);
        self.compare_checkpoints();
        key
    }

    fn take_statement(&mut self, entry: &LogEntry, examined: &Examined) -> Option<usize> {
        let position = entry.position;
        if examined.kid.is_none() {
            self.report(
                position,
                FindingKind::Header,
                "the header is not exactly that of a signed event",
            );
        }
        let statement = match &examined.statement {
            Ok(statement) => statement,
            Err(problem) => {
                self.report(position, FindingKind::Statement, problem.clone());
                if position == 0 {
                    self.report(0, FindingKind::Genesis, "there is no genesis");
                }
                return None;
            }
        };
        if statement.origin != self.trust.origin() {
            let detail = format!("the statement belongs to the log {}", statement.origin);
            self.report(position, FindingKind::Origin, detail);
        }
        self.take_stream(position, statement);
        self.take_time(position, statement.recorded_at);
        self.take_payload(position, statement, examined.payload.as_ref());
        let kid = examined.kid.as_deref()?;
        if position == 0 || (self.keyring.is_none() && self.events == 1) {
            self.take_genesis(entry, kid, statement);
            return None;
        }
        let index = match self.keyring.as_ref()?.active_index(kid, position) {
            Ok(index) => index,
            Err(error) => {
                let kind = match error {
                    KeyringError::Unknown { .. } => FindingKind::ForeignKey,
                    _ => FindingKind::InactiveKey,
                };
                self.report(position, kind, error.to_string());
                return None;
            }
        };
        if statement.stream_type != system::STREAM_TYPE {
            return Some(index);
        }
        self.take_key_event(entry, index, statement);
        None
    }

    fn take_genesis(&mut self, entry: &LogEntry, kid: &str, statement: &Statement) {
        if entry.position != 0 {
            self.report(0, FindingKind::Genesis, "the log does not begin at position 0");
            return;
        }
        let payload = entry.payload.as_deref().unwrap_or_default();
        let keyring = match Keyring::genesis(statement, payload) {
            Ok(keyring) => keyring,
            Err(error) => {
                self.report(0, FindingKind::Genesis, with_source(&error));
                return;
            }
        };
        match keyring.active(kid, 0) {
            Err(_) => self.report(0, FindingKind::Genesis, "it is not signed by the key it names"),
            Ok(key) => {
                if let Err(error) = key.verify(&entry.header, &entry.statement, &entry.signature) {
                    self.report(0, FindingKind::Signature, error.to_string());
                }
            }
        }
        self.keyring = Some(keyring);
    }

    /// An event of the log's own: its signature must hold before it changes the keyring.
    fn take_key_event(&mut self, entry: &LogEntry, index: usize, statement: &Statement) {
        let position = entry.position;
        let Some(keyring) = &mut self.keyring else { return };
        let key = &keyring.periods()[index].key;
        if let Err(error) = key.verify(&entry.header, &entry.statement, &entry.signature) {
            self.report(position, FindingKind::Signature, error.to_string());
            return;
        }
        let payload = entry.payload.as_deref().unwrap_or_default();
        if let Err(error) = keyring.apply(position, statement, payload) {
            self.report(position, FindingKind::Keyring, with_source(&error));
        }
    }

    fn take_stream(&mut self, position: u64, statement: &Statement) {
        let types = self.stream_types.len() as u32;
        let kind = match self.stream_types.get(&statement.stream_type) {
            Some(kind) => *kind,
            None => {
                self.stream_types.insert(statement.stream_type.clone(), types);
                types
            }
        };
        let head = self.streams.entry((kind, statement.stream_id)).or_insert(0);
        let (expected, found) = (*head + 1, statement.sequence);
        *head = found.max(*head);
        if found != expected {
            let detail = format!("the stream's next sequence is {expected}, not {found}");
            self.report(position, FindingKind::Sequence, detail);
        }
        if !self.event_ids.insert(statement.event_id) {
            self.report(position, FindingKind::DuplicateEvent, "an earlier event has the same id");
        }
    }

    fn take_time(&mut self, position: u64, recorded_at: Timestamp) {
        if let Some(latest) = self.latest
            && latest.duration_since(recorded_at) > self.options.clock_tolerance
        {
            let detail = format!("recorded at {recorded_at}, but an earlier position at {latest}");
            self.report(position, FindingKind::Clock, detail);
        }
        self.latest = self.latest.max(Some(recorded_at));
    }

    fn take_payload(
        &mut self,
        position: u64,
        statement: &Statement,
        payload: Option<&(Digest, u64)>,
    ) {
        let said = &statement.payload;
        let Some((digest, size)) = payload else {
            self.payloads_absent += 1;
            if self.options.require_payloads || statement.stream_type == system::STREAM_TYPE {
                self.report(position, FindingKind::PayloadMissing, "the payload is not there");
            }
            return;
        };
        self.payloads += 1;
        if *digest != said.sha256 || *size != said.size {
            self.report(
                position,
                FindingKind::Payload,
                "the payload is not the one that was signed",
            );
        }
        let sealed = said.encryption != ENCRYPTION_NONE;
        let overhead = if sealed { OVERHEAD as u64 } else { 0 };
        if said.size < overhead || said.size > MAX_PAYLOAD as u64 + overhead {
            self.report(
                position,
                FindingKind::Payload,
                "the payload has a size this format does not allow",
            );
        }
    }

    fn compare_checkpoints(&mut self) {
        let size = self.next;
        for expected in self.expected.remove(&size).unwrap_or_default() {
            self.compare_checkpoint(size, &expected);
        }
    }

    fn compare_checkpoint(&mut self, size: u64, expected: &Expected) {
        self.checkpoints += 1;
        let last = size.saturating_sub(1);
        let (checkpoint, kind) = match (&expected.note, &expected.checkpoint) {
            (Some(note), _) => match Checkpoint::from_note(note, &self.checkpoint_keys(size)) {
                Ok(checkpoint) => (checkpoint, FindingKind::Root),
                Err(error) => {
                    let detail = format!("the checkpoint of size {size}: {}", with_source(&error));
                    self.report(last, FindingKind::Checkpoint, detail);
                    return;
                }
            },
            (None, Some(pinned)) => (pinned.clone(), FindingKind::Fork),
            (None, None) => return,
        };
        if checkpoint.size != size || checkpoint.origin != self.trust.origin() {
            let detail = format!(
                "the checkpoint of size {size} speaks of size {} of {}",
                checkpoint.size, checkpoint.origin
            );
            self.report(last, FindingKind::Checkpoint, detail);
            return;
        }
        if self.broken {
            return;
        }
        if checkpoint.root == self.tree.root() {
            if !self.bad_root {
                self.good_size = size;
            }
            return;
        }
        if !self.bad_root {
            self.bad_root = true;
            self.report_root(kind, size);
        }
    }

    /// The root is wrong for some position between the last good size and this one.
    fn report_root(&mut self, kind: FindingKind, size: u64) {
        let good = self.good_size;
        let named = self
            .findings
            .iter()
            .map(|finding| finding.position)
            .filter(|position| (good..size).contains(position))
            .min();
        let detail = format!(
            "the tree of {size} entries has another root than its checkpoint; up to {good} it agrees"
        );
        self.report(named.unwrap_or(good), kind, detail);
    }

    fn checkpoint_keys(&self, size: u64) -> Vec<NoteVerifier> {
        match &self.keyring {
            Some(keyring) => keyring.verifiers(size),
            None => self.trust.keys().to_vec(),
        }
    }

    /// Ends with the checkpoint that must cover exactly the entries there were.
    pub fn finish(&mut self, note: &str) -> Report {
        // Which keys may have signed it depends on the size it speaks of.
        let claimed = Checkpoint::peek(note).map_or(self.next, |checkpoint| checkpoint.size);
        let mut keys = self.checkpoint_keys(claimed);
        if claimed > self.next {
            // The keyring ends too early as well; a key the auditor brought along may still tell.
            keys.extend(self.trust.keys().iter().cloned());
        }
        let read = Checkpoint::from_note(note, &keys);
        let size = read.as_ref().ok().map(|checkpoint| checkpoint.size);
        match read {
            Err(error) => {
                let detail = format!("the final checkpoint: {}", with_source(&error));
                let last = claimed.min(self.next).saturating_sub(1);
                self.report(last, FindingKind::Checkpoint, detail);
            }
            Ok(checkpoint) => self.compare_final(&checkpoint),
        }
        let unreached: Vec<u64> = std::mem::take(&mut self.expected).into_keys().collect();
        let end = self.next;
        for size in unreached.into_iter().filter(|size| *size > end) {
            let detail = format!("a checkpoint of size {size} was seen, but the log ends before");
            self.report(end, FindingKind::Missing, detail);
        }
        self.compare_trust(note);
        self.findings.sort_by_key(|finding| finding.position);
        Report {
            origin: self.trust.origin().to_owned(),
            events: self.events,
            streams: self.streams.len() as u64,
            size,
            root: self.tree.root(),
            checkpoints: self.checkpoints,
            payloads: self.payloads,
            payloads_absent: self.payloads_absent,
            plaintexts: self.plaintexts,
            last_recorded_at: self.latest,
            findings: self.findings.clone(),
            more_findings: self.more_findings,
        }
    }

    fn compare_final(&mut self, checkpoint: &Checkpoint) {
        self.checkpoints += 1;
        if checkpoint.origin != self.trust.origin() {
            let detail = format!("the checkpoint belongs to the log {}", checkpoint.origin);
            self.report(0, FindingKind::Origin, detail);
        }
        if self.next < checkpoint.size && self.has_gap(self.next..=self.next) {
            // Reported already, by whoever knew the size from elsewhere.
        } else if self.next < checkpoint.size {
            let missing = checkpoint.size - self.next;
            let detail = format!("{missing} positions are missing from here to the log's end");
            self.report(self.next, FindingKind::Missing, detail);
        } else if self.next > checkpoint.size {
            let detail = format!("the log ends at size {}", checkpoint.size);
            self.report(checkpoint.size, FindingKind::Unexpected, detail);
        } else if checkpoint.root != self.tree.root() && !self.broken && !self.bad_root {
            self.report_root(FindingKind::Root, checkpoint.size);
        }
    }

    /// The chain of keys must begin or end with a key the auditor brought along.
    fn compare_trust(&mut self, note: &str) {
        let begins = self
            .keyring
            .as_ref()
            .and_then(|keyring| keyring.periods().first())
            .is_some_and(|period| self.trust.contains(&period.key));
        let ends = Checkpoint::from_note(note, self.trust.keys()).is_ok();
        if !begins && !ends {
            let detail = "no trusted key is the log's first key or signed its last checkpoint";
            self.report(0, FindingKind::Untrusted, detail);
        }
    }
}

fn examine(entry: &LogEntry) -> Examined {
    let LogEntry { header, statement, signature, payload, .. } = entry;
    Examined {
        kid: jws::kid(header).ok().map(str::to_owned),
        statement: Statement::parse(statement).map_err(|error| with_source(&error)),
        leaf_hash: jws::leaf(header, statement, signature),
        payload: payload.as_ref().map(|bytes| (Digest::of(bytes), bytes.len() as u64)),
    }
}

/// The message of an error and of what caused it.
pub(crate) fn with_source(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Maps items in order, over some threads.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    const WORTH_A_THREAD: usize = 32;
    let threads = threads.min(items.len() / WORTH_A_THREAD);
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let (work, size) = (&work, items.len().div_ceil(threads));
    std::thread::scope(|scope| {
        let handles: Vec<_> = items
            .chunks(size)
            .map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<R>>()))
            .collect();
        handles
            .into_iter()
            .flat_map(|handle| match handle.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// Verifies a whole log that is in memory.
#[must_use]
pub fn verify_log(entries: &[LogEntry], note: &str, trust: Trust, options: Options) -> Report {
    let mut verifier = Verifier::new(trust, options);
    for chunk in entries.chunks(1024) {
        verifier.push(chunk);
    }
    verifier.finish(note)
}
