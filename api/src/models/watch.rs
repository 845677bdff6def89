//! Following the registry of models: whichever model is active answers scans, and only that one.
//!
//! The registry is looked at about once a second, in every worker. When another model is active, the projector of the
//! one before ends after the scan under way, and one of the new model begins: from its own checkpoint, so that it answers
//! the earlier scans too. Several workers may run; of each projector one holds the lease, and the others stand by.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use commands::{CommandError, Ledger, Weights, WeightsError};
use domain::model::Model;
use domain::value::Digest;
use domain::{ModelCard, ModelRegistry};
use projections::event::{EventError, EventLog};
use projections::runtime::{Projector, RunError, Runtime};
use projections::worker::{DerivedIds, InferenceWorker, WithdrawalWorker};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wound::network::{Segmenter, SegmenterError, embedded_weights};
use wound::pipeline::{WoundAnalyzer, model_digests};

use crate::inference::{BlobCaptures, LedgerSink, NetworkAnalyzer};

/// How often the registry is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The type of the registry's stream.
const STREAM: &str = "model";

/// Why the registry is not followed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// How often it changed could not be read.
    #[error("the log could not be read")]
    Log(#[from] EventError),
    /// It could not be read.
    #[error("the registry of models could not be read")]
    Registry(#[from] CommandError),
    /// The active model's weights could not be fetched.
    #[error("the weights of the active model could not be fetched: hand its package in again")]
    Weights(#[from] WeightsError),
    /// They are no weights of this network.
    #[error("the weights of the active model cannot be loaded")]
    Load(#[from] SegmenterError),
    /// The thread that loads them ended.
    #[error("loading the active model was broken off")]
    Loading(#[source] tokio::task::JoinError),
    /// A projector cannot go on.
    #[error("the projector {projector} cannot go on")]
    Projector {
        /// Which.
        projector: String,
        /// Why not.
        #[source]
        source: Box<RunError>,
    },
    /// The task of a projector ended.
    #[error("the task of projector {projector} broke off")]
    Task {
        /// Which.
        projector: String,
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// A projector that runs.
struct Running {
    id: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Asks it to stop, and waits until it has.
    async fn stop(self) -> Result<(), WatchError> {
        self.stop.cancel();
        self.ended().await
    }

    async fn ended(self) -> Result<(), WatchError> {
        let projector = self.id;
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(WatchError::Projector { projector, source: Box::new(source) }),
            Err(source) => Err(WatchError::Task { projector, source }),
        }
    }
}

/// What runs at present, and for which models.
#[derive(Default)]
struct Present {
    /// The version of the registry it follows from.
    version: Option<u64>,
    inference: Option<(Digest, Running)>,
    withdrawal: Option<(BTreeSet<Digest>, Running)>,
}

impl Present {
    /// A projector that has ended by itself.
    fn take_ended(&mut self) -> Option<Running> {
        if let Some((_, running)) = self.inference.take_if(|(_, it)| it.task.is_finished()) {
            return Some(running);
        }
        let ended = self.withdrawal.take_if(|(_, it)| it.task.is_finished());
        ended.map(|(_, running)| running)
    }

    fn running(self) -> impl Iterator<Item = Running> {
        let inference = self.inference.map(|(_, running)| running);
        inference.into_iter().chain(self.withdrawal.map(|(_, running)| running))
    }
}

/// Runs the projectors that the registry of models asks for.
pub struct ModelWatch {
    ledger: Ledger,
    log: EventLog,
    weights: Weights,
    captures: Arc<BlobCaptures>,
    sink: Arc<LedgerSink>,
    ids: DerivedIds,
    runtime: Runtime,
}

impl ModelWatch {
    /// Follows the registry in `ledger`, whose models' weights lie in `weights`; their projectors read `log`, fetch
    /// from `captures`, answer through `sink` under ids out of `ids`, and are run by `runtime`.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        log: EventLog,
        weights: Weights,
        captures: Arc<BlobCaptures>,
        sink: Arc<LedgerSink>,
        ids: DerivedIds,
        runtime: Runtime,
    ) -> Self {
        Self { ledger, log, weights, captures, sink, ids, runtime }
    }

    /// Follows the registry until `shutdown` is cancelled. What fails is tried again, with growing pauses; meanwhile no
    /// model answers that is not active.
    ///
    /// # Errors
    /// When a projector cannot go on.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), WatchError> {
        let mut present = Present::default();
        let mut pause = LOOK;
        let mut outcome = Ok(());
        while !shutdown.is_cancelled() {
            if let Some(ended) = present.take_ended() {
                outcome = ended.ended().await;
                break;
            }
            pause = match self.look(&mut present).await {
                Ok(()) => LOOK,
                Err(error @ (WatchError::Projector { .. } | WatchError::Task { .. })) => {
                    outcome = Err(error);
                    break;
                }
                Err(error) => {
                    let error = audit::chain(&error);
                    warn!(
                        error,
                        "the registry of models cannot be followed and will be tried again"
                    );
                    (pause * 2).min(PAUSE_MAX)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
        }
        for running in present.running() {
            let stopped = running.stop().await;
            outcome = outcome.and(stopped);
        }
        outcome
    }

    /// Brings what runs into line with the registry, if that has changed.
    async fn look(&self, present: &mut Present) -> Result<(), WatchError> {
        let version = self.log.version(STREAM, ModelRegistry::ID).await?;
        if present.version == Some(version) {
            return Ok(());
        }
        let loaded = self.ledger.load::<ModelRegistry>(ModelRegistry::ID).await?;
        let (registry, version) = match loaded {
            Some(loaded) => (loaded.aggregate, loaded.version),
            None => (ModelRegistry::default(), 0),
        };
        self.withdraw(present, registry.withdrawn().collect()).await?;
        self.infer(present, &registry).await?;
        present.version = Some(version);
        Ok(())
    }

    /// Has the active model answer, and no other.
    async fn infer(
        &self,
        present: &mut Present,
        registry: &ModelRegistry,
    ) -> Result<(), WatchError> {
        let active = registry.active();
        if present.inference.as_ref().map(|(model, _)| *model) == active {
            return Ok(());
        }
        if let Some((_, running)) = present.inference.take() {
            running.stop().await?;
        }
        let Some((weights, model)) = active.and_then(|it| Some((it, registry.model(&it)?))) else {
            return Ok(());
        };
        let analyzer = Arc::new(NetworkAnalyzer(self.analyzer(weights, model).await?));
        let stop = CancellationToken::new();
        let inference = InferenceWorker::new(
            self.log.clone(),
            self.captures.clone(),
            analyzer,
            self.sink.clone(),
            self.ids.clone(),
        );
        let running = self.start(Arc::new(inference.stopped_by(stop.clone())), stop);
        info!(model = %weights, projector = %running.id, "model {weights} answers scans");
        present.inference = Some((weights, running));
        Ok(())
    }

    /// Has what withdrawn models measured withdrawn.
    async fn withdraw(
        &self,
        present: &mut Present,
        withdrawn: BTreeSet<Digest>,
    ) -> Result<(), WatchError> {
        let is_there = present.withdrawal.as_ref().is_some_and(|(models, _)| *models == withdrawn);
        if withdrawn.is_empty() || is_there {
            return Ok(());
        }
        if let Some((_, running)) = present.withdrawal.take() {
            running.stop().await?;
        }
        let models: Vec<Digest> = withdrawn.iter().flat_map(model_digests).collect();
        let withdrawal =
            WithdrawalWorker::new(self.log.clone(), self.sink.clone(), self.ids.clone(), models);
        let running = self.start(Arc::new(withdrawal), CancellationToken::new());
        present.withdrawal = Some((withdrawn, running));
        Ok(())
    }

    /// Loads a registered model. The weights that are part of the program need not be fetched.
    async fn analyzer(&self, weights: Digest, model: &Model) -> Result<WoundAnalyzer, WatchError> {
        let embedded: [u8; 32] = Sha256::digest(embedded_weights()).into();
        let bytes = match embedded == *weights.as_bytes() {
            true => None,
            false => Some(self.weights.get(&weights, model.size).await?),
        };
        let card: ModelCard = model.card.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let segmenter = match bytes {
                None => Segmenter::embedded(),
                Some(bytes) => Segmenter::from_bytes(bytes.into()),
            };
            segmenter.map(|segmenter| WoundAnalyzer::new(segmenter, card).watched())
        });
        Ok(loading.await.map_err(WatchError::Loading)??)
    }

    fn start(&self, projector: Arc<dyn Projector>, stop: CancellationToken) -> Running {
        let (runtime, token) = (self.runtime.clone(), stop.clone());
        let id = projector.id();
        let task = tokio::spawn(async move { runtime.run(projector, token).await });
        Running { id, stop, task }
    }
}
