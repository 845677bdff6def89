//! Connections to the log's database: those of the product, which own nothing and write only by functions, and the owner's,
//! who migrates.

mod guard;
mod logins;
mod scram;

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor, PgConnection, PgPool};

pub use logins::{Login, Logins, PasswordError, trial};

/// The schema of the log, forward only.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Who may do what, given anew after each migration.
const RIGHTS: &str = include_str!("../../../migrations/rights.sql");

const CONNECTIONS_MAX: u32 = 16;
const ACQUIRE_SECONDS_MAX: u64 = 10;

/// How often rights are given again when somebody else gave some to the same roles at the same moment.
const TRIES_MAX: u32 = 40;
const TRY_AGAIN: Duration = Duration::from_millis(50);

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

/// A pool for whoever only reads, which nothing is written by, whatever the login may do.
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

fn options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
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

/// Brings the schema up to date and gives the logins their rights, as the owner; with `logins`, their passwords too.
///
/// # Errors
/// When the database does not answer, a migration fails, or the login is not the owner.
pub async fn migrate(url: &str, logins: Option<&Logins>) -> Result<(), DatabaseError> {
    let options = options(url)?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
        .connect_with(options)
        .await
        .map_err(DatabaseError::Connect)?;
    let migrated = async {
        MIGRATIONS.run(&pool).await.map_err(DatabaseError::Migrate)?;
        let mut connection = pool.acquire().await.map_err(DatabaseError::Connect)?;
        give_rights(&mut connection, logins).await
    };
    let migrated = migrated.await;
    pool.close().await;
    migrated
}

/// Gives the logins what `migrations/rights.sql` says, and nothing else to anybody.
async fn give_rights(
    connection: &mut PgConnection,
    logins: Option<&Logins>,
) -> Result<(), DatabaseError> {
    let mut tries = 0;
    loop {
        match try_to_give_rights(connection, logins).await {
            Err(error) if tries < TRIES_MAX && is_a_race(&error) => tries += 1,
            given => return given.map_err(DatabaseError::Rights),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

async fn try_to_give_rights(
    connection: &mut PgConnection,
    logins: Option<&Logins>,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // One at a time in this database. The roles are the cluster's: there another ledger's migration may be in the way.
    transaction
        .execute("SELECT pg_advisory_xact_lock(hashtextextended('ledger rights', 0))")
        .await?;
    transaction.execute(sqlx::raw_sql(RIGHTS)).await?;
    if let Some(logins) = logins {
        logins.assign(&mut transaction).await?;
    }
    transaction.commit().await
}

/// Whether somebody else made or changed the same role at the same time.
fn is_a_race(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // "tuple concurrently updated" has no code of its own; a role that is there by now has two.
    matches!(error.code().as_deref(), Some("XX000" | "23505" | "42710"))
}
