//! What the course of a wound so far says of the weeks to come. Pure functions of areas and times.
//!
//! The edge of a healing wound advances at a steady pace (Gilman, *Wounds* 1990), so the radius of the circle with the
//! wound's area falls along a straight line. That line is fitted to the measurements, each weighted by its own
//! standard deviation; where they scatter more than these allow, the fit's errors grow accordingly. Whether half of the
//! area is gone four weeks after the first measurement tells wounds that will close within twelve weeks from those
//! that will not (Sheehan et al., *Diabetes Care* 2003;26:1879: diabetic foot ulcers, cut at 53 %).
//!
//! All intervals hold 90 %. An outlook is decision support; it assumes that the treatment stays as it is.

use std::f64::consts::PI;

use jiff::Timestamp;

/// The day on which the four-week reduction is taken.
pub const FOUR_WEEKS_DAYS: f64 = 28.0;

/// The reduction that is asked of a wound after four weeks, in percent.
pub const FOUR_WEEK_TARGET_PERCENT: f64 = 50.0;

/// Fewer measurements say nothing about their own scatter.
const MEASUREMENTS_MIN: usize = 3;

/// Over fewer days a trend is not to be told from the measurements' errors.
const DAYS_MIN: f64 = 7.0;

/// A radius is not known better than this, in millimetres.
const RADIUS_SD_MIN_MM: f64 = 0.1;

/// Beyond this many days from the first measurement nothing is foretold.
const DAYS_MAX: f64 = 730.0;

/// The two-sided 90 % quantiles of Student's t for 1 to 10 degrees of freedom; the last one stands for more.
const STUDENT_90: [f64; 10] =
    [6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812];

/// An area and when it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredArea {
    /// When the scan was taken.
    pub at: Timestamp,
    /// The area in square micrometres.
    pub area_um2: u64,
    /// Its standard deviation.
    pub area_sd_um2: u64,
}

/// A figure and the bounds that hold it nine times in ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The best guess.
    pub value: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// How the four-week target is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FourWeekOutlook {
    /// Even the lower bound of the reduction reaches the target.
    OnCourse,
    /// The target lies between the bounds.
    Uncertain,
    /// Not even the upper bound reaches it.
    Behind,
}

/// What the measurements so far say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// By how many percent of the first area the wound has shrunk, or will have, after four weeks.
    pub four_week_reduction_percent: Estimate,
    /// What that means.
    pub four_weeks: FourWeekOutlook,
    /// When it closes, in days from the first measurement. None if it is not sure to be closing, or not
    /// within two years.
    pub closure_days: Option<Estimate>,
    /// The fitted radius in millimetres on the day of the first measurement.
    pub radius_mm: f64,
    /// Its change per day; negative if the wound closes.
    pub radius_mm_per_day: f64,
}

impl Outlook {
    /// The fitted area in square centimetres, so many days after the first measurement.
    #[must_use]
    pub fn area_cm2(&self, day: f64) -> f64 {
        let radius_mm = (self.radius_mm + self.radius_mm_per_day * day).max(0.0);
        PI * radius_mm * radius_mm / 100.0
    }

    /// The outlook of a wound. None from fewer than three measurements, or over less than a week, or of a wound that had
    /// no area at first.
    #[must_use]
    pub fn of(course: &[MeasuredArea]) -> Option<Outlook> {
        let first = course.first()?;
        let days: Vec<f64> = course
            .iter()
            .map(|point| point.at.duration_since(first.at).as_secs_f64() / 86_400.0)
            .collect();
        let span = days.iter().fold(0.0_f64, |span, day| span.max(*day));
        if course.len() < MEASUREMENTS_MIN || span < DAYS_MIN || first.area_um2 == 0 {
            return None;
        }
        let line = Line::fitted(&days, course);
        let quantile = STUDENT_90[(course.len() - 2).min(STUDENT_90.len()) - 1];
        let four_week_reduction_percent = line.reduction(radius_mm(first.area_um2), quantile);
        let four_weeks = if four_week_reduction_percent.low >= FOUR_WEEK_TARGET_PERCENT {
            FourWeekOutlook::OnCourse
        } else if four_week_reduction_percent.high < FOUR_WEEK_TARGET_PERCENT {
            FourWeekOutlook::Behind
        } else {
            FourWeekOutlook::Uncertain
        };
        Some(Outlook {
            four_week_reduction_percent,
            four_weeks,
            closure_days: line.root(quantile).filter(|closure| closure.high <= DAYS_MAX),
            radius_mm: line.level - line.slope * line.middle,
            radius_mm_per_day: line.slope,
        })
    }
}

/// The radius of the circle with an area.
fn radius_mm(area_um2: u64) -> f64 {
    (area_um2 as f64 / PI).sqrt() / 1e3
}

/// `radius = level + slope · (day - middle)`. Around the middle, level and slope err independently.
struct Line {
    middle: f64,
    level: f64,
    slope: f64,
    level_variance: f64,
    slope_variance: f64,
}

impl Line {
    fn fitted(days: &[f64], course: &[MeasuredArea]) -> Line {
        let radii: Vec<f64> = course.iter().map(|point| radius_mm(point.area_um2)).collect();
        let weights: Vec<f64> = course
            .iter()
            .zip(&radii)
            .map(|(point, radius)| {
                // dr = dA / (2πr)
                let sd = point.area_sd_um2 as f64 / 1e6 / (2.0 * PI * radius.max(RADIUS_SD_MIN_MM));
                sd.max(RADIUS_SD_MIN_MM).powi(-2)
            })
            .collect();
        let sum = |term: &dyn Fn(usize) -> f64| -> f64 {
            (0..days.len()).map(|i| weights[i] * term(i)).sum()
        };
        let weight = sum(&|_| 1.0);
        let middle = sum(&|i| days[i]) / weight;
        let level = sum(&|i| radii[i]) / weight;
        let spread = sum(&|i| (days[i] - middle).powi(2));
        let slope = sum(&|i| (days[i] - middle) * radii[i]) / spread;
        let misfit = sum(&|i| (radii[i] - level - slope * (days[i] - middle)).powi(2));
        let scatter = (misfit / (days.len() - 2) as f64).max(1.0);
        Line {
            middle,
            level,
            slope,
            level_variance: scatter / weight,
            slope_variance: scatter / spread,
        }
    }

    /// The reduction after four weeks, in percent of the area with this radius.
    fn reduction(&self, first_radius_mm: f64, quantile: f64) -> Estimate {
        let from_middle = FOUR_WEEKS_DAYS - self.middle;
        let radius = self.level + self.slope * from_middle;
        let sd = (self.level_variance + self.slope_variance * from_middle.powi(2)).sqrt();
        let percent = |radius: f64| {
            let left = radius.max(0.0) / first_radius_mm;
            100.0 * (1.0 - left * left)
        };
        Estimate {
            value: percent(radius),
            low: percent(radius + quantile * sd),
            high: percent(radius - quantile * sd),
        }
    }

    /// Where the line meets zero, with bounds by Fieller's theorem. None if its fall is not certain.
    fn root(&self, quantile: f64) -> Option<Estimate> {
        let squared = quantile * quantile;
        let a = self.slope * self.slope - squared * self.slope_variance;
        if self.slope >= 0.0 || a <= 0.0 {
            return None;
        }
        let half_b = self.level * self.slope;
        let c = self.level * self.level - squared * self.level_variance;
        let reach = (half_b * half_b - a * c).max(0.0).sqrt();
        Some(Estimate {
            value: self.middle - self.level / self.slope,
            low: self.middle + (-half_b - reach) / a,
            high: self.middle + (-half_b + reach) / a,
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn course(points: &[(f64, f64)], sd_share: f64) -> Vec<MeasuredArea> {
        points
            .iter()
            .map(|(day, area_cm2)| MeasuredArea {
                at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs((day * 86_400.0) as i64),
                area_um2: (area_cm2 * 1e8) as u64,
                area_sd_um2: (area_cm2 * sd_share * 1e8) as u64,
            })
            .collect()
    }

    /// A wound of 20 mm radius whose edge advances a quarter of a millimetre a day closes on day 80.
    fn steady(days: &[f64]) -> Vec<(f64, f64)> {
        days.iter().map(|day| (*day, PI * (20.0 - 0.25 * day).powi(2) / 100.0)).collect()
    }

    #[test]
    fn a_steady_edge_is_foretold_to_the_day() {
        let outlook =
            Outlook::of(&course(&steady(&[0.0, 7.0, 14.0, 21.0]), 0.02)).expect("an outlook");
        let closure = outlook.closure_days.expect("it closes");
        assert!((closure.value - 80.0).abs() < 0.1, "{closure:?}");
        assert!(closure.low < 80.0 && closure.high > 80.0 && closure.high < 120.0, "{closure:?}");
        // On day 28 the radius is 13 of 20 millimetres.
        let reduction = outlook.four_week_reduction_percent;
        assert!((reduction.value - 57.75).abs() < 0.1, "{reduction:?}");
        assert!((outlook.area_cm2(80.0)).abs() < 1e-3);
    }

    #[test]
    fn the_bounds_are_wider_the_less_is_known() {
        let width = |days: &[f64], sd| {
            let closure = Outlook::of(&course(&steady(days), sd))
                .expect("an outlook")
                .closure_days
                .expect("it closes");
            closure.high - closure.low
        };
        let (few, many) = (&[0.0, 7.0, 14.0, 21.0], &[0.0, 7.0, 14.0, 21.0, 28.0, 35.0]);
        assert!(width(many, 0.02) < width(few, 0.02));
        assert!(width(few, 0.01) < width(few, 0.03));
    }

    #[test]
    fn what_does_not_close_has_no_day() {
        let stalled =
            Outlook::of(&course(&[(0.0, 10.0), (7.0, 10.4), (14.0, 9.8), (21.0, 10.1)], 0.02));
        let stalled = stalled.expect("an outlook");
        assert_eq!(stalled.closure_days, None);
        assert_eq!(stalled.four_weeks, FourWeekOutlook::Behind);
        let growing =
            Outlook::of(&course(&[(0.0, 4.0), (7.0, 5.0), (14.0, 6.2)], 0.02)).expect("an outlook");
        assert_eq!(growing.closure_days, None);
        assert!(growing.four_week_reduction_percent.value < 0.0);
    }

    #[test]
    fn the_target_is_met_missed_or_open() {
        let outlook =
            |points: &[(f64, f64)], sd| Outlook::of(&course(points, sd)).expect("an outlook");
        let fast = outlook(&[(0.0, 10.0), (7.0, 6.4), (14.0, 3.6), (21.0, 1.6)], 0.01);
        assert_eq!(fast.four_weeks, FourWeekOutlook::OnCourse);
        let open = outlook(&[(0.0, 10.0), (4.0, 9.0), (8.0, 8.3)], 0.03);
        assert_eq!(open.four_weeks, FourWeekOutlook::Uncertain);
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(Outlook::of(&[]), None);
        assert_eq!(Outlook::of(&course(&[(0.0, 5.0), (14.0, 4.0)], 0.02)), None);
        assert_eq!(Outlook::of(&course(&[(0.0, 5.0), (2.0, 4.9), (4.0, 4.8)], 0.02)), None);
        assert_eq!(Outlook::of(&course(&[(0.0, 0.0), (7.0, 1.0), (14.0, 2.0)], 0.02)), None);
    }

    /// Three measurements at the same moment, then one: the fit must not divide by nothing.
    #[test]
    fn repeated_scans_of_a_visit_are_fine() {
        let outlook = Outlook::of(&course(
            &[(0.0, 5.0), (0.0, 5.1), (0.0, 4.9), (10.0, 4.0), (10.0, 4.1)],
            0.02,
        ));
        let outlook = outlook.expect("an outlook");
        assert!(outlook.radius_mm.is_finite() && outlook.radius_mm_per_day < 0.0);
    }
}
