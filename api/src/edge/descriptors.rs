//! Each connection takes a file descriptor, and the system gives a process so many.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything that is no connection of a client: databases, spooled uploads, files.
const OWN: u64 = 256;

/// How many of `wanted` connections there is room for. Asks the system for more, up to its hard limit.
pub(super) fn room_for(wanted: usize) -> usize {
    let wanted = u64::try_from(wanted.max(1)).unwrap_or(u64::MAX);
    let mut limit = getrlimit(Resource::Nofile);
    let needed = wanted.saturating_add(OWN);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
    let room = match getrlimit(Resource::Nofile).current {
        Some(current) => current.saturating_sub(OWN).max(current / 2),
        None => wanted,
    };
    if room < wanted {
        tracing::warn!(
            connections = room,
            wanted,
            "the limit of open files leaves room for fewer connections: raise it (ulimit -n)"
        );
    }
    usize::try_from(room.min(wanted)).unwrap_or(usize::MAX)
}
