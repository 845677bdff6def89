//! The right to run a projector: a Postgres advisory lock, so that one process holds a projector at a time.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::RunError;

/// The channel on which a writer announces the log's new size.
const CHANNEL: &str = "ledger_head";

/// A check that takes longer than this counts as a lost connection.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// The lock, on a connection of its own, which also listens for new events. The lock lives exactly as long as
/// the connection does: a dead process frees it.
pub(super) struct Lease {
    projector: String,
    listener: PgListener,
    backend: i32,
}

impl Lease {
    /// Tries to take the lock for `projector` on `target` (the database it writes to).
    /// `None`: another process holds it.
    pub(super) async fn acquire(
        options: &PgConnectOptions,
        projector: &str,
        target: &str,
    ) -> Result<Option<Lease>, RunError> {
        let failed = |source| RunError::Lease { projector: projector.to_owned(), source };
        let options = options.clone().application_name(&format!("ledger projector {projector}"));
        // A pool of one: the listener keeps the connection, and takes none from the queries' pool.
        let pool =
            PgPoolOptions::new().max_connections(1).connect_with(options).await.map_err(failed)?;
        let mut listener = PgListener::connect_with(&pool).await.map_err(failed)?;
        // A connection that came back by itself would listen, but no longer hold the lock.
        listener.eager_reconnect(false);
        let (held, backend): (bool, i32) =
            sqlx::query_as("SELECT pg_try_advisory_lock($1), pg_backend_pid()")
                .bind(lock_key(projector, target))
                .fetch_one(&mut listener)
                .await
                .map_err(failed)?;
        if !held {
            return Ok(None);
        }
        listener.listen(CHANNEL).await.map_err(failed)?;
        Ok(Some(Lease { projector: projector.to_owned(), listener, backend }))
    }

    /// Fails when the connection that took the lock is not the one that answers.
    pub(super) async fn check(&mut self) -> Result<(), RunError> {
        let asked =
            sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&mut self.listener);
        match tokio::time::timeout(CHECK_TIMEOUT, asked).await {
            Ok(Ok(backend)) if backend == self.backend => Ok(()),
            Ok(Err(source)) => Err(RunError::Lease { projector: self.projector.clone(), source }),
            Ok(Ok(_)) | Err(_) => Err(self.lost()),
        }
    }

    /// Waits for word of new events, but no longer than `timeout`.
    pub(super) async fn wait(&mut self, timeout: Duration) -> Result<(), RunError> {
        match tokio::time::timeout(timeout, self.listener.try_recv()).await {
            Ok(Ok(Some(_))) => {
                // One look at the log answers all that is already waiting.
                while self.listener.next_buffered().is_some() {}
                Ok(())
            }
            Ok(Ok(None)) => Err(self.lost()),
            Ok(Err(source)) => Err(RunError::Lease { projector: self.projector.clone(), source }),
            Err(_) => Ok(()),
        }
    }

    fn lost(&self) -> RunError {
        RunError::LeaseLost { projector: self.projector.clone() }
    }
}

/// Advisory locks are numbers. Two projectors that met on one number would merely wait for each other.
fn lock_key(projector: &str, target: &str) -> i64 {
    let digest = Sha256::digest(format!("coherency projector\n{target}\n{projector}"));
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(key)
}
