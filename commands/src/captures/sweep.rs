//! Which captures the log names: the others go once they are old enough, and those of the erased at once.

use std::collections::HashSet;
use std::convert::Infallible;

use cqrs_es::AggregateError;
use domain::{BlobReference, RECORD, STREAM_KINDS};
use jiff::SignedDuration;
use uuid::Uuid;

use super::blobs::{BlobError, Blobs, youngest};
use crate::data_keys::SubjectKey;
use crate::error::CommandError;
use crate::ledger::Ledger;
use crate::repository::{LedgerEventRepository, load_error};
use crate::streams::record_kind;

/// How many subjects' keys are looked up at once.
const KEYS_PAGE: usize = 500;

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

impl Ledger {
    /// Captures that no event names and that are older than `age`: what a crash between store and log, or an
    /// erasure, left behind. How many there are, and if `remove`, were.
    ///
    /// # Errors
    /// When the log cannot be read or the store fails.
    pub async fn sweep_captures(
        &self,
        blobs: &Blobs,
        age: SignedDuration,
        remove: bool,
    ) -> Result<u64, SweepError> {
        // A stream that was begun just now, here or by another process, names its captures as well.
        self.log_is_read_to_its_end().await?;
        let repository = self.repository();
        let mut named = HashSet::new();
        for kind in STREAM_KINDS {
            let Some(reference) = kind.blob_reference else { continue };
            for stream in self.inner.watch.streams_of(kind.stream_type) {
                add_named((kind.stream_type, stream), &reference, &repository, &mut named).await?;
            }
        }
        let now = self.inner.clock.now();
        let unnamed = blobs.unreferenced(&named, now, age).await?;
        if remove {
            Ok(blobs.sweep(&unnamed, youngest(now, age)).await?)
        } else {
            Ok(unnamed.len() as u64)
        }
    }

    /// Removes the captures of an erased subject; of one that is not erased, nothing. Gives back how many were
    /// still there.
    ///
    /// # Errors
    /// When the database or the store fails.
    pub async fn purge_captures(&self, blobs: &Blobs, subject: Uuid) -> Result<u64, SweepError> {
        let mut removed = 0;
        if !self.erased_among(&[subject]).await?.is_empty() {
            for key_id in self.keys_of(&[subject]).await? {
                removed += blobs.purge(key_id).await?;
            }
        }
        Ok(removed)
    }

    /// The data keys of these records, as the signed log names them: what the table of keys says may be anybody's.
    async fn keys_of(&self, subjects: &[Uuid]) -> Result<Vec<Uuid>, CommandError> {
        let mut connection = self.inner.pool.acquire().await?;
        let reader = self.inner.watch.reader();
        let mut keys = Vec::with_capacity(subjects.len());
        for page in subjects.chunks(KEYS_PAGE) {
            let events = reader.firsts(&mut connection, &[RECORD], page).await?;
            keys.extend(events.iter().filter_map(|event| event.statement().payload.key_id));
        }
        Ok(keys)
    }

    /// Removes the captures of everybody who is erased: such as came back with a restored backup, or were stored
    /// while the record was being erased. Gives back how many there were.
    ///
    /// # Errors
    /// When the database or the store fails.
    pub async fn purge_all_captures(&self, blobs: &Blobs) -> Result<u64, SweepError> {
        let watch = &self.inner.watch;
        let size = watch.size();
        let mut erased = {
            let mut connection = self.inner.pool.acquire().await.map_err(CommandError::from)?;
            let since = watch.reader().erasures_from(&mut connection, size).await;
            since.map_err(CommandError::from)?
        };
        erased.extend(watch.erased());
        let mut removed = 0;
        for key_id in self.keys_of(&erased).await? {
            removed += blobs.purge(key_id).await?;
        }
        Ok(removed)
    }

    /// The data key of a record, for what is kept outside the log.
    ///
    /// # Errors
    /// When there is no such record, it was erased, or the key cannot be read.
    pub async fn data_key(&self, subject: Uuid) -> Result<SubjectKey, CommandError> {
        let key = self.inner.data_keys.get(subject, record_kind()).await?;
        key.ok_or(CommandError::NotFound { what: record_kind().as_str() })
    }
}

/// Adds the captures that the events of a stream name. Those of an erased subject are named by no event any more.
async fn add_named(
    (stream_type, id): (&'static str, Uuid),
    reference: &BlobReference,
    repository: &LedgerEventRepository,
    named: &mut HashSet<Uuid>,
) -> Result<(), CommandError> {
    let events = match repository.events(stream_type, id, 0).await {
        Ok(events) => events,
        Err(error) => {
            return match load_error(AggregateError::<Infallible>::from(error)) {
                CommandError::Erased => Ok(()),
                error => Err(error),
            };
        }
    };
    for event in events.iter().filter(|event| event.event_type == reference.event_type) {
        let blob_id = event
            .payload
            .pointer(reference.pointer)
            .and_then(|id| id.as_str())
            .and_then(|id| Uuid::try_parse(id).ok())
            // Rather keep everything than remove what an event of a form unknown here names.
            .ok_or_else(|| CommandError::Damaged("a scan names no capture".into()))?;
        named.insert(blob_id);
    }
    Ok(())
}
