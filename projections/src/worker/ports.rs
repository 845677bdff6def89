//! What the worker is handed: where captures come from, what measures them, and where results go.

use async_trait::async_trait;
use bytes::Bytes;
use domain::value::Digest;
use domain::wound::{Measurement, RejectionReason};
use domain::{CustodyCommand, WoundCommand, WoundId};
use uuid::Uuid;

use crate::runtime::StoreError;

/// A command of a worker, and the aggregate that decides on it.
#[derive(Debug, Clone)]
pub enum WorkerCommand {
    /// About a wound: an answer to a scan, or a withdrawal.
    Wound(WoundId, WoundCommand),
    /// About the custody of a subject's record: a purge.
    Custody(Uuid, CustodyCommand),
}

/// Why an answer was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The log did not take it now: the worker tries again.
    #[error("the answer could not be recorded now")]
    Unavailable {
        /// What went wrong.
        #[source]
        source: StoreError,
    },
    /// Something foreign is on record under the command's id. Nothing was done: take another id.
    #[error("the command id is occupied: {code}")]
    Foreign {
        /// The refusal's code.
        code: String,
    },
    /// The subject no longer exists: the record was erased, or never was there.
    #[error("there is nobody left whom the answer would be about")]
    Gone,
    /// The answer is not wanted: the scan is already measured or was rejected.
    #[error("the answer was refused: {code}")]
    Refused {
        /// The refusal's code.
        code: String,
    },
}

/// Records what workers found and did, as commands.
#[async_trait]
pub trait CommandSink: Send + Sync {
    /// Records a command under this id: the same for the same work, so that a repetition is answered, not repeated.
    /// `correlation_id` is that of the event it answers: both belong to the same request.
    async fn record(
        &self,
        command: WorkerCommand,
        command_id: Uuid,
        correlation_id: Uuid,
    ) -> Result<(), SinkError>;
}

/// Which capture is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureRequest {
    /// The encrypted object.
    pub blob_id: Uuid,
    /// Whose data key opens it.
    pub subject: Uuid,
    /// The SHA-256 of the capture itself.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a capture was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store did not answer: the worker tries again.
    #[error("the capture store did not answer")]
    Unavailable {
        /// What went wrong.
        #[source]
        source: StoreError,
    },
    /// The store has no such object.
    #[error("the capture is not there")]
    Missing,
    /// The patient's data key was destroyed.
    #[error("the capture's data key was destroyed")]
    Erased,
    /// The object does not open, or is not the capture that was taken in.
    #[error("the capture is damaged")]
    Damaged,
}

/// Fetches captures, decrypted.
#[async_trait]
pub trait CaptureSource: Send + Sync {
    /// Fetches one capture.
    async fn fetch(&self, request: &CaptureRequest) -> Result<Bytes, FetchError>;
}

/// Removes captures.
#[async_trait]
pub trait CapturePurge: Send + Sync {
    /// Removes everything that was sealed with the destroyed key of a subject. May be repeated.
    ///
    /// # Errors
    /// When the store does not answer: the worker tries again.
    async fn purge(&self, subject: Uuid) -> Result<(), StoreError>;

    /// Removes what is there of anybody whose key is destroyed, such as came back with a restored backup.
    ///
    /// # Errors
    /// When the store does not answer: the worker tries again.
    async fn purge_all(&self) -> Result<(), StoreError>;
}

/// Why a capture has no measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRejection {
    /// The reason.
    pub reason: RejectionReason,
    /// More about it, for a clinician; it names no person.
    pub detail: String,
}

impl ScanRejection {
    /// A rejection.
    pub fn new(reason: RejectionReason, detail: impl Into<String>) -> ScanRejection {
        ScanRejection { reason, detail: detail.into() }
    }
}

/// Measures captures. Called on a thread for long work.
pub trait ScanAnalyzer: Send + Sync {
    /// The digest of the model: of everything that decides what is measured.
    fn model_digest(&self) -> Digest;

    /// What the model is called in metrics.
    fn label(&self) -> String;

    /// Decodes and measures one capture.
    fn analyze(&self, bytes: &[u8], media_type: &str) -> Result<Measurement, ScanRejection>;
}
