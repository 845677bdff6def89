//! What the server depends on, one line each. The first that fails is the reason told.

use audit::postgres::LogHealth;

use super::check::{Ask, Carries, Check, Outcome};
use crate::state::AppState;
use audit::chain;

use Carries::{Both, Commands, Nothing, Reads};

const fn check(name: &'static str, carries: Carries, ask: Ask) -> Check {
    Check { name, carries, ask }
}

/// The table. A read is recorded before it is answered, so whatever keeps the log from growing keeps reads back too.
pub const CHECKS: &[Check] = &[
    check("process", Both, |state| Box::pin(process(state))),
    check("sequencer", Both, |state| Box::pin(sequencer(state))),
    check("postgres", Both, |state| Box::pin(postgres(state))),
    check("log", Both, |state| Box::pin(log(state))),
    check("clock", Both, |state| Box::pin(clock(state))),
    check("last-event", Nothing, |state| Box::pin(last_event(state))),
    check("mongodb", Reads, |state| Box::pin(mongodb(state))),
    check("projections", Reads, |state| Box::pin(projections(state))),
    check("recent-commands", Commands, |state| Box::pin(recent_commands(state))),
    check("recent-reads", Reads, |state| Box::pin(recent_reads(state))),
    check("spool", Nothing, |state| Box::pin(spool(state))),
    check("redis", Nothing, |state| Box::pin(redis(state))),
];

/// A server that is shutting down takes no more requests.
async fn process(state: &AppState) -> Outcome {
    if state.stopping.is_cancelled() { Err("stopping") } else { Ok(()) }
}

async fn sequencer(state: &AppState) -> Outcome {
    if state.ledger.is_open() { Ok(()) } else { Err("sequencer-stopped") }
}

/// The log is there, may be written, and holds at least what this process has signed for.
async fn postgres(state: &AppState) -> Outcome {
    let query = "SELECT size, pg_is_in_recovery()
                        OR current_setting('transaction_read_only')::boolean
                   FROM ledger_head";
    let known = state.ledger.size();
    let answer: Result<(i64, bool), _> = sqlx::query_as(query).fetch_one(&state.pool).await;
    match answer {
        Err(sqlx::Error::RowNotFound) => Err("log-missing"),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the log's database did not answer");
            Err("database-unreachable")
        }
        Ok((_, true)) => Err("database-read-only"),
        Ok((size, false)) if u64::try_from(size).is_ok_and(|size| size >= known) => Ok(()),
        Ok(_) => Err("log-shorter-than-published"),
    }
}

/// The watch over the log has found nothing that was changed or removed.
async fn log(state: &AppState) -> Outcome {
    match state.ledger.log_health() {
        LogHealth::Damaged(_) => Err("log-damaged"),
        _ => Ok(()),
    }
}

/// This machine's clock and the database's agree; else nothing is recorded.
async fn clock(state: &AppState) -> Outcome {
    state.ledger.clock_fault().map_or(Ok(()), Err)
}

/// The last event is not ahead of the clock. If it is, what follows gets its time, and all goes on.
async fn last_event(state: &AppState) -> Outcome {
    if state.ledger.is_last_event_ahead() { Err("last-event-ahead") } else { Ok(()) }
}

async fn mongodb(state: &AppState) -> Outcome {
    state.records.ping().await.map_err(|_| "read-models-unreachable")
}

/// The oldest event that a read model has not seen is not older than it may be.
async fn projections(state: &AppState) -> Outcome {
    let next = state.records.seen_by_all().await.map_err(|_| "read-models-unreachable")?;
    let Ok(next) = i64::try_from(next) else { return Ok(()) };
    let query =
        "SELECT extract(epoch FROM now() - recorded_at)::bigint FROM events WHERE position = $1";
    let age = sqlx::query_scalar::<_, i64>(query).bind(next).fetch_optional(&state.pool).await;
    let age = age.map_err(|_| "database-unreachable")?.and_then(|age| u64::try_from(age).ok());
    if age.is_some_and(|age| age > state.http.ready_lag_seconds) {
        return Err("read-models-behind");
    }
    Ok(())
}

async fn recent_commands(state: &AppState) -> Outcome {
    if state.experience.commands.is_failing() { Err("commands-fail") } else { Ok(()) }
}

async fn recent_reads(state: &AppState) -> Outcome {
    if state.experience.reads.is_failing() { Err("reads-fail") } else { Ok(()) }
}

/// There is room for an upload of the largest kind.
async fn spool(state: &AppState) -> Outcome {
    let folder = rustix::fs::statvfs(&state.http.spool).map_err(|_| "spool-missing")?;
    let free = folder.f_bavail.saturating_mul(folder.f_frsize);
    if free < wound::network::MAX_PACKAGE_BYTES as u64 {
        return Err("spool-full");
    }
    Ok(())
}

/// Without the cache reads take longer.
async fn redis(state: &AppState) -> Outcome {
    state.records.ping_cache().await.map_err(|_| "cache-unreachable")
}
