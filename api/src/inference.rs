//! What the wound worker reads and writes through: captures out of the store, answers into the log.

use async_trait::async_trait;
use bytes::Bytes;
use commands::{Actor, BlobError, Blobs, CommandError, Context, Ledger, PurposeOfUse, StoredBlob};
use domain::wound::{RecordMeasurement, RejectScan};
use domain::{WoundCommand, WoundEpisode};
use projections::worker::{
    Answer, CaptureRequest, CaptureSource, FetchError, MeasurementSink, SinkError,
};

/// Fetches captures and opens them with their patient's data key.
#[derive(Clone)]
pub struct BlobCaptures {
    ledger: Ledger,
    blobs: Blobs,
}

impl BlobCaptures {
    /// Captures in `blobs`, whose keys `ledger` keeps.
    #[must_use]
    pub fn new(ledger: Ledger, blobs: Blobs) -> Self {
        Self { ledger, blobs }
    }
}

#[async_trait]
impl CaptureSource for BlobCaptures {
    async fn fetch(&self, request: &CaptureRequest) -> Result<Bytes, FetchError> {
        let key = self.ledger.data_key(request.subject).await.map_err(|error| match error {
            CommandError::Erased => FetchError::Erased,
            other => FetchError::Unavailable { source: Box::new(other) },
        })?;
        let CaptureRequest { blob_id, sha256, size, .. } = *request;
        let stored = StoredBlob { blob_id, sha256: *sha256.as_bytes(), size };
        let opened = self.blobs.get(&key.key, &stored).await.map_err(|error| match error {
            BlobError::NotFound { .. } => FetchError::Missing,
            BlobError::Digest { .. } | BlobError::Seal { .. } | BlobError::TooLarge { .. } => {
                FetchError::Damaged
            }
            other => FetchError::Unavailable { source: Box::new(other) },
        })?;
        Ok(Bytes::copy_from_slice(&opened))
    }
}

/// Records what the worker found, as the worker.
#[derive(Clone)]
pub struct LedgerSink {
    ledger: Ledger,
}

impl LedgerSink {
    /// Answers into `ledger`.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    async fn record(&self, answer: &Answer, command: WoundCommand) -> Result<(), SinkError> {
        let mut context = Context::new(Actor::worker(), PurposeOfUse::Treat);
        context.command_id = answer.command_id;
        context.correlation_id = answer.caused_by;
        let id = answer.wound_id.as_uuid();
        match self.ledger.execute::<WoundEpisode>(id, command, &context).await {
            Ok(_) => Ok(()),
            Err(
                error @ (CommandError::Unavailable(_)
                | CommandError::Overloaded
                | CommandError::Damaged(_)),
            ) => Err(SinkError::Unavailable { source: Box::new(error) }),
            Err(error) => Err(SinkError::Refused { code: error.code().to_owned() }),
        }
    }
}

#[async_trait]
impl MeasurementSink for LedgerSink {
    async fn record_measurement(
        &self,
        answer: &Answer,
        command: RecordMeasurement,
    ) -> Result<(), SinkError> {
        self.record(answer, WoundCommand::RecordMeasurement(command)).await
    }

    async fn reject_scan(&self, answer: &Answer, command: RejectScan) -> Result<(), SinkError> {
        self.record(answer, WoundCommand::RejectScan(command)).await
    }
}
