//! What a trace shows of a command: the ids by which a request is followed into the log, and what became of it. Neither the
//! stream nor whom it is about.
//!
//! On the level `debug`, because every command has them: where they are not collected they cost a comparison, and no id is
//! written out.

use tracing::field::Empty;
use tracing::{Span, debug_span};

use super::append::{AppendOutcome, RetryReason};
use super::receipt::Receipt;
use crate::context::Context;
use crate::error::CommandError;
use crate::log::Append;

/// The span of a command on a stream of this type, from the permission to the receipt.
pub(super) fn executing(stream_type: &'static str, context: &Context) -> Span {
    debug_span!(
        "execute",
        "command.id" = %context.command_id,
        "correlation.id" = %context.correlation_id,
        "stream.type" = stream_type,
        outcome = Empty,
    )
}

/// The span of one wait for the sequencer.
pub(super) fn appending(context: &Context, append: &Append) -> Span {
    debug_span!(
        "append",
        "command.id" = %context.command_id,
        "correlation.id" = %context.correlation_id,
        "stream.type" = append.events.first().map(|event| event.stream_type),
        events = append.events.len(),
        "position.first" = Empty,
        "position.last" = Empty,
        outcome = Empty,
    )
}

/// Says in the span of a command what became of it.
pub(super) fn executed(span: &Span, outcome: &Result<Receipt, CommandError>) {
    span.record("outcome", code(outcome));
}

/// Says in the span of a wait what the sequencer answered, and where the events stand.
pub(super) fn appended(span: &Span, answer: &Result<AppendOutcome, CommandError>) {
    let outcome = match answer {
        Ok(AppendOutcome::Done(appended)) => {
            let (first, events) = (appended.append.first, appended.append.events.len());
            span.record("position.first", first);
            span.record("position.last", (first + events as u64).saturating_sub(1));
            "done"
        }
        Ok(AppendOutcome::Repeated(_)) => "repeated",
        Ok(AppendOutcome::Retry(RetryReason::Version { .. })) => "version-conflict",
        Ok(AppendOutcome::Retry(RetryReason::Moved)) => "moved",
        Ok(AppendOutcome::Retry(RetryReason::Keys)) => "keys-moved",
        Ok(AppendOutcome::Retry(RetryReason::Time)) => "stale",
        Err(error) => error.code(),
    };
    span.record("outcome", outcome);
}

/// What became of a command, for metrics and traces.
pub(super) fn code(outcome: &Result<Receipt, CommandError>) -> &'static str {
    match outcome {
        Ok(receipt) if receipt.replayed => "replayed",
        Ok(_) => "done",
        Err(error) => error.code(),
    }
}
