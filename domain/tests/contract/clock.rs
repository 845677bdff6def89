//! The clock's comparisons, to the nanosecond.

use domain::Now;
use jiff::{SignedDuration, Timestamp};

use crate::support::{at, now, val};

#[test]
fn a_device_may_be_ten_minutes_ahead_and_not_a_nanosecond_more() {
    let ten_minutes = SignedDuration::from_mins(10);
    let nanosecond = SignedDuration::from_nanos(1);
    let table = [
        (SignedDuration::from_hours(-24 * 365), false),
        (SignedDuration::ZERO, false),
        (nanosecond, false),
        (ten_minutes - nanosecond, false),
        (ten_minutes, false),
        (ten_minutes + nanosecond, true),
        (SignedDuration::from_hours(24 * 365), true),
    ];
    for (ahead, future) in table {
        assert_eq!(now().is_before(now().0 + ahead), future, "{ahead} ahead");
    }
}

#[test]
fn the_latest_day_is_the_one_fourteen_hours_ahead_of_utc() {
    let table = [
        ("2026-03-01T09:59:59.999999999Z", "2026-03-01"),
        ("2026-03-01T10:00:00Z", "2026-03-02"),
        ("2026-03-02T09:59:59.999999999Z", "2026-03-02"),
        ("2025-12-31T10:00:00Z", "2026-01-01"),
        ("2028-02-28T10:00:00Z", "2028-02-29"),
    ];
    for (time, day) in table {
        assert_eq!(Now(at(time)).latest_day(), val(day), "{time}");
    }
    // At the end of all time there is no later day, and no panic.
    assert_eq!(Now(Timestamp::MAX).latest_day(), val("9999-12-30"));
}
