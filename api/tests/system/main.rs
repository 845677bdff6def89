//! The whole product against real databases: imports, crashes, privacy, evidence, rebuilding, contention.
//!
//! One program for all of them, because linking it takes longer than most of what it does.

mod attack;
mod audit;
mod captures;
mod claims;
mod clock;
mod contention;
mod crash;
mod drain;
mod drill;
mod erasure;
mod fork;
mod import_appointments;
mod import_fhir;
mod logins;
mod models;
mod privacy;
mod rebuild;
mod receipt;
mod slow_clients;
mod support;
mod telemetry;
