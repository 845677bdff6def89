//! Columns as an attacker with every right may have left them: no constraint and no type is sure to be there still.

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};

/// A column; none if it is null or of another type. What takes its place must be what no genuine row has, so that it shows
/// as damage and not as a failure.
pub fn column<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    index: usize,
) -> Option<T> {
    row.try_get::<Option<T>, _>(index).ok().flatten()
}
