//! What the workers read and write through: captures out of the store; answers, withdrawals and purges into the log.

use async_trait::async_trait;
use bytes::Bytes;
use commands::{
    Actor, BlobError, Blobs, CommandError, Context, Keys, Ledger, PurposeOfUse, Receipt,
    StoredBlob, Unavailable,
};
use domain::custody::RecordPurge;
use domain::wound::{RecordMeasurement, RejectScan, WithdrawMeasurement};
use domain::{Custody, CustodyCommand, WoundCommand, WoundEpisode};
use projections::runtime::StoreError;
use projections::worker::{
    Answer, CapturePurge, CaptureRequest, CaptureSource, DerivedIds, FetchError, MeasurementSink,
    PurgeSink, SinkError, WithdrawalSink,
};
use uuid::Uuid;

/// What the ids of the workers' commands are made with. It follows from the index key, and tells nothing of it.
#[must_use]
pub fn worker_ids(keys: &Keys) -> DerivedIds {
    DerivedIds::new(keys.mac_key("worker-ids/v1"))
}

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
        let opened = self.blobs.get(&key, &stored).await.map_err(|error| match error {
            BlobError::NotFound { .. } => FetchError::Missing,
            BlobError::Digest { .. } | BlobError::Seal { .. } | BlobError::TooLarge { .. } => {
                FetchError::Damaged
            }
            other => FetchError::Unavailable { source: Box::new(other) },
        })?;
        Ok(Bytes::copy_from_slice(&opened))
    }
}

#[async_trait]
impl CapturePurge for BlobCaptures {
    async fn purge(&self, subject: Uuid) -> Result<(), StoreError> {
        self.ledger.purge_captures(&self.blobs, subject).await?;
        Ok(())
    }

    async fn purge_all(&self) -> Result<(), StoreError> {
        let captures = self.ledger.purge_all_captures(&self.blobs).await?;
        if captures > 0 {
            tracing::warn!(captures, "captures of erased records were there again: removed again");
        }
        Ok(())
    }
}

/// Records what the workers found and did, as the worker.
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
        taken(self.ledger.execute::<WoundEpisode>(id, command, &context).await)
    }
}

/// What the ledger's answer means for a worker.
fn taken(answered: Result<Receipt, CommandError>) -> Result<(), SinkError> {
    match answered {
        Ok(_) => Ok(()),
        // Nobody but a worker knows these ids.
        Err(
            error @ (CommandError::CommandIdReused
            | CommandError::Unavailable(Unavailable::CommandDamaged)),
        ) => Err(SinkError::Foreign { code: error.code().to_owned() }),
        Err(
            error @ (CommandError::Unavailable(_)
            | CommandError::Overloaded
            | CommandError::Damaged(_)),
        ) => Err(SinkError::Unavailable { source: Box::new(error) }),
        Err(error) => Err(SinkError::Refused { code: error.code().to_owned() }),
    }
}

#[async_trait]
impl PurgeSink for LedgerSink {
    async fn record_purge(
        &self,
        subject: Uuid,
        command_id: Uuid,
        caused_by: Uuid,
        command: RecordPurge,
    ) -> Result<(), SinkError> {
        let mut context = Context::new(Actor::worker(), PurposeOfUse::Hcompl);
        context.command_id = command_id;
        context.correlation_id = caused_by;
        let command = CustodyCommand::RecordPurge(command);
        taken(self.ledger.execute::<Custody>(subject, command, &context).await)
    }
}

#[async_trait]
impl WithdrawalSink for LedgerSink {
    async fn withdraw_measurement(
        &self,
        answer: &Answer,
        command: WithdrawMeasurement,
    ) -> Result<(), SinkError> {
        self.record(answer, WoundCommand::WithdrawMeasurement(command)).await
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
