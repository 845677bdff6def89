//! Drives the watch over the log: reads on as the log grows, and now and then everything again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::postgres::{Damage, LogWatch, ReadError, Reread};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::memory::Memory;
use audit::chain;

/// How often the head is looked at, for what other processes append. What this one appends, the sequencer tells.
const POLL: Duration = Duration::from_secs(1);

/// How long the watch rests after a step that failed for another reason than damage.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How often a damaged log is looked at again: it may have been put right.
const AFTER_DAMAGE: Duration = Duration::from_secs(5);

/// After each step of a second look the watch rests so many times as long as the step took: it is to cost little.
const REST: u32 = 15;

/// After each step that reads on, unless a task waits for the end: some thousand events a second are read all the same.
const EASE: u32 = 7;

/// How long the watch rests before its first step, unless a task waits for the end: a process that has just started
/// first does what it was started for.
const BEFORE_FIRST: Duration = Duration::from_millis(50);

/// The longest rest between two steps.
const REST_MAX: Duration = Duration::from_secs(1);

/// The tasks that wait for the log to be read to its end. While one does, it is read as fast as half of the time allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiters(Arc<tokio::sync::watch::Sender<usize>>);

/// One of them, until this is dropped.
pub(crate) struct Waiter(Waiters);

impl Waiters {
    pub(crate) fn join(&self) -> Waiter {
        self.0.send_modify(|waiting| *waiting += 1);
        Waiter(self.clone())
    }

    fn has_any(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until there is one.
    async fn any(&self) {
        // It ends only with its sender, which is here.
        let _ = self.0.subscribe().wait_for(|waiting| *waiting > 0).await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// The task that drives the watch.
pub(crate) struct WatchTask {
    pub(crate) pool: PgPool,
    pub(crate) watch: LogWatch,
    pub(crate) memory: Memory,
    /// How long after one look at the whole log the next begins.
    pub(crate) reread_every: Duration,
    /// A reader met damage: the whole log is looked at now.
    pub(crate) suspicion: Arc<Notify>,
    pub(crate) waiters: Waiters,
}

/// Starts the watch. It ends when `closing` is cancelled.
pub(crate) fn start(driver: WatchTask, closing: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            () = closing.cancelled() => {}
            () = driver.run() => {}
        }
    })
}

impl WatchTask {
    async fn run(self) {
        let mut told = None;
        let mut erased = 0;
        let mut looked = Instant::now();
        let mut reread: Option<Reread> = None;
        tokio::select! {
            () = tokio::time::sleep(BEFORE_FIRST) => {}
            () = self.waiters.any() => {}
        }
        loop {
            let followed = self.follow().await;
            self.forget_erased(&mut erased);
            let mut rest = self.rest_after(followed, POLL);
            let every =
                if self.watch.damage().is_some() { AFTER_DAMAGE } else { self.reread_every };
            if reread.is_none() && looked.elapsed() >= every {
                reread = Some(self.watch.reread());
            }
            if let Some(mut looking) = reread.take() {
                let begun = Instant::now();
                match self.look_again(&mut looking).await {
                    Ok(true) => {
                        reread = Some(looking);
                        rest = (begun.elapsed() * REST).min(REST_MAX);
                    }
                    ended => {
                        looked = Instant::now();
                        // What was put right is followed again at once.
                        let usual = if self.watch.has_read_all() { rest } else { Duration::ZERO };
                        rest = self.rest_after(ended.map(drop), usual);
                    }
                }
            }
            self.tell(&mut told);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.suspicion.notified() => {
                    reread.get_or_insert_with(|| self.watch.reread());
                }
            }
        }
    }

    /// Reads on to the end of the log.
    async fn follow(&self) -> Result<(), ReadError> {
        loop {
            let begun = Instant::now();
            let more = {
                let mut connection = self.pool.acquire().await?;
                if self.waiters.has_any() {
                    self.watch.follow(&mut connection).await?
                } else {
                    self.watch.follow_a_little(&mut connection).await?
                }
            };
            if !more {
                return Ok(());
            }
            // As long as it took: a process that waits for the server has the other half of the time.
            let took = begun.elapsed();
            tokio::time::sleep(took.min(REST_MAX)).await;
            tokio::select! {
                () = tokio::time::sleep((took * (EASE - 1)).min(REST_MAX)) => {}
                () = self.waiters.any() => {}
            }
        }
    }

    /// Reads a page of what is known once more.
    async fn look_again(&self, reread: &mut Reread) -> Result<bool, ReadError> {
        let mut connection = self.pool.acquire().await?;
        let more = self.watch.look_again(&mut connection, reread).await?;
        if !more {
            metrics::counter!("ledger_log_rereads_total").increment(1);
        }
        Ok(more)
    }

    fn rest_after(&self, outcome: Result<(), ReadError>, usual: Duration) -> Duration {
        match outcome {
            Ok(()) => usual,
            // It is reported once, and stays until the log is sound again.
            Err(error) if error.damage().is_some() => AFTER_DAMAGE,
            Err(error) => {
                tracing::warn!(error = chain(&error), "the log could not be watched");
                AFTER_FAILURE
            }
        }
    }

    /// What other processes have erased is forgotten here too.
    fn forget_erased(&self, known: &mut usize) {
        let erased = self.watch.erased();
        if erased.len() > *known {
            self.memory.forget(&erased);
            *known = erased.len();
        }
    }

    fn tell(&self, told: &mut Option<Damage>) {
        let damage = self.watch.damage();
        metrics::gauge!("ledger_log_damaged").set(f64::from(u8::from(damage.is_some())));
        metrics::gauge!("ledger_log_watched_size").set(self.watch.size() as f64);
        if damage == *told {
            return;
        }
        match &damage {
            Some(Damage { position, kind, detail }) => {
                metrics::gauge!("ledger_log_damaged_position").set(*position as f64);
                tracing::error!(
                    position,
                    %kind,
                    detail,
                    "the log is damaged: no more commands are taken; run `ledger audit verify`"
                );
            }
            None => tracing::warn!("the log is what was signed again"),
        }
        *told = damage;
    }
}
