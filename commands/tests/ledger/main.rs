//! The write side against a real Postgres.

mod audited;
mod booking;
mod captures;
mod catalog;
mod claims;
mod clinic;
mod clock;
mod directory;
mod erasure;
mod evidence;
mod forged;
mod fork;
mod guards;
mod idempotence;
mod keyring;
mod keys;
mod recorded;
mod reserved;
mod rights;
mod rotation;
mod several;
mod snapshots;
mod streams;
mod trap;
mod upgrade;
mod vectors;
