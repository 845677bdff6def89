//! The sequencer's connections to the database.

use sqlx::{Executor, PgConnection, PgPool};

use super::failure::BatchError;
use crate::config::Limits;
use crate::failpoints::failpoint;
use crate::log::{self, Advance};

/// Moves the head and commits, within the time a transaction may take.
pub(super) async fn commit_within(
    limits: Limits,
    mut connection: PgConnection,
    advance: &Advance,
) -> Result<PgConnection, BatchError> {
    let limit = limits.transaction;
    tokio::time::timeout(limit, log::commit(&mut connection, advance))
        .await
        .map_err(|_| BatchError::Timeout { seconds: limit.as_secs() })?
        .map_err(BatchError::Commit)?;
    Ok(connection)
}

/// A connection of the sequencer's own, with plans that do not depend on the statistics of tables that
/// have just begun to fill.
///
/// A batch waits in this process for the one before it, which the database does not know. Two processes whose rows collide
/// could so wait for each other; therefore no batch waits long for a row, unless the head is locked first.
pub(super) async fn connect(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    failpoint!("connect.before");
    let mut connection = pool.acquire().await?.detach();
    failpoint!("connect.between");
    connection
        .execute(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
             SET statement_timeout = '20s'; SET lock_timeout = '250ms'; \
             SET idle_in_transaction_session_timeout = '20s'",
        )
        .await?;
    failpoint!("connect.after");
    Ok(connection)
}
