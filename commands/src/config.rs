//! The limits of a ledger, and its name.

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;

/// By how much the clocks may differ, if nothing else is said.
const CLOCK_SKEW_MAX: SignedDuration = SignedDuration::from_secs(5);

/// How long looks alike are counted, if nothing else is said.
const LOOKS_ALIKE_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// The log's identity: the origin line of its checkpoints.
    pub origin: String,
    /// How many commands may wait. More are refused as [`crate::CommandError::Overloaded`].
    pub queue_commands_max: usize,
    /// How many commands one transaction takes.
    pub batch_commands_max: usize,
    /// How many bytes one transaction takes, roughly.
    pub batch_bytes_max: usize,
    /// How long one transaction may take before it is given up.
    pub transaction_max: Duration,
    /// How far an event may be older than the newest one in the log.
    pub clock_tolerance: SignedDuration,
    /// By how much this machine's clock may differ from the database's; more, and nothing is recorded. Below the
    /// database's own bound, which stands behind it.
    pub clock_skew_max: SignedDuration,
    /// By how many events a stream grows until its state is kept again.
    pub snapshot_every: u64,
    /// How long after a look others alike are counted rather than recorded one by one; if it is zero, none are.
    pub looks_alike_within: SignedDuration,
    /// How long after one look at the whole log the watch begins the next.
    pub reread_every: Duration,
    /// The folder where the last published checkpoint is kept, outside the database. Without it, nothing
    /// tells a restored backup from the log.
    pub checkpoints: Option<PathBuf>,
    /// What others say they have seen of the log: the log must still contain it.
    pub seen: Vec<SeenElsewhere>,
}

/// A state of the log that a third party vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenElsewhere {
    /// Who, as in messages: a witness's name.
    pub by: String,
    /// The size of the log they have seen.
    pub size: u64,
    /// Whether what they have seen is part of the log as it stands, as far as they could tell.
    pub consistent: bool,
}

impl LedgerConfig {
    /// The usual limits, for a log of this name.
    pub fn new(origin: impl Into<String>) -> LedgerConfig {
        LedgerConfig {
            origin: origin.into(),
            queue_commands_max: 1_024,
            batch_commands_max: 256,
            batch_bytes_max: 8 * 1024 * 1024,
            transaction_max: Duration::from_secs(30),
            clock_tolerance: SignedDuration::from_secs(10),
            clock_skew_max: CLOCK_SKEW_MAX,
            snapshot_every: 32,
            looks_alike_within: LOOKS_ALIKE_WITHIN,
            reread_every: Duration::from_secs(600),
            checkpoints: None,
            seen: Vec::new(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            queue_commands: self.queue_commands_max.max(1),
            batch_commands: self.batch_commands_max.max(1),
            batch_bytes: self.batch_bytes_max,
            transaction: self.transaction_max,
            clock_tolerance: self.clock_tolerance,
        }
    }
}

/// The limits of a sequencer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) queue_commands: usize,
    pub(crate) batch_commands: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) transaction: Duration,
    pub(crate) clock_tolerance: SignedDuration,
}
