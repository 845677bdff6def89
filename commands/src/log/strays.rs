//! Rows at or beyond the head of the log. No appending process can leave one behind, so a login with more rights has
//! inserted it; it is moved out of the way, or nothing could be appended ever again.

use audit::checkpoint::Checkpoint;
use audit::note::NoteVerifier;
use sqlx::{PgConnection, Row};

use super::number::unsigned;

/// How many checkpoints beyond the head are looked at. An attacker who has inserted more wants the ledger to stop, and it does.
const CHECKPOINTS_MAX: i64 = 4096;

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StrayError {
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("a checkpoint of {size} events is signed by this log, whose head stands before it")]
    HeadIsOld { size: u64 },
    #[error("more than {CHECKPOINTS_MAX} checkpoints stand beyond the head")]
    TooMany,
}

/// Moves what is at or beyond the head into tables that only the audit reads, and gives back how many rows that were.
///
/// What is signed as the tree's head is no stray: then the head was put back, the rows are the log, and nothing is touched.
pub(crate) async fn set_aside(
    connection: &mut PgConnection,
    verifiers: &[NoteVerifier],
) -> Result<u64, StrayError> {
    let beyond = sqlx::query(
        "SELECT c.size, c.note FROM checkpoints c, ledger_head h WHERE c.size > h.size
          ORDER BY c.size LIMIT $1",
    )
    .bind(CHECKPOINTS_MAX)
    .fetch_all(&mut *connection)
    .await?;
    if beyond.len() as i64 == CHECKPOINTS_MAX {
        return Err(StrayError::TooMany);
    }
    for row in &beyond {
        let note: Vec<u8> = row.try_get(1)?;
        let note = String::from_utf8_lossy(&note);
        if let Ok(Checkpoint { size, .. }) = Checkpoint::from_note(&note, verifiers) {
            return Err(StrayError::HeadIsOld { size });
        }
    }
    let moved: i64 = sqlx::query_scalar(
        "SELECT quarantine_stray_events() + quarantine_stray_checkpoints() + quarantine_stray_tiles()",
    )
    .fetch_one(connection)
    .await?;
    if moved > 0 {
        metrics::counter!("ledger_stray_events_total").increment(unsigned(moved));
        tracing::error!(
            rows = moved,
            "somebody has inserted rows beyond the head of the log: they are moved to the tables stray_*; \
             run `ledger audit verify` and find out who can write to the database"
        );
    }
    Ok(unsigned(moved))
}
