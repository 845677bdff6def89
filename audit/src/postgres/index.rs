//! What a process knows of the log by heart, once it has seen it proved: which leaf stands where, how long each
//! stream is, who is erased, which commands were done, and the latest time. Whatever is read later must agree with it.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;

use jiff::Timestamp;
use uuid::Uuid;

use super::examine::LogPolicy;
use crate::merkle::{CompactRange, Hash};
use crate::statement::Statement;

/// How many leaves are remembered at most, the newest: 64 MiB of them.
const LEAVES_MAX: usize = 4 * 1024 * 1024;

/// How many commands are remembered at most, the newest: about 40 MiB of them.
const COMMANDS_MAX: usize = 1024 * 1024;

/// As much of a leaf hash as makes a second entry infeasible to find.
type Leaf = [u8; 16];

/// How long a stream is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSeen {
    /// The number of its events.
    pub version: u64,
    /// The position of the last of them.
    pub last: u64,
}

/// What is remembered of one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) leaf: Hash,
    /// The stream and the sequence in it, where streams of this type are counted.
    pub(super) stream: Option<((u8, Uuid), u64)>,
    pub(super) erases: Option<Uuid>,
    /// Whose command it was, and its id.
    pub(super) command: (Uuid, Uuid),
    pub(super) recorded_at: Timestamp,
}

impl Entry {
    pub(super) fn new(policy: &LogPolicy, statement: &Statement, leaf: Hash) -> Entry {
        let Statement { stream_type, stream_id, sequence, event_type, .. } = statement;
        let by = (statement.actor.id, statement.command_id, statement.recorded_at);
        Entry::of(policy, (stream_type, *stream_id, *sequence), event_type, by, leaf)
    }

    pub(super) fn of(
        policy: &LogPolicy,
        (stream_type, stream_id, sequence): (&str, Uuid, u64),
        event_type: &str,
        (actor, command, recorded_at): (Uuid, Uuid, Timestamp),
        leaf: Hash,
    ) -> Entry {
        let stream = policy.counted(stream_type).map(|kind| ((kind, stream_id), sequence));
        let erases = policy.is_erasure(stream_type, event_type).then_some(stream_id);
        Entry { leaf, stream, erases, command: (actor, command), recorded_at }
    }
}

/// Where the newest commands begin. By a hash under a key of this process: finding two commands that share one is infeasible.
#[derive(Debug, Default)]
struct Commands {
    hasher: RandomState,
    first: HashMap<u64, u64>,
    order: VecDeque<u64>,
    last: Option<(Uuid, Uuid)>,
}

impl Commands {
    fn take(&mut self, command: (Uuid, Uuid), position: u64) {
        if self.last.replace(command) == Some(command) {
            return;
        }
        if self.order.len() >= COMMANDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.first.remove(&oldest);
        }
        let hash = self.hasher.hash_one(command);
        // Done twice, the first time counts.
        if let std::collections::hash_map::Entry::Vacant(new) = self.first.entry(hash) {
            new.insert(position);
            self.order.push_back(hash);
        }
    }

    fn begin(&self, command: (Uuid, Uuid)) -> Option<u64> {
        self.first.get(&self.hasher.hash_one(command)).copied()
    }
}

/// A prefix of the log whose root a checkpoint has proved.
#[derive(Debug, Default)]
pub(super) struct Index {
    tree: CompactRange,
    leaves: VecDeque<Leaf>,
    streams: HashMap<(u8, Uuid), StreamSeen>,
    erased: HashSet<Uuid>,
    commands: Commands,
    latest: Option<Timestamp>,
}

impl Index {
    /// The number of events known.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(super) fn tree(&self) -> &CompactRange {
        &self.tree
    }

    /// Whether this leaf stands at this position; `None` if that is not remembered.
    pub(super) fn holds(&self, position: u64, leaf: &Hash) -> Option<bool> {
        let first = self.size() - self.leaves.len() as u64;
        let at = usize::try_from(position.checked_sub(first)?).ok()?;
        self.leaves.get(at).map(|known| known == &short(leaf))
    }

    pub(super) fn stream(&self, stream: (u8, Uuid)) -> Option<StreamSeen> {
        self.streams.get(&stream).copied()
    }

    pub(super) fn streams_of(&self, kind: u8) -> Vec<Uuid> {
        let streams = self.streams.keys().filter(|(of, _)| *of == kind);
        streams.map(|(_, id)| *id).collect()
    }

    pub(super) fn command(&self, actor: Uuid, command: Uuid) -> Option<u64> {
        self.commands.begin((actor, command))
    }

    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    pub(super) fn is_erased(&self, subject: Uuid) -> bool {
        self.erased.contains(&subject)
    }

    pub(super) fn erased(&self) -> &HashSet<Uuid> {
        &self.erased
    }

    /// Takes in what follows. The caller has compared the root of the tree it makes with a checkpoint's. Gives back the
    /// first event that is not the next of its stream, if one is not: its position, and the sequence it should have.
    pub(super) fn extend(&mut self, entries: &[Entry], tree: CompactRange) -> Option<(u64, u64)> {
        debug_assert_eq!(
            tree.size(),
            self.size() + entries.len() as u64,
            "a tree of these entries"
        );
        let mut misplaced = None;
        for (position, entry) in (self.size()..).zip(entries) {
            if self.leaves.len() >= LEAVES_MAX {
                self.leaves.pop_front();
            }
            self.leaves.push_back(short(&entry.leaf));
            if let Some((stream, sequence)) = entry.stream {
                let seen = StreamSeen { version: sequence, last: position };
                let before = self.streams.insert(stream, seen);
                let expected = before.map_or(1, |before| before.version + 1);
                if sequence != expected {
                    misplaced.get_or_insert((position, expected));
                }
            }
            self.erased.extend(entry.erases);
            self.commands.take(entry.command, position);
            self.latest = self.latest.max(Some(entry.recorded_at));
        }
        self.tree = tree;
        misplaced
    }
}

fn short(leaf: &Hash) -> Leaf {
    let mut short = Leaf::default();
    short.copy_from_slice(&leaf.0[..16]);
    short
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::{Commands, Entry, Index};
    use crate::merkle::{CompactRange, Hash};

    fn entry(leaf: Hash) -> Entry {
        let command = (Uuid::nil(), Uuid::nil());
        Entry { leaf, stream: None, erases: None, command, recorded_at: Timestamp::UNIX_EPOCH }
    }

    fn tree(size: u64) -> CompactRange {
        let bytes = vec![7; size.count_ones() as usize * 32];
        CompactRange::from_bytes(size, &bytes).expect("a node for each bit")
    }

    #[test]
    fn the_newest_four_million_leaves_are_remembered() {
        let (leaf, other) = (Hash([1; 32]), Hash([2; 32]));
        let mut index = Index::default();
        let page = vec![entry(leaf); 65_536];
        for pages in 1..=64 {
            index.extend(&page, tree(pages * 65_536));
        }
        assert_eq!(index.holds(0, &leaf), Some(true));
        index.extend(&page[..1], tree(4_194_305));
        assert_eq!(index.holds(0, &leaf), None);
        assert_eq!((index.holds(1, &leaf), index.holds(1, &other)), (Some(true), Some(false)));
        assert_eq!(
            (index.holds(4_194_304, &leaf), index.holds(4_194_305, &leaf)),
            (Some(true), None)
        );
    }

    #[test]
    fn the_newest_million_commands_are_remembered() {
        let command = |number: u64| (Uuid::from_u128(5), Uuid::from_u128(u128::from(number)));
        let mut commands = Commands::default();
        for number in 0..1_048_576 {
            commands.take(command(number), number);
        }
        assert_eq!(commands.begin(command(0)), Some(0));
        commands.take(command(1_048_576), 1_048_576);
        assert_eq!(commands.begin(command(0)), None);
        // Done once more, it still counts from where it was done first.
        commands.take(command(3), 2_000_000);
        for number in [2, 3, 1_048_576] {
            assert_eq!(commands.begin(command(number)), Some(number));
        }
    }
}
