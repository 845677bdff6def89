//! The registry of read models: one line for each, and whatever is done for every read model is done for these. The lines
//! stand in the page of the module above.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::compare::{Difference, compare, surplus};
use super::error::ReadError;
use super::projector::ViewProjector;
use super::purge::purge;
use super::store::{Source, Store};
use super::view::View;
use crate::cache::Cache;
use crate::runtime::Projector;

/// A read model, by its declaration.
#[derive(Clone, Copy)]
pub struct ReadModel(&'static dyn Declared);

/// Names the read models of the product, once.
macro_rules! read_models {
    ($($(#[$meta:meta])* $name:ident = $view:ty;)*) => {
        impl ReadModel {
            $($(#[$meta])* pub const $name: ReadModel = ReadModel::of::<$view>();)*

            /// Every read model of the product.
            pub const ALL: [ReadModel; [$(stringify!($name)),*].len()] = [$(ReadModel::$name),*];
        }
    };
}

pub(super) use read_models;

impl ReadModel {
    /// The read model that a view declares.
    #[must_use]
    pub const fn of<V: View>() -> ReadModel {
        ReadModel(&Registered::<V>(PhantomData))
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The type of the streams it shows.
    #[must_use]
    pub fn stream_type(self) -> &'static str {
        self.0.stream_type()
    }

    /// The id of its projector, `name:version`: the key of its checkpoint.
    #[must_use]
    pub fn projector_id(self) -> String {
        self.0.projector_id()
    }

    pub(super) fn declared(self) -> &'static dyn Declared {
        self.0
    }
}

impl PartialEq for ReadModel {
    fn eq(&self, other: &ReadModel) -> bool {
        self.projector_id() == other.projector_id()
    }
}

impl Eq for ReadModel {}

impl std::fmt::Debug for ReadModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What can be done with any read model, whatever its documents are.
#[async_trait]
pub(super) trait Declared: Send + Sync {
    fn name(&self) -> &'static str;

    fn stream_type(&self) -> &'static str;

    fn projector_id(&self) -> String;

    fn projector(&self, source: &Source, cache: Option<&Cache>) -> Arc<dyn Projector>;

    async fn compare(&self, source: &Source, id: Uuid) -> Result<Option<Difference>, ReadError>;

    async fn surplus(&self, source: &Source) -> Result<Vec<Difference>, ReadError>;

    async fn purge(
        &self,
        source: &Source,
        cache: Option<&Cache>,
        subject: Uuid,
    ) -> Result<u64, ReadError>;
}

struct Registered<V>(PhantomData<fn() -> V>);

#[async_trait]
impl<V: View> Declared for Registered<V> {
    fn name(&self) -> &'static str {
        V::NAME
    }

    fn stream_type(&self) -> &'static str {
        V::STREAM
    }

    fn projector_id(&self) -> String {
        V::projector_id()
    }

    fn projector(&self, source: &Source, cache: Option<&Cache>) -> Arc<dyn Projector> {
        Arc::new(ViewProjector::<V>::new(source.clone(), cache.cloned()))
    }

    async fn compare(&self, source: &Source, id: Uuid) -> Result<Option<Difference>, ReadError> {
        compare::<V>(&Store::new(source.clone()), id).await
    }

    async fn surplus(&self, source: &Source) -> Result<Vec<Difference>, ReadError> {
        surplus::<V>(&Store::new(source.clone())).await
    }

    async fn purge(
        &self,
        source: &Source,
        cache: Option<&Cache>,
        subject: Uuid,
    ) -> Result<u64, ReadError> {
        purge::<V>(&Store::new(source.clone()), cache, subject).await
    }
}
