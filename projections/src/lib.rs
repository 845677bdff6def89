//! The read side: everything that is made from the log and can be thrown away and made again.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`event`] | an event as projectors see it: checked, opened, up to date |
//! | [`runtime`] | the loop that runs a projector from its own checkpoint |
//! | [`read_models`] | the Mongo documents, and the queries over them |
//! | [`known`] | what a reader knows of the log beside the documents |
//! | [`tags`] | what makes documents, checkpoints and cached entries believable |
//! | [`cache`] | what is hot, in Redis, by position |
//! | [`worker`] | the projectors that answer with commands: scans, withdrawals, and the purge after an erasure |
//! | [`healing`] | a wound's course and outlook, and their chart |
//!
//! Nothing here writes to the log. The workers, which must, are handed small traits.

pub mod cache;
pub mod event;
pub mod healing;
pub mod known;
pub mod read_models;
pub mod runtime;
pub mod tags;
mod tail;
pub mod worker;
