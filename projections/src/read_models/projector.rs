//! The projector of a read model: folds batches of events into documents, and writes those to the store and the cache.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bson::{Document, RawDocumentBuf, doc};
use mongodb::IndexModel;
use tracing::{info, warn};
use uuid::Uuid;

use super::store::{Found, Source, Store, note_damage};
use super::stored::{Damage, canonical};
use super::tombstone::{ERASED, Kept, Tombstone};
use super::view::{FoldError, View};
use crate::cache::{Cache, Entry};
use crate::event::{CUSTODY, RecordedEvent};
use crate::runtime::{ApplyError, Projector};

/// One document while a batch is folded into it.
struct Work<V: View> {
    kept: Option<Kept<V>>,
    stored: bool,
    changed: bool,
    /// What must be removed first: it is not ours.
    damaged: Option<RawDocumentBuf>,
}

impl<V: View> Default for Work<V> {
    fn default() -> Self {
        Work { kept: None, stored: false, changed: false, damaged: None }
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

    /// Whether the event continues something else than this document: it was removed, or an older one was put back.
    fn lacks(&self, recorded: &RecordedEvent) -> Option<Damage> {
        match &self.kept {
            Some(Kept::Erased(_)) => None,
            Some(Kept::Live(document)) => {
                let next = V::version(document).saturating_add(1);
                let lacks = self.takes(recorded.position) && recorded.sequence != next;
                lacks.then_some(Damage::Older)
            }
            None => (recorded.sequence != 1).then_some(Damage::Missing),
        }
    }

    /// Takes what the log has in the place of what was stored.
    fn replace(&mut self, made: Option<Kept<V>>) {
        self.changed = made.is_some();
        self.kept = made;
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
    store: Store<V>,
    cache: Option<Cache>,
    /// Whether what is in the cache may be older than it should be.
    distrust: AtomicBool,
    /// Whether what earlier versions left was looked for since this process caught up.
    retired: AtomicBool,
}

impl<V: View> ViewProjector<V> {
    pub(crate) fn new(source: Source, cache: Option<Cache>) -> Self {
        ViewProjector {
            store: Store::new(source),
            cache,
            distrust: AtomicBool::new(true),
            retired: AtomicBool::new(false),
        }
    }

    /// The documents of these streams, and all that are or were about the erased.
    async fn load(
        &self,
        streams: &[Uuid],
        erased: &[Uuid],
    ) -> Result<HashMap<Uuid, Work<V>>, ApplyError> {
        let mut work = HashMap::with_capacity(streams.len());
        let mut ids: Vec<String> = streams.iter().map(Uuid::to_string).collect();
        for subject in erased {
            // Which documents are about a subject is asked of the log: a stored field may have been changed.
            let about = self.store.source.log.streams_of(*subject, V::STREAM).await;
            let about = about.map_err(ApplyError::unavailable("find the streams of a record"))?;
            ids.extend(about.iter().map(Uuid::to_string));
        }
        self.find(doc! { "_id": { "$in": ids } }, &mut work).await?;
        for subject in erased {
            for field in [V::SUBJECT, ERASED] {
                self.find(doc! { field: subject.to_string() }, &mut work).await?;
            }
        }
        Ok(work)
    }

    /// Reads documents. One that does not verify is made from the log: nothing is ever folded onto it.
    async fn find(
        &self,
        filter: Document,
        work: &mut HashMap<Uuid, Work<V>>,
    ) -> Result<(), ApplyError> {
        let raws =
            self.store.raw(filter).await.map_err(ApplyError::unavailable("load documents"))?;
        for raw in raws {
            let id = raw.get("_id").ok().flatten().and_then(|id| canonical(&id.try_into().ok()?));
            if id.is_some_and(|id| work.contains_key(&id)) {
                continue;
            }
            match (id, self.store.read(raw)) {
                (Some(id), Found::Kept(kept)) => {
                    let kept = Some(kept);
                    work.insert(id, Work { kept, stored: true, changed: false, damaged: None });
                }
                (Some(id), Found::Damaged(damage, raw)) => {
                    note_damage::<V>(&id.to_string(), damage);
                    let kept = self.store.folded_from_log(id).await?;
                    let damaged = Some(raw);
                    work.insert(id, Work { kept, stored: false, changed: true, damaged });
                }
                (None, Found::Damaged(damage, raw)) => {
                    note_damage::<V>("not an id", damage);
                    self.store.remove(&raw).await?;
                }
                (None, Found::Kept(_)) | (_, Found::Nothing) => {}
            }
        }
        Ok(())
    }

    /// Whether the whole collection is gone: then all of it is built again, not one document.
    async fn is_lost(&self) -> Result<bool, ApplyError> {
        let any = self.store.collection::<RawDocumentBuf>().find_one(doc! {}).await;
        Ok(any.map_err(ApplyError::unavailable("look for documents"))?.is_none())
    }

    /// Removes what earlier versions of this read model left: no projector here would erase anybody from it.
    async fn retire(&self) -> Result<(), ApplyError> {
        let source = &self.store.source;
        let names = source.database.list_collection_names().await;
        for name in names.map_err(ApplyError::unavailable("list the collections"))? {
            let version = name.strip_prefix(V::NAME).and_then(|rest| rest.strip_prefix("_v"));
            let Some(version) = version.and_then(|version| version.parse::<u32>().ok()) else {
                continue;
            };
            if version >= V::VERSION {
                continue;
            }
            // The documents last: while they are there, what is left of the version is found again.
            let removed = source.checkpoints.remove(&format!("{}:{version}", V::NAME)).await;
            removed.map_err(ApplyError::unavailable("remove an earlier version's checkpoint"))?;
            let earlier = source.database.collection::<RawDocumentBuf>(&name);
            earlier.drop().await.map_err(ApplyError::unavailable("drop an earlier version"))?;
            info!(read_model = V::NAME, version, "removed what an earlier version left: {name}");
        }
        Ok(())
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
                        error = audit::chain(&error),
                        "writing to the cache failed: reads will be slower"
                    );
                }
            }
        }
    }
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
        self.store
            .collection::<RawDocumentBuf>()
            .create_indexes(V::indexes().into_iter().chain([erased]))
            .await
            .map_err(ApplyError::unavailable("create indices"))?;
        // The process that ran this projector before may have died before it wrote to the cache.
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
                if let Some(damage) = work.lacks(recorded) {
                    if damage == Damage::Missing && self.is_lost().await? {
                        return Err(ApplyError::Incomplete { position });
                    }
                    note_damage::<V>(&id.to_string(), damage);
                    work.replace(self.store.folded_from_log(id).await?);
                }
                match (&recorded.event, recorded.subject) {
                    (Some(event), _) => work.fold(recorded, event)?,
                    // The key is gone: what was known of it goes too, though the erasure comes later in the log.
                    (None, Some(subject)) => work.erase(id, subject, position),
                    (None, None) => {}
                }
            }
        }
        for damaged in work.values().filter_map(|work| work.damaged.as_ref()) {
            self.store.remove(damaged).await?;
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
        let changed: Vec<(&Kept<V>, bool)> =
            changed.iter().map(|(kept, stored)| (kept, *stored)).collect();
        self.store.write(&changed).await?;
        self.publish(&entries).await;
        Ok(())
    }

    async fn idle(&self) {
        if self.distrust.load(Ordering::Acquire) {
            self.publish(&[]).await;
        }
        if !self.retired.load(Ordering::Acquire) {
            match self.retire().await {
                Ok(()) => self.retired.store(true, Ordering::Release),
                Err(error) => {
                    warn!(
                        error = audit::chain(&error),
                        "an earlier version could not be removed yet"
                    );
                }
            }
        }
    }

    async fn reset(&self) -> Result<(), ApplyError> {
        self.store
            .collection::<RawDocumentBuf>()
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
        let json = kept.to_json().ok_or_else(|| ApplyError::Poison {
            position,
            reason: "the document cannot be written as JSON".to_owned(),
        })?;
        entries.push(Entry { id: kept.id().to_string(), position, json });
    }
    Ok(entries)
}
