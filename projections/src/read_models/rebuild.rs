//! One document, made from the log as it stands now: what every stored one is compared with and replaced by.

use uuid::Uuid;

use super::tombstone::{Kept, Tombstone};
use super::view::{FoldError, View};
use crate::event::{EventError, EventLog};
use crate::runtime::ApplyError;

/// Why a document could not be made from the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum RebuildError {
    /// Its stream could not be read.
    #[error("the stream of the document could not be read")]
    Log(#[source] EventError),
    /// Its events do not make a document.
    #[error("the event at position {position} cannot be applied: {reason}")]
    Fold {
        /// The event.
        position: u64,
        /// What is wrong with it, without the person it is about.
        reason: String,
    },
}

impl From<RebuildError> for ApplyError {
    fn from(error: RebuildError) -> ApplyError {
        match error {
            RebuildError::Fold { position, reason } => ApplyError::Poison { position, reason },
            RebuildError::Log(source) => {
                ApplyError::unavailable("make a document from the log")(audit::chain(&source))
            }
        }
    }
}

/// The document of a stream, or the tombstone if the log says that its subject was erased; `None` if the log has no such
/// stream.
pub(super) async fn folded_from_log<V: View>(
    log: &EventLog,
    id: Uuid,
) -> Result<Option<Kept<V>>, RebuildError> {
    let events = log.stream(V::STREAM, id).await.map_err(RebuildError::Log)?;
    let (mut document, mut subject) = (None, None);
    for recorded in &events {
        subject = subject.or(recorded.subject);
        let Some(event) = &recorded.event else { continue };
        let folded = V::fold(document.take(), recorded, event).map_err(|error| {
            let reason = match error {
                FoldError::Missing => "it continues a document that is not there".to_owned(),
                FoldError::Contradiction(reason) => reason,
            };
            RebuildError::Fold { position: recorded.position, reason }
        });
        // Of an erased subject only the beginning may have been read: before its key was forgotten.
        match folded {
            Ok(folded) => document = Some(folded),
            Err(error) => match erasure(log, subject).await? {
                Some(_) => break,
                None => return Err(error),
            },
        }
    }
    if let (Some(position), Some(erased)) = (erasure(log, subject).await?, subject) {
        return Ok(Some(Kept::Erased(Tombstone { id, erased, position })));
    }
    Ok(document.map(Kept::Live))
}

async fn erasure(log: &EventLog, subject: Option<Uuid>) -> Result<Option<u64>, RebuildError> {
    match subject {
        Some(subject) => log.erasure_of(subject).await.map_err(RebuildError::Log),
        None => Ok(None),
    }
}
