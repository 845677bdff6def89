//! Rows that were written before there were tags.

use audit::postgres::{LogReader, ReadError};
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::row::CommandTags;
use super::runs::{Run, Runs};
use crate::log::{CommandKey, Recorded, signed, unsigned};

/// How many rows are tagged in one transaction.
const PAGE: i64 = 500;

/// Gives rows without a tag theirs, if the log proves them: the events they name are those of this actor's command, all
/// of them and no others, and the log size is that of the checkpoint that covered them. A row that names no event is
/// proved by nothing, and stays without a tag.
///
/// What no log tells is the MAC of the request. An attacker who has changed that made a repetition be refused as another
/// command.
pub(crate) async fn take_over(
    pool: &PgPool,
    reader: &LogReader,
    tags: &CommandTags,
) -> Result<(), ReadError> {
    let mut after = (-1_i64, Uuid::nil());
    let (mut tagged, mut left) = (0_u64, 0_u64);
    let mut runs: Option<Runs> = None;
    let mut current: Option<Run> = None;
    let mut connection = pool.acquire().await?;
    loop {
        // The row comparison uses the partial index, which is empty but here.
        let rows = sqlx::query(
            "SELECT c.first_position, c.command_id, c.actor_id, c.request_mac, c.event_count::int8, c.log_size,
                    (SELECT min(k.size) FROM checkpoints k WHERE k.size >= c.first_position + c.event_count)
               FROM commands c WHERE c.tag IS NULL AND (c.first_position, c.command_id) > ($1, $2)
              ORDER BY c.first_position, c.command_id LIMIT $3",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(PAGE)
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else { break };
        after = (last.try_get(0)?, last.try_get(1)?);
        let runs = match &mut runs {
            Some(runs) => runs,
            None => {
                let head = reader.head(&mut connection).await?;
                runs.insert(Runs::new(reader.clone(), head.size))
            }
        };
        let (mut actors, mut ids, mut made) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let first: i64 = row.try_get(0)?;
            let key = CommandKey { actor: row.try_get(2)?, id: row.try_get(1)? };
            let mac: &[u8] = row.try_get(3)?;
            let count: i64 = row.try_get(4)?;
            let (size, covering): (i64, Option<i64>) = (row.try_get(5)?, row.try_get(6)?);
            while current.is_none_or(|run| signed(run.first) < first) {
                current = runs.next(&mut connection).await?;
                if current.is_none() {
                    break;
                }
            }
            let is_proved = current.is_some_and(|run| {
                signed(run.first) == first && run.key == key && signed(run.count) == count
            });
            let (Ok(request_mac), true) = (mac.try_into(), is_proved && covering == Some(size))
            else {
                left += 1;
                continue;
            };
            let recorded = Recorded {
                request_mac,
                first: unsigned(first),
                count: unsigned(count),
                log_size: unsigned(size),
            };
            actors.push(key.actor);
            ids.push(key.id);
            made.push(tags.tag(key, &recorded).to_vec());
        }
        let done: i64 = sqlx::query_scalar("SELECT tag_commands($1, $2, $3)")
            .bind(&actors)
            .bind(&ids)
            .bind(&made)
            .fetch_one(&mut *connection)
            .await?;
        tagged += unsigned(done);
    }
    if tagged > 0 {
        tracing::info!(tagged, "commands on record were proved against the log and tagged");
    }
    if left > 0 {
        tracing::error!(
            left,
            "commands on record are not as the log tells them, and are not believed: run `ledger audit verify`"
        );
    }
    Ok(())
}
