//! The claims as a replay of the log makes them. What is replayed is the log that was signed: each leaf is hashed again, and the
//! tree of all of them must be that of a checkpoint signed by one of our keys.

use std::collections::{BTreeMap, HashMap, HashSet};

use audit::checkpoint::Checkpoint;
use audit::jws;
use audit::merkle::CompactRange;
use audit::postgres::{DataKeyError, DataKeys, DatabaseError, LogReader, LogRow, head, rows};
use audit::seal::{EventIdentity, open_payload};
use audit::statement::{Digest, Statement};
use domain::{Claim, ClaimChange, ERASURE, Event, STREAM_KINDS};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::finding::{ClaimFinding, Difference};
use super::key::claim_key;
use super::row::{ClaimRow, Holder};
use super::tag::{Bucket, ClaimTags};
use crate::keys::{Keys, KeysError};
use crate::streams::log_policy;

/// After how many events the progress is logged.
const PROGRESS: u64 = 65_536;

/// Why the claims could not be made from the log.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// The database failed.
    #[error("the database failed while claims were made from the log")]
    Database(#[from] sqlx::Error),
    /// The log could not be read.
    #[error("the log could not be read")]
    Log(#[from] DatabaseError),
    /// The keys could not be read.
    #[error("the keys could not be read")]
    Keys(#[from] KeysError),
    /// There is no log, or its right edge is not what one of our keys signed.
    #[error("the log's right edge is not what one of the keys at hand signed ({reason})")]
    Head {
        /// What does not fit.
        reason: &'static str,
    },
    /// An event is not what was signed.
    #[error("event {position} is damaged ({what}): run `ledger audit verify`")]
    Damaged {
        /// Which.
        position: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The data key of an event is not there although its subject was not erased, or does not open it.
    #[error(
        "event {position} cannot be opened, and the log does not say that its subject was erased"
    )]
    Unopened {
        /// Which.
        position: u64,
    },
    /// The data key of an event could not be read.
    #[error("the data key of event {position} could not be read")]
    DataKey {
        /// Which.
        position: u64,
        /// Why not.
        #[source]
        source: DataKeyError,
    },
}

/// A claim that the log grants, and by which event.
#[derive(Clone, Copy, Debug)]
struct Granted {
    stream_type: &'static str,
    stream: Uuid,
    subject: Uuid,
    position: u64,
}

/// A time that is taken.
#[derive(Clone, Copy, Debug)]
struct Time {
    kind: &'static str,
    id: Uuid,
    from: i64,
    until: i64,
}

/// The log's own right edge, signed by one of our keys.
#[derive(Debug)]
pub(super) struct SignedHead {
    pub(super) size: u64,
    pub(super) frontier: Vec<u8>,
    root: audit::merkle::Hash,
}

impl SignedHead {
    pub(super) async fn read(
        connection: &mut PgConnection,
        keys: &Keys,
        origin: &str,
    ) -> Result<SignedHead, ClaimsError> {
        let wrong = |reason| ClaimsError::Head { reason };
        let head = head(connection).await?.ok_or_else(|| wrong("there is no log"))?;
        let note = String::from_utf8(head.checkpoint).map_err(|_| wrong("it is not text"))?;
        let read = |keys: &Keys| {
            let verifiers = keys.verifiers(origin).ok()?;
            Checkpoint::from_note(&note, &verifiers).ok()
        };
        let checkpoint = match read(keys) {
            Some(checkpoint) => checkpoint,
            // Another process may sign with a key that was added since.
            None => {
                keys.refresh()?;
                read(keys).ok_or_else(|| wrong("its signature is by none of them"))?
            }
        };
        if checkpoint.size != head.size || checkpoint.origin != origin {
            return Err(wrong("the checkpoint is another one's"));
        }
        let tree = CompactRange::from_bytes(head.size, &head.frontier);
        if tree.ok().is_none_or(|tree| tree.root() != checkpoint.root) {
            return Err(wrong("the frontier is not that of the checkpoint"));
        }
        Ok(SignedHead { size: head.size, frontier: head.frontier, root: checkpoint.root })
    }
}

/// A replay on its way: about 120 bytes of memory for each claim that is held, whatever the log's length.
pub(super) struct Replay {
    keys: Keys,
    data_keys: DataKeys,
    tree: CompactRange,
    unique: HashMap<(&'static str, [u8; 32]), Granted>,
    busy: HashMap<Uuid, (Granted, Vec<Time>)>,
    /// Whose events did not open, and the first of them.
    unopened: HashMap<Uuid, u64>,
    erased: HashSet<Uuid>,
    conflicts: Vec<ClaimFinding>,
}

impl Replay {
    pub(super) fn new(pool: &PgPool, keys: &Keys, origin: &str) -> Replay {
        let reader = LogReader::new(origin, log_policy());
        Replay {
            keys: keys.clone(),
            data_keys: DataKeys::new(pool.clone(), keys.key_wrap(), reader),
            tree: CompactRange::new(),
            unique: HashMap::new(),
            busy: HashMap::new(),
            unopened: HashMap::new(),
            erased: HashSet::new(),
            conflicts: Vec::new(),
        }
    }

    /// Replays on, up to a signed head.
    pub(super) async fn catch_up(
        &mut self,
        connection: &mut PgConnection,
        head: &SignedHead,
    ) -> Result<(), ClaimsError> {
        while self.tree.size() < head.size {
            let from = self.tree.size();
            let page = rows(connection, from, head.size).await?;
            if page.is_empty() {
                return Err(ClaimsError::Damaged { position: from, what: "it is missing" });
            }
            for row in &page {
                self.apply(row).await?;
            }
            let size = self.tree.size();
            if size / PROGRESS != from / PROGRESS {
                tracing::info!(size, of = head.size, "replaying the log for its claims");
            }
        }
        if self.tree.size() != head.size || self.tree.root() != head.root {
            return Err(ClaimsError::Head { reason: "the stored events do not make its root" });
        }
        let unopened = self.unopened.iter().filter(|(subject, _)| !self.erased.contains(subject));
        match unopened.map(|(_, position)| *position).min() {
            Some(position) => Err(ClaimsError::Unopened { position }),
            None => Ok(()),
        }
    }

    async fn apply(&mut self, row: &LogRow) -> Result<(), ClaimsError> {
        let position = self.tree.size();
        let damaged = |what| ClaimsError::Damaged { position, what };
        if row.position != position {
            return Err(damaged("it is missing"));
        }
        let signature: &[u8; 64] = row
            .signature
            .as_slice()
            .try_into()
            .map_err(|_| damaged("its signature is malformed"))?;
        self.tree.push(jws::leaf(&row.header, &row.statement, signature));
        // Everything is taken from the statement, which the tree binds, and nothing from the columns.
        let statement = Statement::parse(&row.statement)
            .map_err(|_| damaged("its statement cannot be read"))?;
        if (statement.stream_type.as_str(), statement.event_type.as_str()) == ERASURE {
            self.erase(statement.stream_id);
        }
        // The payloads of streams without claims are not opened.
        let mut claiming = STREAM_KINDS.iter().filter(|kind| kind.has_claims);
        let kind = claiming.find(|kind| kind.stream_type == statement.stream_type);
        let Some(stream_type) = kind.map(|kind| kind.stream_type) else { return Ok(()) };
        if Digest::of(&row.payload) != statement.payload.sha256 {
            return Err(damaged("its payload is not what was signed"));
        }
        let (Some(subject), Some(commitment)) = (statement.subject, &statement.payload.commitment)
        else {
            return Err(damaged("it is not sealed"));
        };
        let key = match self.data_keys.of(&statement).await {
            Ok(key) => key,
            Err(DataKeyError::Erased { .. } | DataKeyError::Missing { .. }) => None,
            Err(source) => return Err(ClaimsError::DataKey { position, source }),
        };
        let identity = EventIdentity::of(&statement);
        let opened =
            key.and_then(|key| open_payload(&key.key, &identity, &row.payload, &commitment.0).ok());
        let Some(body) = opened else {
            self.unopened.entry(subject).or_insert(position);
            return Ok(());
        };
        let Statement { event_type, event_version, .. } = &statement;
        let event = Event::from_stored(stream_type, event_type, event_version, &body)
            .map_err(|_| damaged("its payload is no event"))?;
        let granted = Granted { stream_type, stream: statement.stream_id, subject, position };
        for change in event.claims(statement.stream_id) {
            self.change(granted, change);
        }
        Ok(())
    }

    fn change(&mut self, granted: Granted, change: ClaimChange) {
        match change {
            ClaimChange::Take(Claim::Unique { kind, key }) => {
                let key = claim_key(&self.keys, kind, &key);
                let held = *self.unique.entry((kind, key)).or_insert(granted);
                if held.stream != granted.stream {
                    self.conflicts.push(granted_twice(kind, &granted));
                }
            }
            ClaimChange::ReleaseUnique { kind, key } => {
                let entry = (kind, claim_key(&self.keys, kind, &key));
                if self.unique.get(&entry).is_some_and(|held| held.stream == granted.stream) {
                    self.unique.remove(&entry);
                }
            }
            ClaimChange::Take(Claim::Busy { resource, from, until }) => {
                let time = Time {
                    kind: resource.kind.as_str(),
                    id: resource.id,
                    from: from.as_microsecond(),
                    until: until.as_microsecond(),
                };
                let held = self.busy.entry(granted.stream).or_insert((granted, Vec::new()));
                held.0.position = granted.position;
                held.1.push(time);
            }
            ClaimChange::ReleaseBusy => {
                self.busy.remove(&granted.stream);
            }
        }
    }

    /// The claims of the streams of an erased subject go with its key.
    fn erase(&mut self, subject: Uuid) {
        self.erased.insert(subject);
        self.unique.retain(|_, granted| granted.subject != subject);
        self.busy.retain(|_, (granted, _)| granted.subject != subject);
    }

    /// The rows that the tables should hold, each with the position of the event that granted it; and what the log itself
    /// granted twice. Of two times that overlap, the one granted first counts.
    pub(super) fn rows(&self, tags: &ClaimTags) -> (Expected, Vec<ClaimFinding>) {
        let mut conflicts = self.conflicts.clone();
        let mut expected = Expected::new();
        let mut put = |row: ClaimRow, position| {
            expected.entry(tags.bucket_of(&row)).or_default().push((row, position));
        };
        for ((kind, key), granted) in &self.unique {
            let holder = holder(granted);
            let row = ClaimRow::Unique { kind: (*kind).to_owned(), key: key.to_vec(), holder };
            put(row, granted.position);
        }
        let mut times: Vec<(&Granted, &Time)> = self
            .busy
            .values()
            .flat_map(|(granted, times)| times.iter().map(move |time| (granted, time)))
            .collect();
        times.sort_by_key(|(granted, time)| (granted.position, time.kind, time.id, time.from));
        let mut taken: HashMap<(&str, Uuid), BTreeMap<i64, i64>> = HashMap::new();
        for (granted, time) in times {
            let taken = taken.entry((time.kind, time.id)).or_default();
            let before = taken.range(..time.until).next_back();
            if before.is_some_and(|(_, until)| *until > time.from) {
                conflicts.push(granted_twice(time.kind, granted));
                continue;
            }
            taken.insert(time.from, time.until);
            let Time { kind, id, from, until } = *time;
            let holder = holder(granted);
            put(
                ClaimRow::Busy { kind: kind.to_owned(), id, from, until, holder },
                granted.position,
            );
        }
        (expected, conflicts)
    }
}

/// What the tables should hold.
pub(super) type Expected = BTreeMap<Bucket, Vec<(ClaimRow, u64)>>;

fn holder(granted: &Granted) -> Holder {
    Holder { stream_type: granted.stream_type.to_owned(), stream_id: granted.stream }
}

fn granted_twice(kind: &str, granted: &Granted) -> ClaimFinding {
    ClaimFinding {
        difference: Difference::GrantedTwice,
        kind: kind.to_owned(),
        stream_type: granted.stream_type.to_owned(),
        stream_id: granted.stream,
        position: Some(granted.position),
    }
}
