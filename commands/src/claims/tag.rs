//! The tags of claims: in which bucket one lies, the digest of a bucket, the seal of all of them.

use audit::mac::MacKey;
use uuid::Uuid;

use super::row::{ClaimRow, DAY_MICROS};
use crate::keys::Keys;

/// The number of a bucket.
pub(crate) type Bucket = u16;

/// The tag over all rows of a bucket.
pub(crate) type Digest = [u8; 32];

/// The digests of all buckets in one number: the sum of a keyed hash of each. It never leaves the process: what is stored is a
/// tag over it, so an attacker without the key does not see what to forge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(u128);

/// Computes the tags of one log's claims.
#[derive(Clone, Debug)]
pub(crate) struct ClaimTags {
    key: MacKey,
    origin: String,
}

impl ClaimTags {
    pub(crate) fn new(keys: &Keys, origin: &str) -> ClaimTags {
        ClaimTags { key: keys.mac_key("claim/v1"), origin: origin.to_owned() }
    }

    /// Where a key that must be unique lies.
    pub(crate) fn of_unique(&self, kind: &str, key: &[u8]) -> Bucket {
        self.bucket(&[b"unique", kind.as_bytes(), key])
    }

    /// Where the times of a resource lie that begin on a day, counted from 1970 in UTC.
    pub(crate) fn of_busy(&self, kind: &str, id: Uuid, day: i64) -> Bucket {
        self.bucket(&[b"busy", kind.as_bytes(), id.as_bytes(), &day.to_be_bytes()])
    }

    /// Where a row belongs.
    pub(crate) fn bucket_of(&self, row: &ClaimRow) -> Bucket {
        match row {
            ClaimRow::Unique { kind, key, .. } => self.of_unique(kind, key),
            ClaimRow::Busy { kind, id, from, .. } => {
                self.of_busy(kind, *id, from.div_euclid(DAY_MICROS))
            }
        }
    }

    fn bucket(&self, parts: &[&[u8]]) -> Bucket {
        let tag = self.tag(b"bucket", parts);
        Bucket::from_be_bytes([tag[0], tag[1]])
    }

    /// The digest of a bucket's rows, in any order; `None` if it has no rows.
    pub(crate) fn digest<'a>(
        &self,
        bucket: Bucket,
        rows: impl IntoIterator<Item = &'a ClaimRow>,
    ) -> Option<Digest> {
        let mut rows: Vec<Vec<u8>> = rows.into_iter().map(ClaimRow::to_bytes).collect();
        if rows.is_empty() {
            return None;
        }
        rows.sort_unstable();
        let bucket = bucket.to_be_bytes();
        let mut parts: Vec<&[u8]> = Vec::with_capacity(rows.len() + 1);
        parts.push(&bucket);
        parts.extend(rows.iter().map(Vec::as_slice));
        Some(self.tag(b"rows", &parts))
    }

    /// The sum after a bucket has changed.
    pub(crate) fn replace(
        &self,
        sum: Sum,
        bucket: Bucket,
        before: Option<&Digest>,
        after: Option<&Digest>,
    ) -> Sum {
        let term = |digest: Option<&Digest>| digest.map_or(0, |digest| self.term(bucket, digest));
        Sum(sum.0.wrapping_sub(term(before)).wrapping_add(term(after)))
    }

    fn term(&self, bucket: Bucket, digest: &Digest) -> u128 {
        let tag = self.tag(b"term", &[&bucket.to_be_bytes(), digest]);
        let mut term = [0; 16];
        term.copy_from_slice(&tag[..16]);
        u128::from_be_bytes(term)
    }

    /// The seal of a sum, as of a state of the log.
    pub(crate) fn seal(&self, size: u64, frontier: &[u8], sum: Sum) -> [u8; 32] {
        self.tag(b"seal", &[&size.to_be_bytes(), frontier, &sum.0.to_be_bytes()])
    }

    /// Whether this is the seal of a sum. Takes the same time whatever differs.
    pub(crate) fn is_sealed(&self, size: u64, frontier: &[u8], sum: Sum, tag: &[u8]) -> bool {
        let (size, sum) = (size.to_be_bytes(), sum.0.to_be_bytes());
        self.key.verify(&[b"seal", self.origin.as_bytes(), &size, frontier, &sum], tag)
    }

    fn tag(&self, what: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 2);
        all.extend([what, self.origin.as_bytes()]);
        all.extend(parts);
        self.key.tag(&all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Holder;
    use super::*;

    fn tags() -> ClaimTags {
        ClaimTags::new(&Keys::ephemeral(), "ledger.example.org/test")
    }

    fn row(n: u8) -> ClaimRow {
        let holder = Holder { stream_type: "patient".to_owned(), stream_id: Uuid::from_u128(1) };
        ClaimRow::Unique { kind: "login".to_owned(), key: vec![n; 32], holder }
    }

    #[test]
    fn a_digest_depends_on_bucket_rows_and_key_and_not_on_the_order() {
        let tags = tags();
        let digest = tags.digest(1, &[row(1), row(2)]);
        assert_eq!(digest, tags.digest(1, &[row(2), row(1)]));
        for other in [
            tags.digest(2, &[row(1), row(2)]),
            tags.digest(1, &[row(1)]),
            tags.digest(1, &[row(1), row(2), row(2)]),
            tags.digest(1, &[row(1), row(3)]),
            ClaimTags::new(&Keys::ephemeral(), "ledger.example.org/test")
                .digest(1, &[row(1), row(2)]),
        ] {
            assert_ne!(digest, other);
        }
        assert_eq!(tags.digest(1, &[]), None);
    }

    #[test]
    fn a_sum_is_the_same_however_it_came_about_and_binds_each_bucket() {
        let tags = tags();
        let (one, two) = ([1; 32], [2; 32]);
        let direct =
            tags.replace(tags.replace(Sum::default(), 1, None, Some(&two)), 2, None, Some(&one));
        let long = tags.replace(Sum::default(), 2, None, Some(&one));
        let long = tags.replace(long, 1, None, Some(&one));
        let long = tags.replace(long, 1, Some(&one), Some(&two));
        assert_eq!(direct, long);
        let swapped =
            tags.replace(tags.replace(Sum::default(), 1, None, Some(&one)), 2, None, Some(&two));
        assert_ne!(direct, swapped, "two buckets exchanged");
        assert_eq!(
            tags.replace(tags.replace(direct, 1, Some(&two), None), 2, Some(&one), None),
            Sum::default()
        );
    }

    #[test]
    fn a_seal_is_for_one_state_of_the_log() {
        let tags = tags();
        let sum = tags.replace(Sum::default(), 1, None, Some(&[1; 32]));
        let seal = tags.seal(7, b"frontier", sum);
        assert!(tags.is_sealed(7, b"frontier", sum, &seal));
        assert!(!tags.is_sealed(8, b"frontier", sum, &seal));
        assert!(!tags.is_sealed(7, b"another", sum, &seal));
        assert!(!tags.is_sealed(7, b"frontier", Sum::default(), &seal));
        assert!(!tags.is_sealed(7, b"frontier", sum, &[]));
    }
}
