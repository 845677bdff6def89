//! What a batch adds to the log, as it is reported to the watch over the log.

use audit::postgres::{AppendedEvent, LogWatch};

use crate::claims::BucketChange;
use crate::log::Append;

/// The tree's right edge before and after a batch, and the events between.
#[derive(Debug)]
pub(super) struct Growth {
    before: Vec<u8>,
    after: Vec<u8>,
    events: Vec<AppendedEvent>,
}

impl Growth {
    pub(super) fn new<'a>(
        watch: &LogWatch,
        before: &[u8],
        after: &[u8],
        appends: impl Iterator<Item = &'a Append>,
    ) -> Growth {
        let mut events = Vec::new();
        for append in appends {
            for event in &append.events {
                let stream = (event.stream_type, event.stream_id, event.sequence);
                let by = (append.actor, append.command_id, event.recorded_at);
                events.push(watch.appended_event(stream, &event.event_type, by, event.leaf));
            }
        }
        Growth { before: before.to_vec(), after: after.to_vec(), events }
    }

    /// Tells the watch, once it is durable.
    pub(super) fn tell(&self, watch: &LogWatch) {
        watch.appended(&self.before, &self.after, &self.events);
    }
}

/// What a batch changes of what is known of the claims, once it is durable.
pub(super) struct ClaimsStep {
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) changes: Vec<BucketChange>,
}
