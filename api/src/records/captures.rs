//! The store of captures: what of a shown wound is fetched from it, and what is handed in.

use bytes::Bytes;
use commands::{BlobError, StoredBlob, SubjectKey};
use domain::ScanId;
use projections::read_models::{ReadError, ScanDocument, WoundDocument};
use projections::worker::{CaptureRequest, CaptureSource as _, FetchError};
use uuid::Uuid;

use super::Records;
use super::error::RecordsError;
use super::shown::Shown;
use crate::inference::BlobCaptures;

impl Records {
    /// The capture of a scan of a wound that is shown.
    ///
    /// # Errors
    /// When the wound has no such scan, or its capture cannot be fetched or opened.
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

    /// Stores a capture that is about to be recorded, sealed with its patient's key. If it is not recorded after all, `ledger
    /// scan sweep` takes it: nobody can tell here whether another command has named it meanwhile.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn store_capture(
        &self,
        key: &SubjectKey,
        capture: Uuid,
        bytes: &[u8],
    ) -> Result<StoredBlob, BlobError> {
        self.captures.put(key, capture, bytes).await
    }
}
