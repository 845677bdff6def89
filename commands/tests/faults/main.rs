//! The append path under faults: at every failpoint, with `kill -9`, with Postgres restarted, with a full disk; nothing that
//! was acknowledged is lost, nothing is there twice, no position is missing.
//!
//! A short run by default. `make torture` sets `LEDGER_FAULT_COMMANDS` to 100,000.

mod cluster;
mod evidence;
#[expect(dead_code, reason = "only a writer writes it")]
mod journal;
mod random;
mod scenario;
mod task;
mod torture;
mod walk;
#[expect(dead_code, reason = "the writers do it; here it only names them")]
mod work;
