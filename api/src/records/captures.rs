//! The store of captures: what of a shown wound is fetched from it, and what is handed in.

use bytes::Bytes;
use commands::{CommandError, StoredBlob};
use domain::value::Digest;
use domain::{ScanId, Stream as _, WoundEpisode, WoundId};
use jiff::Timestamp;
use projections::read_models::{ReadError, ScanDocument, WoundDocument};
use projections::worker::{CaptureRequest, CaptureSource as _, FetchError};
use uuid::Uuid;

use super::Records;
use super::error::RecordsError;
use super::look::Asking;
use super::shown::Shown;
use crate::inference::BlobCaptures;

/// A capture that is about to be handed in.
#[derive(Debug)]
pub struct CaptureToCome {
    /// Its id in the store of captures.
    pub id: Uuid,
    /// When it was taken, if it was recorded before.
    pub captured_at: Option<Timestamp>,
    patient: Uuid,
}

impl Records {
    /// The capture of a scan of a wound that is shown.
    ///
    /// # Errors
    /// When the wound has no such scan, or its capture cannot be fetched or opened.
    #[tracing::instrument(name = "read", level = "debug", skip_all, fields(stream.type = "wound", read = "capture"))]
    pub async fn capture(
        &self,
        wound: &Shown<WoundDocument>,
        scan: ScanId,
    ) -> Result<(ScanDocument, Shown<Bytes>), RecordsError> {
        let found = wound.scans.iter().find(|found| found.id == scan);
        let found = found.ok_or(RecordsError::NotFound { what: "scan" })?;
        let request = CaptureRequest {
            blob_id: found.capture.blob_id,
            subject: wound.patient_id.as_uuid(),
            sha256: found.capture.sha256,
            size: found.capture.size,
        };
        let captures = BlobCaptures::new(self.ledger.clone(), self.captures.clone());
        let bytes = captures.fetch(&request).await.map_err(|error| match error {
            FetchError::Erased => RecordsError::Read(ReadError::Erased),
            FetchError::Missing | FetchError::Damaged => RecordsError::CaptureDamaged { scan },
            unavailable @ FetchError::Unavailable { .. } => RecordsError::Captures(unavailable),
        })?;
        Ok((found.clone(), wound.with(bytes)))
    }

    /// Where a capture of a wound is to be kept, and what was said of it before. A capture of a patient has one id, and a
    /// repetition says what was said before: so it is the same command.
    ///
    /// # Errors
    /// When there is no such wound, which is recorded, or the log cannot be read.
    pub async fn capture_to_come(
        &self,
        asking: &Asking,
        wound: WoundId,
        scan: ScanId,
        sha256: [u8; 32],
    ) -> Result<CaptureToCome, RecordsError> {
        let id = wound.as_uuid();
        let episode = match self.ledger.load::<WoundEpisode>(id).await {
            Err(CommandError::Erased) => Err(ReadError::Erased),
            loaded => Ok(loaded?.map(|loaded| loaded.aggregate)),
        };
        let episode = self.found(asking, "wound", id, episode).await?;
        let Some(patient) = episode.subject(id) else {
            return self.nothing_found(asking, "wound", id).await;
        };
        let recorded = episode.scan(scan).filter(|scan| *scan.capture.sha256.as_bytes() == sha256);
        let id = recorded.map_or_else(
            || self.ledger.derived_id("capture", &format!("{patient}|{}", Digest::from(sha256))),
            |scan| scan.capture.blob_id,
        );
        Ok(CaptureToCome { id, captured_at: recorded.map(|scan| scan.captured_at), patient })
    }

    /// Stores a capture that is about to be recorded, sealed with its patient's key. If it is not recorded after all, `ledger
    /// scan sweep` takes it: nobody can tell here whether another command has named it meanwhile.
    ///
    /// # Errors
    /// When the patient has no key any more, or the store does not take it.
    pub async fn store_capture(
        &self,
        coming: &CaptureToCome,
        bytes: &[u8],
    ) -> Result<StoredBlob, RecordsError> {
        let key = self.ledger.data_key(coming.patient).await?;
        self.captures.put(&key, coming.id, bytes).await.map_err(RecordsError::NotStored)
    }
}
