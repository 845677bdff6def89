//! Who holds a unique claim: proved, whether it is held or free.

use sqlx::Row as _;
use uuid::Uuid;

use super::Ledger;
use crate::claims::{ClaimRow, Proof, ROW_COLUMNS, SealedHead, claim_key, damaged, read_row};
use crate::error::{CommandError, Unavailable};
use crate::log::unsigned;

/// How many rows are read of a bucket; one that has more is not what was granted.
const ROWS_MAX: u32 = 65_536;

/// How often a bucket is read again because this one or another was changed meanwhile.
const LOOKS_MAX: u32 = 8;

impl Ledger {
    /// Who holds a unique claim, such as a log-in name.
    ///
    /// # Errors
    /// When the database fails, or what is stored is not what was granted: then nothing is reported, not even that it is free.
    pub async fn holder(
        &self,
        kind: &'static str,
        key: &str,
    ) -> Result<Option<Uuid>, CommandError> {
        let state = &self.inner.claims;
        let key = claim_key(&self.inner.keys, kind, key);
        let bucket = state.tags().of_unique(kind, &key);
        let (unique, busy) = ROW_COLUMNS;
        let sql = format!(
            "SELECT r.*, h.size, h.frontier, s.tag
               FROM ledger_head h LEFT JOIN claims_seal s ON true
               LEFT JOIN (
                 SELECT {unique} FROM claims_unique u WHERE u.bucket = $1
                 UNION ALL
                 SELECT {busy} FROM claims_busy b WHERE b.bucket = $1
                 LIMIT {ROWS_MAX}
               ) r (kind, key, id, since, until, type, stream, bucket) ON true"
        );
        let mut connection = self.inner.pool.acquire().await?;
        for _ in 0..LOOKS_MAX {
            let found =
                sqlx::query(&sql).bind(i32::from(bucket)).fetch_all(&mut *connection).await?;
            let Some(first) = found.first() else { break };
            let frontier: Vec<u8> = first.try_get(9)?;
            let tag: Vec<u8> = first.try_get::<Option<_>, _>(10)?.unwrap_or_default();
            let size = unsigned(first.try_get(8)?);
            let head = SealedHead { size, frontier: &frontier, tag: &tag };
            let rows: Vec<ClaimRow> = found
                .iter()
                // Without a row in the bucket there is one row all the same, of the head alone.
                .filter(|row| row.try_get::<Option<i32>, _>(7).ok().flatten().is_some())
                .map(|row| read_row(row).1)
                .collect();
            match state.prove(&head, bucket, &rows) {
                Proof::Complete => {
                    return Ok(rows.iter().find_map(|row| match row {
                        ClaimRow::Unique { kind: held_kind, key: held, holder }
                            if held_kind == kind && held.as_slice() == key =>
                        {
                            Some(holder.stream_id)
                        }
                        _ => None,
                    }));
                }
                Proof::Damaged => break,
                Proof::Moved => {
                    state.refresh(&mut connection).await?;
                }
            }
        }
        damaged(kind);
        tracing::error!(
            kind,
            "the stored claims are not those that were granted: nothing is told of them"
        );
        Err(Unavailable::ClaimsDamaged.into())
    }
}
