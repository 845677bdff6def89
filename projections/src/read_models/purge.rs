//! After an erasure: that nothing of the subject is left in one read model and its cache, looked at and not assumed. Which
//! documents that are is asked of the log: a stored field that names the subject may have been changed.

use bson::{RawDocumentBuf, doc};
use uuid::Uuid;

use super::error::ReadError;
use super::store::{Found, Store};
use super::tombstone::Kept;
use super::view::View;
use crate::cache::{Cache, Entry};

/// Makes sure that nothing of a subject is left in one read model, and answers of how many documents only tombstones are.
pub(super) async fn purge<V: View>(
    store: &Store<V>,
    cache: Option<&Cache>,
    subject: Uuid,
) -> Result<u64, ReadError> {
    let of_subject = doc! { V::SUBJECT: subject.to_string() };
    // Another version's documents have no projector here that would replace them.
    let family = format!("{}_v", V::NAME);
    let names = store.source.database.list_collection_names().await;
    for name in names.map_err(ReadError::store("list the collections"))? {
        if name.starts_with(&family) && name != V::collection_name() {
            let others = store.source.database.collection::<RawDocumentBuf>(&name);
            let deleted = others.delete_many(of_subject.clone()).await;
            deleted.map_err(ReadError::store("delete documents of another version"))?;
        }
    }
    // What claims to be about the subject, whatever its id, is not to stay either.
    let left = store.raw(of_subject).await;
    for raw in left.map_err(ReadError::store("list a subject's documents"))? {
        match store.read(raw) {
            Found::Kept(Kept::Live(document)) => drop(store.checked(V::id(&document)).await?),
            Found::Damaged(_, raw) => {
                let removed = store.remove(&raw).await;
                removed.map_err(|_| ReadError::NotPurged { collection: V::collection_name() })?;
            }
            Found::Kept(Kept::Erased(_)) | Found::Nothing => {}
        }
    }
    let streams = store.source.log.streams_of(subject, V::STREAM).await;
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
    if let Some(cache) = cache {
        for entry in &entries {
            // An entry that claims to be newer would stay.
            cache.forget(V::CACHE, &entry.id).await.map_err(ReadError::Cache)?;
        }
        cache.publish(V::CACHE, &entries, false).await.map_err(ReadError::Cache)?;
    }
    Ok(streams.len() as u64)
}
