//! Times of visits: what the clock on the clinic's wall shows, and the instant that is.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::code::coded;
use super::text::Line;

coded! {
    /// Which of two equal local times is meant on the night the clocks go back.
    Fold {
        /// The first of the two, before the clocks go back.
        Earlier = "earlier",
        /// The second of the two, after the clocks have gone back.
        Later = "later",
    }
}

/// Why a time was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VisitTimeError {
    /// No zone of this name is known.
    #[error("the time zone is not known: give an IANA name, such as America/Chicago")]
    UnknownZone,
    /// The clocks skip this local time.
    #[error(
        "this local time does not exist: the clocks go forward over it; choose a time before or after the gap"
    )]
    Gap,
    /// The clocks show this local time twice.
    #[error(
        "this local time comes twice, because the clocks go back: say in `fold` whether the earlier or the later is meant"
    )]
    Ambiguous,
    /// A fold is named, but the local time comes only once.
    #[error("this local time comes only once: leave `fold` out")]
    NoFold,
    /// No duration, or one longer than a day.
    #[error("the duration is out of range: give 1 to {max} minutes")]
    Duration {
        /// The longest duration, in minutes.
        max: u32,
    },
    /// Seconds or less in the start.
    #[error("the start is not on a whole minute: leave the seconds out or give zero")]
    Seconds,
    /// A year outside of the supported calendar.
    #[error("the start is out of range: the year must lie between 1900 and 2200")]
    OutOfRange,
    /// A stored time whose parts contradict each other.
    #[error(
        "the parts of the time contradict each other: the end must be the start plus the duration, and the start the local time less the offset"
    )]
    Contradiction,
}

impl VisitTimeError {
    /// A stable code in kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownZone => "unknown-time-zone",
            Self::Gap => "time-in-gap",
            Self::Ambiguous => "time-ambiguous",
            Self::NoFold => "fold-not-needed",
            Self::Duration { .. } => "duration-out-of-range",
            Self::Seconds => "time-not-on-minute",
            Self::OutOfRange => "time-out-of-range",
            Self::Contradiction => "time-contradictory",
        }
    }

    /// The field to blame.
    pub fn field(&self) -> &'static str {
        match self {
            Self::UnknownZone => "time.zone",
            Self::Ambiguous | Self::NoFold => "time.fold",
            Self::Duration { .. } => "time.duration_minutes",
            Self::Gap | Self::Seconds | Self::OutOfRange | Self::Contradiction => "time.start",
        }
    }
}

/// A requested local time: what the clock on the wall shows, and in which zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RequestedTime {
    /// The local start, without offset: `2025-03-09T15:00`.
    #[serde(deserialize_with = "super::quiet::local_time")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::local_time"))]
    pub start: DateTime,
    /// The IANA zone.
    pub zone: Line<64>,
    /// How long it takes, in minutes.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = VisitTime::MAX_DURATION_MINUTES)))]
    pub duration_minutes: u32,
    /// Which of two equal local times is meant, where that is a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
}

/// The time of a visit: local time, zone and the instants they came to when it was agreed.
///
/// It is made by [`VisitTime::resolve`]. When read back, its parts are checked against each other but not
/// against the zone's rules: governments change those, and what was agreed stays as it was agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct VisitTime {
    start: DateTime,
    zone: Line<64>,
    duration_minutes: u32,
    offset: Offset,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

impl VisitTime {
    /// The longest visit, in minutes.
    pub const MAX_DURATION_MINUTES: u32 = 24 * 60;

    /// Finds the instants of a requested time. A local time in a gap is refused; one that comes twice
    /// must be told apart.
    pub fn resolve(requested: &RequestedTime) -> Result<Self, VisitTimeError> {
        let RequestedTime { start, zone, duration_minutes, fold } = requested;
        if !(1..=Self::MAX_DURATION_MINUTES).contains(duration_minutes) {
            return Err(VisitTimeError::Duration { max: Self::MAX_DURATION_MINUTES });
        }
        if start.second() != 0 || start.subsec_nanosecond() != 0 {
            return Err(VisitTimeError::Seconds);
        }
        if !(1900..=2200).contains(&start.year()) {
            return Err(VisitTimeError::OutOfRange);
        }
        let name = Self::zone_named(zone).ok_or(VisitTimeError::UnknownZone)?;
        let zone = find_zone(zone).ok_or(VisitTimeError::UnknownZone)?;
        let offset = match (zone.to_ambiguous_timestamp(*start).offset(), fold) {
            (AmbiguousOffset::Unambiguous { offset }, None) => offset,
            (AmbiguousOffset::Unambiguous { .. }, Some(_)) => return Err(VisitTimeError::NoFold),
            (AmbiguousOffset::Gap { .. }, _) => return Err(VisitTimeError::Gap),
            (AmbiguousOffset::Fold { .. }, None) => return Err(VisitTimeError::Ambiguous),
            (AmbiguousOffset::Fold { before, .. }, Some(Fold::Earlier)) => before,
            (AmbiguousOffset::Fold { after, .. }, Some(Fold::Later)) => after,
        };
        Self::at(*start, name, *duration_minutes, offset)
    }

    /// The name of a time zone as the bundled database has it; none, if it has no such zone.
    pub fn zone_named(name: &str) -> Option<Line<64>> {
        find_zone(name)?.iana_name().and_then(|name| Line::new(name).ok())
    }

    fn at(
        start: DateTime,
        zone: Line<64>,
        duration_minutes: u32,
        offset: Offset,
    ) -> Result<Self, VisitTimeError> {
        let starts_at = offset.to_timestamp(start).map_err(|_| VisitTimeError::OutOfRange)?;
        let duration = SignedDuration::from_mins(i64::from(duration_minutes));
        let ends_at = starts_at.checked_add(duration).map_err(|_| VisitTimeError::OutOfRange)?;
        Ok(Self { start, zone, duration_minutes, offset, starts_at, ends_at })
    }

    /// What the clock on the wall shows at the start.
    pub fn start(&self) -> DateTime {
        self.start
    }

    /// The IANA zone.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// How long it takes, in minutes.
    pub fn duration_minutes(&self) -> u32 {
        self.duration_minutes
    }

    /// The zone's offset from UTC at the start.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The instant it starts.
    pub fn starts_at(&self) -> Timestamp {
        self.starts_at
    }

    /// The instant it ends: the first that is free again.
    pub fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// Whether two visits share an instant.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.starts_at < other.ends_at && other.starts_at < self.ends_at
    }
}

/// Looks a zone up in the bundled database, so that every machine resolves a time alike.
fn find_zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())
}

/// How a [`VisitTime`] is written down.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Stored {
    /// The local start.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::local_time"))]
    start: DateTime,
    /// The IANA zone.
    zone: Line<64>,
    /// How long it takes.
    duration_minutes: u32,
    /// The zone's offset from UTC at the start.
    offset_seconds: i32,
    /// The instant it starts.
    starts_at: Timestamp,
    /// The first instant that is free again.
    ends_at: Timestamp,
}

#[cfg(feature = "schema")]
crate::schema::made_of!(VisitTime(Stored));

impl TryFrom<Stored> for VisitTime {
    type Error = VisitTimeError;

    fn try_from(stored: Stored) -> Result<Self, VisitTimeError> {
        let offset = Offset::from_seconds(stored.offset_seconds)
            .map_err(|_| VisitTimeError::Contradiction)?;
        if !(1..=Self::MAX_DURATION_MINUTES).contains(&stored.duration_minutes) {
            return Err(VisitTimeError::Duration { max: Self::MAX_DURATION_MINUTES });
        }
        let time = Self::at(stored.start, stored.zone, stored.duration_minutes, offset)?;
        if (time.starts_at, time.ends_at) == (stored.starts_at, stored.ends_at) {
            Ok(time)
        } else {
            Err(VisitTimeError::Contradiction)
        }
    }
}

impl From<VisitTime> for Stored {
    fn from(time: VisitTime) -> Self {
        Self {
            start: time.start,
            zone: time.zone,
            duration_minutes: time.duration_minutes,
            offset_seconds: time.offset.seconds(),
            starts_at: time.starts_at,
            ends_at: time.ends_at,
        }
    }
}
