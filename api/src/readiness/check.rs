//! What a check is.

use futures::future::BoxFuture;

use crate::state::AppState;

/// How a check ended: a reason in kebab-case where it failed.
pub type Outcome = Result<(), &'static str>;
/// Asks.
pub type Ask = for<'a> fn(&'a AppState) -> BoxFuture<'a, Outcome>;

/// What cannot be done while a check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// No command could be done.
    Commands,
    /// No read could be answered.
    Reads,
    /// Neither.
    Both,
    /// Everything can be done, only not as well.
    Nothing,
}

impl Carries {
    pub(super) fn commands(self) -> bool {
        matches!(self, Self::Commands | Self::Both)
    }

    pub(super) fn reads(self) -> bool {
        matches!(self, Self::Reads | Self::Both)
    }
}

/// One thing the server depends on.
pub struct Check {
    /// What it is called in the answer.
    pub name: &'static str,
    /// What depends on it.
    pub carries: Carries,
    /// How it is asked.
    pub ask: Ask,
}
