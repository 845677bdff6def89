//! What a command changes of what must be unique or must not overlap, ready for the database.

use jiff::Timestamp;
use uuid::Uuid;

/// A key as it is stored: hashed under the index key.
pub(crate) type KeyHash = [u8; 32];

/// A change of claims, ready for the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    TakeUnique { kind: &'static str, key: KeyHash },
    TakeBusy { resource: Resource, from: Timestamp, until: Timestamp },
    ReleaseUnique { kind: &'static str, key: KeyHash },
    ReleaseBusy,
}

/// Who or what is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Resource {
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
}
