//! What a trace shows of a batch: how many commands it has, and which positions it filled. A command's own wait, in the trace
//! of its request, names its positions: by them the two are brought together.

use tracing::field::Empty;
use tracing::{Span, debug_span};

use crate::log::Published;

/// The span of a batch that takes this path. It begins a trace: a batch belongs to as many requests as it has commands.
pub(super) fn batch(path: &'static str) -> Span {
    debug_span!(
        parent: None,
        "append.batch",
        path,
        commands = Empty,
        "position.first" = Empty,
        "position.last" = Empty,
        outcome = Empty,
    )
}

/// Says how many commands a batch has, once no more can join it.
pub(super) fn filled(span: &Span, commands: usize) {
    span.record("commands", commands);
}

/// Says which positions a batch has filled, now that it is durable.
pub(super) fn written(span: &Span, published: &Published, events: u64) {
    span.record("position.first", published.size.saturating_sub(events));
    span.record("position.last", published.size.saturating_sub(1));
    ended(span, "done");
}

/// Says how a batch has ended.
pub(super) fn ended(span: &Span, outcome: &'static str) {
    span.record("outcome", outcome);
}
