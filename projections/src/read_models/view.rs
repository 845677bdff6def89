//! What a read model is: the declaration from which its projector, rebuild, purge, comparison, cache and readiness follow.

use bson::Document;
use mongodb::IndexModel;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::cache::CacheKind;
use crate::event::RecordedEvent;

/// Why an event does not fit its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoldError {
    /// The event continues a document that is not there.
    Missing,
    /// The event contradicts the document; the text names no person.
    Contradiction(String),
}

/// What a read model is: its names, and a pure function from events to documents.
pub trait View: Send + Sync + 'static {
    /// What it is called.
    const NAME: &'static str;
    /// Grows when the document changes its shape or meaning.
    const VERSION: u32;
    /// The type of the streams it shows.
    const STREAM: &'static str;
    /// The field by which the documents about a person are found: `_id`, or one of [`View::fields`].
    const SUBJECT: &'static str;
    /// Where its documents are cached.
    const CACHE: CacheKind;
    /// The document.
    type Document: Serialize + DeserializeOwned + Clone + Send + Sync + Unpin;

    /// The collection it is kept in.
    fn collection_name() -> String {
        format!("{}_v{}", Self::NAME, Self::VERSION)
    }

    /// The id of its projector, `name:version`: the key of its checkpoint.
    fn projector_id() -> String {
        format!("{}:{}", Self::NAME, Self::VERSION)
    }

    /// The indices its queries need.
    fn indexes() -> Vec<IndexModel>;

    /// The fields that its queries and indices use, as they are stored beside the document itself.
    fn fields(document: &Self::Document) -> Document;

    /// The id of its stream.
    fn id(document: &Self::Document) -> Uuid;

    /// The number of the last event in the document.
    fn version(document: &Self::Document) -> u64;

    /// The position of the last event in the document.
    fn position(document: &Self::Document) -> u64;

    /// Whom the document is about.
    fn subject(document: &Self::Document) -> Uuid;

    /// The document after one more event. Pure; `document` is `None` before the stream's first event.
    ///
    /// # Errors
    /// When the event does not fit the document.
    fn fold(
        document: Option<Self::Document>,
        recorded: &RecordedEvent,
        event: &domain::Event,
    ) -> Result<Self::Document, FoldError>;
}
