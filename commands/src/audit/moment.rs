//! One moment of a database, seen through several sessions.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor as _, PgConnection, PgPool, Postgres, Transaction};

/// How many sessions may look at once; a comparison holds one and reads data keys through another.
const SESSIONS_MAX: u32 = 4;
const ACQUIRE_SECONDS_MAX: u64 = 10;

/// The database as it is at one moment. A session holds it open; the pool's sessions see the same, whenever one is taken, so
/// that whatever is compared is compared with the same log, while others go on writing.
///
/// Who reads by it may begin a transaction of its own and roll it back: the session enters the moment again before it is
/// handed out the next time.
pub struct Moment {
    holder: Transaction<'static, Postgres>,
    pool: PgPool,
}

impl Moment {
    /// Now, in the database that a pool connects to, by the same login.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses.
    pub async fn open(pool: &PgPool) -> Result<Moment, sqlx::Error> {
        let options = pool.connect_options().as_ref().clone();
        let holders = PgPoolOptions::new()
            .max_connections(1)
            .after_connect(|session, _| Box::pin(prepare(session)))
            .connect_with(options.clone())
            .await?;
        let mut holder = holders.begin().await?;
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let name: String = sqlx::query_scalar("SELECT pg_catalog.pg_export_snapshot()")
            .fetch_one(&mut *holder)
            .await?;
        let entered = name.clone();
        let pool = PgPoolOptions::new()
            .max_connections(SESSIONS_MAX)
            .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
            .test_before_acquire(false)
            .after_connect(move |session, _| {
                let name = name.clone();
                Box::pin(async move {
                    prepare(session).await?;
                    enter(session, &name).await
                })
            })
            .before_acquire(move |session, _| {
                let name = entered.clone();
                Box::pin(async move {
                    if is_outside(session).await? {
                        enter(session, &name).await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        Ok(Moment { holder, pool })
    }

    /// The session that holds the moment.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.holder
    }

    /// Sessions that see the same.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Lets go of it.
    pub async fn close(self) {
        self.pool.close().await;
        // Nothing was written, so nothing can be lost by an end that fails.
        let _ended = self.holder.rollback().await;
    }
}

/// Undoes what may have been set for this login or this database: what is read must be the tables themselves.
async fn prepare(session: &mut PgConnection) -> Result<(), sqlx::Error> {
    for setting in [
        "SET search_path = pg_catalog, public, pg_temp",
        "SET default_transaction_isolation = 'read committed'",
        "SET default_transaction_read_only = on",
        "SET plan_cache_mode = force_generic_plan",
        "SET statement_timeout = 0",
        "SET idle_in_transaction_session_timeout = 0",
    ] {
        session.execute(setting).await?;
    }
    Ok(())
}

/// Whether the session has left the moment, because a transaction of its own ended.
async fn is_outside(session: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let level: String =
        sqlx::query_scalar("SELECT pg_catalog.current_setting('transaction_isolation')")
            .fetch_one(session)
            .await?;
    Ok(level != "repeatable read")
}

async fn enter(session: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    // PostgreSQL's own name for it: hexadecimal digits and hyphens.
    session.execute(format!("SET TRANSACTION SNAPSHOT '{name}'").as_str()).await?;
    Ok(())
}
