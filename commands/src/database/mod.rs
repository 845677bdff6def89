//! Connections to the log's database: those of the product, which own nothing and write only by functions, and the owner's,
//! who migrates.
//!
//! * `pool`: connections; `guard`: a login that may do more than the product needs is refused;
//! * `logins`: the roles the product logs in as; `scram`: what Postgres keeps of their passwords;
//! * `migrate`: the schema and the rights.

mod error;
mod guard;
mod logins;
mod migrate;
mod pool;
mod scram;

pub use error::DatabaseError;
pub use logins::{Login, Logins, PasswordError};
pub use migrate::{MIGRATIONS, migrate, trial};
pub use pool::{connect, connect_as_owner, connect_to_read, connect_with};
