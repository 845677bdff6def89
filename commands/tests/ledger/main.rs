//! The write side against a real Postgres.

mod booking;
mod captures;
mod clinic;
mod evidence;
mod fork;
mod guards;
mod idempotence;
mod several;
mod streams;
mod vectors;
