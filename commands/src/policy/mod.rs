//! Who may do what: one policy for commands, reads, exports and the command line.
//!
//! Code that is about to do or to show something asks [`Policy::decide`], which [`crate::Ledger::policy`] gives. The answer
//! names the rule that made it, and what is written in consequence names that rule in its statement.

mod command;
mod decision;
mod permission;
mod request;
mod rules;

pub use command::{Authorised, CommandBody};
pub use decision::{Decision, Denial, Grant, RuleId};
pub use permission::{Needed, Permission, may};
pub use request::{Request, Subject};
pub use rules::Policy;

#[cfg(test)]
mod tests;
