//! Erasure: the key is destroyed by the transaction that appends the event, and what was sealed with it and comes
//! later is refused.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::PgConnection;
use uuid::Uuid;

use super::append::{Append, Queued};
use crate::memory::Memory;

/// No epoch of any log.
const NONE: i64 = -1;

/// What leaves the database together with a subject's key, each by the subject as `$1`. Derived tables
/// that hold something of a subject belong here.
const GONE_WITH_THE_KEY: [&str; 3] = [
    "UPDATE keyring.data_keys SET wrapped = NULL, destroyed_at = now()
      WHERE subject = $1 AND wrapped IS NOT NULL",
    "DELETE FROM claims_unique WHERE aggregate_id IN (SELECT aggregate_id FROM events WHERE subject = $1)",
    "DELETE FROM claims_busy WHERE aggregate_id IN (SELECT aggregate_id FROM events WHERE subject = $1)",
];

/// Which subjects are erased, as of the epoch of the log this process saw last.
pub(crate) struct Erasures {
    memory: Memory,
    epoch: AtomicI64,
}

impl Erasures {
    pub(crate) fn new(memory: Memory) -> Erasures {
        Erasures { memory, epoch: AtomicI64::new(NONE) }
    }

    /// Learns who was erased since, by whichever process, and forgets them. Called under the head's lock.
    pub(crate) async fn catch_up(
        &self,
        connection: &mut PgConnection,
        epoch: i64,
    ) -> Result<(), sqlx::Error> {
        if self.epoch.load(Ordering::Acquire) == epoch {
            return Ok(());
        }
        let erased: Vec<Uuid> =
            sqlx::query_scalar("SELECT subject FROM keyring.data_keys WHERE wrapped IS NULL")
                .fetch_all(connection)
                .await?;
        self.memory.forget(&erased);
        self.epoch.store(epoch, Ordering::Release);
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

/// How many of the first `fitting` commands share a transaction. An erasure has one of its own: it deletes claims that
/// the decision about its neighbours would have to know of.
pub(crate) fn apart(queue: &[Queued], fitting: usize) -> usize {
    let erasing = queue.iter().take(fitting).position(|queued| queued.append.erase.is_some());
    erasing.map_or(fitting, |first| first.max(1))
}

/// Destroys a subject's key and what goes with it. Commits nothing.
pub(crate) async fn destroy(
    connection: &mut PgConnection,
    subject: Uuid,
) -> Result<(), sqlx::Error> {
    for statement in GONE_WITH_THE_KEY {
        sqlx::query(statement).bind(subject).execute(&mut *connection).await?;
    }
    sqlx::query("UPDATE ledger_head SET epoch = epoch + 1").execute(connection).await?;
    Ok(())
}

/// Destroys the keys of erased subjects that are there again, because the keys were restored from a
/// backup older than the erasure. Gives back how many.
pub(crate) async fn destroy_again(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    // The names stand in the statement, and are not parameters, so that the planner knows how few these
    // events are.
    sqlx::query_scalar(
        "WITH destroyed AS (
           UPDATE keyring.data_keys k SET wrapped = NULL, destroyed_at = now()
             FROM events e
            WHERE e.aggregate_type = 'custody' AND e.event_type = 'SubjectErased'
              AND k.subject = e.aggregate_id AND k.wrapped IS NOT NULL
           RETURNING 1
         ), moved AS (
           UPDATE ledger_head SET epoch = epoch + 1 WHERE EXISTS (SELECT 1 FROM destroyed)
         )
         SELECT count(*) FROM destroyed",
    )
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn queue(erasing: &[bool]) -> Vec<Queued> {
        let append = |erases: &bool| Append {
            command_id: Uuid::nil(),
            request_mac: [0; 32],
            expected: Vec::new(),
            events: Vec::new(),
            claims: Vec::new(),
            new_keys: Vec::new(),
            erase: erases.then(Uuid::nil),
        };
        erasing
            .iter()
            .map(|erases| Queued { append: append(erases), reply: oneshot::channel().0 })
            .collect()
    }

    #[test]
    fn an_erasure_has_a_transaction_of_its_own() {
        for (erasing, fitting, taken) in [
            (&[false, false, false][..], 3, 3),
            (&[false, false, true], 3, 2),
            (&[false, false, true], 2, 2),
            (&[true, false, false], 3, 1),
            (&[true, true], 2, 1),
            (&[false, true, false], 3, 1),
            (&[false, false, false], 1, 1),
        ] {
            assert_eq!(apart(&queue(erasing), fitting), taken, "{erasing:?}, {fitting}");
        }
    }
}
