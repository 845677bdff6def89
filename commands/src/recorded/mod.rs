//! What is on record of the commands that were done: one row each, by actor and command id, under a tag.
//!
//! * `row`: a row as it is stored, and its tag;
//! * `runs`: the commands as the signed log tells them;
//! * `takeover`: rows of before there were tags, proved against the log and tagged once;
//! * `compare`: how the table differs from the log.

mod compare;
mod row;
mod runs;
mod takeover;

pub use compare::{CommandDifference, CommandFinding, CommandsReport, compare};

pub(crate) use row::{CommandTags, Found, damaged, find, find_all, read_believed};
pub(crate) use takeover::take_over;
