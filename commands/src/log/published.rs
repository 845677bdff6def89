//! The last checkpoint that was published.

use std::sync::Arc;

/// A checkpoint this process has seen become durable.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) size: u64,
    pub(crate) checkpoint: Arc<str>,
}
