//! Connections to the log's database: the application's, which may only append, and the owner's, which migrates.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};

/// The schema of the log, forward only.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The role every connection of the application works under. It can append to the log and read it,
/// nothing else.
pub const APP_ROLE: &str = "ledger_app";

const CONNECTIONS_MAX: u32 = 16;
const ACQUIRE_SECONDS_MAX: u64 = 10;

/// Why there is no usable database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is not a Postgres URL.
    #[error("the database URL is not valid")]
    Url(#[source] sqlx::Error),
    /// Nobody answered, or the log-in was refused.
    #[error("cannot connect to the database")]
    Connect(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database")]
    Migrate(#[source] MigrateError),
}

/// A pool for the application: each connection gives up its own rights and takes [`APP_ROLE`].
///
/// # Errors
/// When the URL is malformed or the database does not answer.
pub async fn connect(url: &str) -> Result<PgPool, DatabaseError> {
    let options = url.parse::<PgConnectOptions>().map_err(DatabaseError::Url)?;
    connect_with(options).await
}

/// As [`connect`], from options.
///
/// # Errors
/// When the database does not answer.
pub async fn connect_with(options: PgConnectOptions) -> Result<PgPool, DatabaseError> {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
        // A ping before each use is a round trip per query; a dead connection shows itself as an
        // error of that query, and the caller repeats the command under its id.
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection
                    .execute("SET ROLE ledger_app; SET plan_cache_mode = force_generic_plan")
                    .await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(DatabaseError::Connect)
}

/// Brings the schema up to date, as its owner.
///
/// # Errors
/// When the database does not answer or a migration fails.
pub async fn migrate(url: &str) -> Result<(), DatabaseError> {
    let options = url.parse::<PgConnectOptions>().map_err(DatabaseError::Url)?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
        .connect_with(options)
        .await
        .map_err(DatabaseError::Connect)?;
    let migrated = MIGRATIONS.run(&pool).await.map_err(DatabaseError::Migrate);
    pool.close().await;
    migrated
}
