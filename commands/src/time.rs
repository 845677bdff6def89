//! Which time an event gets, and whether this machine's clock is right: it is compared with the database's, which all
//! processes share.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use audit::postgres::LogWatch;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::Unavailable;
use audit::chain;

/// How often the database is asked for the time. Between two questions the time it said is carried on by the monotonic
/// clock, which is never set.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// An answer that took longer says too little.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// What the database's clock said, and when.
#[derive(Clone, Copy, Debug)]
struct ClockReading {
    database: Timestamp,
    at: Instant,
}

impl ClockReading {
    fn now(self) -> Timestamp {
        let since = SignedDuration::try_from(self.at.elapsed()).unwrap_or_default();
        self.database.saturating_add(since).unwrap_or(self.database)
    }
}

/// The time of a ledger.
#[derive(Debug)]
pub(crate) struct LogTime {
    clock: Clock,
    /// By how much the machine's clock and the database's may differ.
    skew_max: SignedDuration,
    watch: LogWatch,
    measured: RwLock<Option<ClockReading>>,
}

impl LogTime {
    pub(crate) fn new(clock: Clock, skew_max: SignedDuration, watch: LogWatch) -> LogTime {
        LogTime { clock, skew_max, watch, measured: RwLock::new(None) }
    }

    /// Asks the database for the time. A clock that is not the world's is not compared.
    pub(crate) async fn measure(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        if !self.clock.is_of_the_wall() {
            return Ok(());
        }
        let mut connection = pool.acquire().await?;
        let asked = Instant::now();
        let micros: i64 =
            sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
                .fetch_one(&mut *connection)
                .await?;
        let took = asked.elapsed();
        let Ok(database) = Timestamp::from_microsecond(micros) else { return Ok(()) };
        let mut measured = self.measured.write().unwrap_or_else(PoisonError::into_inner);
        if took <= ANSWER_MAX || measured.is_none() {
            *measured = Some(ClockReading { database, at: asked + took / 2 });
        }
        Ok(())
    }

    fn measured(&self) -> Option<ClockReading> {
        *self.measured.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// By how much this machine's clock is ahead of the database's; behind, if it is negative. None if they are not
    /// compared.
    pub(crate) fn skew(&self) -> Option<SignedDuration> {
        self.measured().map(|measured| self.clock.now().duration_since(measured.now()))
    }

    /// Why nothing is recorded by this clock, if it is wrong.
    pub(crate) fn fault(&self) -> Option<Unavailable> {
        let skew = self.skew()?;
        if skew > self.skew_max {
            Some(Unavailable::ClockAhead { by: skew })
        } else if -skew > self.skew_max {
            Some(Unavailable::ClockBehind { by: -skew })
        } else {
            None
        }
    }

    /// Refuses whatever is to be recorded by a clock that is wrong. Before it does, it asks once more: the machine may
    /// have slept.
    pub(crate) async fn admit(&self, pool: &PgPool) -> Result<(), Unavailable> {
        if self.fault().is_some() {
            self.measure(pool).await?;
        }
        match self.fault() {
            None => Ok(()),
            Some(fault) => {
                metrics::counter!("ledger_clock_refusals_total").increment(1);
                Err(fault)
            }
        }
    }

    /// The time of an event that is recorded now: never earlier than an event that is known to be in the log, so that
    /// the log's times do not run back. An event that is ahead of every clock is so joined by those that follow, until
    /// the clocks have caught up.
    pub(crate) fn stamp(&self, now: Timestamp) -> Timestamp {
        self.watch.latest().map_or(now, |latest| latest.max(now))
    }

    /// By how much the latest event of the log is ahead of the clock, if that is more than clocks may differ.
    pub(crate) fn event_ahead(&self) -> Option<SignedDuration> {
        let now = self.measured().map_or_else(|| self.clock.now(), ClockReading::now);
        let ahead = self.watch.latest()?.duration_since(now);
        (ahead > self.skew_max).then_some(ahead)
    }

    fn tell(&self, told: &mut (bool, bool)) {
        let skew = self.skew().unwrap_or_default();
        metrics::gauge!("ledger_clock_skew_seconds").set(skew.as_secs_f64());
        let ahead = self.event_ahead();
        metrics::gauge!("ledger_last_event_ahead_seconds")
            .set(ahead.map_or(0.0, |ahead| ahead.as_secs_f64()));
        let fault = self.fault();
        let state = (fault.is_some(), ahead.is_some());
        if state == *told {
            return;
        }
        match fault {
            Some(fault) if !told.0 => {
                tracing::error!(error = %fault, "this process records nothing");
            }
            None if told.0 => tracing::warn!("the clock is right again"),
            _ => {}
        }
        match ahead {
            Some(ahead) if !told.1 => tracing::error!(
                seconds = ahead.as_secs(),
                "the last event of the log is ahead of the clock: what follows gets its time, until the clock has caught up; \
                 see \"Clocks\" in docs/operations.md"
            ),
            None if told.1 => tracing::warn!("the clock has caught up with the last event"),
            _ => {}
        }
        *told = state;
    }
}

/// Goes on comparing, until it is asked to end.
pub(crate) fn keep(time: Arc<LogTime>, pool: PgPool, closing: CancellationToken) -> JoinHandle<()> {
    let asking = async move {
        let mut told = (false, false);
        loop {
            time.tell(&mut told);
            tokio::time::sleep(ASK_EVERY).await;
            if let Err(error) = time.measure(&pool).await {
                tracing::warn!(error = chain(&error), "the database was not asked for the time");
            }
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = closing.cancelled() => {}
            () = asking => {}
        }
    })
}
