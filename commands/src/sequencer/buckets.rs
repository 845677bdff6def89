//! The claims a batch touches, read bucket by bucket and proved; and what becomes of the buckets.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::claims::{ClaimChanges, Claims};
use crate::claims::{
    Bucket, BucketChange, ClaimRow, ClaimTags, ClaimsState, ClaimsWrite, Holder, ROW_COLUMNS,
    damaged, days_to_read, read_row,
};
use crate::failpoints::failpoint;
use crate::log::{Append, Change, CommandKey};

/// How many rows are read for a batch. More than that is no clinic's: buckets that were cut short do not fit their digests.
const ROWS_MAX: u32 = 262_144;

/// The claims of a batch, proved, before any of it is decided.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// What decisions are made upon.
    pub(crate) claims: Claims,
    /// The commands that need a bucket whose rows are not what was granted.
    pub(crate) damaged: HashSet<CommandKey>,
    /// Whole buckets, proved.
    pub(crate) rows: BTreeMap<Bucket, Vec<ClaimRow>>,
    /// The streams of the subject that is erased.
    pub(crate) erased: Vec<Uuid>,
}

/// What a command needs: the buckets it asks for, and the streams whose claims it gives back.
#[derive(Debug, Default)]
struct Needs {
    buckets: BTreeSet<Bucket>,
    holders: BTreeSet<Uuid>,
}

impl Needs {
    fn of(append: &Append, tags: &ClaimTags, erased: &[Uuid]) -> Needs {
        let mut needs = Needs::default();
        for (stream, change) in &append.claims {
            match change {
                Change::TakeUnique { kind, key } | Change::ReleaseUnique { kind, key } => {
                    needs.buckets.insert(tags.of_unique(kind, key));
                }
                Change::TakeBusy { resource, from, until } => {
                    let days = days_to_read(*from, *until);
                    needs
                        .buckets
                        .extend(days.map(|day| tags.of_busy(resource.kind, resource.id, day)));
                }
                Change::ReleaseBusy => {
                    needs.holders.insert(*stream);
                }
            }
        }
        if append.erase.is_some() {
            needs.holders.extend(erased);
        }
        needs
    }
}

/// Reads the buckets a batch touches whole, with those of the claims that its streams give back. Rows that are not what was granted
/// are not decided upon: a command that needs them is refused as damaged.
pub(crate) async fn read(
    connection: &mut PgConnection,
    batch: &[&Append],
    state: &ClaimsState,
) -> Result<Touched, sqlx::Error> {
    let mut touched = Touched::default();
    let claiming = || batch.iter().filter(|append| append.has_claims());
    if claiming().next().is_none() {
        return Ok(touched);
    }
    if state.sum().is_none() {
        touched.damaged = claiming().map(|append| append.key()).collect();
        return Ok(touched);
    }
    if let Some(subject) = batch.iter().find_map(|append| append.erase) {
        touched.erased = streams_of(connection, subject).await?;
    }
    let needs: Vec<(CommandKey, Needs)> = claiming()
        .map(|append| (append.key(), Needs::of(append, state.tags(), &touched.erased)))
        .collect();
    let asked: BTreeSet<Bucket> =
        needs.iter().flat_map(|(_, needs)| &needs.buckets).copied().collect();
    let holders: BTreeSet<Uuid> =
        needs.iter().flat_map(|(_, needs)| &needs.holders).copied().collect();
    let mut rows = buckets(connection, &asked, &holders).await?;
    for bucket in asked {
        rows.entry(i32::from(bucket)).or_default();
    }
    let mut wrong: HashSet<i32> = HashSet::new();
    for (bucket, rows) in rows {
        let number = Bucket::try_from(bucket).ok();
        let whole =
            number.is_some_and(|number| state.tags().digest(number, &rows) == state.digest(number));
        match number {
            Some(number) if whole => {
                touched.rows.insert(number, rows);
            }
            _ => {
                wrong.insert(bucket);
                // A release needs every bucket in which its stream is said to hold something.
                let named: BTreeSet<Uuid> = rows.iter().map(|row| row.holder().stream_id).collect();
                let releasing =
                    needs.iter().filter(|(_, needs)| !needs.holders.is_disjoint(&named));
                touched.damaged.extend(releasing.map(|(command, _)| *command));
            }
        }
    }
    if !wrong.is_empty() {
        let needing = needs.iter().filter(|(_, needs)| {
            needs.buckets.iter().any(|bucket| wrong.contains(&i32::from(*bucket)))
        });
        touched.damaged.extend(needing.map(|(command, _)| *command));
    }
    touched.fill(batch);
    Ok(touched)
}

impl Touched {
    /// Hands what was proved to those who decide, as far as the batch asks for it.
    fn fill(&mut self, batch: &[&Append]) {
        let mut unique = HashSet::new();
        let mut kinds = HashMap::new();
        let mut busy = HashMap::new();
        for (_, change) in batch.iter().flat_map(|append| &append.claims) {
            match change {
                Change::TakeUnique { kind, key } | Change::ReleaseUnique { kind, key } => {
                    unique.insert((*kind, *key));
                    kinds.insert(*kind, *kind);
                }
                Change::TakeBusy { resource, .. } => {
                    busy.insert((resource.kind, resource.id), *resource);
                }
                Change::ReleaseBusy => {}
            }
        }
        for row in self.rows.values().flatten() {
            match row {
                ClaimRow::Unique { kind, key, holder } => {
                    if let (Some(kind), Ok(key)) =
                        (kinds.get(kind.as_str()), key.as_slice().try_into())
                        && unique.contains(&(*kind, key))
                    {
                        self.claims.found_unique(kind, key, holder.stream_id);
                    }
                }
                ClaimRow::Busy { kind, id, from, until, holder } => {
                    if let Some(resource) = busy.get(&(kind.as_str(), *id)) {
                        let at = |micros| Timestamp::from_microsecond(micros).unwrap_or_default();
                        self.claims.found_busy(*resource, at(*from), at(*until), holder.stream_id);
                    }
                }
            }
        }
    }
}

/// Counts, once for each kind that it asked for, a command that was refused because of damage.
pub(crate) fn count_damaged(append: &Append) {
    let mut kinds: BTreeSet<&str> = append
        .claims
        .iter()
        .map(|(_, change)| match change {
            Change::TakeUnique { kind, .. } | Change::ReleaseUnique { kind, .. } => *kind,
            Change::TakeBusy { resource, .. } => resource.kind,
            Change::ReleaseBusy => "release",
        })
        .collect();
    if append.erase.is_some() {
        kinds.insert("erasure");
    }
    kinds.into_iter().for_each(damaged);
}

/// What the decision changes: rows, and the digests of their buckets.
pub(crate) fn write(
    state: &ClaimsState,
    rows: BTreeMap<Bucket, Vec<ClaimRow>>,
    net: ClaimChanges,
    accepted: &[&Append],
    erased: &[Uuid],
) -> ClaimsWrite {
    let tags = state.tags();
    let mut write = ClaimsWrite {
        erased: accepted.iter().find_map(|append| append.erase),
        ..ClaimsWrite::default()
    };
    let erased: &[Uuid] = if write.erased.is_some() { erased } else { &[] };
    let releasing: HashSet<Uuid> = net.delete_busy.iter().chain(erased).copied().collect();
    let mut released = HashSet::new();
    let gone: HashSet<(&str, &[u8])> =
        net.delete_unique.iter().map(|(kind, key)| (*kind, key.as_slice())).collect();
    let mut changed: BTreeMap<Bucket, Vec<ClaimRow>> = BTreeMap::new();
    for (bucket, mut rows) in rows {
        let before = rows.len();
        rows.retain(|row| match row {
            ClaimRow::Unique { kind, key, holder } => {
                let goes = gone.contains(&(kind.as_str(), key.as_slice()))
                    || erased.contains(&holder.stream_id);
                if goes {
                    write.gone.push((bucket, kind.clone(), key.clone()));
                }
                !goes
            }
            ClaimRow::Busy { holder, .. } => {
                let goes = releasing.contains(&holder.stream_id);
                if goes {
                    released.insert(holder.stream_id);
                }
                !goes
            }
        });
        if rows.len() < before {
            write.buckets.push(BucketChange { bucket, digest: None });
        }
        changed.insert(bucket, rows);
    }
    write.released = released.into_iter().collect();
    let types: HashMap<Uuid, &'static str> = accepted
        .iter()
        .flat_map(|append| &append.events)
        .map(|event| (event.stream_id, event.stream_type))
        .collect();
    let holder = |stream_id: Uuid| Holder {
        stream_type: types.get(&stream_id).copied().unwrap_or_default().to_owned(),
        stream_id,
    };
    let unique = net.insert_unique.into_iter().map(|(kind, key, stream)| ClaimRow::Unique {
        kind: kind.to_owned(),
        key: key.to_vec(),
        holder: holder(stream),
    });
    let busy = net.insert_busy.into_iter().map(|(resource, from, until, stream)| ClaimRow::Busy {
        kind: resource.kind.to_owned(),
        id: resource.id,
        from: from.as_microsecond(),
        until: until.as_microsecond(),
        holder: holder(stream),
    });
    for row in unique.chain(busy) {
        let bucket = tags.bucket_of(&row);
        write.buckets.push(BucketChange { bucket, digest: None });
        changed.entry(bucket).or_default().push(row.clone());
        write.taken.push((bucket, row));
    }
    write.buckets.sort_by_key(|change| change.bucket);
    write.buckets.dedup_by_key(|change| change.bucket);
    for change in &mut write.buckets {
        change.digest =
            tags.digest(change.bucket, changed.get(&change.bucket).into_iter().flatten());
    }
    write
}

/// The streams that hold something about a subject.
async fn streams_of(
    connection: &mut PgConnection,
    subject: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar("SELECT DISTINCT aggregate_id FROM events WHERE subject = $1")
        .bind(subject)
        .fetch_all(connection)
        .await
}

/// The rows of some buckets, and of those in which these streams hold something.
async fn buckets(
    connection: &mut PgConnection,
    asked: &BTreeSet<Bucket>,
    holders: &BTreeSet<Uuid>,
) -> Result<BTreeMap<i32, Vec<ClaimRow>>, sqlx::Error> {
    let (unique, busy) = ROW_COLUMNS;
    let sql = format!(
        "WITH touched AS (
           SELECT unnest($1::int[]) AS bucket
           UNION SELECT bucket FROM claims_busy WHERE aggregate_id = ANY($2)
           UNION SELECT bucket FROM claims_unique WHERE aggregate_id = ANY($3)
         )
         SELECT {unique} FROM touched t JOIN claims_unique u ON u.bucket = t.bucket
         UNION ALL
         SELECT {busy} FROM touched t JOIN claims_busy b ON b.bucket = t.bucket
         LIMIT {ROWS_MAX}"
    );
    let holders: Vec<Uuid> = holders.iter().copied().collect();
    failpoint!("facts.claims.before");
    let rows = sqlx::query(&sql)
        .bind(asked.iter().copied().map(i32::from).collect::<Vec<_>>())
        .bind(&holders)
        .bind(&holders)
        .fetch_all(connection)
        .await?;
    failpoint!("facts.claims.after");
    let mut buckets: BTreeMap<i32, Vec<ClaimRow>> = BTreeMap::new();
    for row in &rows {
        let (bucket, row) = read_row(row);
        buckets.entry(bucket).or_default().push(row);
    }
    Ok(buckets)
}
