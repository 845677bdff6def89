//! What the reader of the log is given about the streams: it knows bytes, not medicine.

use std::sync::LazyLock;

use audit::postgres::{EventTags, LogPolicy};
use audit::seal::SubjectKind;
use domain::{ERASURE, RECORD, STREAM_KINDS, StreamKind};

use crate::keys::Keys;

/// Which streams are sealed, which are not counted, and what says that a subject is erased.
pub fn log_policy() -> LogPolicy {
    LogPolicy {
        sealed: types_of(|kind| kind.sealed),
        clear: types_of(|kind| !kind.sealed),
        // Each of them is one event, and no command decides on it again.
        uncounted: types_of(|kind| kind.single_event),
        subjects: SUBJECTS.clone(),
        erasure: Some(ERASURE),
    }
}

/// The kinds of streams that begin a subject of their own. An id is that of one kind of subject only.
pub(crate) static SUBJECTS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| types_of(|kind| kind.begins_subject));

/// The kind of subject whose record is kept: it may be erased, and captures are sealed with its key.
pub(crate) fn record_kind() -> SubjectKind {
    SubjectKind::of_stream(RECORD)
}

fn types_of(is_meant: impl Fn(&StreamKind) -> bool) -> Vec<&'static str> {
    STREAM_KINDS.iter().filter(|kind| is_meant(kind)).map(|kind| kind.stream_type).collect()
}

/// The tags that this ledger gives its events.
pub(crate) fn event_tags(keys: &Keys, origin: &str) -> EventTags {
    EventTags::new(&keys.mac_key("events/v1"), origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aggregate_is_sealed_or_in_the_clear() {
        let policy = log_policy();
        for kind in &STREAM_KINDS {
            let sealed = policy.sealed.contains(&kind.stream_type);
            let clear = policy.clear.contains(&kind.stream_type);
            assert_eq!((sealed, clear), (kind.sealed, !kind.sealed), "{}", kind.stream_type);
        }
        assert_eq!(policy.sealed.len() + policy.clear.len(), STREAM_KINDS.len());
        assert_eq!(policy.uncounted, ["disclosure", "access"]);
        assert_eq!(policy.erasure, Some(("custody", "SubjectErased")));
    }
}
