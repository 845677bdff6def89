//! What goes into the log and what is known of it: plain types, and the few statements that lock and move its head.
//!
//! Nothing here knows the sequencer, the ledger or the domain.
//!
//! * `append`, `change`, `command`: a decided command on its way to the sequencer, and what is on record of it;
//! * `answer`: what the sequencer answers;
//! * `head`, `tree`, `published`: where the log ends, how its Merkle tree is continued, what was published of it;
//! * `strays`: rows beyond the head;
//! * `number`: positions and sizes as Postgres stores them.

mod answer;
mod append;
mod change;
mod command;
mod head;
mod number;
mod published;
mod strays;
mod tree;

pub(crate) use answer::{Appended, AppendedEvents, Queued, Rejection};
pub(crate) use append::{Append, Expected, NewKey, SealedEvent};
pub(crate) use change::{Change, KeyHash, Resource};
pub(crate) use command::{CommandKey, Recorded};
pub(crate) use head::{Advance, advance, begin, begin_locked, commit, rollback};
pub(crate) use number::{signed, unsigned};
pub(crate) use published::Published;
pub(crate) use strays::{StrayError, set_aside};
pub(crate) use tree::{LogTree, TreeError};
