//! Pools of connections: for the application, for readers, for the owner.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};

use super::error::DatabaseError;
use super::guard;

const CONNECTIONS_MAX: u32 = 16;
pub(super) const ACQUIRE_SECONDS_MAX: u64 = 10;

/// A pool for the application. The login must be one that can do no more than append.
///
/// # Errors
/// When the URL is malformed, the database does not answer, or the login is an owner, an administrator or a member of
/// anything.
pub async fn connect(url: &str) -> Result<PgPool, DatabaseError> {
    connect_with(options(url)?).await
}

/// As [`connect`], from options.
///
/// # Errors
/// As those of [`connect`].
pub async fn connect_with(options: PgConnectOptions) -> Result<PgPool, DatabaseError> {
    let pool = pool(options, false).await?;
    guard::refuse_powerful(&pool).await?;
    Ok(pool)
}

/// A read-only pool, whatever the login may do.
///
/// # Errors
/// When the URL is malformed or the database does not answer.
pub async fn connect_to_read(url: &str) -> Result<PgPool, DatabaseError> {
    pool(options(url)?, true).await
}

/// A pool for the owner, with which `ledger migrate` begins an empty log.
///
/// # Errors
/// When the URL is malformed or the database does not answer.
pub async fn connect_as_owner(url: &str) -> Result<PgPool, DatabaseError> {
    pool(options(url)?, false).await
}

pub(super) fn options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    // The driver reads a URL of any scheme as if it were Postgres's.
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        let reason = "it does not begin with `postgres://`";
        return Err(DatabaseError::Url(sqlx::Error::Configuration(reason.into())));
    }
    url.parse().map_err(DatabaseError::Url)
}

async fn pool(options: PgConnectOptions, reads_only: bool) -> Result<PgPool, DatabaseError> {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
        // A ping before each use is a round trip per query; a dead connection shows itself as an
        // error of that query, and the caller repeats the command under its id.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute("SET plan_cache_mode = force_generic_plan").await?;
                if reads_only {
                    connection.execute("SET default_transaction_read_only = on").await?;
                }
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(DatabaseError::Connect)
}
