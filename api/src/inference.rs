//! What the workers read and write through: captures out of the store; answers, withdrawals and purges into the log.

use async_trait::async_trait;
use bytes::Bytes;
use commands::{
    Actor, BlobError, Blobs, CommandError, Context, Keys, Ledger, PurposeOfUse, Receipt,
    StoredBlob, Unavailable,
};
use domain::value::Digest;
use domain::wound::Measurement;
use domain::{Custody, WoundEpisode};
use projections::runtime::StoreError;
use projections::worker::{
    CapturePurge, CaptureRequest, CaptureSource, CommandSink, DerivedIds, FetchError, ScanAnalyzer,
    ScanRejection, SinkError, WorkerCommand,
};
use uuid::Uuid;
use wound::pipeline::WoundAnalyzer;

/// What the ids of the workers' commands are made with. It follows from the index key, and tells nothing of it.
#[must_use]
pub fn worker_ids(keys: &Keys) -> DerivedIds {
    DerivedIds::new(keys.mac_key("worker-ids/v1"))
}

/// Measures captures with a network.
pub struct NetworkAnalyzer(pub WoundAnalyzer);

impl ScanAnalyzer for NetworkAnalyzer {
    fn model_digest(&self) -> Digest {
        self.0.model_digest()
    }

    fn label(&self) -> String {
        self.0.label()
    }

    fn analyze(&self, bytes: &[u8], media_type: &str) -> Result<Measurement, ScanRejection> {
        let measured = self.0.analyze(bytes, media_type);
        measured.map_err(|rejection| ScanRejection::new(rejection.reason(), rejection.to_string()))
    }
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
}

/// What the ledger's answer means for a worker.
fn taken(answered: Result<Receipt, CommandError>) -> Result<(), SinkError> {
    match answered {
        Ok(_) => Ok(()),
        Err(CommandError::Erased | CommandError::NotFound { .. }) => Err(SinkError::Gone),
        // Only a worker knows these ids.
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
impl CommandSink for LedgerSink {
    async fn record(
        &self,
        command: WorkerCommand,
        command_id: Uuid,
        correlation_id: Uuid,
    ) -> Result<(), SinkError> {
        let purpose = match command {
            WorkerCommand::Wound(..) => PurposeOfUse::Treat,
            WorkerCommand::Custody(..) => PurposeOfUse::Hcompl,
        };
        let mut context = Context::new(Actor::worker(), purpose);
        context.command_id = command_id;
        context.correlation_id = correlation_id;
        taken(match command {
            WorkerCommand::Wound(wound, command) => {
                self.ledger.execute::<WoundEpisode>(wound.as_uuid(), command, &context).await
            }
            WorkerCommand::Custody(subject, command) => {
                self.ledger.execute::<Custody>(subject, command, &context).await
            }
        })
    }
}
