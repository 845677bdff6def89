//! What a trace shows of a worker's answer: which event it answers, and to which request that belongs. Its log lines carry
//! the same, so the span is on their level.

use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::event::RecordedEvent;

/// The span of what a worker does about an event.
pub(super) fn answering(worker: &'static str, recorded: &RecordedEvent) -> Span {
    info_span!(
        "answer",
        worker,
        position = recorded.position,
        "stream.type" = recorded.stream_type,
        "command.id" = %recorded.command_id,
        "correlation.id" = %recorded.correlation_id,
        outcome = Empty,
    )
}
