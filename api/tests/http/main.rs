//! The endpoints, over HTTP, against real stores.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod claims;
mod custody;
mod damage;
mod directory;
mod edge;
mod ids;
mod input;
mod journey;
mod log;
mod looks;
mod model;
mod operation;
mod scan;
mod upgrade;
