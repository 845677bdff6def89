//! The one reader of events. Nothing it gives back is believed because a row says so: the statement must agree with
//! every column, the payload must be the signed one, and the event must stand where it is, below a signed head,
//! either because its leaf is the one that the proved tree has there, or by a strict signature under a key active
//! at that position.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::damage::{Damage, ReadError};
use super::examine::{Examined, Fetched, LogPolicy, examine, of_types};
use super::index::{Index, StreamSeen};
use super::range::Frontiers;
use super::tags::EventTags;
use super::{COLUMNS, DatabaseError, LogRow, StoredKeyring, keyring, signed, unsigned};
use crate::checkpoint::Checkpoint;
use crate::jws;
use crate::keyring::KeyringError;
use crate::merkle::Hash;
use crate::statement::Statement;
use crate::system;
use crate::verify::{FindingKind, cores, in_parallel, with_source};

/// So many rows are worth a thread that may block.
const WORTH_A_THREAD: usize = 16;

/// An event that was proved to be what was signed, where it stands. Only the reader makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEvent {
    position: u64,
    statement: Statement,
    payload: Vec<u8>,
    header: Vec<u8>,
    stored: Vec<u8>,
    signature: [u8; 64],
    leaf: Hash,
}

impl VerifiedEvent {
    pub(super) fn proved(row: LogRow, examined: Examined) -> VerifiedEvent {
        let Examined { statement, leaf, signature } = examined;
        let LogRow { position, header, statement: stored, payload, .. } = row;
        VerifiedEvent { position, statement, payload, header, stored, signature, leaf }
    }

    /// Where it stands in the log.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What was signed.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The stored payload, sealed exactly if the statement names a subject.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The compact JWS.
    #[must_use]
    pub fn compact(&self) -> String {
        jws::compact(&self.header, &self.stored, &self.signature)
    }

    /// The leaf hash of the event.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        self.leaf
    }
}

/// The newest events of a stream, of which nothing is proved yet. Only [`LogReader::prove_end`] gives them away.
#[derive(Clone, Debug)]
pub struct StreamEnd(Vec<LogRow>);

impl StreamEnd {
    /// The sequences of the first and the last of them, as the rows have it; `None` if the stream is empty.
    #[must_use]
    pub fn span(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.0.first()?, self.0.last()?);
        Some((unsigned(first.sequence), unsigned(last.sequence)))
    }
}

/// The right edge of the log, as its signed checkpoint has it. Only the reader makes one.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHead {
    /// The size of the log.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
    /// The signed note.
    pub note: String,
    /// The largest position in the table; one less than the size, unless a row was inserted there past the ledger.
    pub last_position: Option<u64>,
}

/// What the reader has verified so far.
#[derive(Debug, Default)]
struct Known {
    keyring: Option<Arc<StoredKeyring>>,
    head: Option<Arc<VerifiedHead>>,
    /// Larger than the head where this process itself has appended.
    size: u64,
}

pub(super) struct Shared {
    pub(super) origin: String,
    pub(super) policy: LogPolicy,
    tags: Option<EventTags>,
    known: RwLock<Known>,
    index: RwLock<Index>,
    frontiers: Mutex<Frontiers>,
    threads: usize,
}

/// Reads events. Cheap to clone; clones share what is known.
#[derive(Clone)]
pub struct LogReader {
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader").field("origin", &self.shared.origin).finish_non_exhaustive()
    }
}

impl LogReader {
    /// A reader of the log with this origin. Knows nothing yet: keys and head are read when they are needed.
    #[must_use]
    pub fn new(origin: impl Into<String>, policy: LogPolicy) -> LogReader {
        LogReader::make(origin.into(), policy, None)
    }

    /// The same, for a process that holds the ledger's keys: a tag that holds stands for a signature that does.
    #[must_use]
    pub fn with_tags(origin: impl Into<String>, policy: LogPolicy, tags: EventTags) -> LogReader {
        LogReader::make(origin.into(), policy, Some(tags))
    }

    fn make(origin: String, policy: LogPolicy, tags: Option<EventTags>) -> LogReader {
        let threads = cores().min(4);
        LogReader {
            shared: Arc::new(Shared {
                origin,
                policy,
                tags,
                known: RwLock::default(),
                index: RwLock::default(),
                frontiers: Mutex::default(),
                threads,
            }),
        }
    }

    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// The size up to which the log is known to reach.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.known().size
    }

    /// Tells of a size that this process has itself appended up to: whatever stands below may be read without
    /// another look at the head, and a head that is smaller from now on is damage.
    pub fn appended_to(&self, size: u64) {
        let mut known = self.known_mut();
        known.size = known.size.max(size);
    }

    /// Takes over what was proved when the log was opened: its keys, and a size up to which it reaches.
    pub fn opened(&self, keyring: StoredKeyring, size: u64) {
        self.appended_to(size);
        let mut known = self.known_mut();
        if known.keyring.as_ref().is_none_or(|known| known.version <= keyring.version) {
            known.keyring = Some(Arc::new(keyring));
        }
    }

    /// Reads the right edge. Its checkpoint must be signed by a key active at its last position, and it must not
    /// lie before what this process has seen.
    pub async fn head(&self, connection: &mut PgConnection) -> Result<VerifiedHead, ReadError> {
        let seen = self.size();
        let row = sqlx::query(
            "SELECT origin, size, checkpoint, (SELECT max(position) FROM events),
                    coalesce((SELECT max(sequence) FROM events
                               WHERE aggregate_type = $1 AND aggregate_id = $2), 0)
               FROM ledger_head",
        )
        .bind(system::STREAM_TYPE)
        .bind(system::stream_id(&self.shared.origin))
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(ReadError::Empty)?;
        let origin: String = row.try_get(0)?;
        let size = unsigned(row.try_get(1)?);
        let note: Vec<u8> = row.try_get(2)?;
        let last_position: Option<i64> = row.try_get(3)?;
        let own_version = unsigned(row.try_get(4)?);
        let damage = |kind, detail: String| Damage::new(size.saturating_sub(1), kind, detail);
        if origin != self.shared.origin {
            let detail = format!("the right edge belongs to the log {origin}");
            return Err(damage(FindingKind::Origin, detail).into());
        }
        if size < seen {
            let detail = format!("the log ends here, but {seen} events were seen of it");
            return Err(Damage::new(size, FindingKind::Missing, detail).into());
        }
        let keyring = self.keyring_of(connection, own_version).await?;
        let note = String::from_utf8(note)
            .map_err(|_| damage(FindingKind::Checkpoint, "it is not text".to_owned()))?;
        let last_position = last_position.map(unsigned);
        if let Some(head) = self.known().head.as_ref().filter(|head| head.note == note) {
            if head.size == size {
                return Ok(VerifiedHead { last_position, ..VerifiedHead::clone(head) });
            }
            let detail = format!("the right edge says {size}, its checkpoint {}", head.size);
            return Err(damage(FindingKind::Head, detail).into());
        }
        let checkpoint = self.checkpoint(&keyring, size, &note)?;
        let head = VerifiedHead { size, root: checkpoint.root, note, last_position };
        let mut known = self.known_mut();
        known.size = known.size.max(size);
        if known.head.as_ref().is_none_or(|known| known.size <= size) {
            known.head = Some(Arc::new(head.clone()));
        }
        Ok(head)
    }

    /// The signed checkpoint of a size, with its note.
    pub async fn checkpoint_of(
        &self,
        connection: &mut PgConnection,
        size: u64,
    ) -> Result<(Checkpoint, String), ReadError> {
        if size > self.size() {
            self.head(connection).await?;
        }
        let keyring = self.keyring(connection).await?;
        let kind = FindingKind::Checkpoint;
        let stored = super::checkpoint(connection, size)
            .await
            .map_err(|error| ReadError::at(size.saturating_sub(1), kind, error))?;
        let note = stored.filter(|_| size <= self.size()).ok_or_else(|| {
            let detail = format!("there is no checkpoint of size {size}");
            Damage::new(size.saturating_sub(1), kind, detail)
        })?;
        Ok((self.checkpoint(&keyring, size, &note)?, note))
    }

    /// Reads a signed note whose size is given beside it.
    pub(super) fn checkpoint(
        &self,
        keyring: &StoredKeyring,
        size: u64,
        note: &str,
    ) -> Result<Checkpoint, Damage> {
        let damage = |detail| Damage::new(size.saturating_sub(1), FindingKind::Checkpoint, detail);
        let keys = keyring.keyring.verifiers(size);
        let checkpoint = Checkpoint::from_note(note, &keys)
            .map_err(|error| damage(format!("of size {size}: {}", with_source(&error))))?;
        if checkpoint.size == size && checkpoint.origin == self.shared.origin {
            Ok(checkpoint)
        } else {
            let Checkpoint { origin, size: said, .. } = checkpoint;
            Err(damage(format!("the checkpoint of size {size} speaks of size {said} of {origin}")))
        }
    }

    /// The keys of the log, read again if its own stream has grown.
    async fn keyring_of(
        &self,
        connection: &mut PgConnection,
        version: u64,
    ) -> Result<Arc<StoredKeyring>, ReadError> {
        let known = self.known().keyring.clone();
        let seen = known.as_ref().map_or(0, |known| known.version);
        match known {
            Some(known) if known.version == version => return Ok(known),
            _ => {}
        }
        let stored = keyring(connection, &self.shared.origin)
            .await
            .map_err(|error| ReadError::at(0, FindingKind::Keyring, error))?
            .ok_or_else(|| Damage::new(0, FindingKind::Genesis, "there is no genesis"))?;
        if stored.version < seen {
            let detail =
                format!("{seen} of the log's own events were seen, {} are there", stored.version);
            return Err(Damage::new(0, FindingKind::Keyring, detail).into());
        }
        let stored = Arc::new(stored);
        self.known_mut().keyring = Some(Arc::clone(&stored));
        Ok(stored)
    }

    /// The keys of the log as of the newest head read.
    pub(super) async fn keyring(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Arc<StoredKeyring>, ReadError> {
        if let Some(known) = self.known().keyring.clone() {
            return Ok(known);
        }
        self.head(connection).await?;
        self.known().keyring.clone().ok_or(ReadError::Empty)
    }

    /// The events of one stream after the sequence `after`, at most `limit` of them: dense, in order, proved.
    pub async fn stream(
        &self,
        connection: &mut PgConnection,
        (stream_type, stream_id): (&str, Uuid),
        after: u64,
        limit: i64,
    ) -> Result<Vec<VerifiedEvent>, ReadError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 \
             AND sequence > $3 ORDER BY sequence LIMIT $4"
        );
        let rows: Vec<LogRow> = sqlx::query_as(&sql)
            .bind(stream_type)
            .bind(stream_id)
            .bind(signed(after))
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
        in_order(self.check(connection, rows).await?, after)
    }

    /// The newest events of one stream, at most `limit` of them, as their rows stand there.
    pub async fn stream_end(
        &self,
        connection: &mut PgConnection,
        (stream_type, stream_id): (&str, Uuid),
        limit: i64,
    ) -> Result<StreamEnd, ReadError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 \
             ORDER BY sequence DESC LIMIT $3"
        );
        let mut rows: Vec<LogRow> = sqlx::query_as(&sql)
            .bind(stream_type)
            .bind(stream_id)
            .bind(limit)
            .fetch_all(connection)
            .await?;
        rows.reverse();
        Ok(StreamEnd(rows))
    }

    /// Those of them after the sequence `after`: dense, in order, proved.
    pub async fn prove_end(
        &self,
        connection: &mut PgConnection,
        StreamEnd(mut rows): StreamEnd,
        after: u64,
    ) -> Result<Vec<VerifiedEvent>, ReadError> {
        rows.retain(|row| unsigned(row.sequence) > after);
        in_order(self.check(connection, rows).await?, after)
    }

    /// The event that erases a subject, if the log has one.
    pub async fn erasure_of(
        &self,
        connection: &mut PgConnection,
        subject: Uuid,
    ) -> Result<Option<VerifiedEvent>, ReadError> {
        let Some((stream_type, event_type)) = self.shared.policy.erasure else { return Ok(None) };
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 \
             AND event_type = $3 ORDER BY sequence LIMIT 1"
        );
        let rows: Vec<LogRow> = sqlx::query_as(&sql)
            .bind(stream_type)
            .bind(subject)
            .bind(event_type)
            .fetch_all(&mut *connection)
            .await?;
        Ok(self.check(connection, rows).await?.pop())
    }

    /// Whether the log says that a subject is erased: by heart, or by a row that is proved.
    pub(super) async fn is_erased(
        &self,
        connection: &mut PgConnection,
        subject: Uuid,
    ) -> Result<bool, ReadError> {
        if self.index().is_erased(subject) {
            return Ok(true);
        }
        Ok(self.erasure_of(connection, subject).await?.is_some())
    }

    /// The first events of these streams, those there are, by the id of the stream.
    pub async fn firsts(
        &self,
        connection: &mut PgConnection,
        types: &[&str],
        ids: &[Uuid],
    ) -> Result<Vec<VerifiedEvent>, ReadError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE aggregate_type = ANY($1) \
             AND aggregate_id = ANY($2) AND sequence = 1"
        );
        let rows: Vec<LogRow> =
            sqlx::query_as(&sql).bind(types).bind(ids).fetch_all(&mut *connection).await?;
        self.check(connection, rows).await
    }

    /// Whether the log holds events of the stream that a subject begins with.
    #[cfg(feature = "seal")]
    pub(super) async fn knows_subject(
        &self,
        connection: &mut PgConnection,
        subject: Uuid,
    ) -> Result<bool, ReadError> {
        let kinds = &self.shared.policy.subjects;
        Ok(kinds.iter().any(|kind| self.stream_seen(kind, subject).is_some())
            || !self.firsts(connection, kinds, &[subject]).await?.is_empty())
    }

    /// Whom the log erases by an event at `from` or after it, below its head. Each of them is proved.
    pub async fn erasures_from(
        &self,
        connection: &mut PgConnection,
        from: u64,
    ) -> Result<Vec<Uuid>, ReadError> {
        let Some((stream_type, event_type)) = self.shared.policy.erasure else {
            return Ok(Vec::new());
        };
        // By the type of the stream, of which there are few; by position it would be the whole log. The types stand in the
        // query, so that a plan made once for all types is not made for the most frequent one.
        let few = of_types(stream_type, event_type);
        let sql = format!(
            "WITH few AS MATERIALIZED (SELECT {COLUMNS} FROM events WHERE {few})
             SELECT {COLUMNS} FROM few \
             WHERE position >= $1 AND position < (SELECT size FROM ledger_head) ORDER BY position"
        );
        let rows: Vec<LogRow> =
            sqlx::query_as(&sql).bind(signed(from)).fetch_all(&mut *connection).await?;
        let events = self.check(connection, rows).await?;
        Ok(events.iter().map(|event| event.statement.stream_id).collect())
    }

    /// Proves rows, wherever they come from.
    pub async fn check(
        &self,
        connection: &mut PgConnection,
        rows: Vec<LogRow>,
    ) -> Result<Vec<VerifiedEvent>, ReadError> {
        if rows.iter().any(|row| row.position >= self.size()) || self.known().keyring.is_none() {
            self.head(connection).await?;
        }
        if rows.len() < WORTH_A_THREAD {
            return Ok(self.verify(rows)?);
        }
        let reader = self.clone();
        let verified = tokio::task::spawn_blocking(move || reader.verify(rows)).await;
        Ok(verified.map_err(|_| ReadError::GivenUp)??)
    }

    fn verify(&self, rows: Vec<LogRow>) -> Result<Vec<VerifiedEvent>, Damage> {
        let (keyring, size) = {
            let known = self.known();
            (known.keyring.clone(), known.size)
        };
        let shared = &*self.shared;
        let proved = in_parallel(shared.threads, &rows, |row| {
            if row.position >= size {
                let detail = format!("a row stands beyond the log's end at {size}");
                return Err(Damage::new(row.position, FindingKind::Unexpected, detail));
            }
            let examined = examine(row, &shared.origin, &shared.policy, Fetched::Whole)?;
            match self.index().holds(row.position, &examined.leaf) {
                Some(true) => Ok(examined),
                Some(false) => {
                    let detail = "it is not the event that the log's tree has there";
                    Err(Damage::new(row.position, FindingKind::Root, detail))
                }
                None => verify_event(row, &examined, keyring.as_deref(), shared.tags.as_ref())
                    .map(|()| examined),
            }
        });
        rows.into_iter()
            .zip(proved)
            .map(|(row, examined)| Ok(VerifiedEvent::proved(row, examined?)))
            .collect()
    }

    /// What is known of the length of a stream; `None` if nothing is.
    #[must_use]
    pub fn stream_seen(&self, stream_type: &str, stream_id: Uuid) -> Option<StreamSeen> {
        let kind = self.shared.policy.counted(stream_type)?;
        self.index().stream((kind, stream_id))
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.shared.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.shared.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.shared.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.shared.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn frontiers(&self) -> MutexGuard<'_, Frontiers> {
        self.shared.frontiers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events of one stream must have the sequences from the one after `after` on, and stand in the order of them.
fn in_order(events: Vec<VerifiedEvent>, after: u64) -> Result<Vec<VerifiedEvent>, ReadError> {
    let mut before = None;
    for (event, sequence) in events.iter().zip(after + 1..) {
        let position = event.position;
        let found = event.statement.sequence;
        if found != sequence {
            let detail = format!("the stream's next sequence is {sequence}, not {found}");
            return Err(Damage::new(position, FindingKind::Sequence, detail).into());
        }
        if before.is_some_and(|before| position <= before) {
            let detail = "it stands before the event that it follows";
            return Err(Damage::new(position, FindingKind::Sequence, detail).into());
        }
        before = Some(position);
    }
    Ok(events)
}

/// A strict signature under a key that is active where the row stands.
pub(super) fn verify_signature(
    row: &LogRow,
    examined: &Examined,
    keyring: Option<&StoredKeyring>,
) -> Result<(), Damage> {
    verify_event(row, examined, keyring, None)
}

/// A signature under a key that is active where the row stands: checked now, or, as the row's tag says, when it was tagged.
/// A tag that does not hold says nothing, and the signature is checked.
fn verify_event(
    row: &LogRow,
    examined: &Examined,
    keyring: Option<&StoredKeyring>,
    tags: Option<&EventTags>,
) -> Result<(), Damage> {
    let position = row.position;
    let damage = |kind, detail: String| Damage::new(position, kind, detail);
    let keyring = keyring
        .ok_or_else(|| damage(FindingKind::Keyring, "the log's keys are not known".to_owned()))?;
    let kid =
        jws::kid(&row.header).map_err(|error| damage(FindingKind::Header, error.to_string()))?;
    let key = keyring.keyring.active(kid, position).map_err(|error| {
        let kind = match error {
            KeyringError::Unknown { .. } => FindingKind::ForeignKey,
            _ => FindingKind::InactiveKey,
        };
        damage(kind, error.to_string())
    })?;
    let tag = row.tag.as_deref();
    if tags.zip(tag).is_some_and(|(tags, tag)| tags.holds(&examined.leaf, tag)) {
        return Ok(());
    }
    key.verify(&row.header, &row.statement, &examined.signature)
        .map_err(|error| damage(FindingKind::Signature, error.to_string()))
}

impl From<DatabaseError> for ReadError {
    fn from(error: DatabaseError) -> Self {
        ReadError::at(0, FindingKind::Tile, error)
    }
}
