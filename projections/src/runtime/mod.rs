//! Running a projector: it reads the log in order from its own checkpoint and applies what it finds.
//!
//! What makes the effects exactly-once is not this loop but the rule that every effect carries the position
//! of its event and counts only if newer. So a crash between an effect and the checkpoint, or two
//! processes that both believe to hold the lock for a moment, repeat work and change nothing.

mod checkpoint;
mod error;
mod lease;
mod progress;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mongodb::Database;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, warn};

pub use checkpoint::{COLLECTION as CHECKPOINT_COLLECTION, Checkpoints, Standing};
pub use error::{ApplyError, RunError, StoreError};

use crate::event::{EventLog, Reading, RecordedEvent};
use crate::tags::Tags;
use checkpoint::count_damaged;
use lease::Lease;
use progress::Progress;

/// Something that is made from the log: a read model, a cache, a worker's results.
#[async_trait]
pub trait Projector: Send + Sync {
    /// What it is called, in checkpoints, locks and metrics.
    fn name(&self) -> &str;

    /// Grows when the documents change their shape or meaning; another version has its own checkpoint and
    /// documents, and is built beside the old one.
    fn version(&self) -> u32;

    /// The stream types whose payloads it needs. Events of other types arrive without their `event`.
    fn streams(&self) -> &[&'static str];

    /// How many events it takes at once, at most.
    fn batch_limit(&self) -> usize {
        500
    }

    /// Called when this process has become the holder, before the first batch.
    async fn begin(&self) -> Result<(), ApplyError> {
        Ok(())
    }

    /// Applies events, in order. May be called again with events it has seen: that must change nothing.
    async fn apply(&self, batch: &[RecordedEvent]) -> Result<(), ApplyError>;

    /// Called about every second while there is nothing to apply.
    async fn idle(&self) {}

    /// Forgets every effect, so that the log can be applied from zero.
    async fn reset(&self) -> Result<(), ApplyError>;

    /// Whether an event may have an effect. Past one that may not the checkpoint is stored only now and then.
    fn concerns(&self, recorded: &RecordedEvent) -> bool {
        self.streams().contains(&recorded.stream_type.as_str())
    }

    /// Name and version: the key of its checkpoint.
    fn id(&self) -> String {
        format!("{}:{}", self.name(), self.version())
    }
}

/// How the loop waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunConfig {
    /// How long to wait for a notification before looking anyway.
    pub poll: Duration,
    /// The first pause after a failure; each further one is twice as long.
    pub backoff_min: Duration,
    /// The longest pause after a failure.
    pub backoff_max: Duration,
    /// How long a batch under way may still take once a stop is asked for.
    pub grace: Duration,
}

impl Default for RunConfig {
    fn default() -> RunConfig {
        RunConfig {
            poll: Duration::from_secs(1),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }
}

/// Runs projectors over one log, with their checkpoints in one Mongo database. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    pool: PgPool,
    log: EventLog,
    checkpoints: Checkpoints,
    target: Arc<str>,
    config: RunConfig,
}

/// Why a session ended without an error.
enum Ended {
    /// The shutdown token was cancelled.
    Stopped,
    /// Another process holds the projector.
    Held,
    /// The checkpoint is gone: begin a new session, from zero.
    Moved,
}

impl Runtime {
    /// A runtime that reads the log through `pool` and keeps its checkpoints, with tags of `tags`, in `database`.
    pub fn new(
        pool: PgPool,
        log: EventLog,
        database: &Database,
        tags: Tags,
        config: RunConfig,
    ) -> Runtime {
        Runtime {
            pool,
            log,
            checkpoints: Checkpoints::new(database, tags),
            target: database.name().into(),
            config,
        }
    }

    /// Where the projectors stand.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Runs until `shutdown` is cancelled. While another process holds the projector this one stands by. A
    /// store that fails is tried again, with growing pauses. Only what no retry can cure
    /// comes back as an error: then the projector has stopped, and an operator must look.
    pub async fn run(
        &self,
        projector: Arc<dyn Projector>,
        shutdown: CancellationToken,
    ) -> Result<(), RunError> {
        let id = projector.id();
        let mut pause = self.config.backoff_min;
        let mut rebuilt_at = None;
        while !shutdown.is_cancelled() {
            let mut progressed = false;
            let outcome = self.session(projector.as_ref(), &shutdown, &mut progressed).await;
            if progressed {
                pause = self.config.backoff_min;
            }
            let wait = match outcome {
                Ok(Ended::Stopped) => break,
                Ok(Ended::Held) => self.config.poll,
                Ok(Ended::Moved) => {
                    info!(projector = %id, "the checkpoint of projector `{id}` was removed: beginning again");
                    self.config.backoff_min
                }
                Err(RunError::Apply { source: ApplyError::Incomplete { position }, .. })
                    if rebuilt_at != Some(position) =>
                {
                    warn!(projector = %id, position, "read model `{id}` has lost documents: rebuilding it");
                    rebuilt_at = Some(position);
                    match self.rebuild(projector.as_ref()).await {
                        Ok(()) => continue,
                        Err(failure) => self.failed(&id, &failure, &mut pause)?,
                    }
                }
                Err(failure @ RunError::AheadOfLog { .. }) => {
                    count_damaged(&id, "ahead");
                    error!(
                        projector = %id,
                        error = audit::chain(&failure),
                        "read model `{id}` is of events that the log does not hold: rebuilding it"
                    );
                    match self.rebuild(projector.as_ref()).await {
                        Ok(()) => self.failed(&id, &failure, &mut pause)?,
                        Err(failure) => self.failed(&id, &failure, &mut pause)?,
                    }
                }
                Err(failure) if failure.is_transient() => self.failed(&id, &failure, &mut pause)?,
                Err(failure) => {
                    metrics::gauge!("projector_stopped", "projector" => id.clone()).set(1.0);
                    error!(
                        projector = %id,
                        error = audit::chain(&failure),
                        "projector `{id}` stopped: what it met cannot be cured by trying again"
                    );
                    return Err(failure);
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => {}
            }
        }
        info!(projector = %id, "projector `{id}` stopped");
        Ok(())
    }

    /// Notes a failure and answers how long to pause.
    fn failed(
        &self,
        id: &str,
        failure: &RunError,
        pause: &mut Duration,
    ) -> Result<Duration, RunError> {
        metrics::counter!("projector_failures_total", "projector" => id.to_owned()).increment(1);
        let wait = *pause;
        *pause = (*pause * 2).min(self.config.backoff_max);
        let pause_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        warn!(
            projector = %id,
            pause_ms,
            error = audit::chain(failure),
            "projector `{id}` failed and will try again"
        );
        Ok(wait)
    }

    /// Forgets the projector's documents and its checkpoint. The process that runs it, this one or
    /// another, notices within a second and begins from zero.
    ///
    /// The documents go first: a batch that is under way meanwhile may leave documents behind, and those are
    /// complete up to their position, so that the replay from zero meets them rightly.
    pub async fn rebuild(&self, projector: &dyn Projector) -> Result<(), RunError> {
        let id = projector.id();
        projector.reset().await.map_err(|source| RunError::Apply {
            projector: id.clone(),
            from: 0,
            source,
        })?;
        self.checkpoints.remove(&id).await.map_err(|source| lost_checkpoint(&id, source))
    }

    /// Applies everything up to the present head and returns where that was: for tools and tests.
    /// The caller makes sure that the projector does not run elsewhere, or accepts repeated work.
    pub async fn catch_up(&self, projector: &dyn Projector) -> Result<u64, RunError> {
        let id = projector.id();
        projector.begin().await.map_err(|source| RunError::Apply {
            projector: id.clone(),
            from: 0,
            source,
        })?;
        let head = self.log.head().await.map_err(RunError::Log)?;
        let mut progress = self.begin(&id).await?;
        while progress.position < head {
            self.step(projector, &id, &mut progress, head).await?;
            if (progress.is_due() || progress.position >= head)
                && !self.store(&id, &mut progress).await?
            {
                progress = self.begin(&id).await?;
            }
        }
        Ok(progress.position)
    }

    /// Where the projector stands, from zero if it never ran.
    async fn begin(&self, id: &str) -> Result<Progress, RunError> {
        let begun = self.checkpoints.begin(id).await;
        begun.map(Progress::at).map_err(|source| lost_checkpoint(id, source))
    }

    /// From taking the lock to losing it.
    async fn session(
        &self,
        projector: &dyn Projector,
        shutdown: &CancellationToken,
        progressed: &mut bool,
    ) -> Result<Ended, RunError> {
        let id = projector.id();
        let options = self.pool.connect_options();
        let Some(mut lease) = Lease::acquire(&options, &id, &self.target).await? else {
            return Ok(Ended::Held);
        };
        projector.begin().await.map_err(|source| RunError::Apply {
            projector: id.clone(),
            from: 0,
            source,
        })?;
        let mut progress = self.begin(&id).await?;
        let position = progress.position;
        info!(projector = %id, position, "projector `{id}` runs from position {position}");
        metrics::gauge!("projector_stopped", "projector" => id.clone()).set(0.0);
        loop {
            if shutdown.is_cancelled() {
                self.store(&id, &mut progress).await?;
                return Ok(Ended::Stopped);
            }
            lease.check().await?;
            let position = progress.position;
            let head = self.log.live_head().await.map_err(RunError::Log)?;
            report(&id, position, head);
            if position > head {
                return Err(RunError::AheadOfLog { projector: id, position, head });
            }
            if position == head {
                progress.reading = Reading::Live;
                let waited = progress.is_stored();
                let pause = if waited { self.config.poll } else { progress.due_in() };
                tokio::select! {
                    waited = lease.wait(pause) => waited?,
                    () = shutdown.cancelled() => continue,
                }
                if waited {
                    projector.idle().await;
                }
                if !self.store_or_verify(&id, &mut progress).await? {
                    return Ok(Ended::Moved);
                }
                continue;
            }
            let stepped = tokio::select! {
                stepped = self.step(projector, &id, &mut progress, head) => stepped,
                // Whatever is dropped half done is done again, without effect, by the next holder.
                () = late(shutdown, self.config.grace) => return Ok(Ended::Stopped),
            };
            if let Err(failure) = stepped {
                // What came before it is done. If that cannot be stored either, it is done again; what is reported is
                // the cause.
                let _stored = self.store(&id, &mut progress).await;
                return match failure {
                    RunError::Apply { source: ApplyError::Stopped, .. } => Ok(Ended::Stopped),
                    failure => Err(failure),
                };
            }
            if progress.is_due() && !self.store(&id, &mut progress).await? {
                return Ok(Ended::Moved);
            }
            *progressed = true;
        }
    }

    /// Reads one batch and applies it.
    async fn step(
        &self,
        projector: &dyn Projector,
        id: &str,
        progress: &mut Progress,
        head: u64,
    ) -> Result<(), RunError> {
        let position = progress.position;
        let limit = u64::try_from(projector.batch_limit().max(1)).unwrap_or(u64::MAX);
        let to = head.min(position.saturating_add(limit));
        let batch = self.log.read_as(progress.reading, position..to, projector.streams()).await;
        let batch = batch.map_err(RunError::Log)?;
        let Some(last) = batch.last() else { return Ok(()) };
        let span = spans::applying(projector, id, &batch);
        let applied = projector.apply(&batch).instrument(span.clone()).await;
        applied.map_err(|source| RunError::Apply {
            projector: id.to_owned(),
            from: position,
            source,
        })?;
        if !span.is_disabled() {
            span.in_scope(|| debug!("applied"));
        }
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        metrics::counter!("projector_events_total", "projector" => id.to_owned()).increment(count);
        progress.advance(last.position + 1, batch.iter().any(|it| projector.concerns(it)));
        Ok(())
    }

    /// Stores how far the projector is. `false`: the checkpoint was removed.
    async fn store(&self, id: &str, progress: &mut Progress) -> Result<bool, RunError> {
        if progress.is_stored() {
            return Ok(true);
        }
        let moved = self.checkpoints.advance(id, progress.stored, progress.position).await;
        let moved = moved.map_err(|source| lost_checkpoint(id, source))?
            || self.verify_stored(id, progress.position).await?;
        if moved {
            progress.stored = progress.position;
        }
        Ok(moved)
    }

    /// At the end of the log: stores what is due, or looks whether what is stored still stands.
    async fn store_or_verify(&self, id: &str, progress: &mut Progress) -> Result<bool, RunError> {
        if progress.is_stored() {
            return self.verify_stored(id, progress.position).await;
        }
        if progress.is_due() { self.store(id, progress).await } else { Ok(true) }
    }

    /// Makes sure that the stored checkpoint says what the holder of the projector knows. One that says something else
    /// was not written by the projector: it is counted and put right. `false`: it is missing, because someone dropped the
    /// database or asked for a rebuild.
    async fn verify_stored(&self, id: &str, position: u64) -> Result<bool, RunError> {
        let stored = self.checkpoints.standing(id).await;
        let why = match stored.map_err(|source| lost_checkpoint(id, source))? {
            Standing::Nowhere => return Ok(false),
            Standing::At(stored) if stored == position => return Ok(true),
            Standing::At(_) => "moved",
            Standing::Damaged => "tag",
        };
        count_damaged(id, why);
        error!(
            projector = %id,
            position,
            why,
            "the checkpoint of projector `{id}` was changed behind its back: put right"
        );
        let put = self.checkpoints.put(id, position).await;
        put.map_err(|source| lost_checkpoint(id, source))?;
        Ok(true)
    }
}

/// Resolves a grace period after the stop was asked for.
async fn late(shutdown: &CancellationToken, grace: Duration) {
    shutdown.cancelled().await;
    tokio::time::sleep(grace).await;
}

fn lost_checkpoint(id: &str, source: mongodb::error::Error) -> RunError {
    RunError::Checkpoint { projector: id.to_owned(), source: source.into() }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 events are far away")]
fn report(id: &str, position: u64, head: u64) {
    metrics::gauge!("projector_position", "projector" => id.to_owned()).set(position as f64);
    metrics::gauge!("projector_lag_events", "projector" => id.to_owned())
        .set(head.saturating_sub(position) as f64);
}
