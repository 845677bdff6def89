//! Which captures the log names: what the sweep must not touch.

use std::collections::HashSet;

use cqrs_es::AggregateError;
use cqrs_es::persist::PersistedEventRepository;
use domain::{WoundEpisode, WoundError};
use uuid::Uuid;

use crate::blobs::BlobError;
use crate::error::CommandError;
use crate::ledger::unreadable;
use crate::repository::LedgerEventRepository;

/// Why the captures were not swept.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Which captures are named could not be read.
    #[error("the scans of the log cannot be read")]
    Log(#[from] CommandError),
    /// The store failed.
    #[error("the captures cannot be swept")]
    Store(#[from] BlobError),
}

/// The captures that scans of these wounds name. Those of an erased patient are named by nobody any more.
pub(crate) async fn named_captures(
    wounds: Vec<Uuid>,
    repository: &LedgerEventRepository,
) -> Result<HashSet<Uuid>, CommandError> {
    let mut named = HashSet::new();
    for wound in wounds {
        let events = match repository.get_events::<WoundEpisode>(&wound.to_string()).await {
            Ok(events) => events,
            Err(error) => match unreadable(AggregateError::<WoundError>::from(error)) {
                CommandError::Erased => continue,
                error => return Err(error),
            },
        };
        for event in events.iter().filter(|event| event.event_type == "ScanRecorded") {
            let blob_id = event
                .payload
                .pointer("/ScanRecorded/capture/blob_id")
                .and_then(|id| id.as_str())
                .and_then(|id| Uuid::try_parse(id).ok())
                // Rather keep everything than remove what a scan of a form unknown here names.
                .ok_or_else(|| CommandError::Damaged("a scan names no capture".into()))?;
            named.insert(blob_id);
        }
    }
    Ok(named)
}
