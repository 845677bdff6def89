//! Erasure: the key is destroyed by the transaction that appends the event, and what was sealed with it and comes
//! later is refused.

use std::collections::HashSet;

use audit::postgres::{LogWatch, ReadError};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::log::Append;
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
