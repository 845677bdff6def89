//! The projectors whose effects are commands: wound inference, the withdrawal of what a withdrawn model measured
//! (`withdrawal`), and the purge after an erasure (`purge`).
//!
//! Wound inference is the projector that answers a scan with a measurement, or with the reason why it cannot be measured.
//!
//! It reads the log like any projector, but its effect is a command: what the network measured becomes a signed
//! event too. Whether a scan still needs an answer is read from the wound's stream in the log itself, and every
//! answer goes under a command id made from scan and model under a key; so a crash and a replay repeat nothing, and
//! another model answers beside the old one. What the log did not take is not told as done: its stream is read again, and says.

mod derived;
mod ports;
mod purge;
mod spans;
mod submit;
mod withdrawal;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use domain::value::{Digest, Note};
use domain::wound::{
    CaptureRef, Measurement, RecordMeasurement, RejectScan, RejectionReason, ScanRecorded,
};
use domain::{Event, MeasurementId, ScanId, WoundCommand, WoundEpisode, WoundEvent, WoundId};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, error, info, warn};
use uuid::Uuid;

use derived::not_recorded;
pub use derived::{DerivedIds, foreign_command};
pub use ports::{
    CapturePurge, CaptureRequest, CaptureSource, CommandSink, FetchError, ScanAnalyzer,
    ScanRejection, SinkError, WorkerCommand,
};
pub use purge::PurgeWorker;
use spans::answering;
use submit::Submitter;
pub use withdrawal::WithdrawalWorker;

use crate::event::{EventLog, RecordedEvent};
use crate::runtime::{ApplyError, Projector};

/// How often to ask for a capture that is said to be missing, before that is recorded.
const FETCH_ATTEMPTS: u32 = 3;

/// The pause between two of these questions.
const FETCH_PAUSE: Duration = Duration::from_millis(250);

/// The longest a capture may take to be measured.
const ANALYSIS_MAX: Duration = Duration::from_secs(300);

/// What this projector is called, and its ids are made for.
const WORKER: &str = "inference";

/// The type of the streams it reads.
const WOUND: &str = WoundEpisode::STREAM_TYPE;

/// The inference projector.
pub struct InferenceWorker {
    log: EventLog,
    captures: Arc<dyn CaptureSource>,
    analyzer: Arc<dyn ScanAnalyzer>,
    sink: Arc<dyn CommandSink>,
    ids: DerivedIds,
    model: Digest,
    label: String,
    stop: CancellationToken,
}

impl InferenceWorker {
    /// A worker that reads scans from `log`, fetches their captures from `captures`, measures them with
    /// `analyzer`, and records the results through `sink` under ids out of `ids`.
    pub fn new(
        log: EventLog,
        captures: Arc<dyn CaptureSource>,
        analyzer: Arc<dyn ScanAnalyzer>,
        sink: Arc<dyn CommandSink>,
        ids: DerivedIds,
    ) -> InferenceWorker {
        let (model, label) = (analyzer.model_digest(), analyzer.label());
        let stop = CancellationToken::new();
        InferenceWorker { log, captures, analyzer, sink, ids, model, label, stop }
    }

    /// The same, ending after the scan under way once `stop` is cancelled, although more scans may be in its batch:
    /// another model is to answer them.
    #[must_use]
    pub fn stopped_by(mut self, stop: CancellationToken) -> InferenceWorker {
        self.stop = stop;
        self
    }

    /// The wound's episode as its stream in the log tells it now; nothing is left of it if its key was destroyed.
    async fn episode(&self, wound: Uuid) -> Result<WoundEpisode, ApplyError> {
        let events = self.log.stream(WOUND, wound).await;
        let events = events.map_err(ApplyError::unavailable("read the wound's events"))?;
        let events = events.into_iter().filter_map(|recorded| match recorded.event {
            Some(Event::Wound(event)) => Some(event),
            _ => None,
        });
        Ok(events.collect())
    }

    /// Answers one scan.
    async fn answer(
        &self,
        recorded: &RecordedEvent,
        scan: &ScanRecorded,
    ) -> Result<(), ApplyError> {
        let started = Instant::now();
        let Some(outcome) = self.analyze(recorded, &scan.capture).await? else {
            return Ok(());
        };
        let reason = match &outcome {
            Ok(_) => "measured",
            Err(rejection) => rejection.reason.as_str(),
        };
        match self.submit(recorded, scan.scan_id, &outcome).await {
            Ok(()) => {
                Span::current().record("outcome", reason);
                let model = self.label.clone();
                metrics::counter!("inference_outcomes_total", "model" => model, "outcome" => reason)
                    .increment(1);
                metrics::histogram!("scan_answer_seconds").record(started.elapsed().as_secs_f64());
                info!(scan.id = %scan.scan_id, outcome = reason, "answered scan {}", scan.scan_id);
                Ok(())
            }
            Err(SinkError::Gone) => {
                info!(scan.id = %scan.scan_id, "nobody is left whose scan {} would be answered", scan.scan_id);
                Ok(())
            }
            // It was answered meanwhile, or rejected; or else it has no answer, and that is reported.
            Err(SinkError::Refused { code }) => {
                let episode = self.episode(recorded.stream_id).await?;
                if !episode.awaits_answer(scan.scan_id, &self.model) {
                    info!(scan.id = %scan.scan_id, code, "the answer to scan {} is not wanted", scan.scan_id);
                } else {
                    not_recorded(WORKER, &code);
                    error!(scan.id = %scan.scan_id, code, "scan {} has no answer: the log refuses it", scan.scan_id);
                }
                Ok(())
            }
            Err(error) => Err(ApplyError::unavailable("record a scan's answer")(error)),
        }
    }

    /// Records an outcome.
    async fn submit(
        &self,
        recorded: &RecordedEvent,
        scan_id: ScanId,
        outcome: &Result<Measurement, ScanRejection>,
    ) -> Result<(), SinkError> {
        let scan = scan_id.as_uuid();
        let words: [&[u8]; 2] = [scan.as_bytes(), self.model.as_bytes()];
        let command = match outcome {
            Ok(measurement) => WoundCommand::RecordMeasurement(RecordMeasurement {
                scan_id,
                measurement_id: MeasurementId::from_uuid(self.ids.id("measurement", &words)),
                model_digest: self.model,
                measurement: measurement.clone(),
            }),
            Err(ScanRejection { reason, detail }) => WoundCommand::RejectScan(RejectScan {
                scan_id,
                model_digest: Some(self.model),
                reason: *reason,
                detail: note(detail),
            }),
        };
        let wound = WoundId::from_uuid(recorded.stream_id);
        let submitter = Submitter { worker: WORKER, ids: &self.ids, sink: &*self.sink };
        let command = WorkerCommand::Wound(wound, command);
        submitter.submit(&words, recorded.correlation_id, command).await
    }

    /// Fetches, checks and measures a capture. `None`: the patient was erased, so no command is sent.
    async fn analyze(
        &self,
        recorded: &RecordedEvent,
        capture: &CaptureRef,
    ) -> Result<Option<Result<Measurement, ScanRejection>>, ApplyError> {
        let Some(subject) = recorded.subject else {
            return Err(ApplyError::Poison {
                position: recorded.position,
                reason: "a scan without a subject has no key to open its capture".to_owned(),
            });
        };
        let request = CaptureRequest {
            blob_id: capture.blob_id,
            subject,
            sha256: capture.sha256,
            size: capture.size,
        };
        let bytes = match self.fetch(&request).await {
            Ok(bytes) => bytes,
            Err(FetchError::Erased) => return Ok(None),
            Err(FetchError::Missing) => {
                return Ok(Some(Err(ScanRejection::new(
                    RejectionReason::CaptureMissing,
                    "the stored capture is not there",
                ))));
            }
            Err(FetchError::Damaged) => return Ok(Some(Err(damaged()))),
            Err(error @ FetchError::Unavailable { .. }) => {
                return Err(ApplyError::unavailable("fetch a capture")(error));
            }
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if size != capture.size || digest != *capture.sha256.as_bytes() {
            return Ok(Some(Err(damaged())));
        }
        Ok(Some(self.measure(bytes, capture.media_type.as_str().to_owned()).await))
    }

    /// A capture that is said to be missing is asked for again: object stores may be late.
    async fn fetch(&self, request: &CaptureRequest) -> Result<Bytes, FetchError> {
        let mut attempt = 1;
        loop {
            match self.captures.fetch(request).await {
                Err(FetchError::Missing) if attempt < FETCH_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(FETCH_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Measures on a thread for long work. A capture that makes the analyzer fail is answered as one that cannot be
    /// measured: it must not keep the others waiting.
    async fn measure(
        &self,
        bytes: Bytes,
        media_type: String,
    ) -> Result<Measurement, ScanRejection> {
        let analyzer = Arc::clone(&self.analyzer);
        let analysis = tokio::task::spawn_blocking(move || analyzer.analyze(&bytes, &media_type));
        match tokio::time::timeout(ANALYSIS_MAX, analysis).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                error!("the analyzer failed on a capture");
                Err(ScanRejection::new(
                    RejectionReason::Other,
                    "the analyzer failed on this capture",
                ))
            }
            Err(_) => {
                warn!("the analyzer took too long for a capture");
                Err(ScanRejection::new(RejectionReason::Other, "measuring took too long"))
            }
        }
    }
}

#[async_trait]
impl Projector for InferenceWorker {
    fn name(&self) -> &str {
        WORKER
    }

    fn version(&self) -> u32 {
        1
    }

    /// Each model has its own checkpoint: a new one answers every scan, from the first.
    fn id(&self) -> String {
        let model = self.model.to_string();
        format!("{}:{}:{}", self.name(), self.version(), model.get(..16).unwrap_or(&model))
    }

    fn streams(&self) -> &[&'static str] {
        &[WOUND]
    }

    async fn apply(&self, batch: &[RecordedEvent]) -> Result<(), ApplyError> {
        let mut episodes: HashMap<Uuid, WoundEpisode> = HashMap::new();
        for recorded in batch {
            let Some(Event::Wound(WoundEvent::ScanRecorded(scan))) = &recorded.event else {
                continue;
            };
            let id = recorded.stream_id;
            let episode = match episodes.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.episode(id).await?),
            };
            if episode.awaits_answer(scan.scan_id, &self.model) {
                if self.stop.is_cancelled() {
                    return Err(ApplyError::Stopped);
                }
                let span = answering(WORKER, recorded);
                self.answer(recorded, scan).instrument(span).await?;
            }
        }
        Ok(())
    }

    /// Its effects are events, and those stay.
    async fn reset(&self) -> Result<(), ApplyError> {
        Ok(())
    }
}

fn damaged() -> ScanRejection {
    ScanRejection::new(
        RejectionReason::DigestMismatch,
        "the stored capture is not the one that was taken in",
    )
}

/// A detail as a note, cut to what a note may hold.
fn note(detail: &str) -> Option<Note> {
    let text: String = detail.chars().filter(|c| !c.is_control()).take(Note::MAX).collect();
    Note::new(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_becomes_a_note() {
        assert_eq!(note(""), None);
        assert_eq!(note("too\u{7} dark").as_deref(), Some("too dark"));
        assert_eq!(note(&"x".repeat(5_000)).map(|note| note.chars().count()), Some(Note::MAX));
    }
}
