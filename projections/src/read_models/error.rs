//! Why a read model gave no answer.

use crate::cache::CacheError;
use crate::event::EventError;

/// Why a read model gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store did not answer.
    #[error("the read store failed while trying to {doing}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What the driver said.
        #[source]
        source: mongodb::error::Error,
    },
    /// The log, with which documents are compared, did not answer.
    #[error("the log could not be asked what a document must be")]
    Log(#[source] EventError),
    /// A stored document is not what it must be, and could not be made from the log now.
    #[error("a document of {collection} is damaged and could not be made from the log yet")]
    Damaged {
        /// The collection.
        collection: String,
    },
    /// The document was about an erased subject.
    #[error("the record was erased")]
    Erased,
    /// A document about an erased subject is still there.
    #[error("a document of an erased record is left in {collection}; rebuild the read model")]
    NotPurged {
        /// The collection.
        collection: String,
    },
    /// The cache did not answer where it had to.
    #[error("the cache failed")]
    Cache(#[source] CacheError),
    /// A search without any criterion would list everybody.
    #[error("the search is empty: give a family name, a given name, a birth date or an identifier")]
    EmptySearch,
    /// A list of appointments needs a patient or a practitioner.
    #[error("the list is of nobody: give a practitioner or a patient")]
    NoResource,
    /// A range that ends before it begins.
    #[error("the range is empty: its end must come after its beginning")]
    EmptyRange,
    /// The projector did not get to the position in time.
    #[error("read model {projector} stands at {position} and did not reach {wanted} in time")]
    Behind {
        /// The projector.
        projector: String,
        /// Where it stands: the next position it will read.
        position: u64,
        /// The position that was to be seen.
        wanted: u64,
    },
}

impl ReadError {
    pub(crate) fn store(doing: &'static str) -> impl FnOnce(mongodb::error::Error) -> ReadError {
        move |source| ReadError::Store { doing, source }
    }
}
