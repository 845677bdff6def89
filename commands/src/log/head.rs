//! The head of the log: locked, moved and committed, each in one round trip.

use jiff::Timestamp;
use sqlx::{Executor, PgConnection, Row};

use super::number::unsigned;
use crate::failpoints::failpoint;

/// The locked right edge.
#[derive(Debug)]
pub(crate) struct LedgerHead {
    pub(crate) size: u64,
    pub(crate) frontier: Vec<u8>,
    pub(crate) checkpoint: Vec<u8>,
    pub(crate) last_recorded_at: Timestamp,
    pub(crate) epoch: i64,
    /// The seal of the claims; empty if it is missing.
    pub(crate) claims_tag: Vec<u8>,
}

/// Begins a transaction that writes while others of this process do.
pub(crate) async fn begin(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    failpoint!("begin.before");
    connection.execute("BEGIN").await?;
    failpoint!("begin.after");
    Ok(())
}

/// Begins a transaction and locks the head: from here on no other process appends.
pub(crate) async fn begin_locked(
    connection: &mut PgConnection,
) -> Result<Option<LedgerHead>, sqlx::Error> {
    failpoint!("begin-locked.before");
    // The time as a number, because this uses the simple protocol, whose text form of a
    // timestamp depends on the session.
    let rows = connection
        .fetch_all(
            "BEGIN; SET LOCAL lock_timeout = '10s'; SELECT log_size, log_frontier, recorded_micros, log_epoch, log_checkpoint \
             FROM lock_ledger_head(); \
             SELECT coalesce(tag, '') FROM claims_seal",
        )
        .await?;
    failpoint!("begin-locked.after");
    let seal = rows.iter().find(|row| row.len() == 1);
    let Some(row) = rows.iter().find(|row| row.len() == 5) else { return Ok(None) };
    let micros: i64 = row.try_get(2)?;
    Ok(Some(LedgerHead {
        size: unsigned(row.try_get(0)?),
        frontier: row.try_get(1)?,
        last_recorded_at: Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN),
        epoch: row.try_get(3)?,
        claims_tag: seal.map(|seal| seal.try_get(0)).transpose()?.unwrap_or_default(),
        checkpoint: row.try_get(4)?,
    }))
}

pub(crate) async fn rollback(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    failpoint!("rollback.before");
    connection.execute("ROLLBACK").await?;
    failpoint!("rollback.after");
    Ok(())
}

/// From where to where the head moves.
#[derive(Debug)]
pub(crate) struct Advance {
    pub(crate) expected_size: u64,
    pub(crate) expected_frontier: Vec<u8>,
    pub(crate) expected_epoch: i64,
    pub(crate) size: u64,
    pub(crate) frontier: Vec<u8>,
    pub(crate) checkpoint: String,
    pub(crate) last_recorded_at: Timestamp,
    /// The seal of the claims as of the new size; none while what is stored of them is not under a seal.
    pub(crate) claims_tag: Option<[u8; 32]>,
    /// Whether what this appends changes who may sign, or whose events may be appended.
    pub(crate) moves_epoch: bool,
}

/// Moves the head, if it still is where it was expected, and commits: one round trip.
pub(crate) async fn commit(
    connection: &mut PgConnection,
    advance: &Advance,
) -> Result<(), sqlx::Error> {
    let statement = format!("{}; COMMIT", statement(advance));
    failpoint!("commit.before");
    connection.execute(statement.as_str()).await?;
    failpoint!("commit.after");
    Ok(())
}

/// Moves the head of a log that has just begun. Commits nothing yet.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    advance: &Advance,
) -> Result<(), sqlx::Error> {
    connection.execute(statement(advance).as_str()).await?;
    Ok(())
}

/// For the simple protocol, which takes no parameters: numbers and hexadecimal digits need none.
fn statement(advance: &Advance) -> String {
    let Advance { expected_size, expected_epoch, size, .. } = advance;
    let expected_frontier = hex::encode(&advance.expected_frontier);
    let frontier = hex::encode(&advance.frontier);
    let checkpoint = hex::encode(&advance.checkpoint);
    let micros = advance.last_recorded_at.as_microsecond();
    let epochs = i32::from(advance.moves_epoch);
    let seal = match &advance.claims_tag {
        Some(tag) => format!("'\\x{}'", hex::encode(tag)),
        None => "NULL".to_owned(),
    };
    format!(
        "SELECT advance_ledger_head({expected_size}, '\\x{expected_frontier}', {expected_epoch}, \
                                    {size}, '\\x{frontier}', '\\x{checkpoint}', {micros}, {epochs}, {seal})"
    )
}
