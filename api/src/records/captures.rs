//! The store of captures: what of a shown wound is fetched from it, and what is handed in.

use bytes::Bytes;
use commands::{BlobError, CommandError, StoredBlob, SubjectKey};
use domain::ScanId;
use projections::read_models::{ReadError, ScanDocument, WoundDocument};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Records, RecordsError, Shown};

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
        let scan = wound.scans.iter().find(|found| found.id == scan);
        let scan = scan.ok_or(RecordsError::NotFound { what: "scan" })?;
        let key = match self.ledger.data_key(wound.patient_id.as_uuid()).await {
            Err(CommandError::Erased) => return Err(RecordsError::Read(ReadError::Erased)),
            key => key?,
        };
        let capture = &scan.capture;
        let stored = StoredBlob {
            blob_id: capture.blob_id,
            sha256: *capture.sha256.as_bytes(),
            size: capture.size,
        };
        let bytes = self.captures.get(&key, &stored).await.map_err(|error| match error {
            BlobError::NotFound { .. }
            | BlobError::Digest { .. }
            | BlobError::Seal { .. }
            | BlobError::TooLarge { .. } => RecordsError::CaptureDamaged,
            other => RecordsError::Captures(other),
        })?;
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != stored.sha256 {
            return Err(RecordsError::CaptureDamaged);
        }
        Ok((scan.clone(), Shown::recorded(Bytes::copy_from_slice(&bytes))))
    }

    /// Stores a capture that is about to be recorded, sealed with its patient's key.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn store_capture(
        &self,
        key: &SubjectKey,
        bytes: &[u8],
    ) -> Result<StoredBlob, BlobError> {
        self.captures.put(key, bytes).await
    }

    /// Removes a capture that was stored and is not going to be recorded.
    ///
    /// # Errors
    /// When the store does not answer: `ledger scan sweep` takes it later.
    pub async fn remove_capture(&self, key: Uuid, capture: Uuid) -> Result<(), BlobError> {
        self.captures.delete(key, capture).await
    }
}
