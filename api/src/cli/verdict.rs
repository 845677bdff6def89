//! How a command that did not fail ended.

/// How a command that did not fail ended.
pub(super) enum Verdict {
    /// Everything is in order.
    InOrder,
    /// Something was refused or found wrong, and the output says what.
    Findings,
}
