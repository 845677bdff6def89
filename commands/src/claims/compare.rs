//! How the stored claims differ from those that a replay of the log makes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{Executor as _, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use super::finding::{ClaimFinding, ClaimsReport, Difference, FINDINGS_MAX};
use super::replay::{ClaimsError, Expected, Replay, SignedHead};
use super::row::{ClaimRow, ROW_COLUMNS, read_row};
use super::tag::{Bucket, ClaimTags, Digest, Sum};
use crate::keys::Keys;
use crate::log::unsigned;

/// How many rows are read of that many buckets; what is cut off shows as missing.
const ROWS_MAX: u32 = 1_048_576;

/// How many buckets are read at a time.
const BUCKETS_AT_ONCE: i32 = 512;

/// Compares the stored claims with those that the signed log makes, in one snapshot of the database. Changes nothing.
///
/// # Errors
/// When the database fails, or the log is not what our keys signed.
pub async fn compare(
    pool: &PgPool,
    keys: &Keys,
    origin: &str,
) -> Result<ClaimsReport, ClaimsError> {
    let mut connection = pool.acquire().await?;
    let mut replay = Replay::new(pool, keys, origin);
    // Most of it outside the snapshot, which should be short.
    let head = SignedHead::read(&mut connection, keys, origin).await?;
    replay.catch_up(&mut connection, &head).await?;
    let mut snapshot = sqlx::Connection::begin(&mut *connection).await?;
    snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let head = SignedHead::read(&mut snapshot, keys, origin).await?;
    replay.catch_up(&mut snapshot, &head).await?;
    let tags = ClaimTags::new(keys, origin);
    let (expected, twice) = replay.rows(&tags);
    let stored = Differences::find(&mut snapshot, &tags, &head, &expected).await?;
    snapshot.rollback().await?;
    Ok(stored.report(&head, &expected, twice))
}

/// The differences, and which buckets they are in.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) buckets: BTreeSet<Bucket>,
    /// Whether there are rows in buckets that there are not, such as were written before there were any.
    pub(super) stray: bool,
    /// Whether the seal is missing or another one.
    pub(super) unsealed: bool,
    pub(super) sum: Sum,
    pub(super) was_sealed: bool,
    findings: Vec<ClaimFinding>,
    more: u64,
}

impl Differences {
    pub(super) async fn find(
        connection: &mut PgConnection,
        tags: &ClaimTags,
        head: &SignedHead,
        expected: &Expected,
    ) -> Result<Differences, ClaimsError> {
        let mut found = Differences::default();
        let last = i32::from(Bucket::MAX);
        for first in (0..=last).step_by(BUCKETS_AT_ONCE as usize) {
            let until = first + BUCKETS_AT_ONCE;
            let stored = read(connection, first, until).await?;
            let digests = read_digests(connection, first, until).await?;
            let none = (Vec::new(), Vec::new());
            for bucket in first..until {
                let Ok(number) = Bucket::try_from(bucket) else { continue };
                let rows = stored.get(&bucket).unwrap_or(&none.0);
                let granted = expected.get(&number).unwrap_or(&none.1);
                found.compare_bucket(tags, number, rows, granted, digests.get(&bucket));
            }
        }
        // What lies in no bucket is not believed, and yet it is in the way.
        for (first, until) in [(i32::MIN, 0), (last + 1, i32::MAX)] {
            for row in read(connection, first, until).await?.into_values().flatten() {
                found.stray = true;
                found.add(Difference::Foreign, &row, None);
            }
            for _ in read_digests(connection, first, until).await? {
                found.stray = true;
                found.add_digest("bucket");
            }
        }
        let seal: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT coalesce(size, -1), coalesce(tag, '') FROM claims_seal")
                .fetch_optional(connection)
                .await?;
        found.was_sealed = seal.is_some();
        let sealed = seal.is_some_and(|(size, tag)| {
            unsigned(size) == head.size
                && tags.is_sealed(head.size, &head.frontier, found.sum, &tag)
        });
        if !sealed {
            found.unsealed = true;
            found.add_digest("seal");
        }
        Ok(found)
    }

    fn compare_bucket(
        &mut self,
        tags: &ClaimTags,
        bucket: Bucket,
        stored: &[ClaimRow],
        granted: &[(ClaimRow, u64)],
        digest: Option<&Vec<u8>>,
    ) {
        let right: Option<Digest> = tags.digest(bucket, granted.iter().map(|(row, _)| row));
        self.sum = tags.replace(self.sum, bucket, None, right.as_ref());
        let same_rows = tags.digest(bucket, stored) == right;
        let same_digest = match (digest.filter(|digest| !digest.is_empty()), &right) {
            (None, None) => true,
            (Some(digest), Some(right)) => digest.as_slice() == right,
            _ => false,
        };
        if same_rows && same_digest {
            return;
        }
        self.buckets.insert(bucket);
        if same_rows {
            self.add_digest("bucket");
            return;
        }
        let mut unmatched: HashMap<&ClaimRow, usize> = HashMap::new();
        for row in stored {
            *unmatched.entry(row).or_default() += 1;
        }
        let mut missing = Vec::new();
        for (row, position) in granted {
            match unmatched.get_mut(row) {
                Some(count) if *count > 0 => *count -= 1,
                _ => missing.push((row, *position)),
            }
        }
        let mut foreign: Vec<&ClaimRow> = unmatched
            .into_iter()
            .flat_map(|(row, count)| std::iter::repeat_n(row, count))
            .collect();
        for (row, position) in missing {
            // Another holder of the same thing, or another time of the same holder.
            let twin = foreign.iter().position(|other| is_twin(row, other));
            let difference = match twin {
                Some(twin) => {
                    foreign.swap_remove(twin);
                    Difference::Changed
                }
                None => Difference::Missing,
            };
            self.add(difference, row, Some(position));
        }
        for row in foreign {
            self.add(Difference::Foreign, row, None);
        }
    }

    fn add(&mut self, difference: Difference, row: &ClaimRow, position: Option<u64>) {
        let finding = ClaimFinding {
            difference,
            kind: row.kind().to_owned(),
            stream_type: row.holder().stream_type.clone(),
            stream_id: row.holder().stream_id,
            position,
        };
        self.push(finding);
    }

    fn add_digest(&mut self, kind: &str) {
        self.push(ClaimFinding {
            difference: Difference::Digest,
            kind: kind.to_owned(),
            stream_type: String::new(),
            stream_id: Uuid::nil(),
            position: None,
        });
    }

    fn push(&mut self, finding: ClaimFinding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn report(
        mut self,
        head: &SignedHead,
        expected: &Expected,
        twice: Vec<ClaimFinding>,
    ) -> ClaimsReport {
        twice.into_iter().for_each(|finding| self.push(finding));
        self.findings.sort();
        let claims = expected.values().map(|rows| rows.len() as u64).sum();
        ClaimsReport { size: head.size, claims, findings: self.findings, more: self.more }
    }
}

fn is_twin(one: &ClaimRow, other: &ClaimRow) -> bool {
    match (one, other) {
        (
            ClaimRow::Unique { kind, key, .. },
            ClaimRow::Unique { kind: other_kind, key: other_key, .. },
        ) => kind == other_kind && key == other_key,
        (
            ClaimRow::Busy { kind, id, holder, from, until },
            ClaimRow::Busy {
                kind: other_kind,
                id: other_id,
                holder: other_holder,
                from: other_from,
                until: other_until,
            },
        ) => {
            kind == other_kind
                && id == other_id
                && (holder == other_holder || (from == other_from && until == other_until))
        }
        _ => false,
    }
}

/// The rows of some buckets.
async fn read(
    connection: &mut PgConnection,
    first: i32,
    until: i32,
) -> Result<BTreeMap<i32, Vec<ClaimRow>>, sqlx::Error> {
    let (unique, busy) = ROW_COLUMNS;
    let sql = format!(
        "SELECT {unique} FROM claims_unique u WHERE u.bucket >= $1 AND u.bucket < $2
         UNION ALL
         SELECT {busy} FROM claims_busy b WHERE b.bucket >= $1 AND b.bucket < $2
         LIMIT {ROWS_MAX}"
    );
    let rows = sqlx::query(&sql).bind(first).bind(until).fetch_all(connection).await?;
    let mut buckets: BTreeMap<i32, Vec<ClaimRow>> = BTreeMap::new();
    for row in &rows {
        let (bucket, row) = read_row(row);
        buckets.entry(bucket).or_default().push(row);
    }
    Ok(buckets)
}

async fn read_digests(
    connection: &mut PgConnection,
    first: i32,
    until: i32,
) -> Result<HashMap<i32, Vec<u8>>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT bucket, coalesce(digest, '') FROM claims_buckets WHERE bucket >= $1 AND bucket < $2")
            .bind(first)
            .bind(until)
            .fetch_all(connection)
            .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
