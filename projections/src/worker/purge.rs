//! The purge: when a subject was erased, what was derived from the record is removed as well, and an event says so.
//!
//! Every step may be repeated, and the event goes under a command id made from the subject under a key: so a crash anywhere
//! repeats nothing and loses nothing. Its figures are of what the log knows, not of what one run happened to find.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::custody::{CustodyEvent, RecordPurge, Store, StorePurge};
use domain::{CustodyCommand, Event};
use tracing::{Instrument as _, Span, info};
use uuid::Uuid;

use super::derived::{DerivedIds, not_recorded};
use super::ports::{CapturePurge, CommandSink, SinkError, WorkerCommand};
use super::spans::answering;
use super::submit::Submitter;
use crate::event::{CUSTODY, EventLog, RecordedEvent};
use crate::read_models::ReadModels;
use crate::runtime::{ApplyError, Projector};

/// What this projector is called, and its ids are made for.
const WORKER: &str = "purge";

/// The projector that purges.
pub struct PurgeWorker {
    log: EventLog,
    models: ReadModels,
    captures: Arc<dyn CapturePurge>,
    sink: Arc<dyn CommandSink>,
    ids: DerivedIds,
    /// Whether this process has looked for captures that came back.
    looked: AtomicBool,
}

impl PurgeWorker {
    /// A worker that reads erasures from `log`, looks after `models`, has `captures` removed, and records what is gone
    /// through `sink` under ids out of `ids`.
    pub fn new(
        log: EventLog,
        models: ReadModels,
        captures: Arc<dyn CapturePurge>,
        sink: Arc<dyn CommandSink>,
        ids: DerivedIds,
    ) -> PurgeWorker {
        PurgeWorker { log, models, captures, sink, ids, looked: AtomicBool::new(false) }
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
        let command = CustodyCommand::RecordPurge(RecordPurge { stores });
        let command = WorkerCommand::Custody(subject, command);
        let submitter = Submitter { worker: WORKER, ids: &self.ids, sink: &*self.sink };
        match submitter.submit(&[subject.as_bytes()], recorded.correlation_id, command).await {
            Ok(()) => {
                Span::current().record("outcome", "purged");
                metrics::counter!("purges_recorded_total").increment(1);
                info!(subject = %subject, "purged what was derived from an erased record");
                Ok(())
            }
            Err(SinkError::Gone) => {
                info!(subject = %subject, "nobody is left whose purge would be recorded");
                Ok(())
            }
            // It was recorded meanwhile; or else it is not on record, and that does not stay so.
            Err(SinkError::Refused { code }) => {
                if self.is_recorded(subject).await? {
                    info!(subject = %subject, code, "the purge is on record already");
                    return Ok(());
                }
                not_recorded(WORKER, &code);
                Err(ApplyError::unavailable("record a purge")(SinkError::Refused { code }))
            }
            Err(error) => Err(ApplyError::unavailable("record a purge")(error)),
        }
    }
}

#[async_trait]
impl Projector for PurgeWorker {
    fn name(&self) -> &str {
        WORKER
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
                let span = answering(WORKER, recorded);
                self.purge(recorded, subject).instrument(span).await?;
            }
        }
        Ok(())
    }

    /// Its effects are events, and those stay.
    async fn reset(&self) -> Result<(), ApplyError> {
        Ok(())
    }
}
