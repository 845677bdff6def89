//! After an erasure: every read model in turn.

use std::time::Duration;

use uuid::Uuid;

use super::{ReadError, ReadModels};

/// How long one look waits for a read model to see the erasure.
const WAIT: Duration = Duration::from_secs(5);

/// What is gone of a subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// The documents of which only a tombstone is left.
    pub documents: u64,
    /// The cache's entries that hold no more than that; `None` without a cache.
    pub cached: Option<u64>,
}

impl ReadModels {
    /// Waits until every read model has seen the erasure of `subject` at `position`, makes sure that none holds anything
    /// of it any more, and overwrites what the cache may hold. May be repeated, with the same answer.
    ///
    /// # Errors
    /// When a read model is behind, or a store does not answer: then nothing is proved yet.
    pub async fn purge(&self, subject: Uuid, position: u64) -> Result<Purged, ReadError> {
        for model in self.all() {
            self.wait_for(model, position, WAIT).await?;
        }
        let mut documents = 0;
        for model in self.all() {
            let declared = model.declared();
            documents += declared.purge(&self.source, self.cache.as_ref(), subject).await?;
        }
        Ok(Purged { documents, cached: self.cache.as_ref().map(|_| documents) })
    }
}
