//! Dates of which only a part may be known.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::quiet::serde_as_string;
use crate::clock::Now;

/// Why a date was refused. It does not repeat the date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartialDateError {
    /// Not of one of the three forms.
    #[error("this is not a date: write YYYY, YYYY-MM or YYYY-MM-DD")]
    Form,
    /// Of the right form, but no such day or month exists.
    #[error("there is no such date: check the month and the day")]
    NoSuchDay,
    /// A year no living patient's record can speak of.
    #[error("the year is out of range: it must lie between 1850 and 2200")]
    YearOutOfRange,
}

/// A date known to the year, to the month or to the day, with exactly the precision it was given in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialDate {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
}

impl PartialDate {
    /// A date known to the year.
    pub fn from_year(year: i16) -> Result<Self, PartialDateError> {
        Self::checked(year, None, None)
    }

    /// A date known to the month.
    pub fn from_year_month(year: i16, month: i8) -> Result<Self, PartialDateError> {
        Self::checked(year, Some(month), None)
    }

    /// A date known to the day.
    pub fn from_date(date: Date) -> Result<Self, PartialDateError> {
        Self::checked(date.year(), Some(date.month()), Some(date.day()))
    }

    fn checked(year: i16, month: Option<i8>, day: Option<i8>) -> Result<Self, PartialDateError> {
        if !(1850..=2200).contains(&year) {
            return Err(PartialDateError::YearOutOfRange);
        }
        Date::new(year, month.unwrap_or(1), day.unwrap_or(1))
            .map_err(|_| PartialDateError::NoSuchDay)?;
        Ok(Self { year, month, day })
    }

    /// The year.
    pub fn year(&self) -> i16 {
        self.year
    }

    /// The month, if known.
    pub fn month(&self) -> Option<i8> {
        self.month
    }

    /// The day, if known.
    pub fn day(&self) -> Option<i8> {
        self.day
    }

    /// The first day it can mean.
    pub fn earliest(&self) -> Date {
        Date::constant(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1))
    }

    /// The last day it can mean.
    pub fn latest(&self) -> Date {
        let month = Date::constant(self.year, self.month.unwrap_or(12), 1);
        self.day.map_or_else(
            || month.last_of_month(),
            |day| Date::constant(self.year, month.month(), day),
        )
    }

    /// Whether even the first day it can mean has not begun anywhere on earth.
    pub fn is_future(&self, now: &Now) -> bool {
        self.earliest() > now.latest_day()
    }
}

impl FromStr for PartialDate {
    type Err = PartialDateError;

    fn from_str(text: &str) -> Result<Self, PartialDateError> {
        fn number<T: FromStr>(text: &str, digits: usize) -> Result<T, PartialDateError> {
            if text.len() != digits || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(PartialDateError::Form);
            }
            text.parse().map_err(|_| PartialDateError::Form)
        }
        let mut parts = text.split('-');
        let year = number(parts.next().unwrap_or_default(), 4)?;
        let month = parts.next().map(|month| number(month, 2)).transpose()?;
        let day = parts.next().map(|day| number(day, 2)).transpose()?;
        if parts.next().is_some() {
            return Err(PartialDateError::Form);
        }
        Self::checked(year, month, day)
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        for part in [self.month, self.day].into_iter().flatten() {
            write!(f, "-{part:02}")?;
        }
        Ok(())
    }
}

/// Shows no content: a birth date identifies.
impl fmt::Debug for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartialDate(…)")
    }
}

serde_as_string!(PartialDate, {
    "pattern": "^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$",
    "examples": ["1958-04"],
});
