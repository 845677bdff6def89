//! Erasure: the key is destroyed by the transaction that appends the event, and what was sealed with it and comes
//! later is refused.

use std::collections::HashSet;

use audit::postgres::{LogReader, LogWatch, ReadError};
use sqlx::PgConnection;
use uuid::Uuid;

use super::append::Append;
use super::edge::unsigned;
use crate::memory::Memory;

/// What leaves the database together with a subject's key, each by the subject as `$1`. Derived tables
/// that hold something of a subject belong here; the claims go with the batch's own (`buckets`).
const GONE_WITH_THE_KEY: [&str; 2] =
    ["SELECT destroy_data_key($1)", "DELETE FROM snapshots WHERE subject = $1"];

/// Which subjects are erased, as far as this process knows.
pub(crate) struct Erasures {
    memory: Memory,
    watch: LogWatch,
}

impl Erasures {
    pub(crate) fn new(memory: Memory, watch: LogWatch) -> Erasures {
        Erasures { memory, watch }
    }

    /// Learns from the log who was erased, by whichever process, and forgets them. Called under the head's lock. What the
    /// table of keys holds says nothing of it.
    pub(crate) async fn learn(&self, connection: &mut PgConnection) -> Result<(), ReadError> {
        // The size first: the watch may learn of more meanwhile.
        let size = self.watch.size();
        let since = self.watch.reader().erasures_from(connection, size).await;
        let since = since.inspect_err(|error| {
            if let Some(damage) = error.damage() {
                self.watch.found(damage);
            }
        })?;
        self.memory.forget(&self.watch.erased());
        self.memory.forget(&since);
        Ok(())
    }

    /// Which of the subjects of a batch are erased.
    pub(crate) fn among(&self, batch: &[&Append]) -> HashSet<Uuid> {
        let subjects = batch.iter().flat_map(|append| &append.events);
        let subjects = subjects.filter_map(|event| event.subject);
        subjects.filter(|subject| self.memory.is_erased(*subject)).collect()
    }

    /// Forgets whom this process has just erased.
    pub(crate) fn committed(&self, subject: Uuid) {
        self.memory.forget(&[subject]);
        metrics::counter!("ledger_erasures_total").increment(1);
    }
}

/// Destroys a subject's key and what goes with it, once the event that says so is among the rows of the transaction. Commits
/// nothing.
pub(crate) async fn destroy(
    connection: &mut PgConnection,
    subject: Uuid,
) -> Result<(), sqlx::Error> {
    for statement in GONE_WITH_THE_KEY {
        sqlx::query(statement).bind(subject).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Destroys the keys of erased subjects that are there again, because the keys were restored from a backup older than the
/// erasure. Whom the log erases is proved first. Gives back how many.
pub(crate) async fn destroy_again(
    connection: &mut PgConnection,
    reader: &LogReader,
) -> Result<i64, ReadError> {
    let erased = reader.erasures_from(connection, 0).await?;
    Ok(destroy_again_of(connection, &erased).await?)
}

/// The same of subjects that are proved to be erased.
pub(crate) async fn destroy_again_of(
    connection: &mut PgConnection,
    erased: &[Uuid],
) -> Result<i64, sqlx::Error> {
    let destroyed: i64 = sqlx::query_scalar("SELECT destroy_keys_again($1)")
        .bind(erased)
        .fetch_one(connection)
        .await?;
    if destroyed > 0 {
        metrics::counter!("ledger_data_keys_destroyed_again_total").increment(unsigned(destroyed));
        tracing::warn!(destroyed, "data keys of erased records were there again: destroyed again");
    }
    Ok(destroyed)
}
