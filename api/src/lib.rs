//! The edge: HTTP command and query endpoints, identity, OpenAPI.
//!
//! * [`edge`]: connections, and what they may cost;
//! * [`http`]: the endpoints, what they ask for and how they say no;
//! * [`identity`]: passwords, access tokens, what an account may do now;
//! * [`records`]: the one door through which records of patients are read; [`ledger`]: what else faces ask of the ledger;
//! * [`readiness`]: whether a command could be done now, and a read be answered;
//! * [`state`], [`config`]: what the server holds, and how it is set;
//! * [`import`]: files of other systems, through the same command path;
//! * [`cli`]: the command line;
//! * [`sample`]: the sample clinic, loaded through the public API;
//! * [`inference`]: what the wound worker reads and writes through;
//! * [`models`]: which model the worker measures with, and since when;
//! * [`witness`]: who remembers the log's checkpoints elsewhere;
//! * [`logging`], [`metrics`]: what it reports while it runs.

pub mod cli;
pub mod config;
pub mod edge;
pub mod http;
pub mod identity;
pub mod import;
pub mod inference;
pub mod ledger;
pub mod logging;
pub mod metrics;
pub mod models;
pub mod readiness;
pub mod records;
pub mod sample;
pub mod state;
pub mod telemetry;
pub mod witness;
