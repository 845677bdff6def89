//! The slow comparison: every document with what the log makes of its stream, whether anybody reads it or not.
//!
//! What is read is checked at once. What a changed field or a deletion hides from a list is not read; this finds it. It is
//! a projector, so one process at a time does it, from a checkpoint of its own: it walks the log, compares the document of
//! each stream where the stream begins, and looks at the end of each round for documents that the log knows nothing of.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, doc};
use futures::TryStreamExt;
use tokio::time::Instant;
use tracing::info;
use uuid::Uuid;

use super::appointment::Appointments;
use super::patient::Patients;
use super::store::{Found, Store, note_damage};
use super::stored::{Damage, canonical};
use super::tombstone::Kept;
use super::view::View;
use super::wound::Wounds;
use super::{ReadError, ReadModel, ReadModels};
use crate::event::RecordedEvent;
use crate::runtime::{ApplyError, Projector};

/// How many events the comparison takes at once.
const BATCH: usize = 100;

/// How many ids are asked for at once when looking for documents that the log knows nothing of.
const IDS: usize = 200;

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

/// A document that is not what the log makes of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In which read model.
    pub model: ReadModel,
    /// The document's id, as far as it is one.
    pub id: String,
    /// What is wrong with it, in a word: `form`, `tag`, `fields`, `older`, `missing`, `superfluous`, `content`.
    pub why: &'static str,
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
        match model {
            ReadModel::Patients => self.store::<Patients>().compare(id).await,
            ReadModel::Appointments => self.store::<Appointments>().compare(id).await,
            ReadModel::Wounds => self.store::<Wounds>().compare(id).await,
        }
    }

    /// Removes the documents that the log knows nothing of, and answers which they were.
    ///
    /// # Errors
    /// As [`ReadModels::compare`].
    pub async fn compare_surplus(&self, model: ReadModel) -> Result<Vec<Difference>, ReadError> {
        match model {
            ReadModel::Patients => self.store::<Patients>().surplus().await,
            ReadModel::Appointments => self.store::<Appointments>().surplus().await,
            ReadModel::Wounds => self.store::<Wounds>().surplus().await,
        }
    }

    /// The projector that compares for as long as it runs.
    pub fn comparison(&self, pace: Pace) -> Arc<dyn Projector> {
        Arc::new(Comparison { models: self.clone(), pace, rested: Mutex::new(None) })
    }
}

impl<V: View> Store<V> {
    async fn compare(&self, id: Uuid) -> Result<Option<Difference>, ReadError> {
        // In this order: whatever is before the checkpoint is in the document, and the log only grows.
        let stored = self.source.checkpoints.load(&V::MODEL.projector_id()).await;
        let reached = stored.map_err(ReadError::store("read a checkpoint"))?.unwrap_or_default();
        let raw = self.load_raw(id).await?;
        let found = raw.clone().map_or(Found::Nothing, |raw| self.read(raw));
        let made = self.folded_from_log(id).await.map_err(|_| self.damaged())?;
        metrics::counter!("read_model_compared_total", "model" => V::NAME).increment(1);
        let Some(damage) = differ(&found, made.as_ref(), reached) else { return Ok(None) };
        let difference = self.note_difference(&id.to_string(), damage);
        let replaced = match damage {
            Damage::Older | Damage::Missing => None,
            _ => raw.as_ref(),
        };
        self.heal(replaced, made.as_ref()).await.map_err(|_| self.damaged())?;
        Ok(Some(difference))
    }

    async fn surplus(&self) -> Result<Vec<Difference>, ReadError> {
        let failed = || ReadError::store("list the ids of documents");
        let mut differences = Vec::new();
        let mut found = self
            .collection::<Document>()
            .find(doc! {})
            .projection(doc! { "_id": 1 })
            .await
            .map_err(failed())?;
        let mut ids = Vec::with_capacity(IDS);
        loop {
            let next = found.try_next().await.map_err(failed())?;
            let done = next.is_none();
            if let Some(id) = next.as_ref().and_then(|next| next.get("_id")) {
                match canonical(id) {
                    Some(id) => ids.push(id),
                    None => {
                        let documents = self.collection::<Document>();
                        let deleted = documents.delete_one(doc! { "_id": id }).await;
                        deleted.map_err(ReadError::store("remove a document"))?;
                        differences.push(self.note_difference("not an id", Damage::Superfluous));
                    }
                }
            }
            if ids.len() >= IDS || done {
                let known = self.source.known.last_positions(V::STREAM, &ids).await;
                let known = known.map_err(ReadError::Log)?;
                for id in ids.drain(..).filter(|id| !known.contains_key(id)) {
                    differences.extend(self.compare(id).await?);
                }
            }
            if done {
                return Ok(differences);
            }
        }
    }

    fn note_difference(&self, id: &str, damage: Damage) -> Difference {
        metrics::counter!("read_model_differs_total", "model" => V::NAME).increment(1);
        note_damage::<V>(id, damage);
        Difference { model: V::MODEL, id: id.to_owned(), why: damage.as_str() }
    }

    fn damaged(&self) -> ReadError {
        ReadError::Damaged { collection: V::collection_name() }
    }
}

/// What is wrong with what was found, given what the log makes of the stream and how far the read model is.
fn differ<V: View>(found: &Found<V>, made: Option<&Kept<V>>, reached: u64) -> Option<Damage> {
    match (found, made) {
        (Found::Damaged(damage, _), _) => Some(*damage),
        (Found::Nothing, None) => None,
        (Found::Nothing, Some(made)) => (made.position() < reached).then_some(Damage::Missing),
        (Found::Kept(_), None) => Some(Damage::Superfluous),
        (Found::Kept(kept), Some(made)) if kept.position() < made.position() => {
            (made.position() < reached).then_some(Damage::Older)
        }
        (Found::Kept(kept), Some(made)) => {
            (kept.to_json() != made.to_json()).then_some(Damage::Content)
        }
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
    /// Whether the rest after a round is over; begins it if there is none.
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
            let Some(model) = ReadModel::ALL.into_iter().find(of) else { continue };
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
        for model in ReadModel::ALL {
            if let Err(error) = self.models.compare_surplus(model).await {
                let error = crate::runtime::chain(&error);
                tracing::warn!(error, "the comparison of the read models was interrupted");
                return;
            }
        }
        info!("compared the read models with the log: beginning again");
        metrics::counter!("read_model_comparisons_total").increment(1);
        if let Err(error) = self.models.source.checkpoints.remove(&self.id()).await {
            let error = crate::runtime::chain(&error);
            tracing::warn!(error, "the comparison of the read models could not begin again");
        }
    }

    /// It has no effects but repairs.
    async fn reset(&self) -> Result<(), ApplyError> {
        Ok(())
    }
}
