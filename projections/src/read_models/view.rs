//! A read model of one kind of stream: one document for each stream, folded from its events; or a tombstone, once the
//! person it is about was erased.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bson::{Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use futures::TryStreamExt;
use mongodb::error::{Error, ErrorKind};
use mongodb::{Collection, Database, IndexModel};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;
use uuid::Uuid;

use super::tombstone::{ERASED, Kept, Tombstone};
use crate::cache::{Cache, CacheKind, Entry};
use crate::event::{CUSTODY, RecordedEvent};
use crate::runtime::{ApplyError, Projector, chain};

/// The most bytes of documents in one write command; the server takes 48 MB.
const BYTES_PER_COMMAND: usize = 8 << 20;

/// Why an event does not fit its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FoldError {
    /// The event continues a document that is not there.
    Missing,
    /// The event contradicts the document; the text names no person.
    Contradiction(String),
}

/// What a read model is: its names, and a pure function from events to documents.
pub(crate) trait View: Send + Sync + 'static {
    /// What it is called.
    const NAME: &'static str;
    /// Grows when the document changes its shape or meaning.
    const VERSION: u32;
    /// The type of the streams it shows.
    const STREAM: &'static str;
    /// The field by which the documents about a person are found.
    const SUBJECT: &'static str;
    /// Where its documents are cached.
    const CACHE: CacheKind;
    /// The document.
    type Document: Serialize + DeserializeOwned + Clone + Send + Sync + Unpin;

    /// The collection it is kept in.
    fn collection_name() -> String {
        format!("{}_v{}", Self::NAME, Self::VERSION)
    }

    /// The indices its queries need.
    fn indexes() -> Vec<IndexModel>;

    /// The position of the last event in the document.
    fn position(document: &Self::Document) -> u64;

    /// Whom the document is about.
    fn subject(document: &Self::Document) -> Uuid;

    /// The document after one more event. Pure; `document` is `None` before the stream's first event.
    fn fold(
        document: Option<Self::Document>,
        recorded: &RecordedEvent,
        event: &domain::Event,
    ) -> Result<Self::Document, FoldError>;
}

/// One document while a batch is folded into it.
struct Work<V: View> {
    kept: Option<Kept<V>>,
    stored: bool,
    changed: bool,
}

impl<V: View> Default for Work<V> {
    fn default() -> Self {
        Work { kept: None, stored: false, changed: false }
    }
}

impl<V: View> Work<V> {
    /// Whether an event at this position is news to the document. Whatever is erased stays erased.
    fn takes(&self, position: u64) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.position() < position)
    }

    fn erase(&mut self, id: Uuid, subject: Uuid, position: u64) {
        if self.takes(position) {
            self.kept = Some(Kept::Erased(Tombstone { id, erased: subject, position }));
            self.changed = true;
        }
    }

    fn fold(&mut self, recorded: &RecordedEvent, event: &domain::Event) -> Result<(), ApplyError> {
        let position = recorded.position;
        if !self.takes(position) {
            return Ok(());
        }
        let document = match self.kept.take() {
            Some(Kept::Live(document)) => Some(document),
            erased @ Some(Kept::Erased(_)) => {
                self.kept = erased;
                return Ok(());
            }
            None => None,
        };
        let folded = V::fold(document, recorded, event).map_err(|error| match error {
            FoldError::Missing => ApplyError::Incomplete { position },
            FoldError::Contradiction(reason) => ApplyError::Poison { position, reason },
        })?;
        self.kept = Some(Kept::Live(folded));
        self.changed = true;
        Ok(())
    }
}

/// The projector of a [`View`].
pub(crate) struct ViewProjector<V: View> {
    database: Database,
    cache: Option<Cache>,
    /// Whether what is in the cache may be older than it should be.
    distrust: AtomicBool,
    view: PhantomData<fn() -> V>,
}

impl<V: View> ViewProjector<V> {
    pub(crate) fn new(database: Database, cache: Option<Cache>) -> Self {
        ViewProjector { database, cache, distrust: AtomicBool::new(true), view: PhantomData }
    }

    fn collection<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(&V::collection_name())
    }

    /// The documents of these streams, and all that are or were about the erased.
    async fn load(
        &self,
        streams: &[Uuid],
        erased: &[Uuid],
    ) -> Result<HashMap<Uuid, Work<V>>, ApplyError> {
        let mut work = HashMap::with_capacity(streams.len());
        let ids: Vec<String> = streams.iter().map(Uuid::to_string).collect();
        self.find(doc! { "_id": { "$in": ids } }, &mut work).await?;
        for subject in erased {
            for field in [V::SUBJECT, ERASED] {
                self.find(doc! { field: subject.to_string() }, &mut work).await?;
            }
        }
        Ok(work)
    }

    async fn find(
        &self,
        filter: Document,
        work: &mut HashMap<Uuid, Work<V>>,
    ) -> Result<(), ApplyError> {
        let mut found = self
            .collection::<RawDocumentBuf>()
            .find(filter)
            .await
            .map_err(ApplyError::unavailable("load documents"))?;
        while let Some(raw) =
            found.try_next().await.map_err(ApplyError::unavailable("load documents"))?
        {
            let id = raw.get_str("_id").ok().and_then(|id| Uuid::try_parse(id).ok());
            let (Some(id), Some(kept)) = (id, Kept::read(&raw)) else {
                // Documents are derived; one that cannot be read is made anew from the log.
                return Err(ApplyError::Incomplete { position: 0 });
            };
            work.insert(id, Work { kept: Some(kept), stored: true, changed: false });
        }
        Ok(())
    }

    async fn write(&self, documents: Vec<(Kept<V>, bool)>) -> Result<(), ApplyError> {
        let (known, fresh): (Vec<_>, Vec<_>) = documents.iter().partition(|(_, stored)| *stored);
        // Inserting is several times faster than upserting, and most documents of a rebuild are new.
        let mut late = Vec::new();
        for chunk in chunks::<V>(&fresh)? {
            let taken = self.insert(&chunk).await?;
            late.extend(taken.into_iter().filter_map(|index| chunk.get(index).cloned()));
        }
        for chunk in chunks::<V>(&known)? {
            self.replace(&chunk).await?;
        }
        // Whoever inserted these first may have seen less.
        for chunk in split(late) {
            self.replace(&chunk).await?;
        }
        Ok(())
    }

    /// Inserts documents and answers which were there already.
    async fn insert(&self, chunk: &[Raw]) -> Result<Vec<usize>, ApplyError> {
        let documents = chunk.iter().map(|raw| &raw.document);
        match self.collection::<RawDocumentBuf>().insert_many(documents).ordered(false).await {
            Ok(_) => Ok(Vec::new()),
            Err(error) => {
                duplicates(&error).ok_or_else(|| ApplyError::unavailable("insert documents")(error))
            }
        }
    }

    /// Replaces documents by newer ones. One that is not older is left as it is.
    async fn replace(&self, chunk: &[Raw]) -> Result<(), ApplyError> {
        let mut updates = RawArrayBuf::new();
        for raw in chunk {
            updates.push(rawdoc! {
                "q": { "_id": raw.id.as_str(), "position": { "$lt": raw.position } },
                "u": raw.document.clone(),
            });
        }
        let command = rawdoc! {
            "update": V::collection_name(),
            "updates": updates,
            "ordered": false,
        };
        let reply = self
            .database
            .run_raw_command(command)
            .await
            .map_err(ApplyError::unavailable("replace documents"))?;
        match reply.get_array("writeErrors").ok().and_then(|errors| errors.first()) {
            Some(error) => {
                // The server's message may quote a document, so only its code is repeated.
                let code = error.as_document().and_then(|error| error.get_i32("code").ok());
                Err(ApplyError::unavailable("replace documents")(format!(
                    "the server refused a write with code {}",
                    code.unwrap_or_default()
                )))
            }
            None => Ok(()),
        }
    }

    /// Writes to the cache. A failure costs speed: it is logged, and the next success begins a new epoch.
    async fn publish(&self, entries: &[Entry]) {
        let Some(cache) = &self.cache else { return };
        let distrust = self.distrust.load(Ordering::Acquire);
        match cache.publish(V::CACHE, entries, distrust).await {
            Ok(_) => self.distrust.store(false, Ordering::Release),
            Err(error) => {
                if !self.distrust.swap(true, Ordering::AcqRel) || !entries.is_empty() {
                    metrics::counter!("cache_failures_total", "kind" => V::CACHE.as_str())
                        .increment(1);
                    warn!(
                        error = chain(&error),
                        "writing to the cache failed: reads will be slower"
                    );
                }
            }
        }
    }
}

/// A document ready to be written.
#[derive(Clone)]
struct Raw {
    id: String,
    position: i64,
    document: RawDocumentBuf,
}

/// Documents as bytes, in portions that fit a command.
fn chunks<V: View>(documents: &[&(Kept<V>, bool)]) -> Result<Vec<Vec<Raw>>, ApplyError> {
    let raws = documents.iter().map(|(kept, _)| {
        let position = kept.position();
        let unfit = |reason: &str| ApplyError::Poison { position, reason: reason.to_owned() };
        let raw = kept.to_bson().ok_or_else(|| unfit("the document cannot be written as BSON"))?;
        let id = raw.get_str("_id").map_err(|_| unfit("the document has no id"))?.to_owned();
        let position = i64::try_from(position).map_err(|_| unfit("the position is too large"))?;
        Ok(Raw { id, position, document: raw })
    });
    Ok(split(raws.collect::<Result<_, ApplyError>>()?))
}

fn split(raws: Vec<Raw>) -> Vec<Vec<Raw>> {
    let mut portions: Vec<Vec<Raw>> = Vec::new();
    let mut bytes = usize::MAX;
    for raw in raws {
        let length = raw.document.as_bytes().len();
        match portions.last_mut() {
            Some(portion) if bytes.saturating_add(length) <= BYTES_PER_COMMAND => {
                bytes += length;
                portion.push(raw);
            }
            _ => {
                bytes = length;
                portions.push(vec![raw]);
            }
        }
    }
    portions
}

/// The indices of the documents whose ids were taken, if nothing else went wrong.
fn duplicates(error: &Error) -> Option<Vec<usize>> {
    let ErrorKind::InsertMany(ref failure) = *error.kind else { return None };
    let errors = failure.write_errors.as_ref()?;
    if failure.write_concern_error.is_some() || errors.iter().any(|error| error.code != 11000) {
        return None;
    }
    Some(errors.iter().map(|error| error.index).collect())
}

#[async_trait]
impl<V: View> Projector for ViewProjector<V> {
    fn name(&self) -> &str {
        V::NAME
    }

    fn version(&self) -> u32 {
        V::VERSION
    }

    fn streams(&self) -> &[&'static str] {
        const { &[V::STREAM, CUSTODY] }
    }

    async fn begin(&self) -> Result<(), ApplyError> {
        let erased = IndexModel::builder().keys(doc! { ERASED: 1 }).build();
        self.collection::<RawDocumentBuf>()
            .create_indexes(V::indexes().into_iter().chain([erased]))
            .await
            .map_err(ApplyError::unavailable("create indices"))?;
        // Whoever ran this projector before may have died before it wrote to the cache.
        self.distrust.store(true, Ordering::Release);
        self.publish(&[]).await;
        Ok(())
    }

    async fn apply(&self, batch: &[RecordedEvent]) -> Result<(), ApplyError> {
        let erased: Vec<Uuid> = batch.iter().filter_map(RecordedEvent::erases).collect();
        let own = |recorded: &&RecordedEvent| recorded.stream_type == V::STREAM;
        let mut streams: Vec<Uuid> =
            batch.iter().filter(own).map(|recorded| recorded.stream_id).collect();
        if streams.is_empty() && erased.is_empty() {
            return Ok(());
        }
        streams.sort_unstable();
        streams.dedup();
        let mut work = self.load(&streams, &erased).await?;
        for recorded in batch {
            let (id, position) = (recorded.stream_id, recorded.position);
            if let Some(subject) = recorded.erases() {
                let about = |work: &Work<V>| {
                    work.kept.as_ref().is_some_and(|kept| kept.subject() == subject)
                };
                for (id, work) in work.iter_mut().filter(|(_, work)| about(work)) {
                    work.erase(*id, subject, position);
                }
            } else if recorded.stream_type == V::STREAM {
                let work = work.entry(id).or_default();
                match (&recorded.event, recorded.subject) {
                    (Some(event), _) => work.fold(recorded, event)?,
                    // The key is gone: what was known of it goes too, though the erasure comes later in the log.
                    (None, Some(subject)) => work.erase(id, subject, position),
                    (None, None) => {}
                }
            }
        }
        let mut changed: Vec<(Kept<V>, bool)> = work
            .into_values()
            .filter(|work| work.changed)
            .filter_map(|work| work.kept.map(|kept| (kept, work.stored)))
            .collect();
        changed.sort_by_key(|(kept, _)| kept.position());
        let entries = match self.cache {
            Some(_) => entries::<V>(&changed)?,
            None => Vec::new(),
        };
        self.write(changed).await?;
        self.publish(&entries).await;
        Ok(())
    }

    async fn idle(&self) {
        if self.distrust.load(Ordering::Acquire) {
            self.publish(&[]).await;
        }
    }

    async fn reset(&self) -> Result<(), ApplyError> {
        self.collection::<RawDocumentBuf>()
            .drop()
            .await
            .map_err(ApplyError::unavailable("drop the collection"))?;
        // The index definitions went with it.
        self.begin().await
    }
}

fn entries<V: View>(documents: &[(Kept<V>, bool)]) -> Result<Vec<Entry>, ApplyError> {
    let mut entries = Vec::with_capacity(documents.len());
    for (kept, _) in documents {
        let position = kept.position();
        let value = kept.to_json().ok_or_else(|| ApplyError::Poison {
            position,
            reason: "the document cannot be written as JSON".to_owned(),
        })?;
        let id = value.get("_id").and_then(serde_json::Value::as_str).unwrap_or_default();
        entries.push(Entry { id: id.to_owned(), position, json: value.to_string() });
    }
    Ok(entries)
}
