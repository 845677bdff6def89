//! Rows that were found beyond the log's end and set aside. Only a tamperer can have written them.

use sqlx::PgConnection;

use super::compared::{Comparison, DIFFERENCES_MAX};
use crate::log::unsigned;
use audit::postgres::column;

/// Position, what it is, and when it was found; checkpoints and tiles by the position before which they end.
const STRAYS: &str = "
    SELECT position AS place, 'event of ' || aggregate_type || '/' || aggregate_id AS object, found_at::text FROM public.stray_events
    UNION ALL SELECT greatest(size - 1, 0), 'checkpoint of size ' || size, found_at::text FROM public.stray_checkpoints
    UNION ALL SELECT NULL, 'tile ' || level || '/' || index, found_at::text FROM public.stray_tiles
    ORDER BY 1, 2 LIMIT $1";

const COUNT: &str = "SELECT (SELECT count(*) FROM public.stray_events) + (SELECT count(*) FROM public.stray_checkpoints)
                          + (SELECT count(*) FROM public.stray_tiles)";

pub(super) async fn compare(connection: &mut PgConnection) -> Result<Comparison, sqlx::Error> {
    let mut comparison = Comparison::begun("rows set aside");
    let count: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut *connection).await?;
    comparison.count(unsigned(count));
    let limit = DIFFERENCES_MAX as i64;
    for row in sqlx::query(STRAYS).bind(limit).fetch_all(connection).await? {
        let position: Option<i64> = column(&row, 0);
        let object = column(&row, 1).unwrap_or_else(|| "a row without a name".to_owned());
        let found = column(&row, 2).unwrap_or_else(|| "no time".to_owned());
        let detail = format!("it stood beyond the log's end and was set aside at {found}");
        let position = position.and_then(|position| u64::try_from(position).ok());
        comparison.push(position, "stray", object, detail);
    }
    comparison.more = unsigned(count).saturating_sub(comparison.findings.len() as u64);
    Ok(comparison)
}
