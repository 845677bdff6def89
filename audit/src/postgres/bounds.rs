//! Where appends ended: there is a signed checkpoint for each.
//!
//! That a checkpoint is missing no other can tell. What tells are the right edge, whatever of the log was seen elsewhere, and
//! the rows of commands, each of which names the size of the log with its append.

use sqlx::PgConnection;

use super::{DatabaseError, signed, unsigned};

/// How many missing ones are reported one by one.
const MISSING_MAX: i64 = 1_000;

/// The sizes at which a checkpoint should stand and does not, up to the right edge.
pub(super) async fn without_checkpoint(
    connection: &mut PgConnection,
    size: u64,
    seen: &[u64],
) -> Result<Vec<u64>, DatabaseError> {
    let seen: Vec<i64> = seen.iter().copied().map(signed).collect();
    let missing: Vec<i64> = sqlx::query_scalar(
        "SELECT e.size FROM (SELECT log_size FROM commands UNION SELECT unnest($2) UNION SELECT $1) e(size)
          WHERE e.size BETWEEN 1 AND $1 AND NOT EXISTS (SELECT FROM checkpoints c WHERE c.size = e.size)
          ORDER BY e.size LIMIT $3",
    )
    .bind(signed(size))
    .bind(seen)
    .bind(MISSING_MAX)
    .fetch_all(connection)
    .await?;
    Ok(missing.into_iter().map(unsigned).collect())
}
