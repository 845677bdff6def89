//! Why there is no usable database.

use sqlx::migrate::MigrateError;

/// Why there is no usable database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is not a Postgres URL.
    #[error("the database URL is not valid")]
    Url(#[source] sqlx::Error),
    /// No server answered, or the log-in was refused.
    #[error("cannot connect to the database")]
    Connect(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database")]
    Migrate(#[source] MigrateError),
    /// The rights could not be given.
    #[error("cannot give the logins of the database their rights")]
    Rights(#[source] sqlx::Error),
    /// What the login may do could not be asked.
    #[error("cannot tell what this login may do in the database")]
    Guard(#[source] sqlx::Error),
    /// The login may do more than the product needs.
    #[error(
        "the database login `{login}` may do more than append to the log, so the ledger does not start with it: {}. \
         Set LEDGER_OWNER_DATABASE_URL to the owner's URL, run `ledger migrate --logins logins.env`, and start with the \
         variables of that file (`set -a; . ./logins.env`); docs/operations.md, \"Logins\", says more",
        excess.join("; ")
    )]
    Powerful {
        /// The login.
        login: String,
        /// What it may do or is.
        excess: Vec<String>,
    },
}
