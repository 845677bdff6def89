//! What the reader of the log is told of the streams: it knows bytes, not medicine.

use audit::postgres::{EventTags, LogPolicy};
use cqrs_es::Aggregate as _;
use domain::custody::SubjectErased;
use domain::{Custody, Disclosure, STREAM_KINDS};

use crate::keys::Keys;

/// Which streams are sealed, which are not counted, and what says that a subject is erased.
pub fn log_policy() -> LogPolicy {
    let types = |sealed| {
        let kinds = STREAM_KINDS.iter().filter(move |kind| kind.sealed == sealed);
        kinds.map(|kind| kind.stream_type).collect()
    };
    LogPolicy {
        sealed: types(true),
        clear: types(false),
        // Each look is a stream of its own, and nobody decides on it again.
        uncounted: vec![Disclosure::TYPE],
        erasure: Some((Custody::TYPE, SubjectErased::EVENT_TYPE)),
    }
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
        assert_eq!(policy.sealed, ["patient", "appointment", "wound", "account", "disclosure"]);
        assert_eq!(policy.clear, ["custody", "model"]);
    }
}
