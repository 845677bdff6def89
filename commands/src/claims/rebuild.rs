//! Making the stored claims again from the log.

use serde::Serialize;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, Executor as _, PgConnection, PgPool};

use super::compare::Differences;
use super::finding::ClaimsReport;
use super::replay::{ClaimsError, Expected, Replay, SignedHead};
use super::row::ClaimRow;
use super::tag::{Bucket, ClaimTags};
use super::write::add_rows;
use crate::keys::Keys;
use crate::log::{begin_locked, signed};

/// How many rows one statement restores, about.
const ROWS_AT_ONCE: usize = 1_024;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// How the tables differed before.
    pub before: ClaimsReport,
    /// How many buckets were written.
    pub buckets: u64,
    /// Whether there was a seal at all: a log that is new, or older than seals, has none.
    pub was_sealed: bool,
}

impl Rebuilt {
    /// Logs what was done. That a log has no seal yet is no damage: it is new, or older than seals.
    pub(crate) fn log(&self) {
        let Rebuilt { before, buckets, was_sealed } = self;
        if *was_sealed {
            before.log();
        }
        tracing::info!(
            size = before.size,
            claims = before.claims,
            buckets,
            "the claims were made from the log"
        );
    }
}

/// Makes the stored claims what a replay of the signed log makes of them. Where they differ, the bucket is written again.
///
/// The log is replayed first; only the rest of it, the comparison and the writing take place under the head's lock,
/// during which no process appends.
///
/// # Errors
/// When the database fails, or the log is not what our keys signed: then nothing is changed.
pub async fn rebuild(pool: &PgPool, keys: &Keys, origin: &str) -> Result<Rebuilt, ClaimsError> {
    let mut connection = pool.acquire().await?;
    let mut replay = Replay::new(pool, keys, origin);
    let head = SignedHead::read(&mut connection, keys, origin).await?;
    replay.catch_up(&mut connection, &head).await?;
    let done = locked(&mut connection, &mut replay, keys, origin).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.execute(end).await;
    let rebuilt = done?;
    ended?;
    Ok(rebuilt)
}

async fn locked(
    connection: &mut PgConnection,
    replay: &mut Replay,
    keys: &Keys,
    origin: &str,
) -> Result<Rebuilt, ClaimsError> {
    begin_locked(connection).await?;
    let head = SignedHead::read(connection, keys, origin).await?;
    replay.catch_up(connection, &head).await?;
    let tags = ClaimTags::new(keys, origin);
    let (expected, twice) = replay.rows(&tags);
    let differences = Differences::find(connection, &tags, &head, &expected).await?;
    let buckets: Vec<Bucket> = differences.buckets.iter().copied().collect();
    if !buckets.is_empty() || differences.stray {
        let numbers: Vec<i32> = buckets.iter().copied().map(i32::from).collect();
        sqlx::query("SELECT clear_claims($1)").bind(&numbers).execute(&mut *connection).await?;
        restore(connection, &tags, &head, &expected, &buckets).await?;
    }
    if !buckets.is_empty() || differences.stray || differences.unsealed {
        let tag = tags.seal(head.size, &head.frontier, differences.sum);
        sqlx::query("SELECT seal_claims($1, $2)")
            .bind(signed(head.size))
            .bind(tag.as_slice())
            .execute(&mut *connection)
            .await?;
    }
    let (written, was_sealed) = (buckets.len() as u64, differences.was_sealed);
    let before = differences.report(&head, &expected, twice);
    Ok(Rebuilt { before, buckets: written, was_sealed })
}

async fn restore(
    connection: &mut PgConnection,
    tags: &ClaimTags,
    head: &SignedHead,
    expected: &Expected,
    buckets: &[Bucket],
) -> Result<(), ClaimsError> {
    let mut chunk: Vec<Bucket> = Vec::new();
    let mut rows = 0;
    for (n, bucket) in buckets.iter().enumerate() {
        chunk.push(*bucket);
        rows += 1 + expected.get(bucket).map_or(0, Vec::len);
        if rows >= ROWS_AT_ONCE || n + 1 == buckets.len() {
            let arguments = arguments(tags, head, expected, &chunk).map_err(sqlx::Error::Encode)?;
            let sql = "SELECT restore_claims($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
            sqlx::query_with(sql, arguments).execute(&mut *connection).await?;
            chunk.clear();
            rows = 0;
        }
    }
    Ok(())
}

fn arguments(
    tags: &ClaimTags,
    head: &SignedHead,
    expected: &Expected,
    buckets: &[Bucket],
) -> Result<PgArguments, sqlx::error::BoxDynError> {
    let mut arguments = PgArguments::default();
    arguments.add(signed(head.size))?;
    let rows: Vec<(Bucket, &ClaimRow)> = buckets
        .iter()
        .flat_map(|bucket| {
            expected.get(bucket).into_iter().flatten().map(|(row, _)| (*bucket, row))
        })
        .collect();
    add_rows(&mut arguments, &rows)?;
    let digests: Vec<Option<Vec<u8>>> = buckets
        .iter()
        .map(|bucket| {
            let rows = expected.get(bucket).into_iter().flatten().map(|(row, _)| row);
            tags.digest(*bucket, rows).map(Vec::from)
        })
        .collect();
    arguments.add(buckets.iter().copied().map(i32::from).collect::<Vec<_>>())?;
    arguments.add(digests)?;
    Ok(arguments)
}
