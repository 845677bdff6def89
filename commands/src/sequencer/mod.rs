//! The sequencer: the one task of a process that appends to the log.
//!
//! It takes whatever queued up while the previous transaction was committing and writes it all in one
//! transaction (group commit): lock the head, read what the batch could collide with, decide in the order
//! of the queue, extend the tree, write, commit, wake the waiters. The row lock orders several
//! processes. A crash at any point leaves the whole transaction or nothing of it.

mod append;
mod claims;
mod decide;
mod edge;
mod log;

use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::checkpoint::{Checkpoint, CheckpointError};
use audit::merkle::Hash;
use audit::note::NoteSigner;
use jiff::SignedDuration;
use sqlx::{Executor, PgConnection, PgPool};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use append::{
    Append, Appended, AppendedEvents, Expected, NewKey, Queued, Recorded, Rejection, SealedEvent,
};
pub(crate) use claims::{Change, Resource};
pub(crate) use edge::{Edge, EdgeError, signed, unsigned};

use decide::Verdict;
use log::{Head, Write};

/// The limits of a sequencer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) queue_commands: usize,
    pub(crate) batch_commands: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) transaction: Duration,
    pub(crate) clock_tolerance: SignedDuration,
}

/// A checkpoint this process has seen become durable.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) size: u64,
    pub(crate) checkpoint: Arc<str>,
}

/// The way to the sequencer.
#[derive(Debug)]
pub(crate) struct Handle {
    queue: mpsc::Sender<Queued>,
    published: watch::Receiver<Published>,
    closing: CancellationToken,
}

/// The queue did not take the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotQueued {
    Full,
    Closed,
}

impl Handle {
    /// Puts a command into the queue, if there is room.
    pub(crate) fn send(
        &self,
        append: Append,
    ) -> Result<oneshot::Receiver<Result<Appended, Rejection>>, NotQueued> {
        if self.closing.is_cancelled() {
            return Err(NotQueued::Closed);
        }
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Queued { append, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotQueued::Full,
            mpsc::error::TrySendError::Closed(_) => NotQueued::Closed,
        })?;
        Ok(answer)
    }

    /// The last checkpoint.
    pub(crate) fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    /// The checkpoints to come. Ends when the sequencer has ended.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// Whether there is still somebody to take commands.
    pub(crate) fn is_open(&self) -> bool {
        !self.closing.is_cancelled() && !self.queue.is_closed()
    }

    /// Takes no more commands. Those in the queue are still appended.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }
}

/// Starts the sequencer; it ends once it is closed, or every handle is gone, and the queue is empty.
pub(crate) fn start(
    pool: PgPool,
    signer: NoteSigner,
    edge: Edge,
    published: Published,
    limits: Limits,
) -> (Handle, JoinHandle<()>) {
    let (queue, waiting) = mpsc::channel(limits.queue_commands);
    let (publish, seen) = watch::channel(published);
    let sequencer = Sequencer { pool, signer, limits, connection: None, edge: Some(edge), publish };
    let closing = CancellationToken::new();
    let task = tokio::spawn(sequencer.run(waiting, closing.clone()));
    (Handle { queue, published: seen, closing }, task)
}

/// Why a batch failed as a whole.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("the right edge cannot be trusted")]
    Edge(#[from] EdgeError),
    #[error("the checkpoint cannot be signed")]
    Checkpoint(#[from] CheckpointError),
    #[error("there is no log in this database any more")]
    NoLog,
    #[error("the outcome of the commit is unknown")]
    Commit(#[source] sqlx::Error),
    #[error("the transaction took longer than {seconds} s")]
    Timeout { seconds: u64 },
}

impl BatchError {
    /// Whether the database refused the data, as opposed to not answering: then one of the batch is to
    /// blame, and the others can be tried without it.
    fn is_about_the_data(&self) -> bool {
        matches!(self, BatchError::Database(sqlx::Error::Database(_)))
    }

    /// Whether another try on a new connection may help, nothing having been committed.
    fn is_worth_a_retry(&self) -> bool {
        match self {
            BatchError::Database(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            // An administrator or a restart ended the session.
            BatchError::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P"))
            }
            _ => false,
        }
    }

    /// The message and those of its causes.
    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// What a committed batch answers, command by command.
type Outcomes = Vec<Outcome>;

enum Outcome {
    Appended { first: u64, proofs: Vec<Vec<Hash>> },
    Rejected(Rejection),
    Same { as_index: usize },
}

struct Sequencer {
    pool: PgPool,
    signer: NoteSigner,
    limits: Limits,
    connection: Option<PgConnection>,
    /// None after any failure: then it is recomputed from the database.
    edge: Option<Edge>,
    publish: watch::Sender<Published>,
}

impl Sequencer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Queued>, closing: CancellationToken) {
        let mut queue: Vec<Queued> = Vec::new();
        loop {
            if queue.is_empty() {
                let limit = self.limits.batch_commands;
                let taken = tokio::select! {
                    taken = waiting.recv_many(&mut queue, limit) => taken,
                    () = closing.cancelled(), if !waiting.is_closed() => {
                        waiting.close();
                        continue;
                    }
                };
                if taken == 0 {
                    break;
                }
            }
            metrics::gauge!("ledger_queue_depth").set(waiting.len() as f64);
            let batch = self.take_batch(&mut queue);
            let refused = self.append(batch).await;
            for queued in refused {
                self.append(vec![queued]).await;
            }
        }
        tracing::info!("the sequencer has ended");
    }

    /// As many of the queued commands as fit into one transaction, in order; at least one.
    fn take_batch(&self, queue: &mut Vec<Queued>) -> Vec<Queued> {
        let mut bytes = 0;
        let fitting = queue
            .iter()
            .take_while(|queued| {
                bytes += queued.append.size();
                bytes <= self.limits.batch_bytes
            })
            .count();
        let rest = queue.split_off(fitting.clamp(1, queue.len()));
        std::mem::replace(queue, rest)
    }

    /// Appends a batch and answers it. Gives it back unanswered if the database refused the data of
    /// one of several: then each has to be tried alone, so that only the one to blame fails.
    async fn append(&mut self, batch: Vec<Queued>) -> Vec<Queued> {
        let started = Instant::now();
        metrics::histogram!("ledger_batch_commands").record(batch.len() as f64);
        let outcome = match self.attempt(&batch).await {
            Err(error) if error.is_worth_a_retry() => {
                tracing::warn!(error = error.chain(), "the append is tried again");
                self.attempt(&batch).await
            }
            outcome => outcome,
        };
        metrics::histogram!("ledger_append_seconds").record(started.elapsed().as_secs_f64());
        match outcome {
            Ok(outcomes) => self.answer(batch, outcomes),
            Err(error) if error.is_about_the_data() && batch.len() > 1 => {
                tracing::warn!(error = error.chain(), "a batch was refused: one by one now");
                return batch;
            }
            Err(error) => {
                let reason = error.chain();
                tracing::error!(error = reason, commands = batch.len(), "the append failed");
                metrics::counter!("ledger_append_failures_total").increment(1);
                for queued in batch {
                    let _ = queued.reply.send(Err(Rejection::Failed(reason.clone())));
                }
            }
        }
        Vec::new()
    }

    /// One transaction. After a failure neither the connection nor the edge is used again.
    async fn attempt(&mut self, batch: &[Queued]) -> Result<Outcomes, BatchError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.pool).await?,
        };
        let edge = self.edge.take();
        let limit = self.limits.transaction;
        let transaction = self.transact(&mut connection, edge, batch);
        let (outcomes, edge) = tokio::time::timeout(limit, transaction)
            .await
            .map_err(|_| BatchError::Timeout { seconds: limit.as_secs() })??;
        self.connection = Some(connection);
        self.edge = Some(edge);
        Ok(outcomes)
    }

    async fn transact(
        &self,
        connection: &mut PgConnection,
        edge: Option<Edge>,
        batch: &[Queued],
    ) -> Result<(Outcomes, Edge), BatchError> {
        let head = log::begin(connection).await?.ok_or(BatchError::NoLog)?;
        let mut edge = current_edge(connection, edge, &head).await?;
        let appends: Vec<&Append> = batch.iter().map(|queued| &queued.append).collect();
        let facts = log::read_facts(connection, &appends).await?;
        let tolerance = self.limits.clock_tolerance;
        let decision = decide::decide(&appends, facts, head.last_recorded_at, tolerance);
        let accepted: Vec<&Append> = appends
            .iter()
            .zip(&decision.verdicts)
            .filter(|(_, verdict)| matches!(verdict, Verdict::Append { .. }))
            .map(|(append, _)| *append)
            .collect();
        if accepted.is_empty() {
            log::rollback(connection).await?;
            return Ok((outcomes(decision.verdicts, head.size, Vec::new()), edge));
        }
        let leaves: Vec<Hash> =
            accepted.iter().flat_map(|append| &append.events).map(|event| event.leaf).collect();
        let (appended, tiles) = edge.append(&leaves);
        let checkpoint = Checkpoint {
            origin: self.signer.verifier().name().to_owned(),
            size: appended.size,
            root: appended.root,
        }
        .to_note(&self.signer)?;
        let write = Write {
            first: head.size,
            accepted,
            claims: decision.claims,
            tiles,
            size: appended.size,
            frontier: edge.frontier(),
            checkpoint: &checkpoint,
            last_recorded_at: decision.latest,
        };
        log::write(connection, &write).await?;
        log::commit(connection).await.map_err(BatchError::Commit)?;
        metrics::counter!("ledger_events_total").increment(decision.events);
        self.publish
            .send_replace(Published { size: appended.size, checkpoint: Arc::from(checkpoint) });
        Ok((outcomes(decision.verdicts, head.size, appended.proofs), edge))
    }

    fn answer(&self, batch: Vec<Queued>, outcomes: Outcomes) {
        let checkpoint = self.publish.borrow().checkpoint.clone();
        let mut answers: Vec<Result<Appended, Rejection>> = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for (queued, outcome) in batch.into_iter().zip(outcomes) {
            replies.push(queued.reply);
            answers.push(match outcome {
                Outcome::Appended { first, proofs } => Ok(Appended {
                    append: AppendedEvents { first, events: queued.append.events, proofs },
                    checkpoint: checkpoint.clone(),
                }),
                Outcome::Rejected(rejection) => {
                    metrics::counter!("ledger_rejections_total", "code" => rejection.code())
                        .increment(1);
                    Err(rejection)
                }
                // The first of the two is earlier in the batch, so its answer is there.
                Outcome::Same { as_index } => answers[as_index].clone(),
            });
        }
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Nobody waits any more if the request was given up; the command is done all the same.
            let _ = reply.send(answer);
        }
    }
}

/// The edge at the locked head: the cached one, what others appended added to it, or computed anew.
async fn current_edge(
    connection: &mut PgConnection,
    cached: Option<Edge>,
    head: &Head,
) -> Result<Edge, EdgeError> {
    let mut edge = match cached {
        Some(edge) => edge,
        None => Edge::recompute(connection, head.size).await?,
    };
    edge.catch_up(connection, head.size, &head.frontier).await?;
    Ok(edge)
}

fn outcomes(verdicts: Vec<Verdict>, head: u64, proofs: Vec<Vec<Hash>>) -> Outcomes {
    let mut proofs = proofs.into_iter();
    let mut offsets = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Append { offset } => Some(*offset),
            _ => None,
        })
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter();
    verdicts
        .into_iter()
        .map(|verdict| match verdict {
            Verdict::Append { offset } => {
                let count = offsets.next().map_or(usize::MAX, |next| {
                    usize::try_from(next - offset).unwrap_or(usize::MAX)
                });
                Outcome::Appended {
                    first: head + offset,
                    proofs: proofs.by_ref().take(count).collect(),
                }
            }
            Verdict::Reject(rejection) => Outcome::Rejected(rejection),
            Verdict::Same { as_index } => Outcome::Same { as_index },
        })
        .collect()
}

/// A connection of the sequencer's own, with plans that do not depend on the statistics of tables that
/// have just begun to fill.
async fn connect(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    connection
        .execute(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
             SET statement_timeout = '20s'; SET lock_timeout = '10s'; \
             SET idle_in_transaction_session_timeout = '20s'",
        )
        .await?;
    Ok(connection)
}
