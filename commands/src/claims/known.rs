//! What this process has proved of the claims: the digest of every bucket, as of a size of the log.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row as _};

use super::key::damaged;
use super::row::ClaimRow;
use super::tag::{Bucket, ClaimTags, Digest, Sum};
use crate::log::{signed, unsigned};

/// How long a process that found the seal broken waits until it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often a look that another task overtook is repeated.
const LOOKS_MAX: u32 = 4;

/// A bucket that an append changed; no digest if nothing is left in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketChange {
    pub(crate) bucket: Bucket,
    pub(crate) digest: Option<Digest>,
}

/// The claims as far as this process knows them. One for the sequencer and all who read.
#[derive(Debug)]
pub(crate) struct ClaimsState {
    tags: ClaimTags,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    size: u64,
    sum: Sum,
    buckets: HashMap<Bucket, Digest>,
    /// Whether all of it was under a seal when it was last looked at.
    is_sound: bool,
    looked: Option<Instant>,
}

/// What rows read of a bucket are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// They are all there are.
    Complete,
    /// They are not what was granted, or nothing can be proved.
    Damaged,
    /// This process knows an older state, or already a newer one: to be read again.
    Moved,
}

/// The right edge of the log and the seal of the claims, read in one snapshot.
#[derive(Debug)]
pub(crate) struct SealedHead<'a> {
    pub(crate) size: u64,
    pub(crate) frontier: &'a [u8],
    pub(crate) tag: &'a [u8],
}

impl ClaimsState {
    pub(crate) fn new(tags: ClaimTags) -> ClaimsState {
        ClaimsState { tags, known: Mutex::default() }
    }

    pub(crate) fn tags(&self) -> &ClaimTags {
        &self.tags
    }

    /// The sum over all buckets, if they are known.
    pub(crate) fn sum(&self) -> Option<Sum> {
        let known = self.known();
        known.is_sound.then_some(known.sum)
    }

    /// The digest of a bucket.
    pub(crate) fn digest(&self, bucket: Bucket) -> Option<Digest> {
        self.known().buckets.get(&bucket).copied()
    }

    /// The sum once these buckets have changed.
    pub(crate) fn sum_with(&self, mut sum: Sum, changes: &[BucketChange]) -> Sum {
        let known = self.known();
        for BucketChange { bucket, digest } in changes {
            let before = known.buckets.get(bucket);
            sum = self.tags.replace(sum, *bucket, before, digest.as_ref());
        }
        sum
    }

    /// Takes over what this process has just made durable.
    pub(crate) fn committed(&self, before: u64, size: u64, changes: &[BucketChange]) {
        let mut known = self.known();
        // A read in between has seen it already; what was appended before is looked up when it is needed.
        if known.size == before {
            known.apply(&self.tags, changes);
            known.size = size;
        }
    }

    /// Whether what is known is what the head is sealed with; if so, it is known as of this head.
    pub(crate) fn accept(&self, head: &SealedHead<'_>) -> bool {
        self.known().accept(&self.tags, head)
    }

    /// Whether these rows are a whole bucket, as of the head they were read with.
    pub(crate) fn prove(&self, head: &SealedHead<'_>, bucket: Bucket, rows: &[ClaimRow]) -> Proof {
        let mut known = self.known();
        if !known.accept(&self.tags, head) {
            let wait = !known.is_sound && !known.may_look();
            return if wait { Proof::Damaged } else { Proof::Moved };
        }
        let digest = self.tags.digest(bucket, rows);
        if digest.as_ref() == known.buckets.get(&bucket) { Proof::Complete } else { Proof::Damaged }
    }

    /// Learns what other processes have changed. Answers whether all of it is under the seal.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn refresh(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        for _ in 0..LOOKS_MAX {
            let since = {
                let known = self.known();
                if !known.is_sound && !known.may_look() {
                    return Ok(false);
                }
                known.is_sound.then_some(known.size)
            };
            let stored = Stored::read(connection, since).await?;
            let taken = self.known().take_over(&self.tags, since, &stored);
            if let Some(outcome) = taken {
                if outcome || since.is_none() {
                    return Ok(outcome);
                }
                // Not what was changed since, on top of what is known: perhaps all together.
                let stored = Stored::read(connection, None).await?;
                let mut known = self.known();
                if known.size <= stored.size {
                    return Ok(known.take_all(&self.tags, &stored));
                }
            }
        }
        Ok(self.known().is_sound)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn may_look(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN)
    }

    fn accept(&mut self, tags: &ClaimTags, head: &SealedHead<'_>) -> bool {
        let accepted = self.is_sound
            && head.size >= self.size
            && tags.is_sealed(head.size, head.frontier, self.sum, head.tag);
        if accepted {
            self.size = head.size;
        }
        accepted
    }

    fn apply(&mut self, tags: &ClaimTags, changes: &[BucketChange]) {
        for BucketChange { bucket, digest } in changes {
            let before = match digest {
                Some(digest) => self.buckets.insert(*bucket, *digest),
                None => self.buckets.remove(bucket),
            };
            self.sum = tags.replace(self.sum, *bucket, before.as_ref(), digest.as_ref());
        }
    }

    /// What was read since a size, on top of what is known as of it; `None` if that is another state by now.
    fn take_over(&mut self, tags: &ClaimTags, since: Option<u64>, stored: &Stored) -> Option<bool> {
        let Some(since) = since else {
            // Another task has looked meanwhile, and perhaps seen more.
            return (!self.is_sound).then(|| self.take_all(tags, stored));
        };
        if self.size != since || !self.is_sound {
            return None;
        }
        let mut next = self.sum;
        for BucketChange { bucket, digest } in &stored.buckets {
            next = tags.replace(next, *bucket, self.buckets.get(bucket), digest.as_ref());
        }
        let sealed = stored.size >= self.size
            && tags.is_sealed(stored.size, &stored.frontier, next, &stored.tag);
        if sealed {
            self.apply(tags, &stored.buckets);
            self.size = stored.size;
        }
        Some(sealed)
    }

    fn take_all(&mut self, tags: &ClaimTags, stored: &Stored) -> bool {
        let mut all = Known { size: stored.size, ..Known::default() };
        all.apply(tags, &stored.buckets);
        all.is_sound = stored.size >= self.size
            && tags.is_sealed(stored.size, &stored.frontier, all.sum, &stored.tag);
        if all.is_sound {
            *self = all;
        } else {
            if self.is_sound && self.size > 0 {
                damaged("seal");
                tracing::error!(
                    size = stored.size,
                    "the claims are not what was sealed: commands that need them are refused until `ledger claims rebuild`"
                );
            }
            self.is_sound = false;
            self.looked = Some(Instant::now());
        }
        self.is_sound
    }
}

/// The stored digests with the head and the seal they were stored under.
struct Stored {
    size: u64,
    frontier: Vec<u8>,
    tag: Vec<u8>,
    buckets: Vec<BucketChange>,
}

impl Stored {
    /// One statement, so one snapshot. All buckets, or those that changed since a size.
    async fn read(
        connection: &mut PgConnection,
        since: Option<u64>,
    ) -> Result<Stored, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT NULL::int, h.frontier, s.tag, h.size FROM ledger_head h LEFT JOIN claims_seal s ON true
             UNION ALL
             SELECT bucket, coalesce(digest, ''), NULL, size FROM claims_buckets WHERE size > $1",
        )
        .bind(since.map_or(-1, signed))
        .fetch_all(connection)
        .await?;
        let mut stored =
            Stored { size: 0, frontier: Vec::new(), tag: Vec::new(), buckets: Vec::new() };
        for row in &rows {
            let bucket: Option<i32> = row.try_get(0)?;
            let bytes: Vec<u8> = row.try_get(1)?;
            match bucket {
                None => {
                    stored.frontier = bytes;
                    stored.tag = row.try_get::<Option<_>, _>(2)?.unwrap_or_default();
                    stored.size = unsigned(row.try_get(3)?);
                }
                Some(bucket) => {
                    // One that cannot be is left out, and one of another length counts as empty: neither fits the seal.
                    let Ok(bucket) = Bucket::try_from(bucket) else { continue };
                    stored.buckets.push(BucketChange { bucket, digest: bytes.try_into().ok() });
                }
            }
        }
        Ok(stored)
    }
}
