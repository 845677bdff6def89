//! After an erasure: that nothing of the subject is left in the store and the cache, looked at and not assumed. Which
//! documents that are is asked of the log: a stored field that names the subject may have been changed.

use std::time::Duration;

use bson::{RawDocumentBuf, doc};
use uuid::Uuid;

use super::appointment::Appointments;
use super::patient::Patients;
use super::store::Found;
use super::tombstone::Kept;
use super::view::View;
use super::wound::Wounds;
use super::{ReadError, ReadModel, ReadModels};
use crate::cache::Entry;

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
        for model in ReadModel::ALL {
            self.wait_for(model, position, WAIT).await?;
        }
        let documents = self.purge_view::<Patients>(subject).await?
            + self.purge_view::<Appointments>(subject).await?
            + self.purge_view::<Wounds>(subject).await?;
        Ok(Purged { documents, cached: self.cache.as_ref().map(|_| documents) })
    }

    async fn purge_view<V: View>(&self, subject: Uuid) -> Result<u64, ReadError> {
        let of_subject = doc! { V::SUBJECT: subject.to_string() };
        // Another version's documents have no projector here that would replace them.
        let family = format!("{}_v", V::NAME);
        let names = self.database().list_collection_names().await;
        for name in names.map_err(ReadError::store("list the collections"))? {
            if name.starts_with(&family) && name != V::collection_name() {
                let others = self.database().collection::<RawDocumentBuf>(&name);
                let deleted = others.delete_many(of_subject.clone()).await;
                deleted.map_err(ReadError::store("delete documents of another version"))?;
            }
        }
        let store = self.store::<V>();
        // What claims to be about the subject, whatever its id, is not to stay either.
        let left = store.raw(of_subject).await;
        for raw in left.map_err(ReadError::store("list a subject's documents"))? {
            match store.read(raw) {
                Found::Kept(Kept::Live(document)) => drop(store.checked(V::id(&document)).await?),
                Found::Damaged(_, raw) => {
                    let removed = store.remove(&raw).await;
                    removed
                        .map_err(|_| ReadError::NotPurged { collection: V::collection_name() })?;
                }
                Found::Kept(Kept::Erased(_)) | Found::Nothing => {}
            }
        }
        let streams = self.source.log.streams_of(subject, V::STREAM).await;
        let streams = streams.map_err(ReadError::Log)?;
        let mut entries = Vec::with_capacity(streams.len());
        for id in &streams {
            drop(store.checked(*id).await?);
            // Looked at once more: what was found is one thing, what is there now another.
            let Found::Kept(kept @ Kept::Erased(_)) = store.load(*id).await? else {
                return Err(ReadError::NotPurged { collection: V::collection_name() });
            };
            let json = kept.to_json().unwrap_or_default();
            entries.push(Entry { id: id.to_string(), position: kept.position(), json });
        }
        if let Some(cache) = &self.cache {
            for entry in &entries {
                // An entry that claims to be newer would stay.
                cache.forget(V::CACHE, &entry.id).await.map_err(ReadError::Cache)?;
            }
            cache.publish(V::CACHE, &entries, false).await.map_err(ReadError::Cache)?;
        }
        Ok(streams.len() as u64)
    }
}
