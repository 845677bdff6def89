//! The watch over the log: what one process knows of it, read in order from position 0 and compared with the signed
//! checkpoints, again and again.
//!
//! Nothing here has a clock: its driver decides when to take the next step, and rests in between.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::PgConnection;
use tokio::sync::watch;
use uuid::Uuid;

use super::damage::{Damage, ReadError};
use super::examine::{Fetched, examine};
use super::index::{Entry, StreamSeen};
use super::range::{covering, missing};
use super::reader::{LogReader, VerifiedHead, verify_signature};
use super::{LogRow, StoredKeyring, rows_limited, signed, tiles, unsigned};
use crate::checkpoint::Checkpoint;
use crate::merkle::{CompactRange, Hash};
use crate::verify::FindingKind;

/// Rows of a step that follows the log; without their payloads they are about a kilobyte each.
const FOLLOWED: u64 = 512;

/// Rows of a short step.
const FOLLOWED_SHORT: u64 = 64;

/// Rows of a step that reads the log again, payloads and all.
const REREAD: u64 = 64;

/// What the watch has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogHealth {
    /// The log has not been read to its end yet; up to here it is sound.
    Reading {
        /// The first position that was not looked at.
        up_to: u64,
    },
    /// Everything up to here is what was signed.
    Sound {
        /// The size of the log that was looked at last.
        up_to: u64,
    },
    /// Something is not.
    Damaged(Damage),
}

/// An event that this process has appended itself.
#[derive(Clone, Copy, Debug)]
pub struct AppendedEvent {
    entry: Entry,
}

/// The watch over the log of one process. Cheap to clone; clones share what is known, with the reader as well.
#[derive(Clone, Debug)]
pub struct LogWatch {
    reader: LogReader,
    health: Arc<watch::Sender<LogHealth>>,
}

/// A second look at everything that is known.
#[derive(Debug)]
pub struct Reread {
    /// The tree that must come out again.
    proved: CompactRange,
    tree: CompactRange,
}

impl LogWatch {
    /// A watch that has not read anything, and tells its reader what it learns.
    #[must_use]
    pub fn new(reader: LogReader) -> LogWatch {
        LogWatch { reader, health: Arc::new(watch::Sender::new(LogHealth::Reading { up_to: 0 })) }
    }

    /// The reader that knows what this watch knows.
    #[must_use]
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// What the watch has found so far.
    #[must_use]
    pub fn health(&self) -> LogHealth {
        self.health.borrow().clone()
    }

    /// The damage, if the watch has found any.
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        match &*self.health.borrow() {
            LogHealth::Damaged(damage) => Some(damage.clone()),
            _ => None,
        }
    }

    /// Tells of every change of [`LogWatch::health`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<LogHealth> {
        self.health.subscribe()
    }

    /// Whether the log has been read to its end once: from then on what is not known is not there.
    #[must_use]
    pub fn has_read_all(&self) -> bool {
        matches!(&*self.health.borrow(), LogHealth::Sound { .. })
    }

    /// The number of events known.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.reader.index().size()
    }

    /// What is known of the length of a stream; `None` if nothing is.
    #[must_use]
    pub fn stream_seen(&self, stream_type: &str, stream_id: Uuid) -> Option<StreamSeen> {
        self.reader.stream_seen(stream_type, stream_id)
    }

    /// The streams of a type that are known.
    #[must_use]
    pub fn streams_of(&self, stream_type: &str) -> Vec<Uuid> {
        let kind = self.reader.shared.policy.counted(stream_type);
        kind.map_or_else(Vec::new, |kind| self.reader.index().streams_of(kind))
    }

    /// Where the events of this actor's command begin, if it was done, and is among the newest million commands.
    #[must_use]
    pub fn command_seen(&self, actor: Uuid, command: Uuid) -> Option<u64> {
        self.reader.index().command(actor, command)
    }

    /// The latest time at which an event was recorded, of those known. It is what was signed.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        self.reader.index().latest()
    }

    /// Whether a subject is known to be erased. Before [`LogWatch::has_read_all`], `false` means nothing.
    #[must_use]
    pub fn is_known_erased(&self, subject: Uuid) -> bool {
        self.reader.index().is_erased(subject)
    }

    /// Everybody known to be erased.
    #[must_use]
    pub fn erased(&self) -> Vec<Uuid> {
        self.reader.index().erased().iter().copied().collect()
    }

    /// Whether the log says that a subject is erased. Asks the database about whom nothing is known here, because another
    /// process may have erased just now, and believes a row only if it is signed.
    pub async fn is_erased(
        &self,
        connection: &mut PgConnection,
        subject: Uuid,
    ) -> Result<bool, ReadError> {
        self.reader.is_erased(connection, subject).await
    }

    /// An event this process is about to append: `by` is whose command it is, the command's id, and the time.
    #[must_use]
    pub fn appended_event(
        &self,
        (stream_type, stream_id, sequence): (&str, Uuid, u64),
        event_type: &str,
        by: (Uuid, Uuid, Timestamp),
        leaf: Hash,
    ) -> AppendedEvent {
        let policy = &self.reader.shared.policy;
        let stream = (stream_type, stream_id, sequence);
        AppendedEvent { entry: Entry::of(policy, stream, event_type, by, leaf) }
    }

    /// Takes in what this process itself has appended and seen committed: the tree before, the tree now, and the
    /// events between. Does nothing unless that continues what is known; then the log is read instead.
    pub fn appended(&self, before: &[u8], after: &[u8], events: &[AppendedEvent]) {
        let size = {
            let mut index = self.reader.index_mut();
            let size = index.size() + events.len() as u64;
            if index.tree().to_bytes() != before {
                return;
            }
            let Ok(tree) = CompactRange::from_bytes(size, after) else { return };
            let entries: Vec<Entry> = events.iter().map(|event| event.entry).collect();
            // The sequencer has compared the versions with what is known here before it wrote.
            index.extend(&entries, tree);
            size
        };
        self.reader.appended_to(size);
        self.health.send_if_modified(|health| match health {
            LogHealth::Sound { up_to } if *up_to < size => {
                *up_to = size;
                true
            }
            _ => false,
        });
    }

    /// Reads on. `true`: there is more. What is damaged is remembered, and given back as the error.
    pub async fn follow(&self, connection: &mut PgConnection) -> Result<bool, ReadError> {
        self.follow_by(connection, FOLLOWED).await
    }

    /// As [`LogWatch::follow`], by a step so short that it holds up no other task.
    pub async fn follow_a_little(&self, connection: &mut PgConnection) -> Result<bool, ReadError> {
        self.follow_by(connection, FOLLOWED_SHORT).await
    }

    async fn follow_by(&self, connection: &mut PgConnection, rows: u64) -> Result<bool, ReadError> {
        let outcome = self.follow_on(connection, rows).await;
        match &outcome {
            Ok(more) => self.found_sound(*more),
            Err(ReadError::Damaged(damage)) => self.found(damage),
            Err(_) => {}
        }
        outcome
    }

    async fn follow_on(&self, connection: &mut PgConnection, rows: u64) -> Result<bool, ReadError> {
        let head = self.reader.head(connection).await?;
        no_more_than(&head)?;
        let (from, tree) = {
            let index = self.reader.index();
            (index.size(), index.tree().clone())
        };
        if from >= head.size {
            // This process may have appended since the head was read.
            return if from > head.size || tree.root() == head.root {
                Ok(false)
            } else {
                let detail = "the log's checkpoint is not one of the log that was read before";
                Err(Damage::new(from.saturating_sub(1), FindingKind::Root, detail).into())
            };
        }
        let keyring = self.reader.keyring(connection).await?;
        let to = head.size.min(from + rows);
        let (size, note) = covering(connection, from, to, head.size).await?;
        let checkpoint = self.reader.checkpoint(&keyring, size, &note)?;
        let before = tree.clone();
        let mut page = Page { tree, entries: Vec::new() };
        while page.tree.size() < size {
            let (start, end) = (page.tree.size(), size.min(page.tree.size() + FOLLOWED));
            let rows = rows_limited(connection, start, end, Fetched::WithoutPayload).await?;
            let reader = self.reader.clone();
            let read = move || page.take(&reader, &rows, end);
            page = tokio::task::spawn_blocking(read).await.map_err(|_| ReadError::GivenUp)??;
        }
        if page.tree.root() != checkpoint.root {
            return Err(self.locate(connection, &keyring, before, size).await?.into());
        }
        let mut index = self.reader.index_mut();
        // Unless the process has taken in its own appends meanwhile.
        if index.size() == from
            && let Some((position, sequence)) = index.extend(&page.entries, page.tree)
        {
            let detail = format!("it is not event {sequence} of its stream, which is the next");
            return Err(Damage::new(position, FindingKind::Sequence, detail).into());
        }
        Ok(index.size() < head.size)
    }

    /// A second look at everything that is known now.
    #[must_use]
    pub fn reread(&self) -> Reread {
        let proved = self.reader.index().tree().clone();
        Reread { proved, tree: CompactRange::new() }
    }

    /// Takes the next step of a second look: every column, and every payload. `true`: there is more.
    pub async fn look_again(
        &self,
        connection: &mut PgConnection,
        reread: &mut Reread,
    ) -> Result<bool, ReadError> {
        let outcome = self.look_on(connection, reread).await;
        match &outcome {
            Err(ReadError::Damaged(damage)) => self.found(damage),
            // Nothing is wrong any more: an authorised repair has been made.
            Ok(false)
                if self.damage().is_some()
                    && self.follow_on(connection, FOLLOWED).await.is_ok() =>
            {
                self.health.send_replace(LogHealth::Reading { up_to: self.size() });
            }
            _ => {}
        }
        outcome
    }

    async fn look_on(
        &self,
        connection: &mut PgConnection,
        reread: &mut Reread,
    ) -> Result<bool, ReadError> {
        let from = reread.tree.size();
        let end = reread.proved.size().min(from + REREAD);
        let rows = rows_limited(connection, from, end, Fetched::Whole).await?;
        let watch = self.clone();
        let mut tree = std::mem::take(&mut reread.tree);
        let read = move || watch.compare(&mut tree, &rows, end).map(|()| tree);
        reread.tree = tokio::task::spawn_blocking(read).await.map_err(|_| ReadError::GivenUp)??;
        if reread.tree.size() < reread.proved.size() {
            return Ok(true);
        }
        if reread.tree.root() == reread.proved.root() {
            return Ok(false);
        }
        let keyring = self.reader.keyring(connection).await?;
        let nothing = CompactRange::new();
        Err(self.locate(connection, &keyring, nothing, reread.proved.size()).await?.into())
    }

    fn compare(&self, tree: &mut CompactRange, rows: &[LogRow], end: u64) -> Result<(), Damage> {
        let shared = &*self.reader.shared;
        for (row, position) in rows.iter().zip(tree.size()..) {
            if row.position != position {
                return Err(missing(position));
            }
            let examined = examine(row, &shared.origin, &shared.policy, Fetched::Whole)?;
            if self.reader.index().holds(position, &examined.leaf) == Some(false) {
                let detail = "it is not the event that stood there before";
                return Err(Damage::new(position, FindingKind::Root, detail));
            }
            tree.push(examined.leaf);
        }
        if tree.size() < end { Err(missing(tree.size())) } else { Ok(()) }
    }

    /// Which position it is that does not make the root: the first whose signature does not hold, or whose leaf is not
    /// the stored tile's, or the first one after the last checkpoint that agrees. `tree` ends before them all.
    async fn locate(
        &self,
        connection: &mut PgConnection,
        keyring: &StoredKeyring,
        mut tree: CompactRange,
        to: u64,
    ) -> Result<Damage, ReadError> {
        let shared = &*self.reader.shared;
        let mut good = tree.size();
        while tree.size() < to {
            let from = tree.size();
            let end = to.min(from - from % 256 + 256);
            let rows = rows_limited(connection, from, end, Fetched::WithoutPayload).await?;
            let notes = notes(connection, from, end).await?;
            let tile = tiles(connection, 0, from / 256, from / 256 + 1).await?.pop();
            let mut differs = None;
            for (row, position) in rows.iter().zip(from..) {
                let examined =
                    match examine(row, &shared.origin, &shared.policy, Fetched::WithoutPayload) {
                        Ok(examined) => examined,
                        Err(damage) => return Ok(damage),
                    };
                if let Err(damage) = verify_signature(row, &examined, Some(keyring)) {
                    return Ok(damage);
                }
                let at = (position % 256) as usize;
                let stored = tile.as_ref().and_then(|tile| tile.hashes.get(at));
                if stored.is_some_and(|stored| *stored != examined.leaf) {
                    differs.get_or_insert(position);
                }
                tree.push(examined.leaf);
                let note = notes.get(&tree.size());
                let checkpoint =
                    note.and_then(|note| self.reader.checkpoint(keyring, tree.size(), note).ok());
                match checkpoint {
                    Some(checkpoint) if checkpoint.root == tree.root() => good = tree.size(),
                    Some(Checkpoint { size, .. }) => {
                        let first = differs.unwrap_or(good);
                        let detail = format!(
                            "up to {good} the tree agrees with its checkpoints, at {size} it does not"
                        );
                        return Ok(Damage::new(first, FindingKind::Root, detail));
                    }
                    None => {}
                }
            }
            if tree.size() < end {
                return Ok(missing(tree.size()));
            }
        }
        let detail = format!("the events up to {to} do not make the root of their checkpoint");
        Ok(Damage::new(good, FindingKind::Root, detail))
    }

    fn found_sound(&self, more: bool) {
        let up_to = self.size();
        self.health.send_if_modified(|health| {
            let new = match health {
                LogHealth::Damaged(_) => return false,
                LogHealth::Sound { .. } => LogHealth::Sound { up_to },
                LogHealth::Reading { .. } if more => LogHealth::Reading { up_to },
                LogHealth::Reading { .. } => LogHealth::Sound { up_to },
            };
            let changed = *health != new;
            *health = new;
            changed
        });
    }

    /// Remembers damage, wherever it was met. The first one stays.
    pub fn found(&self, damage: &Damage) {
        self.health.send_if_modified(|health| {
            let first = !matches!(health, LogHealth::Damaged(_));
            if first {
                *health = LogHealth::Damaged(damage.clone());
            }
            first
        });
    }
}

/// What was read since the last checkpoint.
struct Page {
    tree: CompactRange,
    entries: Vec<Entry>,
}

impl Page {
    /// Checks rows by themselves, and takes in their leaves.
    fn take(mut self, reader: &LogReader, rows: &[LogRow], end: u64) -> Result<Page, Damage> {
        let shared = &*reader.shared;
        for (row, position) in rows.iter().zip(self.tree.size()..) {
            if row.position != position {
                return Err(missing(position));
            }
            let examined = examine(row, &shared.origin, &shared.policy, Fetched::WithoutPayload)?;
            self.tree.push(examined.leaf);
            self.entries.push(Entry::new(&shared.policy, &examined.statement, examined.leaf));
        }
        if self.tree.size() < end { Err(missing(self.tree.size())) } else { Ok(self) }
    }
}

/// The notes of the checkpoints of these sizes.
async fn notes(
    connection: &mut PgConnection,
    after: u64,
    to: u64,
) -> Result<HashMap<u64, String>, ReadError> {
    let stored: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT size, coalesce(note, '') FROM checkpoints WHERE size > $1 AND size <= $2",
    )
    .bind(signed(after))
    .bind(signed(to))
    .fetch_all(connection)
    .await?;
    let text = |(size, note)| Some((unsigned(size), String::from_utf8(note).ok()?));
    Ok(stored.into_iter().filter_map(text).collect())
}

/// The last row of the table must be the last one below the head.
fn no_more_than(head: &VerifiedHead) -> Result<(), Damage> {
    let size = head.last_position.map_or(0, |last| last.saturating_add(1));
    match size.cmp(&head.size) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(missing(size)),
        std::cmp::Ordering::Greater => {
            let last = size - 1;
            let detail = format!("a row stands at {last}, beyond the log's end at {}", head.size);
            Err(Damage::new(head.size, FindingKind::Unexpected, detail))
        }
    }
}
