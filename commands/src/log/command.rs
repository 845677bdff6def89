//! Which command it is, and what is on record of it once it is done.

use uuid::Uuid;

/// Whose command it is, and the id that actor gave it. Another actor's command of the same id is another command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CommandKey {
    pub(crate) actor: Uuid,
    pub(crate) id: Uuid,
}

/// A command that was done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) request_mac: [u8; 32],
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) log_size: u64,
}
