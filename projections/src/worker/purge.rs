//! The purge: when somebody was erased, what was derived from the record is removed as well, and an event says so.
//!
//! Every step may be repeated, and the event goes under a command id made from the subject: so a crash anywhere
//! repeats nothing and loses nothing. Its figures are of what the log knows, not of what one run happened to find.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::Event;
use domain::custody::{CustodyEvent, RecordPurge, Store, StorePurge};
use tracing::info;
use uuid::Uuid;

use super::derived::derived_id;
use super::ports::{CapturePurge, PurgeSink, SinkError};
use crate::event::{CUSTODY, EventLog, RecordedEvent};
use crate::read_models::ReadModels;
use crate::runtime::{ApplyError, Projector};

/// The projector that purges.
pub struct PurgeWorker {
    log: EventLog,
    models: ReadModels,
    captures: Arc<dyn CapturePurge>,
    sink: Arc<dyn PurgeSink>,
    /// Whether this process has looked for captures that came back.
    looked: AtomicBool,
}

impl PurgeWorker {
    /// A worker that reads erasures from `log`, looks after `models`, has `captures` removed, and records what is gone
    /// through `sink`.
    pub fn new(
        log: EventLog,
        models: ReadModels,
        captures: Arc<dyn CapturePurge>,
        sink: Arc<dyn PurgeSink>,
    ) -> PurgeWorker {
        PurgeWorker { log, models, captures, sink, looked: AtomicBool::new(false) }
    }

    async fn is_recorded(&self, subject: Uuid) -> Result<bool, ApplyError> {
        let events = self.log.stream(CUSTODY, subject).await;
        let events = events.map_err(ApplyError::unavailable("read the custody of a record"))?;
        let recorded = |event: &RecordedEvent| {
            matches!(event.event, Some(Event::Custody(CustodyEvent::PurgeRecorded(_))))
        };
        Ok(events.iter().any(recorded))
    }

    async fn purge(&self, recorded: &RecordedEvent, subject: Uuid) -> Result<(), ApplyError> {
        let purged = self.models.purge(subject, recorded.position).await;
        let purged = purged.map_err(ApplyError::unavailable("purge the read models"))?;
        let scans = self.log.scans_of(subject).await;
        let scans = scans.map_err(ApplyError::unavailable("count the scans of a record"))?;
        let removed = self.captures.purge(subject).await;
        removed.map_err(ApplyError::unavailable("remove captures"))?;

        let of = |store, entries| StorePurge { store, entries };
        let mut stores = vec![of(Store::ReadModels, purged.documents)];
        stores.extend(purged.cached.map(|entries| of(Store::Cache, entries)));
        stores.push(of(Store::Captures, scans));
        let command = RecordPurge { stores };
        let (id, caused_by) = (id_for(subject), recorded.command_id);
        match self.sink.record_purge(subject, id, caused_by, command).await {
            Ok(()) => {
                metrics::counter!("purges_recorded_total").increment(1);
                info!(subject = %subject, "purged what was derived from an erased record");
                Ok(())
            }
            // It was recorded meanwhile.
            Err(SinkError::Refused { code }) => {
                info!(subject = %subject, code, "the purge is on record already");
                Ok(())
            }
            Err(error @ SinkError::Unavailable { .. }) => {
                Err(ApplyError::unavailable("record a purge")(error))
            }
        }
    }
}

#[async_trait]
impl Projector for PurgeWorker {
    fn name(&self) -> &str {
        "purge"
    }

    fn version(&self) -> u32 {
        1
    }

    fn streams(&self) -> &[&'static str] {
        &[CUSTODY]
    }

    async fn begin(&self) -> Result<(), ApplyError> {
        if !self.looked.load(Ordering::Acquire) {
            let removed = self.captures.purge_all().await;
            removed.map_err(ApplyError::unavailable("remove captures that came back"))?;
            self.looked.store(true, Ordering::Release);
        }
        Ok(())
    }

    async fn apply(&self, batch: &[RecordedEvent]) -> Result<(), ApplyError> {
        for recorded in batch {
            if let Some(subject) = recorded.erases()
                && !self.is_recorded(subject).await?
            {
                self.purge(recorded, subject).await?;
            }
        }
        Ok(())
    }

    /// Its effects are events, and those stay.
    async fn reset(&self) -> Result<(), ApplyError> {
        Ok(())
    }
}

/// The id of the command that records a subject's purge (`UUIDv8`).
fn id_for(subject: Uuid) -> Uuid {
    derived_id(&format!("coherency/purge/v1\n{subject}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_follows_from_the_subject() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(id_for(one), id_for(one));
        assert_ne!(id_for(one), id_for(other));
        assert_eq!(id_for(one).get_version_num(), 8);
    }
}
