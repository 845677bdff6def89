//! Wraps of version 1, which bind nothing but the id of the key: each is bound to its subject, once the log has proved
//! whose key it is.

use std::collections::HashMap;

use audit::chain;
use audit::postgres::{DataKeyError, LogReader, ReadError, StoredKey};
use audit::seal::{Binding, KeyWrap, SubjectKey, SubjectKind, Wrapped};
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use crate::log::unsigned;
use crate::random;
use crate::streams::SUBJECTS;

/// How many rows are bound in one transaction.
const PAGE: i64 = 500;

/// Binds the wraps of before. Whose key it is and of which kind, a proved event of the log says, which names the subject and
/// the key; what the row says must be the same. What is not proved, or does not open, stays as it is, and is not used.
pub(crate) async fn bind_wraps(
    pool: &PgPool,
    reader: &LogReader,
    wrap: &dyn KeyWrap,
) -> Result<(), ReadError> {
    let mut connection = pool.acquire().await?;
    let sql = format!(
        "SELECT {} FROM keyring.data_keys k
          WHERE k.wrap_version = 1 AND k.wrapped IS NOT NULL AND k.key_id > $1
          ORDER BY k.key_id LIMIT $2",
        StoredKey::COLUMNS
    );
    let mut after = Uuid::nil();
    let mut bound = 0;
    loop {
        let rows = sqlx::query(&sql).bind(after).bind(PAGE).fetch_all(&mut *connection).await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get(0)?;
        let rows: Vec<StoredKey> = rows.iter().map(StoredKey::read).collect();
        let subjects: Vec<Uuid> = rows.iter().filter_map(|row| row.subject).collect();
        let mut events = reader.firsts(&mut connection, &SUBJECTS, &subjects).await?;
        // Logs of before may have an id of two kinds: it is of the kind that was there first, the last one taken here.
        events.sort_by_key(|event| std::cmp::Reverse(event.position()));
        let proved: HashMap<(Uuid, Uuid), SubjectKind> = events
            .iter()
            .filter_map(|event| {
                let statement = event.statement();
                let kind = SubjectKind::of_stream(&statement.stream_type);
                Some(((statement.subject?, statement.payload.key_id?), kind))
            })
            .collect();
        let (mut ids, mut kinds, mut before) = (Vec::new(), Vec::new(), Vec::new());
        let (mut keks, mut made) = (Vec::new(), Vec::new());
        for row in &rows {
            let (Some(key_id), Some(subject)) = (row.key_id, row.subject) else { continue };
            let Some(kind) = proved.get(&(subject, key_id)).copied() else {
                tracing::error!(
                    key.id = %key_id,
                    "a data key of before is not the one that the log names for its subject: it is not used"
                );
                continue;
            };
            let binding = Binding { origin: reader.origin(), kind, subject, key_id };
            match rewrap(wrap, row, &binding) {
                Ok(Wrapped { kek_id, bytes }) => {
                    ids.push(key_id);
                    kinds.push(kind.as_str());
                    before.push(row.wrapped().unwrap_or_default().to_vec());
                    keks.push(kek_id);
                    made.push(bytes);
                }
                Err(error) => tracing::error!(
                    key.id = %key_id,
                    error = chain(&error),
                    "a data key of before does not open: it is not used"
                ),
            }
        }
        let done: i64 = sqlx::query_scalar("SELECT bind_data_keys($1, $2, $3, $4, $5)")
            .bind(&ids)
            .bind(&kinds)
            .bind(&before)
            .bind(&keks)
            .bind(&made)
            .fetch_one(&mut *connection)
            .await?;
        bound += unsigned(done);
    }
    if bound > 0 {
        tracing::info!(bound, "data keys were proved against the log and bound to their subjects");
    }
    Ok(())
}

fn rewrap(
    wrap: &dyn KeyWrap,
    row: &StoredKey,
    named: &Binding<'_>,
) -> Result<Wrapped, DataKeyError> {
    let SubjectKey { id, key, .. } = row.open_of_before(wrap, named)?;
    let wrapped = wrap.wrap(named, random::bytes(), &key);
    wrapped.map_err(|source| DataKeyError::Unwrap { key_id: id, source })
}
