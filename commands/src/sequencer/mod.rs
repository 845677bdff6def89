//! The sequencer: the one task of a process that appends to the log.
//!
//! It takes whatever has queued up while the batch before it was written, and writes it in one
//! transaction. Batches overlap: while one commits, the next is inserted, and the one after it decided and
//! hashed; the head of the log moves last, by a function that refuses if it is not where this process left it. So as long
//! as no other process appends, nothing is read and nothing waits but the commits. Where one does,
//! the head is locked first and everything is read under the lock. A crash at any point leaves the whole
//! transaction or nothing of it.
//!
//! * `handle`: the way to it; `state`: what it knows; `run`: batches, one after the other and overlapping;
//! * `in_flight`: a batch on its way, in a task of its own; `locked`: a batch by itself, under the head's lock;
//! * `reading`, `facts`, `buckets`, `claims`: what a batch could collide with; `decide`, `plan`: which of it is appended;
//! * `statements`, `connection`: what is written, and by which connections; `erasure`: what goes with a key;
//! * `spans`: what a trace shows of it;
//! * `outcomes`, `answer`, `growth`: what becomes known once a batch is durable; `failure`: why it is not.

mod answer;
mod buckets;
mod claims;
mod connection;
mod decide;
mod erasure;
mod facts;
mod failure;
mod growth;
mod handle;
mod in_flight;
mod locked;
mod outcomes;
mod plan;
mod reading;
mod run;
mod spans;
mod state;
mod statements;

pub(crate) use handle::{Handle, NotQueued, start};
pub(crate) use state::Known;
pub(crate) use statements::{Statements, Write};
