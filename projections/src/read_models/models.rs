//! The read models of one database together, whichever they are: a view that adds queries of its own knows these, and not
//! the other views.

use std::sync::Arc;
use std::time::Duration;

use mongodb::Database;

use super::error::ReadError;
use super::registry::ReadModel;
use super::store::{Source, Store};
use super::view::View;
use crate::cache::{Cache, CacheError};
use crate::known::KnownPositions;
use crate::runtime::Projector;
use crate::tags::Tags;

/// The read models of one Mongo database, with the cache before them. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels {
    pub(super) source: Source,
    pub(super) cache: Option<Cache>,
    all: Arc<[ReadModel]>,
}

impl std::fmt::Debug for ReadModels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let database = self.source.database.name();
        formatter.debug_struct("ReadModels").field("database", &database).finish_non_exhaustive()
    }
}

impl ReadModels {
    /// These read models, in the database that `source` names.
    pub(super) fn of(all: &[ReadModel], source: Source, cache: Option<Cache>) -> ReadModels {
        ReadModels { source, cache, all: all.into() }
    }

    /// The same, with one read model more.
    #[must_use]
    pub fn with(mut self, model: ReadModel) -> ReadModels {
        self.all = self.all.iter().copied().chain([model]).collect();
        self
    }

    /// Every read model there is.
    pub fn all(&self) -> impl Iterator<Item = ReadModel> + '_ {
        self.all.iter().copied()
    }

    /// The same, comparing documents with what is known from elsewhere instead of with the rows of the log alone.
    #[must_use]
    pub fn knowing(mut self, known: Arc<dyn KnownPositions>) -> ReadModels {
        self.source.known = known;
        self
    }

    /// The Mongo database.
    pub fn database(&self) -> &Database {
        &self.source.database
    }

    /// What makes and checks the tags.
    pub fn tags(&self) -> &Tags {
        &self.source.tags
    }

    /// The projector of one read model, to be run by a [`crate::runtime::Runtime`].
    pub fn projector(&self, model: ReadModel) -> Arc<dyn Projector> {
        model.declared().projector(&self.source, self.cache.as_ref())
    }

    /// The projectors of all read models.
    pub fn projectors(&self) -> Vec<Arc<dyn Projector>> {
        self.all().map(|model| self.projector(model)).collect()
    }

    pub(super) fn store<V: View>(&self) -> Store<V> {
        Store::new(self.source.clone())
    }

    /// Where a read model stands: the next position it will read.
    pub async fn position(&self, model: ReadModel) -> Result<u64, ReadError> {
        let stored = self.source.checkpoints.load(&model.projector_id()).await;
        let stored = stored.map_err(ReadError::store("read a checkpoint"))?.unwrap_or_default();
        self.source.note(model.name(), stored);
        Ok(stored)
    }

    /// Waits until the event at `position` can be seen in `model`, for at most `timeout`.
    pub async fn wait_for(
        &self,
        model: ReadModel,
        position: u64,
        timeout: Duration,
    ) -> Result<(), ReadError> {
        let projector = model.projector_id();
        let reached = self.source.checkpoints.wait_for(&projector, position, timeout).await;
        let reached = reached.map_err(ReadError::store("wait for a position"))?;
        self.source.note(model.name(), reached);
        // What the log does not hold was never shown.
        let held = || async { self.source.known.reaches(position).await.map_err(ReadError::Log) };
        if reached > position && held().await? {
            Ok(())
        } else {
            Err(ReadError::Behind { projector, position: reached, wanted: position })
        }
    }

    /// Asks the store for a sign of life.
    pub async fn ping(&self) -> Result<(), ReadError> {
        self.source
            .database
            .run_command(bson::doc! { "ping": 1 })
            .await
            .map_err(ReadError::store("answer a ping"))?;
        Ok(())
    }

    /// Asks the cache for a sign of life, if there is one.
    pub async fn ping_cache(&self) -> Result<(), CacheError> {
        match &self.cache {
            Some(cache) => cache.ping().await,
            None => Ok(()),
        }
    }
}
