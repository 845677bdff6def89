//! Batches, one after the other and overlapping: decided, written, committed.

mod careful;
mod outcomes;
mod reading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use audit::checkpoint::Checkpoint;
use audit::merkle::Hash;
use audit::postgres::{LogWatch, StoredKeyring};
use jiff::Timestamp;
use sqlx::{Executor, PgConnection, PgPool};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use outcomes::outcomes;

use super::Known;
use super::buckets::{self, Touched, count_damaged};
use super::decide::{self, Facts, Rules, Verdict};
use super::erasure::{self, Erasures};
use super::failure::BatchError;
use super::flight::{self, Flight, Work};
use super::growth::{ClaimsStep, Growth};
use super::statements::{Statements, Write};
use crate::cache::Cache;
use crate::claims::{ClaimsState, Sum};
use crate::config::Limits;
use crate::failpoints::failpoint;
use crate::log::{
    self, Advance, Append, Appended, AppendedEvents, LogTree, Published, Queued, Rejection,
};
use crate::recorded::CommandTags;
use crate::signing::Signing;

/// How many batches lock the head first after somebody else was seen to append, or a batch was refused.
const CAREFUL_BATCHES: u32 = 64;

/// How many batches are under way at most: one commits, the others are written.
const FLIGHTS: usize = 3;

/// A batch smaller than this does not set out while another is under way: alone it waits for one commit, in a row of
/// small ones for several.
const OVERLAPPING_COMMANDS: usize = 32;

/// How many versions of streams are remembered, halved.
const VERSIONS_HALF: usize = 32_768;

/// No epoch of any log.
const NO_EPOCH: i64 = -1;

/// The right edge of the log, as it is once everything under way is committed.
struct Tip {
    tree: LogTree,
    last_recorded_at: Timestamp,
    /// The sum over the claims' buckets; none while what is stored of them is not under a seal.
    claims: Option<Sum>,
}

/// A batch that is decided: what it answers once it is durable, and what makes it so.
struct Plan {
    outcomes: Vec<Outcome>,
    /// None if nothing of the batch was accepted: then there is nothing to write.
    write: Option<Planned>,
}

/// A batch whose rows are written; what is left is to move the head and to commit.
struct Written {
    advance: Advance,
    published: Published,
    events: u64,
    claims: ClaimsStep,
    growth: Growth,
    erased: Option<Uuid>,
}

struct Planned {
    statements: Statements,
    advance: Advance,
    published: Published,
    events: u64,
    growth: Growth,
    has_claims: bool,
    claims: ClaimsStep,
    erased: Option<Uuid>,
}

/// Whether a batch that goes the careful way has all the commands it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Already,
    /// Those who have come until the head is locked are appended with it: while another process appends, whoever waits for
    /// the lock waits long.
    UnderTheLock,
}

/// What a committed batch answers, command by command.
pub(super) enum Outcome {
    Appended { first: u64, proofs: Vec<Vec<Hash>> },
    Rejected(Rejection),
    Same { as_index: usize },
}

pub(super) struct Sequencer {
    waiting: mpsc::Receiver<Queued>,
    /// Taken from those who wait, and in no batch yet.
    queue: Vec<Queued>,
    pool: PgPool,
    signing: Arc<Signing>,
    keyring: StoredKeyring,
    /// The head's epoch as of which keyring and erasures are known.
    epoch: i64,
    limits: Limits,
    erasures: Erasures,
    /// What is durable of the claims.
    claims: Arc<ClaimsState>,
    commands: CommandTags,
    watch: LogWatch,
    idle: Vec<PgConnection>,
    /// The tree as it was when the log was opened, until the first batch.
    opened: Option<LogTree>,
    /// None at the start and after any failure: then it is read under the head's lock.
    tip: Option<Tip>,
    /// The versions of streams as of the tip. Right as long as nobody else appends.
    versions: Cache<(&'static str, Uuid), u64>,
    /// The batches under way, oldest first.
    flights: VecDeque<Flight>,
    careful: u32,
    publish: watch::Sender<Published>,
}

impl Sequencer {
    pub(super) fn new(
        waiting: mpsc::Receiver<Queued>,
        pool: PgPool,
        signing: Arc<Signing>,
        keyring: StoredKeyring,
        limits: Limits,
        known: Known,
        publish: watch::Sender<Published>,
    ) -> Sequencer {
        let Known { tree, memory, claims, commands, watch } = known;
        Sequencer {
            waiting,
            queue: Vec::new(),
            pool,
            signing,
            keyring,
            epoch: NO_EPOCH,
            limits,
            erasures: Erasures::new(memory, watch.clone()),
            claims,
            commands,
            watch,
            idle: Vec::new(),
            opened: Some(tree),
            tip: None,
            versions: Cache::new(VERSIONS_HALF),
            flights: VecDeque::new(),
            careful: 0,
            publish,
        }
    }

    pub(super) async fn run(mut self, closing: CancellationToken) {
        loop {
            if self.queue.is_empty() {
                let limit = self.limits.batch_commands;
                let taken = tokio::select! {
                    taken = self.waiting.recv_many(&mut self.queue, limit) => taken,
                    ended = landing(&mut self.flights) => {
                        self.land(ended).await;
                        continue;
                    }
                    () = closing.cancelled(), if !self.waiting.is_closed() => {
                        self.waiting.close();
                        continue;
                    }
                };
                if taken == 0 {
                    break;
                }
            }
            // A batch costs round trips, however small it is. While others are under way, the next waits
            // until it is as large as the last of them, or until they have ended.
            while let Some(last) = self.flights.back().map(|flight| flight.batch.len())
                && let enough = last.max(OVERLAPPING_COMMANDS).min(self.limits.batch_commands)
                && self.queue.len() < enough
            {
                let room = enough - self.queue.len();
                tokio::select! {
                    taken = self.waiting.recv_many(&mut self.queue, room) => if taken == 0 {
                        self.settle().await;
                    },
                    ended = landing(&mut self.flights) => self.land(ended).await,
                }
            }
            metrics::gauge!("ledger_queue_depth").set(self.waiting.len() as f64);
            let mut batch = Vec::new();
            self.fill(&mut batch);
            failpoint!("batch.taken", continue);
            self.append(batch).await;
        }
        self.settle().await;
        tracing::info!("the sequencer has ended");
    }

    /// Takes as many of the queued commands into a batch as fit into its transaction, in order; at least one, if it is
    /// empty and there is one.
    fn fill(&mut self, batch: &mut Vec<Queued>) {
        if batch.iter().any(|queued| queued.append.needs_own_transaction()) {
            return;
        }
        let room = self.limits.batch_commands.saturating_sub(batch.len());
        while self.queue.len() < room
            && let Ok(queued) = self.waiting.try_recv()
        {
            self.queue.push(queued);
        }
        let mut bytes: usize = batch.iter().map(|queued| queued.append.size()).sum();
        let fitting = self
            .queue
            .iter()
            .take(room)
            .take_while(|queued| {
                bytes += queued.append.size();
                bytes <= self.limits.batch_bytes && !queued.append.needs_own_transaction()
            })
            .count();
        let least = usize::from(batch.is_empty() && !self.queue.is_empty());
        batch.extend(self.queue.drain(..fitting.max(least)));
    }

    /// Decides a batch upon those under way, if they allow it, and sees it on its way.
    async fn append(&mut self, batch: Vec<Queued>) {
        while self.flights.len() >= FLIGHTS {
            let ended = landing(&mut self.flights).await;
            self.land(ended).await;
        }
        if !self.may_overlap(&batch) {
            self.settle().await;
            return self.complete(batch, Filled::UnderTheLock).await;
        }
        let started = Instant::now();
        match self.plan_upon_memory(&batch).await {
            Ok((connection, Plan { outcomes, write: Some(write) })) => {
                let Planned {
                    statements,
                    advance,
                    published,
                    events,
                    growth,
                    has_claims,
                    claims,
                    ..
                } = write;
                let before = self.flights.back().map(|flight| flight.progress.clone());
                let work = Work { connection, statements, advance, before };
                let (task, progress) = flight::launch(self.limits, work);
                let unique = batch.iter().flat_map(|queued| queued.append.unique_ids()).collect();
                self.flights.push_back(Flight {
                    batch,
                    outcomes,
                    published,
                    events,
                    growth,
                    has_claims,
                    claims,
                    unique,
                    started,
                    task,
                    progress,
                });
            }
            // A commit would have shown that nobody else appended. Without one, the refusals may come
            // of what this process remembers and is not so any more: they are decided under the lock.
            Ok((connection, Plan { write: None, .. })) => {
                self.idle.push(connection);
                self.settle().await;
                self.complete(batch, Filled::Already).await;
            }
            Err(error) => {
                tracing::debug!(error = error.chain(), "a batch goes the careful way");
                self.careful = CAREFUL_BATCHES;
                self.settle().await;
                self.forget_the_tip();
                self.complete(batch, Filled::Already).await;
            }
        }
    }

    /// Whether a batch can be decided upon what this process knows, before the batches under way are
    /// durable.
    fn may_overlap(&self, batch: &[Queued]) -> bool {
        let has_claims = || batch.iter().any(|queued| !queued.append.claims.is_empty());
        self.careful == 0
            && self.tip.as_ref().is_some_and(|tip| tip.claims.is_some())
            && !batch.iter().any(|queued| queued.append.needs_own_transaction())
            && !(self.flights.iter().any(|flight| flight.has_claims) && has_claims())
            // The later one could be written first, and the earlier one wait for it in the database.
            && !self.flights.iter().any(|flight| {
                batch.iter().flat_map(|queued| queued.append.unique_ids()).any(|id| flight.unique.contains(&id))
            })
    }

    /// Waits until nothing is under way.
    async fn settle(&mut self) {
        while !self.flights.is_empty() {
            let ended = landing(&mut self.flights).await;
            self.land(ended).await;
        }
    }

    /// The oldest batch under way has ended: it is answered; or it and those decided upon it are appended
    /// once more, in their order.
    async fn land(&mut self, ended: Result<PgConnection, BatchError>) {
        let ended = landed(ended).await;
        let Some(flight) = self.flights.pop_front() else { return };
        match ended {
            Ok(connection) => {
                self.idle.push(connection);
                let ClaimsStep { before, after, changes } = &flight.claims;
                self.claims.committed(*before, *after, changes);
                metrics::histogram!("ledger_append_seconds")
                    .record(flight.started.elapsed().as_secs_f64());
                self.published(flight.published, flight.events, &flight.growth);
                self.answer(flight.batch, flight.outcomes);
            }
            Err(error) => {
                // Somebody else appended, a command was repeated, or the database failed: under the
                // lock it shows which.
                tracing::debug!(error = error.chain(), "a batch goes the careful way");
                self.careful = CAREFUL_BATCHES;
                self.forget_the_tip();
                let mut fallen = vec![flight.batch];
                while let Some(mut upon) = self.flights.pop_front() {
                    // It rolls back by itself; until then its rows are in the way.
                    let _ = (&mut upon.task).await;
                    fallen.push(upon.batch);
                }
                for batch in fallen {
                    self.complete(batch, Filled::Already).await;
                }
            }
        }
    }

    fn forget_the_tip(&mut self) {
        self.tip = None;
        self.versions = Cache::new(VERSIONS_HALF);
    }

    fn published(&self, published: Published, events: u64, growth: &Growth) {
        growth.tell(&self.watch);
        metrics::counter!("ledger_events_total").increment(events);
        self.publish.send_replace(published);
    }

    /// Decides a batch on what is in memory, and reads what is not. After a failure the connection is not
    /// used again.
    async fn plan_upon_memory(
        &mut self,
        batch: &[Queued],
    ) -> Result<(PgConnection, Plan), BatchError> {
        let limit = self.limits.transaction;
        let reading = async {
            let mut connection = self.connection().await?;
            let first = self.tip.as_ref().ok_or(BatchError::GivenUp)?.tree.size();
            let facts = self.facts(&mut connection, batch, first, false).await?;
            let touched = self.touched(&mut connection, batch).await?;
            if !touched.damaged.is_empty() {
                return Err(BatchError::ClaimsMoved);
            }
            Ok::<_, BatchError>((connection, facts, touched))
        };
        let (connection, facts, touched) = tokio::time::timeout(limit, reading)
            .await
            .map_err(|_| BatchError::Timeout { seconds: limit.as_secs() })??;
        let tip = self.tip.take().ok_or(BatchError::GivenUp)?;
        Ok((connection, self.plan(batch, facts, touched, tip)?))
    }

    /// Decides a batch under the head's lock and writes its rows. Commits nothing yet.
    async fn write_locked(
        &mut self,
        batch: &mut Vec<Queued>,
        filled: Filled,
    ) -> Result<(PgConnection, Vec<Outcome>, Option<Written>), BatchError> {
        let mut connection = self.connection().await?;
        let tip = self.tip.take();
        let tip = self.lock(&mut connection, tip).await?;
        if filled == Filled::UnderTheLock {
            // Others of this process have come while another had the lock.
            self.fill(batch);
        }
        let facts = self.facts(&mut connection, batch, tip.tree.size(), true).await?;
        let touched = self.touched(&mut connection, batch).await?;
        let refused = batch.iter().map(|queued| &queued.append);
        for append in refused.filter(|append| touched.damaged.contains(&append.key())) {
            tracing::error!(
                command.id = %append.command_id,
                "the stored claims are not those that were granted: a command was refused"
            );
            count_damaged(append);
        }
        let Plan { outcomes, write } = self.plan(batch, facts, touched, tip)?;
        let Some(write) = write else {
            log::rollback(&mut connection).await?;
            return Ok((connection, outcomes, None));
        };
        let Planned { statements, advance, published, events, growth, claims, erased, .. } = write;
        statements.execute(&mut connection).await?;
        if let Some(subject) = erased {
            erasure::destroy(&mut connection, subject).await?;
        }
        Ok((
            connection,
            outcomes,
            Some(Written { advance, published, events, growth, claims, erased }),
        ))
    }

    async fn connection(&mut self) -> Result<PgConnection, sqlx::Error> {
        match self.idle.pop() {
            Some(connection) => Ok(connection),
            None => connect(&self.pool).await,
        }
    }

    /// Decides a batch, and moves the tip to where the log will end with it.
    fn plan(
        &mut self,
        batch: &[Queued],
        mut facts: Facts,
        touched: Touched,
        mut tip: Tip,
    ) -> Result<Plan, BatchError> {
        let Touched { claims, damaged, rows, erased: streams } = touched;
        facts.claims = claims;
        facts.claims_damaged = damaged;
        let first = tip.tree.size();
        let appends: Vec<&Append> = batch.iter().map(|queued| &queued.append).collect();
        let headers = self.keyring.keyring.headers(first);
        let rules = Rules {
            last_recorded_at: tip.last_recorded_at,
            tolerance: self.limits.clock_tolerance,
            headers: &headers,
        };
        let decision = decide::decide(&appends, facts, rules);
        let accepted: Vec<&Append> = appends
            .iter()
            .zip(&decision.verdicts)
            .filter(|(_, verdict)| matches!(verdict, Verdict::Append { .. }))
            .map(|(append, _)| *append)
            .collect();
        if accepted.is_empty() {
            self.tip = Some(tip);
            return Ok(Plan {
                outcomes: outcomes(decision.verdicts, first, Vec::new()),
                write: None,
            });
        }
        let leaves: Vec<Hash> =
            accepted.iter().flat_map(|append| &append.events).map(|event| event.leaf).collect();
        let expected_frontier = tip.tree.frontier();
        let (appended, tiles) = tip.tree.append(&leaves);
        tip.last_recorded_at = decision.latest;
        let origin = self.keyring.keyring.origin().to_owned();
        let checkpoint = Checkpoint { origin, size: appended.size, root: appended.root }
            .to_note(&self.signing.current().note)?;
        let has_claims = accepted.iter().any(|append| append.has_claims());
        let claims = buckets::write(&self.claims, rows, decision.claims, &accepted, &streams);
        tip.claims = tip.claims.map(|sum| self.claims.sum_with(sum, &claims.buckets));
        let erased = accepted.iter().find_map(|append| append.erase);
        let moves_epoch = accepted.iter().any(|append| append.needs_own_transaction());
        for event in accepted.iter().flat_map(|append| &append.events) {
            self.versions.insert((event.stream_type, event.stream_id), event.sequence);
        }
        let frontier = tip.tree.frontier();
        let growing = accepted.iter().copied();
        let growth = Growth::new(&self.watch, &expected_frontier, &frontier, growing);
        let statements = Statements::of(&Write {
            first,
            accepted,
            commands: &self.commands,
            claims: &claims,
            tiles,
            size: appended.size,
            checkpoint: &checkpoint,
        })?;
        let published =
            Published { size: appended.size, checkpoint: Arc::from(checkpoint.as_str()) };
        let tags = self.claims.tags();
        let claims_tag = tip.claims.map(|sum| tags.seal(appended.size, &frontier, sum));
        let claims = ClaimsStep { before: first, after: appended.size, changes: claims.buckets };
        let advance = Advance {
            expected_size: first,
            expected_frontier,
            expected_epoch: self.epoch,
            size: appended.size,
            frontier,
            claims_tag,
            checkpoint,
            last_recorded_at: decision.latest,
            moves_epoch,
        };
        self.tip = Some(tip);
        let events = decision.events;
        Ok(Plan {
            outcomes: outcomes(decision.verdicts, first, appended.proofs),
            write: Some(Planned {
                statements,
                advance,
                published,
                events,
                growth,
                has_claims,
                claims,
                erased,
            }),
        })
    }

    fn answer(&self, batch: Vec<Queued>, outcomes: Vec<Outcome>) {
        // Here, because a batch that was tried twice is answered once.
        metrics::histogram!("ledger_batch_commands").record(batch.len() as f64);
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

/// The end of the oldest batch under way; never, if there is none.
async fn landing(flights: &mut VecDeque<Flight>) -> Result<PgConnection, BatchError> {
    match flights.front_mut() {
        Some(flight) => (&mut flight.task).await.unwrap_or(Err(BatchError::GivenUp)),
        None => std::future::pending().await,
    }
}

/// What `landing` brought, unless a test has it otherwise.
#[cfg_attr(
    not(feature = "failpoints"),
    expect(clippy::unused_async, reason = "nothing is awaited")
)]
async fn landed(ended: Result<PgConnection, BatchError>) -> Result<PgConnection, BatchError> {
    failpoint!("landing.after");
    ended
}

pub(super) async fn commit_within(
    limits: Limits,
    mut connection: PgConnection,
    advance: &Advance,
) -> Result<PgConnection, BatchError> {
    let limit = limits.transaction;
    tokio::time::timeout(limit, log::commit(&mut connection, advance))
        .await
        .map_err(|_| BatchError::Timeout { seconds: limit.as_secs() })?
        .map_err(BatchError::Commit)?;
    Ok(connection)
}

/// A connection of the sequencer's own, with plans that do not depend on the statistics of tables that
/// have just begun to fill.
///
/// A batch waits in this process for the one before it, which the database does not know. Two processes whose rows collide
/// could so wait for each other; therefore nobody waits long for a row, unless the head is locked first.
async fn connect(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    failpoint!("connect.before");
    let mut connection = pool.acquire().await?.detach();
    failpoint!("connect.between");
    connection
        .execute(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
             SET statement_timeout = '20s'; SET lock_timeout = '250ms'; \
             SET idle_in_transaction_session_timeout = '20s'",
        )
        .await?;
    failpoint!("connect.after");
    Ok(connection)
}
