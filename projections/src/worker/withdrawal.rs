//! The withdrawal: when a model was withdrawn, so is every measurement that it made and that no clinician confirmed.
//!
//! One projector does it for all withdrawn models. Its id follows from them, so one more makes another projector, which
//! reads the log from its beginning; and it goes on reading, for a worker that had not heard yet may have recorded an
//! answer later. Whether there is something to withdraw is read from the wound's stream in the log itself, and the command's
//! id is made from the measurement under a key: so a crash and a replay repeat nothing.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use domain::value::Digest;
use domain::wound::{Boundary, MeasurementRecorded, WithdrawMeasurement, WithdrawalReason};
use domain::{Event, MeasurementId, WoundCommand, WoundEpisode, WoundEvent, WoundId};
use sha2::{Digest as _, Sha256};
use tracing::{Instrument as _, Span, info};
use uuid::Uuid;

use super::derived::{DerivedIds, not_recorded};
use super::ports::{CommandSink, SinkError, WorkerCommand};
use super::spans::answering;
use super::submit::Submitter;
use crate::event::{EventLog, RecordedEvent};
use crate::runtime::{ApplyError, Projector};

/// What this projector is called, and its ids are made for.
const WORKER: &str = "withdrawal";

/// The projector that withdraws.
pub struct WithdrawalWorker {
    log: EventLog,
    sink: Arc<dyn CommandSink>,
    ids: DerivedIds,
    models: BTreeSet<Digest>,
}

impl WithdrawalWorker {
    /// A worker that withdraws through `sink`, under ids out of `ids`, what models of these digests measured, each as measurements name it.
    pub fn new(
        log: EventLog,
        sink: Arc<dyn CommandSink>,
        ids: DerivedIds,
        models: impl IntoIterator<Item = Digest>,
    ) -> WithdrawalWorker {
        WithdrawalWorker { log, sink, ids, models: models.into_iter().collect() }
    }

    /// Whether a withdrawn model made the measurement: a person's outline is the person's.
    fn is_of_a_withdrawn_model(&self, event: &MeasurementRecorded) -> bool {
        event.measurement.boundary == Boundary::Network && self.models.contains(&event.model_digest)
    }

    /// The measurements of a wound that are confirmed or withdrawn, as its stream in the log tells it now.
    async fn decided_measurements(
        &self,
        wound: Uuid,
    ) -> Result<BTreeSet<MeasurementId>, ApplyError> {
        let events = self.log.stream(WoundEpisode::STREAM_TYPE, wound).await;
        let events = events.map_err(ApplyError::unavailable("read the wound's events"))?;
        let decided = events.into_iter().filter_map(|recorded| match recorded.event {
            Some(Event::Wound(WoundEvent::MeasurementConfirmed(event))) => {
                Some(event.measurement_id)
            }
            Some(Event::Wound(WoundEvent::MeasurementWithdrawn(event))) => {
                Some(event.measurement_id)
            }
            _ => None,
        });
        Ok(decided.collect())
    }

    async fn withdraw(
        &self,
        recorded: &RecordedEvent,
        measurement_id: MeasurementId,
    ) -> Result<(), ApplyError> {
        let reason = WithdrawalReason::ModelWithdrawn;
        let command = WithdrawMeasurement { measurement_id, reason };
        let command = WorkerCommand::Wound(
            WoundId::from_uuid(recorded.stream_id),
            WoundCommand::WithdrawMeasurement(command),
        );
        let submitter = Submitter { worker: WORKER, ids: &self.ids, sink: &*self.sink };
        let measurement = measurement_id.as_uuid();
        match submitter.submit(&[measurement.as_bytes()], recorded.correlation_id, command).await {
            Ok(()) => {
                Span::current().record("outcome", "withdrawn");
                metrics::counter!("measurements_withdrawn_total").increment(1);
                info!(measurement.id = %measurement_id, "withdrew a measurement with its model");
                Ok(())
            }
            Err(SinkError::Gone) => {
                info!(measurement.id = %measurement_id, "nobody is left whose measurement would be withdrawn");
                Ok(())
            }
            // A clinician was quicker and confirmed or withdrew it; or else it stands, and that does not stay so.
            Err(SinkError::Refused { code }) => {
                if self.decided_measurements(recorded.stream_id).await?.contains(&measurement_id) {
                    info!(measurement.id = %measurement_id, code, "a measurement is not to be withdrawn");
                    return Ok(());
                }
                not_recorded(WORKER, &code);
                Err(ApplyError::unavailable("withdraw a measurement")(SinkError::Refused { code }))
            }
            Err(error) => Err(ApplyError::unavailable("withdraw a measurement")(error)),
        }
    }
}

#[async_trait]
impl Projector for WithdrawalWorker {
    fn name(&self) -> &str {
        WORKER
    }

    fn version(&self) -> u32 {
        1
    }

    fn id(&self) -> String {
        let mut hash = Sha256::new();
        for model in &self.models {
            hash.update(model.as_bytes());
        }
        let models = Digest::from(<[u8; 32]>::from(hash.finalize())).to_string();
        format!("{}:{}:{}", self.name(), self.version(), models.get(..16).unwrap_or(&models))
    }

    fn streams(&self) -> &[&'static str] {
        &[WoundEpisode::STREAM_TYPE]
    }

    async fn apply(&self, batch: &[RecordedEvent]) -> Result<(), ApplyError> {
        let mut wounds: HashMap<Uuid, BTreeSet<MeasurementId>> = HashMap::new();
        for recorded in batch {
            let Some(Event::Wound(WoundEvent::MeasurementRecorded(event))) = &recorded.event else {
                continue;
            };
            if !self.is_of_a_withdrawn_model(event) {
                continue;
            }
            let decided = match wounds.entry(recorded.stream_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    unknown.insert(self.decided_measurements(recorded.stream_id).await?)
                }
            };
            if !decided.contains(&event.measurement_id) {
                let span = answering(WORKER, recorded);
                self.withdraw(recorded, event.measurement_id).instrument(span).await?;
            }
        }
        Ok(())
    }

    /// Its effects are events, and those stay.
    async fn reset(&self) -> Result<(), ApplyError> {
        Ok(())
    }
}
