//! The documents of one read model: read and checked, written, and put right from the log where they do not verify.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use futures::TryStreamExt;
use mongodb::error::{Error, ErrorKind};
use mongodb::{Collection, Database};
use tokio::sync::Semaphore;
use tracing::{error, warn};
use uuid::Uuid;

use super::error::ReadError;
use super::rebuild::{RebuildError, folded_from_log};
use super::stored::{Damage, TAG, open, seal};
use super::tombstone::Kept;
use super::view::View;
use crate::event::EventLog;
use crate::known::KnownPositions;
use crate::runtime::{ApplyError, Checkpoints};
use crate::tags::Tags;

/// The most bytes of documents in one write command; the server takes 48 MB.
const BYTES_PER_COMMAND: usize = 8 << 20;

/// How many documents this process makes from the log at the same time, for readers who met a damaged one.
const REBUILDS_AT_ONCE: usize = 4;

/// How long such a reader waits for its turn.
const REBUILD_WAIT: Duration = Duration::from_secs(2);

/// What read models are kept in, and what they are checked against. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Source {
    pub(super) database: Database,
    pub(super) tags: Tags,
    pub(super) log: EventLog,
    pub(super) known: Arc<dyn KnownPositions>,
    pub(super) checkpoints: Checkpoints,
    rebuilds: Arc<Semaphore>,
    /// The furthest that this process has seen each read model: a checkpoint that says less was put back.
    reached: Arc<Mutex<HashMap<&'static str, u64>>>,
}

impl Source {
    pub(super) fn new(database: Database, tags: Tags, log: EventLog) -> Source {
        let checkpoints = Checkpoints::new(&database, tags.clone());
        let known = Arc::new(log.clone());
        let rebuilds = Arc::new(Semaphore::new(REBUILDS_AT_ONCE));
        Source { database, tags, log, known, checkpoints, rebuilds, reached: Arc::default() }
    }

    /// Notes how far a read model is, and answers how far it ever was.
    pub(super) fn note(&self, model: &'static str, position: u64) -> u64 {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = reached.entry(model).or_default();
        *reached = position.max(*reached);
        *reached
    }
}

/// What is stored under an id.
pub(super) enum Found<V: View> {
    /// Nothing.
    Nothing,
    /// What verifies by itself.
    Kept(Kept<V>),
    /// What does not.
    Damaged(Damage, RawDocumentBuf),
}

impl<V: View> Found<V> {
    fn kept(self) -> Option<Kept<V>> {
        match self {
            Found::Kept(kept) => Some(kept),
            Found::Nothing | Found::Damaged(..) => None,
        }
    }

    pub(super) fn raw(&self) -> Option<&RawDocumentBuf> {
        match self {
            Found::Damaged(_, raw) => Some(raw),
            Found::Nothing | Found::Kept(_) => None,
        }
    }
}

/// The documents of one read model.
pub(super) struct Store<V: View> {
    pub(super) source: Source,
    view: PhantomData<fn() -> V>,
}

impl<V: View> Store<V> {
    pub(super) fn new(source: Source) -> Self {
        Store { source, view: PhantomData }
    }

    pub(super) fn collection<T: Send + Sync>(&self) -> Collection<T> {
        self.source.database.collection(&V::collection_name())
    }

    /// Reads what is stored, checking each by itself.
    pub(super) fn read(&self, raw: RawDocumentBuf) -> Found<V> {
        match open::<V>(&raw, &self.source.tags) {
            Ok(kept) => Found::Kept(kept),
            Err(damage) => Found::Damaged(damage, raw),
        }
    }

    /// What is stored under an id, as bytes.
    pub(super) async fn load_raw(&self, id: Uuid) -> Result<Option<RawDocumentBuf>, ReadError> {
        let documents = self.collection::<RawDocumentBuf>();
        let found = documents.find_one(doc! { "_id": id.to_string() }).await;
        found.map_err(ReadError::store("find a document"))
    }

    /// What is stored under an id.
    pub(super) async fn load(&self, id: Uuid) -> Result<Found<V>, ReadError> {
        let Some(raw) = self.load_raw(id).await? else { return Ok(Found::Nothing) };
        Ok(match self.read(raw.clone()) {
            Found::Kept(kept) if kept.id() != id => Found::Damaged(Damage::Form, raw),
            found => found,
        })
    }

    /// Documents as they are stored.
    pub(super) async fn raw(&self, filter: Document) -> Result<Vec<RawDocumentBuf>, Error> {
        self.collection::<RawDocumentBuf>().find(filter).await?.try_collect().await
    }

    /// The document of a stream as the log has it.
    pub(super) async fn folded_from_log(&self, id: Uuid) -> Result<Option<Kept<V>>, RebuildError> {
        folded_from_log::<V>(&self.source.log, id).await
    }

    /// The position of a stream's last event; `None` if there is no such stream.
    pub(super) async fn last(&self, id: Uuid) -> Result<Option<u64>, ReadError> {
        let last = self.source.known.last_positions(V::STREAM, &[id]).await;
        Ok(last.map_err(ReadError::Log)?.get(&id).copied())
    }

    /// How far the read model is, or was.
    pub(super) async fn reached(&self) -> Result<u64, ReadError> {
        let stored = self.source.checkpoints.load(&V::projector_id()).await;
        let stored = stored.map_err(ReadError::store("read a checkpoint"))?;
        Ok(self.source.note(V::NAME, stored.unwrap_or_default()))
    }

    /// What is kept under an id, as the log bears it out: what does not verify, is older than the read model has reached,
    /// or is missing, is made from the log instead.
    pub(super) async fn checked(&self, id: Uuid) -> Result<Option<Kept<V>>, ReadError> {
        let last = self.last(id).await?;
        let mut found = self.load(id).await?;
        let Some(mut doubt) = self.doubt(&found, last).await? else { return Ok(found.kept()) };
        if matches!(doubt, Damage::Older | Damage::Missing) {
            // Whatever is before this is in the documents. So the document is read again after it.
            let reached = self.reached().await?;
            found = self.load(id).await?;
            doubt = match self.doubt(&found, last).await? {
                None => return Ok(found.kept()),
                // The projector has not come to it yet.
                Some(Damage::Older | Damage::Missing) if last >= Some(reached) => {
                    return Ok(found.kept());
                }
                Some(doubt) => doubt,
            };
        }
        let made = self.rebuilt(id).await?;
        if doubt == Damage::Erased
            && let Some(Kept::Erased(tombstone)) = &made
            && tombstone.position >= self.reached().await?
        {
            return Ok(made);
        }
        note_damage::<V>(&id.to_string(), doubt);
        if let Err(failure) = self.heal(found.raw(), made.as_ref()).await {
            warn!(error = audit::chain(&failure), "a damaged document could not be replaced yet");
        }
        Ok(made)
    }

    /// What speaks against what was found. `last` was asked for before.
    pub(super) async fn doubt(
        &self,
        found: &Found<V>,
        last: Option<u64>,
    ) -> Result<Option<Damage>, ReadError> {
        let kept = match found {
            Found::Damaged(damage, _) => return Ok(Some(*damage)),
            Found::Nothing => return Ok(last.map(|_| Damage::Missing)),
            Found::Kept(kept) => kept,
        };
        let known = &self.source.known;
        if let Kept::Live(document) = kept {
            let subject = V::subject(document);
            if known.erased(&[subject]).await.map_err(ReadError::Log)?.contains(&subject) {
                return Ok(Some(Damage::Erased));
            }
            if last.is_some_and(|last| kept.position() < last) {
                return Ok(Some(Damage::Older));
            }
        }
        if last.is_none_or(|last| last < kept.position())
            && !known.reaches(kept.position()).await.map_err(ReadError::Log)?
        {
            return Ok(Some(Damage::Superfluous));
        }
        Ok(None)
    }

    /// Makes a document from the log for a reader. Only so many at once, so that damage everywhere does not keep the log
    /// from everybody.
    async fn rebuilt(&self, id: Uuid) -> Result<Option<Kept<V>>, ReadError> {
        let damaged = || ReadError::Damaged { collection: V::collection_name() };
        let permit = tokio::time::timeout(REBUILD_WAIT, self.source.rebuilds.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(damaged()) };
        self.folded_from_log(id).await.map_err(|failure| {
            error!(
                read_model = V::NAME,
                document.id = %id,
                error = audit::chain(&failure),
                "a damaged document could not be made from the log"
            );
            damaged()
        })
    }

    /// Puts what the log says in the place of what was found damaged, in one step: no concurrent reader misses it.
    /// Without `damaged`, only what is older is replaced.
    pub(super) async fn heal(
        &self,
        damaged: Option<&RawDocumentBuf>,
        made: Option<&Kept<V>>,
    ) -> Result<(), ApplyError> {
        match (damaged, made) {
            (None, None) => Ok(()),
            (None, Some(made)) => self.write(&[(made, false)]).await,
            (Some(raw), None) => self.remove(raw).await,
            (Some(raw), Some(made)) => {
                let id = Bson::String(made.id().to_string());
                let sound = seal(made, &self.source.tags);
                if let Some(sound) = sound.filter(|_| field(raw, "_id") == id) {
                    let documents = self.collection::<RawDocumentBuf>();
                    let replaced = documents.replace_one(as_read(raw), sound).await;
                    replaced.map_err(ApplyError::unavailable("replace a damaged document"))?;
                } else {
                    self.remove(raw).await?;
                }
                // It may have been removed or changed since it was read.
                self.write(&[(made, false)]).await
            }
        }
    }

    /// Removes a document, if it is still what was read.
    pub(super) async fn remove(&self, raw: &RawDocumentBuf) -> Result<(), ApplyError> {
        let deleted = self.collection::<RawDocumentBuf>().delete_one(as_read(raw)).await;
        deleted.map(|_| ()).map_err(ApplyError::unavailable("remove a damaged document"))
    }

    /// Writes documents, each with whether it is stored already. One that is not older is left as it is.
    pub(super) async fn write(&self, documents: &[(&Kept<V>, bool)]) -> Result<(), ApplyError> {
        let (known, fresh): (Vec<_>, Vec<_>) = documents.iter().partition(|(_, stored)| *stored);
        // Inserting is several times faster than upserting, and most documents of a rebuild are new.
        let mut late = Vec::new();
        for chunk in self.chunks(&fresh)? {
            let taken = self.insert(&chunk).await?;
            late.extend(taken.into_iter().filter_map(|index| chunk.get(index).cloned()));
        }
        for chunk in self.chunks(&known)? {
            self.replace(&chunk).await?;
        }
        // The process that inserted these first may have seen less.
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
            .source
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

    /// Documents as bytes, in portions that fit a command.
    fn chunks(&self, documents: &[&(&Kept<V>, bool)]) -> Result<Vec<Vec<Raw>>, ApplyError> {
        let raws = documents.iter().map(|(kept, _)| {
            let position = kept.position();
            let unfit = |reason: &str| ApplyError::Poison { position, reason: reason.to_owned() };
            let document = seal(kept, &self.source.tags)
                .ok_or_else(|| unfit("the document cannot be written as BSON"))?;
            let position =
                i64::try_from(position).map_err(|_| unfit("the position is too large"))?;
            Ok(Raw { id: kept.id().to_string(), position, document })
        });
        Ok(split(raws.collect::<Result<_, ApplyError>>()?))
    }
}

/// A field as it was read; null, if it is not there.
fn field(raw: &RawDocumentBuf, name: &str) -> Bson {
    raw.get(name).ok().flatten().and_then(|value| value.try_into().ok()).unwrap_or(Bson::Null)
}

/// What finds a damaged document, as long as it is the one that was read.
fn as_read(raw: &RawDocumentBuf) -> Document {
    doc! { "_id": field(raw, "_id"), TAG: field(raw, TAG) }
}

/// Counts a document that is not what it must be, and says which. The document itself is about a person.
pub(super) fn note_damage<V: View>(id: &str, why: Damage) {
    let why = why.as_str();
    metrics::counter!("read_model_damaged_total", "model" => V::NAME, "why" => why).increment(1);
    warn!(
        read_model = V::NAME,
        document.id = id,
        why,
        "a stored document is not what the log makes of its stream: it is replaced"
    );
}

/// A document ready to be written.
#[derive(Clone)]
struct Raw {
    id: String,
    position: i64,
    document: RawDocumentBuf,
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
