//! One claim as it is stored.

use domain::stream::BUSY_MAX;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use audit::postgres::column;

pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// The stream that holds a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Holder {
    pub(crate) stream_type: String,
    pub(crate) stream_id: Uuid,
}

/// A row of `claims_unique` or `claims_busy`. The bounds of a time are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ClaimRow {
    Unique { kind: String, key: Vec<u8>, holder: Holder },
    Busy { kind: String, id: Uuid, from: i64, until: i64, holder: Holder },
}

impl ClaimRow {
    pub(crate) fn holder(&self) -> &Holder {
        match self {
            ClaimRow::Unique { holder, .. } | ClaimRow::Busy { holder, .. } => holder,
        }
    }

    /// What kind of key, or of resource.
    pub(crate) fn kind(&self) -> &str {
        match self {
            ClaimRow::Unique { kind, .. } | ClaimRow::Busy { kind, .. } => kind,
        }
    }

    /// The bytes that are authenticated: every field, each framed by its length.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        let mut put = |part: &[u8]| {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part);
        };
        match self {
            ClaimRow::Unique { kind, key, .. } => {
                put(b"unique");
                put(kind.as_bytes());
                put(key);
            }
            ClaimRow::Busy { kind, id, from, until, .. } => {
                put(b"busy");
                put(kind.as_bytes());
                put(id.as_bytes());
                put(&from.to_be_bytes());
                put(&until.to_be_bytes());
            }
        }
        put(self.holder().stream_type.as_bytes());
        put(self.holder().stream_id.as_bytes());
        bytes
    }
}

/// The days on which a time may begin that overlaps this one. A time lies in the bucket of the day it begins on, so the longest
/// time there is is how far before this one such a time may begin.
pub(crate) fn days_to_read(from: Timestamp, until: Timestamp) -> impl Iterator<Item = i64> {
    let earliest = from.checked_sub(BUSY_MAX).unwrap_or(Timestamp::MIN);
    let day = |micros: i64| micros.div_euclid(DAY_MICROS);
    day(earliest.as_microsecond())..=day(until.as_microsecond().saturating_sub(1))
}

/// What is read of a row of `claims_unique u` or `claims_busy b`, the other's columns being null. A range that is no half-open
/// one between two instants has no bounds, and so is not what was authenticated.
pub(crate) const ROW_COLUMNS: (&str, &str) = (
    "u.kind, u.key, NULL::uuid, NULL::int8, NULL::int8, u.aggregate_type, u.aggregate_id, u.bucket",
    "b.resource_kind, NULL::bytea, b.resource_id, \
     CASE WHEN lower_inc(b.during) AND isfinite(lower(b.during)) \
          THEN (extract(epoch FROM lower(b.during)) * 1000000)::int8 END, \
     CASE WHEN NOT upper_inc(b.during) AND isfinite(upper(b.during)) \
          THEN (extract(epoch FROM upper(b.during)) * 1000000)::int8 END, \
     b.aggregate_type, b.aggregate_id, b.bucket",
);

/// Reads a row of [`ROW_COLUMNS`], with the bucket it was found in. What cannot be read becomes what no genuine row has, so that
/// it shows as damage and not as a failure.
pub(crate) fn read_row(row: &PgRow) -> (i32, ClaimRow) {
    let kind: String = column(row, 0).unwrap_or_default();
    let holder = Holder {
        stream_type: column(row, 5).unwrap_or_default(),
        stream_id: column(row, 6).unwrap_or_default(),
    };
    let bucket = column(row, 7).unwrap_or(-1);
    let read = match column::<Uuid>(row, 2) {
        Some(id) => {
            let bound = |index| column(row, index).unwrap_or(i64::MIN);
            ClaimRow::Busy { kind, id, from: bound(3), until: bound(4), holder }
        }
        None => ClaimRow::Unique { kind, key: column(row, 1).unwrap_or_default(), holder },
    };
    (bucket, read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_to_read_are_those_on_which_an_overlapping_time_may_begin() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let days = |from, until| days_to_read(at(from), at(until)).count();
        assert_eq!(days("2031-03-03T09:00:00Z", "2031-03-03T09:30:00Z"), 2);
        assert_eq!(days("2031-03-03T23:30:00Z", "2031-03-04T00:00:00Z"), 2, "half-open");
        assert_eq!(days("2031-03-03T23:30:00Z", "2031-03-04T00:00:01Z"), 3);
        assert_eq!(days("1969-12-31T09:00:00Z", "1969-12-31T09:30:00Z"), 2, "before 1970");
    }

    #[test]
    fn every_field_is_authenticated() {
        let holder = |kind: &str, id| Holder {
            stream_type: kind.to_owned(),
            stream_id: Uuid::from_u128(id),
        };
        let busy = |kind: &str, id, from, until, holder| ClaimRow::Busy {
            kind: kind.to_owned(),
            id: Uuid::from_u128(id),
            from,
            until,
            holder,
        };
        let rows = [
            busy("room", 1, 5, 9, holder("appointment", 7)),
            busy("rooms", 1, 5, 9, holder("appointment", 7)),
            busy("room", 2, 5, 9, holder("appointment", 7)),
            busy("room", 1, 6, 9, holder("appointment", 7)),
            busy("room", 1, 5, 8, holder("appointment", 7)),
            busy("room", 1, 5, 9, holder("patient", 7)),
            busy("room", 1, 5, 9, holder("appointment", 8)),
            ClaimRow::Unique {
                kind: "room".to_owned(),
                key: vec![1],
                holder: holder("appointment", 7),
            },
            ClaimRow::Unique {
                kind: "roo".to_owned(),
                key: b"m\x01".to_vec(),
                holder: holder("appointment", 7),
            },
        ];
        let bytes: std::collections::BTreeSet<_> = rows.iter().map(ClaimRow::to_bytes).collect();
        assert_eq!(bytes.len(), rows.len());
    }
}
