//! What a process holds in memory about people: their data keys, and the aggregates about them. Whoever is
//! erased is forgotten, and not taken in again.

use std::any::Any;
use std::sync::Arc;

use uuid::Uuid;

use crate::data_keys::DataKeys;
use audit::cache::Cache;

/// An aggregate as of a version.
#[derive(Clone)]
pub(crate) struct Cached {
    pub(crate) version: u64,
    pub(crate) subject: Option<Uuid>,
    aggregate: Arc<dyn Any + Send + Sync>,
}

impl Cached {
    pub(crate) fn new<A: Send + Sync + 'static>(
        version: u64,
        subject: Option<Uuid>,
        aggregate: A,
    ) -> Cached {
        Cached { version, subject, aggregate: Arc::new(aggregate) }
    }

    /// The aggregate, if it is of this type.
    pub(crate) fn aggregate<A: 'static>(&self) -> Option<&A> {
        self.aggregate.downcast_ref()
    }
}

/// The caches of one process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) data_keys: Arc<DataKeys>,
    pub(crate) aggregates: Arc<Cache<(&'static str, Uuid), Cached>>,
}

impl Memory {
    /// Forgets the erased.
    pub(crate) fn forget(&self, erased: &[Uuid]) {
        if erased.is_empty() {
            return;
        }
        // The keys first: from then on nothing about them is remembered. A reader of events may have forgotten them already.
        self.data_keys.forget(erased);
        let known = |subject: Option<Uuid>| subject.is_some_and(|one| self.is_erased(one));
        self.aggregates.retain(|_, cached| !known(cached.subject));
    }

    /// Whether this process knows the subject to be erased.
    pub(crate) fn is_erased(&self, subject: Uuid) -> bool {
        self.data_keys.is_erased(subject)
    }

    /// Remembers an aggregate, unless something newer is held or its subject is erased.
    pub(crate) fn remember(&self, stream: (&'static str, Uuid), cached: Cached) {
        let subject = cached.subject;
        let newer = |held: &Cached, new: &Cached| new.version > held.version;
        self.aggregates.insert_if(stream, cached, newer);
        // Looked at afterwards: an erasure in between has either seen the entry, or is seen here.
        if subject.is_some_and(|subject| self.is_erased(subject)) {
            self.aggregates.remove(&stream);
        }
    }
}
