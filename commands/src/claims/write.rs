//! What an append changes of the stored claims, and rows as arguments of a statement.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;
use uuid::Uuid;

use super::known::BucketChange;
use super::row::ClaimRow;
use super::tag::Bucket;

/// What a batch changes of the stored claims.
#[derive(Debug, Default)]
pub(crate) struct ClaimsWrite {
    pub(crate) erased: Option<Uuid>,
    pub(crate) gone: Vec<(Bucket, String, Vec<u8>)>,
    pub(crate) released: Vec<Uuid>,
    pub(crate) taken: Vec<(Bucket, ClaimRow)>,
    pub(crate) buckets: Vec<BucketChange>,
}

impl ClaimsWrite {
    pub(crate) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.released.is_empty() && self.taken.is_empty()
    }
}

/// Rows as arguments, column by column: those of unique keys, then those of times.
pub(crate) fn add_rows(
    arguments: &mut PgArguments,
    rows: &[(Bucket, &ClaimRow)],
) -> Result<(), sqlx::error::BoxDynError> {
    let unique = || {
        rows.iter().filter_map(|(bucket, row)| match row {
            ClaimRow::Unique { kind, key, holder } => Some((i32::from(*bucket), kind, key, holder)),
            ClaimRow::Busy { .. } => None,
        })
    };
    let busy = || {
        rows.iter().filter_map(|(bucket, row)| match row {
            ClaimRow::Busy { kind, id, from, until, holder } => {
                Some((i32::from(*bucket), kind, *id, (*from, *until), holder))
            }
            ClaimRow::Unique { .. } => None,
        })
    };
    let at = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN).to_sqlx();
    arguments.add(unique().map(|(bucket, ..)| bucket).collect::<Vec<_>>())?;
    arguments.add(unique().map(|(_, kind, ..)| kind.as_str()).collect::<Vec<_>>())?;
    arguments.add(unique().map(|(_, _, key, _)| key.as_slice()).collect::<Vec<_>>())?;
    arguments.add(unique().map(|(.., holder)| holder.stream_type.as_str()).collect::<Vec<_>>())?;
    arguments.add(unique().map(|(.., holder)| holder.stream_id).collect::<Vec<_>>())?;
    arguments.add(busy().map(|(bucket, ..)| bucket).collect::<Vec<_>>())?;
    arguments.add(busy().map(|(_, kind, ..)| kind.as_str()).collect::<Vec<_>>())?;
    arguments.add(busy().map(|(_, _, id, ..)| id).collect::<Vec<_>>())?;
    arguments.add(busy().map(|(.., (from, _), _)| at(from)).collect::<Vec<_>>())?;
    arguments.add(busy().map(|(.., (_, until), _)| at(until)).collect::<Vec<_>>())?;
    arguments.add(busy().map(|(.., holder)| holder.stream_type.as_str()).collect::<Vec<_>>())?;
    arguments.add(busy().map(|(.., holder)| holder.stream_id).collect::<Vec<_>>())
}
