//! Keys of erased subjects that are there again: they are destroyed once more.

use audit::postgres::{LogReader, ReadError};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::log::unsigned;

/// Destroys the keys of erased subjects that are there again, because the keys were restored from a backup older than the
/// erasure. Whom the log erases is proved first. Gives back how many.
pub(crate) async fn destroy_again(
    connection: &mut PgConnection,
    reader: &LogReader,
) -> Result<i64, ReadError> {
    let erased = reader.erasures_from(connection, 0).await?;
    Ok(destroy_again_of(connection, &erased).await?)
}

/// The same of subjects that are proved to be erased.
pub(crate) async fn destroy_again_of(
    connection: &mut PgConnection,
    erased: &[Uuid],
) -> Result<i64, sqlx::Error> {
    let destroyed: i64 = sqlx::query_scalar("SELECT destroy_keys_again($1)")
        .bind(erased)
        .fetch_one(connection)
        .await?;
    if destroyed > 0 {
        metrics::counter!("ledger_data_keys_destroyed_again_total").increment(unsigned(destroyed));
        tracing::warn!(destroyed, "data keys of erased records were there again: destroyed again");
    }
    Ok(destroyed)
}
