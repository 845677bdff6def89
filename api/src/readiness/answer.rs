//! The answer: whether requests can be served, and what stands in the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Whether requests can be served, and what stands in the way.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Readiness {
    /// Whether both commands and reads are served.
    pub ready: bool,
    /// `ready`, or why no command could be done now.
    #[schemars(example = &"ready")]
    pub commands: &'static str,
    /// `ready`, or why no read could be answered now.
    #[schemars(example = &"ready")]
    pub reads: &'static str,
    /// Each check, `ok` or why it failed.
    pub checks: BTreeMap<&'static str, &'static str>,
    /// The size of the log.
    pub position: u64,
}

/// The last answer, and when it was found.
#[derive(Clone, Default)]
pub struct Latest(pub(super) Arc<Mutex<Option<(Instant, Readiness)>>>);
