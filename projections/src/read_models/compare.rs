//! One document compared with what the log makes of its stream, and put right where it differs.

use bson::{Document, doc};
use futures::TryStreamExt;
use uuid::Uuid;

use super::error::ReadError;
use super::store::{Found, Store, note_damage};
use super::stored::{Damage, canonical};
use super::tombstone::Kept;
use super::view::View;

/// How many ids are asked for at once when looking for documents that the log knows nothing of.
const IDS: usize = 200;

/// A document that is not what the log makes of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In which read model.
    pub model: &'static str,
    /// The document's id, as far as it is one.
    pub id: String,
    /// What is wrong with it, in a word: `form`, `tag`, `fields`, `older`, `missing`, `superfluous`, `content`.
    pub why: &'static str,
}

/// Compares the document of one stream with what the log makes of it, and puts right what differs.
pub(super) async fn compare<V: View>(
    store: &Store<V>,
    id: Uuid,
) -> Result<Option<Difference>, ReadError> {
    // In this order: whatever is before the checkpoint is in the document, and the log only grows.
    let stored = store.source.checkpoints.load(&V::projector_id()).await;
    let reached = stored.map_err(ReadError::store("read a checkpoint"))?.unwrap_or_default();
    let raw = store.load_raw(id).await?;
    let found = raw.clone().map_or(Found::Nothing, |raw| store.read(raw));
    let made = store.folded_from_log(id).await.map_err(|_| damaged::<V>())?;
    metrics::counter!("read_model_compared_total", "model" => V::NAME).increment(1);
    let Some(damage) = differ(&found, made.as_ref(), reached) else { return Ok(None) };
    let difference = note_difference::<V>(&id.to_string(), damage);
    let replaced = match damage {
        Damage::Older | Damage::Missing => None,
        _ => raw.as_ref(),
    };
    store.heal(replaced, made.as_ref()).await.map_err(|_| damaged::<V>())?;
    Ok(Some(difference))
}

/// Removes the documents that the log knows nothing of.
pub(super) async fn surplus<V: View>(store: &Store<V>) -> Result<Vec<Difference>, ReadError> {
    let failed = || ReadError::store("list the ids of documents");
    let mut differences = Vec::new();
    let mut found = store
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
                    let documents = store.collection::<Document>();
                    let deleted = documents.delete_one(doc! { "_id": id }).await;
                    deleted.map_err(ReadError::store("remove a document"))?;
                    differences.push(note_difference::<V>("not an id", Damage::Superfluous));
                }
            }
        }
        if ids.len() >= IDS || done {
            let known = store.source.known.last_positions(V::STREAM, &ids).await;
            let known = known.map_err(ReadError::Log)?;
            for id in ids.drain(..).filter(|id| !known.contains_key(id)) {
                differences.extend(compare(store, id).await?);
            }
        }
        if done {
            return Ok(differences);
        }
    }
}

fn note_difference<V: View>(id: &str, damage: Damage) -> Difference {
    metrics::counter!("read_model_differs_total", "model" => V::NAME).increment(1);
    note_damage::<V>(id, damage);
    Difference { model: V::NAME, id: id.to_owned(), why: damage.as_str() }
}

fn damaged<V: View>() -> ReadError {
    ReadError::Damaged { collection: V::collection_name() }
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
