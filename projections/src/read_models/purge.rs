//! After an erasure: that nothing of the subject is left in the store and the cache, looked at and not assumed.

use std::time::Duration;

use bson::{RawDocumentBuf, doc};
use futures::TryStreamExt;
use uuid::Uuid;

use super::appointment::Appointments;
use super::patient::Patients;
use super::tombstone::{ERASED, Kept, is_tombstone};
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
        let names = self.database.list_collection_names().await;
        for name in names.map_err(ReadError::store("list the collections"))? {
            if name.starts_with(&family) && name != V::collection_name() {
                let others = self.database.collection::<RawDocumentBuf>(&name);
                let deleted = others.delete_many(of_subject.clone()).await;
                deleted.map_err(ReadError::store("delete documents of another version"))?;
            }
        }
        let left = self.raw::<V>(of_subject).await?;
        if left.iter().any(|raw| !is_tombstone(raw)) {
            return Err(ReadError::NotPurged { collection: V::collection_name() });
        }
        let tombstones = self.raw::<V>(doc! { ERASED: subject.to_string() }).await?;
        if let Some(cache) = &self.cache {
            let entries = tombstones.iter().map(|raw| entry::<V>(raw)).collect::<Option<Vec<_>>>();
            let entries =
                entries.ok_or(ReadError::Unreadable { collection: V::collection_name() })?;
            cache.publish(V::CACHE, &entries, false).await.map_err(ReadError::Cache)?;
        }
        Ok(tombstones.len() as u64)
    }

    async fn raw<V: View>(&self, filter: bson::Document) -> Result<Vec<RawDocumentBuf>, ReadError> {
        let collection = self.database.collection::<RawDocumentBuf>(&V::collection_name());
        let found = collection.find(filter).await;
        let found = found.map_err(ReadError::store("list a subject's documents"))?;
        found.try_collect().await.map_err(ReadError::store("list a subject's documents"))
    }
}

/// A tombstone as the cache holds it.
fn entry<V: View>(raw: &RawDocumentBuf) -> Option<Entry> {
    let kept = Kept::<V>::read(raw)?;
    let json = kept.to_json()?.to_string();
    Some(Entry { id: raw.get_str("_id").ok()?.to_owned(), position: kept.position(), json })
}
