//! The time a decision is made at, passed in by the caller.

use jiff::{SignedDuration, Timestamp, civil, tz};

/// How far a device's clock may be ahead of the server's before its times count as the future.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// The zone furthest ahead of UTC: the day that has begun there has begun somewhere.
const FURTHEST_AHEAD: SignedDuration = SignedDuration::from_hours(14);

/// The services of every aggregate: the server's time at the decision, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now(pub Timestamp);

impl Now {
    /// The latest calendar day that has begun anywhere on earth. A date after it is in the future
    /// wherever it was written down.
    pub fn latest_day(&self) -> civil::Date {
        let shifted = self.0.saturating_add(FURTHEST_AHEAD).unwrap_or(self.0);
        tz::Offset::UTC.to_datetime(shifted).date()
    }

    /// Whether a time told by a device is in the future, its clock being allowed some skew.
    pub fn is_before(&self, told: Timestamp) -> bool {
        told.duration_since(self.0) > SKEW
    }
}
