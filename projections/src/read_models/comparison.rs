//! The slow comparison: every document with what the log makes of its stream, whether anybody reads it or not.
//!
//! What is read is checked at once. What a changed field or a deletion hides from a list is not read; this finds it. It is
//! a projector, so one process at a time does it, from a checkpoint of its own: it walks the log, compares the document of
//! each stream where the stream begins, and looks at the end of each round for documents that the log knows nothing of.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::info;
use uuid::Uuid;

use super::compare::Difference;
use super::{ReadError, ReadModel, ReadModels};
use crate::event::RecordedEvent;
use crate::runtime::{ApplyError, Projector};

/// How many events the comparison takes at once.
const BATCH: usize = 100;

/// How fast the comparison goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many events of the log it walks in a second, at most.
    pub events_per_second: u32,
    /// How long it rests between two rounds.
    pub rest: Duration,
}

impl Default for Pace {
    /// A million events in little more than half an hour, for a few hundredths of a core.
    fn default() -> Pace {
        Pace { events_per_second: 500, rest: Duration::from_secs(600) }
    }
}

impl ReadModels {
    /// Compares the document of one stream with what the log makes of it, and puts right what differs. A document that the
    /// projector has not come to yet does not differ.
    ///
    /// # Errors
    /// When a store does not answer, or the log's events cannot be read.
    pub async fn compare(
        &self,
        model: ReadModel,
        id: Uuid,
    ) -> Result<Option<Difference>, ReadError> {
        model.declared().compare(&self.source, id).await
    }

    /// Removes the documents that the log knows nothing of, and answers which they were.
    ///
    /// # Errors
    /// As [`ReadModels::compare`].
    pub async fn compare_surplus(&self, model: ReadModel) -> Result<Vec<Difference>, ReadError> {
        model.declared().surplus(&self.source).await
    }

    /// The projector that compares for as long as it runs.
    pub fn comparison(&self, pace: Pace) -> Arc<dyn Projector> {
        Arc::new(Comparison { models: self.clone(), pace, rested: Mutex::new(None) })
    }
}

/// The projector that compares.
struct Comparison {
    models: ReadModels,
    pace: Pace,
    /// Since when it rests, once it has come to the end of the log.
    rested: Mutex<Option<Instant>>,
}

impl Comparison {
    /// Whether the rest after a round is over; begins it if none has begun.
    fn is_rested(&self) -> bool {
        let mut rested = self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *rested.get_or_insert_with(Instant::now);
        let over = since.elapsed() >= self.pace.rest;
        if over {
            *rested = None;
        }
        over
    }
}

#[async_trait]
impl Projector for Comparison {
    fn name(&self) -> &str {
        "comparison"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Only where streams begin: what is in them is read stream by stream.
    fn streams(&self) -> &[&'static str] {
        &[]
    }

    fn batch_limit(&self) -> usize {
        BATCH
    }

    async fn apply(&self, batch: &[RecordedEvent]) -> Result<(), ApplyError> {
        let began = Instant::now();
        for recorded in batch.iter().filter(|recorded| recorded.sequence == 1) {
            let of = |model: &ReadModel| model.stream_type() == recorded.stream_type;
            let Some(model) = self.models.all().find(of) else { continue };
            let compared = self.models.compare(model, recorded.stream_id).await;
            compared.map_err(ApplyError::unavailable("compare a document with the log"))?;
        }
        let least = f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX))
            / f64::from(self.pace.events_per_second.max(1));
        let least = Duration::from_secs_f64(least);
        tokio::time::sleep(least.saturating_sub(began.elapsed())).await;
        Ok(())
    }

    /// The end of the log: looks for what is too much, rests, and begins again.
    async fn idle(&self) {
        if !self.is_rested() {
            return;
        }
        for model in self.models.all() {
            if let Err(error) = self.models.compare_surplus(model).await {
                let error = audit::chain(&error);
                tracing::warn!(error, "the comparison of the read models was interrupted");
                return;
            }
        }
        info!("compared the read models with the log: beginning again");
        metrics::counter!("read_model_comparisons_total").increment(1);
        if let Err(error) = self.models.source.checkpoints.remove(&self.id()).await {
            let error = audit::chain(&error);
            tracing::warn!(error, "the comparison of the read models could not begin again");
        }
    }

    /// It has no effects but repairs.
    async fn reset(&self) -> Result<(), ApplyError> {
        Ok(())
    }
}
