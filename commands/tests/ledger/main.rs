//! The write side against a real Postgres.

mod booking;
mod captures;
mod clinic;
mod evidence;
mod guards;
mod idempotence;
mod several;
mod snapshots;
mod streams;
mod trap;
