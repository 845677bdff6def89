//! The schema and the rights on it, as the owner of the database brings them up to date.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor, PgConnection};
use zeroize::Zeroizing;

use super::error::DatabaseError;
use super::logins::{Login, Logins};
use super::pool::{ACQUIRE_SECONDS_MAX, options};

/// The schema of the log, forward only.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Who may do what, granted again after each migration.
const RIGHTS: &str = include_str!("../../../migrations/rights.sql");

/// How often rights are given again when another process gave some to the same roles at the same moment.
const TRIES_MAX: u32 = 40;
const TRY_AGAIN: Duration = Duration::from_millis(50);

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

/// Whether another process made or changed the same role at the same time.
fn is_a_race(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // "tuple concurrently updated" has no code of its own; a role that is there by now has two.
    matches!(error.code().as_deref(), Some("XX000" | "23505" | "42710"))
}

/// Prepares a database made on the spot, as tests and benchmarks make them, and answers how a login connects to it. The logins
/// get passwords that follow from the owner's, so that other processes on the same server agree on them: **not for a
/// server that another operator's ledger runs on**.
///
/// # Errors
/// When the database does not answer, or the rights cannot be given.
pub async fn trial(
    owner: &PgConnectOptions,
    login: Login,
) -> Result<PgConnectOptions, DatabaseError> {
    let url = owner.to_url_lossy();
    let password = Sha256::digest(
        [b"coherency/trial/v1", url.username().as_bytes(), url.password().unwrap_or("").as_bytes()]
            .concat(),
    );
    let logins = Logins(Login::ALL.map(|_| Zeroizing::new(hex::encode(password))));
    let mut connection = PgConnection::connect_with(owner).await.map_err(DatabaseError::Connect)?;
    give_rights(&mut connection, Some(&logins)).await?;
    connection.close().await.map_err(DatabaseError::Connect)?;
    Ok(logins.options(owner, login))
}
