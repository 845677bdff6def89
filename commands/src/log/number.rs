//! Positions and sizes as Postgres stores them, which has no unsigned numbers.

/// A position or size as Postgres stores it; the tree's largest size is far below the limit.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A stored position or size; the schema keeps them from being negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
