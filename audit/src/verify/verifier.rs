//! The work of verifying, a chunk at a time.

mod checkpoints;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Compared, Finding, FindingKind, LogEntry, Options, Report, Seen, Trust};
use crate::checkpoint::Checkpoint;
use crate::custody::{self, Custody, CustodyError};
use crate::jws;
use crate::keyring::{Keyring, KeyringError};
use crate::merkle::{CompactRange, Hash};
use crate::note::NoteVerifier;
use crate::statement::{Digest, Statement};
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
    at: usize,
    entry: &'a LogEntry,
    key: usize,
}

/// A checkpoint the tree is to be compared with once it has that size.
enum Expected {
    /// A signed one, of the log's own store.
    Stored(String),
    /// One whose signature the caller has checked.
    Pinned(Checkpoint),
    /// One the auditor saw.
    Seen(Seen),
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
    /// Set once an event could not be read or believed: the log may have keys that are not known here.
    uncertain: bool,
    /// How many entries could not be read: each of them may be the next event of some stream.
    unread: u64,
    /// Whether the caller compares the tree, because it knows more of it.
    tree_apart: bool,
    custody: Custody,
    leaves_seen: BTreeMap<u64, Vec<(Hash, String)>>,
    compared: Vec<Compared>,
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
            uncertain: false,
            unread: 0,
            tree_apart: false,
            custody: Custody::default(),
            leaves_seen: BTreeMap::new(),
            compared: Vec::new(),
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
        for pinned in std::mem::take(&mut verifier.options.pinned) {
            verifier.expected.entry(pinned.size).or_default().push(Expected::Pinned(pinned));
        }
        for seen in std::mem::take(&mut verifier.options.seen) {
            for (position, leaf) in seen.leaves() {
                let leaves = verifier.leaves_seen.entry(position).or_default();
                leaves.push((leaf, seen.name().to_owned()));
            }
            let size = seen.checkpoint().size;
            verifier.expected.entry(size).or_default().push(Expected::Seen(seen));
        }
        verifier
    }

    /// Begins at position 0 of a log whose tree the caller compares itself.
    pub(crate) fn without_tree(trust: Trust, options: Options) -> Self {
        Self { tree_apart: true, ..Self::new(trust, options) }
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
        self.expected.entry(size).or_default().push(Expected::Stored(note));
    }

    /// Reports damage that was found elsewhere (a column, a tile, a file).
    pub fn report(&mut self, position: u64, kind: FindingKind, detail: impl Into<String>) {
        self.take_finding(Finding { position, last: None, kind, detail: detail.into() });
    }

    /// Whether the log, as far as it was taken in, erases a subject.
    #[must_use]
    pub fn is_erased(&self, subject: Uuid) -> bool {
        self.custody.erased_at(subject).is_some()
    }

    /// Reports damage somewhere from `position` to `last`, where it cannot be told more exactly.
    pub fn report_span(
        &mut self,
        position: u64,
        last: u64,
        kind: FindingKind,
        detail: impl Into<String>,
    ) {
        let last = Some(last).filter(|last| *last > position);
        self.take_finding(Finding { position, last, kind, detail: detail.into() });
    }

    fn take_finding(&mut self, finding: Finding) {
        if self.findings.len() < self.options.max_findings.max(1) {
            self.findings.push(finding);
            return;
        }
        // A late pass may find an earlier position: the lowest ones are kept.
        self.more_findings += 1;
        let last = self.findings.iter_mut().max_by_key(|finding| finding.order());
        if let Some(last) = last.filter(|last| finding.order() < last.order()) {
            *last = finding;
        }
    }

    /// The lowest position at which an event is certainly wrong: the first damage is there or before.
    pub(crate) fn first_certain(&self) -> Option<u64> {
        let of_events = |kind: FindingKind| !kind.is_of_the_whole() && kind != FindingKind::Tile;
        let named = self.findings.iter().filter(|finding| of_events(finding.kind));
        named.map(|finding| finding.last.unwrap_or(finding.position)).min()
    }

    /// Whether the log may have keys that are not known here, because an event could not be believed.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.uncertain || self.keyring.is_none()
    }

    /// Takes an entry that cannot be taken apart. Its leaf hash is known nevertheless.
    pub(crate) fn push_unreadable(&mut self, position: u64, leaf: Hash, detail: String) {
        self.report(position, FindingKind::File, detail);
        if position == 0 {
            self.report(0, FindingKind::Genesis, "there is no genesis");
        }
        self.skip(1);
        self.events += 1;
        self.tree.push(leaf);
    }

    /// Goes past entries that are missing.
    pub(crate) fn skip(&mut self, count: u64) {
        self.next += count;
        self.unread += count;
        self.uncertain = true;
    }

    /// Whether positions were found missing within a range: what depends on them is no finding of
    /// its own.
    #[must_use]
    pub fn has_gap(&self, positions: std::ops::RangeInclusive<u64>) -> bool {
        self.findings.iter().any(|finding| {
            finding.kind == FindingKind::Missing && positions.contains(&finding.position)
        })
    }

    /// The log's identity, as the auditor trusts it.
    pub(crate) fn origin(&self) -> &str {
        self.trust.origin()
    }

    /// Counts the final checkpoint among those compared.
    pub(crate) fn count_checkpoint(&mut self) {
        self.checkpoints += 1;
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
        for (at, (entry, examined)) in entries.iter().zip(examined).enumerate() {
            if let Some(key) = self.take(entry, &examined) {
                pending.push(Pending { at, entry, key });
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
            match held {
                Err(error) => {
                    self.uncertain = true;
                    let position = pending.entry.position;
                    self.report(position, FindingKind::Signature, error.to_string());
                }
                Ok(()) => {
                    if let Some(statement) = &checked[pending.at].statement {
                        self.take_custody(pending.entry, statement);
                    }
                }
            }
        }
        checked
    }

    /// Holds, erasures and whose key it is: only what was signed counts.
    fn take_custody(&mut self, entry: &LogEntry, statement: &Statement) {
        let Some(payload) = &entry.payload else { return };
        if Digest::of(payload) != statement.payload.sha256 {
            return;
        }
        if let Err(error) = self.custody.apply(entry.position, statement, payload) {
            let kind = match error {
                CustodyError::Erased { .. } => FindingKind::Erased,
                CustodyError::SecondKey | CustodyError::SharedKey => FindingKind::SubjectKey,
                _ => FindingKind::Custody,
            };
            self.report(entry.position, kind, with_source(&error));
        }
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
        for (leaf, name) in self.leaves_seen.remove(&position).unwrap_or_default() {
            if leaf != examined.leaf_hash && !self.tree_apart {
                let detail = format!("the event is not the one of the receipt {name}");
                self.report(position, FindingKind::Fork, detail);
            }
        }
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
            self.uncertain = true;
            self.report(
                position,
                FindingKind::Header,
                "the header is not exactly that of a signed event",
            );
        }
        let statement = match &examined.statement {
            Ok(statement) => statement,
            Err(problem) => {
                self.uncertain = true;
                self.unread += 1;
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
                self.uncertain = true;
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
                self.uncertain = true;
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
            self.uncertain = true;
            self.report(position, FindingKind::Signature, error.to_string());
            return;
        }
        let payload = entry.payload.as_deref().unwrap_or_default();
        if let Err(error) = keyring.apply(position, statement, payload) {
            self.uncertain = true;
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
        let unread = found.saturating_sub(expected);
        if found > expected && unread <= self.unread {
            // Entries that could not be read were reported, and may be the ones missing here.
            self.unread -= unread;
        } else if found != expected {
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
            let clear = [system::STREAM_TYPE, custody::STREAM_TYPE];
            if self.options.require_payloads || clear.contains(&statement.stream_type.as_str()) {
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
    }

    /// Ends with the checkpoint that must cover exactly the entries there were.
    pub fn finish(&mut self, note: &str) -> Report {
        match self.authenticate(note) {
            Err(error) => {
                let claimed =
                    Checkpoint::peek(note).map_or(self.next, |checkpoint| checkpoint.size);
                let last = claimed.min(self.next).saturating_sub(1);
                self.report(last, FindingKind::Checkpoint, error);
            }
            Ok(checkpoint) => self.compare_final(&checkpoint),
        }
        self.conclude(note)
    }

    /// Reads the final checkpoint, which a key active at its last position must have signed.
    pub(crate) fn authenticate(&self, note: &str) -> Result<Checkpoint, String> {
        // Which keys may have signed it depends on the size it speaks of.
        let claimed = Checkpoint::peek(note).map_or(self.next, |checkpoint| checkpoint.size);
        let mut keys = self.checkpoint_keys(claimed);
        if claimed > self.next || self.is_uncertain() {
            // The keyring ends too early as well; a key the auditor brought along may still tell.
            keys.extend(
                self.trust
                    .keys()
                    .iter()
                    .filter(|key| !keys.contains(key))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        }
        Checkpoint::from_note(note, &keys)
            .map_err(|error| format!("the final checkpoint: {}", with_source(&error)))
    }

    /// What is left once the tree was compared: what was seen and never reached, and whom the auditor trusts.
    pub(crate) fn conclude(&mut self, note: &str) -> Report {
        let size = self.authenticate(note).ok().map(|checkpoint| checkpoint.size);
        let end = self.next;
        for (size, expected) in std::mem::take(&mut self.expected) {
            let seen = expected.iter().filter_map(|expected| match expected {
                Expected::Seen(seen) => Some(seen),
                _ => None,
            });
            for seen in seen {
                self.believe(seen, size);
            }
            if size > end {
                let detail =
                    format!("a checkpoint of size {size} was seen, but the log ends before");
                self.report(end, FindingKind::Missing, detail);
            }
        }
        let keys = self.compare_trust(note);
        self.findings.sort_by_key(Finding::order);
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
            keys,
            compared: self.compared.clone(),
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
            // Reported already, by the caller, which knew the size from elsewhere.
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

    /// The chain of keys must begin or end with a key the auditor brought along: one that is the log's first, or one
    /// that counts at the end and signed the checkpoint. Gives back those.
    fn compare_trust(&mut self, note: &str) -> Vec<String> {
        let claimed = Checkpoint::peek(note).map_or(self.next, |checkpoint| checkpoint.size);
        let first = self.keyring.as_ref().and_then(|keyring| keyring.periods().first());
        let first = first.map(|period| period.key.to_bytes());
        let active = self.checkpoint_keys(claimed);
        let vouches = |trusted: &&NoteVerifier| {
            let begins = Some(trusted.key()) == first;
            let counts = active.contains(trusted) || self.is_uncertain() || claimed > self.next;
            begins
                || (counts && Checkpoint::from_note(note, std::slice::from_ref(*trusted)).is_ok())
        };
        let keys: Vec<String> =
            self.trust.keys().iter().filter(vouches).map(ToString::to_string).collect();
        if keys.is_empty() {
            let detail = "no trusted key is the log's first key or signed its last checkpoint";
            self.report(0, FindingKind::Untrusted, detail);
        }
        keys
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
