//! What a trace shows of a projector: which positions it applied, and to which requests they belong. Neither the streams nor
//! whom they are about.
//!
//! On the level `debug`, and only of batches with an effect: each event passes every projector.

use std::fmt::Write as _;

use tracing::{Span, debug_span};

use super::Projector;
use crate::event::RecordedEvent;

/// How many correlation ids a span names at most; the positions tell of the others.
const CORRELATIONS_MAX: usize = 16;

/// The span of a batch, if one of its events may have an effect. It begins a trace: a batch belongs to many requests.
pub(super) fn applying(projector: &dyn Projector, id: &str, batch: &[RecordedEvent]) -> Span {
    let mut concerned = batch.iter().filter(|event| projector.concerns(event));
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Span::none() };
    let Some(effective) = concerned.next() else { return Span::none() };
    let span = debug_span!(
        parent: None,
        "project",
        projector = id,
        "stream.type" = effective.stream_type,
        "position.first" = first.position,
        "position.last" = last.position,
        events = batch.len(),
        "correlation.ids" = tracing::field::Empty,
    );
    if !span.is_disabled() {
        let ids = correlations(std::iter::once(effective).chain(concerned));
        span.record("correlation.ids", ids);
    }
    span
}

/// The correlation ids of events, each once, in order, separated by spaces.
fn correlations<'a>(events: impl Iterator<Item = &'a RecordedEvent>) -> String {
    let mut seen = Vec::new();
    let mut text = String::new();
    for id in events.map(|event| event.correlation_id) {
        if seen.len() < CORRELATIONS_MAX && !seen.contains(&id) {
            let separator = if seen.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{id}");
            seen.push(id);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn event(correlation: u128) -> RecordedEvent {
        RecordedEvent {
            position: 0,
            event_id: Uuid::nil(),
            stream_type: "patient".to_owned(),
            stream_id: Uuid::nil(),
            sequence: 1,
            recorded_at: jiff::Timestamp::UNIX_EPOCH,
            actor_id: Uuid::nil(),
            subject: None,
            command_id: Uuid::nil(),
            correlation_id: Uuid::from_u128(correlation),
            event: None,
        }
    }

    #[test]
    fn each_correlation_is_named_once_and_only_so_many() {
        let batch = [event(2), event(1), event(2)];
        let two = format!("{} {}", Uuid::from_u128(2), Uuid::from_u128(1));
        assert_eq!(correlations(batch.iter()), two);
        let many: Vec<RecordedEvent> = (0..100).map(event).collect();
        assert_eq!(correlations(many.iter()).split(' ').count(), CORRELATIONS_MAX);
    }
}
