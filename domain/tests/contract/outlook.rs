//! The outlook against figures that another program made: weighted least squares by the normal equations, Fieller's
//! bounds by the quadratic formula, and nothing shared with the code but the quantiles.

use domain::wound::outlook::{Estimate, FourWeekOutlook, MeasuredArea, Outlook};
use jiff::{SignedDuration, Timestamp};

const DAY: i64 = 86_400;

/// Seconds since the first scan, area and its standard deviation in square micrometres.
type Point = (i64, u64, u64);

fn course(points: &[Point]) -> Vec<MeasuredArea> {
    points
        .iter()
        .map(|&(seconds, area_um2, area_sd_um2)| MeasuredArea {
            at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds),
            area_um2,
            area_sd_um2,
        })
        .collect()
}

/// Areas of a circle whose radius in millimetres falls by `pace` a day.
fn circles(first_mm: f64, pace: f64, every: i64, count: i64, sd_um2: u64) -> Vec<Point> {
    let area = |day: i64| {
        let radius_mm = first_mm - pace * day as f64;
        (std::f64::consts::PI * radius_mm * radius_mm * 1e6).round() as u64
    };
    (0..count).map(|n| (n * every * DAY, area(n * every), sd_um2)).collect()
}

/// What the other program says: value, low, high.
struct Expected {
    reduction: (f64, f64, f64),
    closure: Option<(f64, f64, f64)>,
    radius_mm: f64,
    radius_mm_per_day: f64,
    four_weeks: FourWeekOutlook,
}

fn near(estimate: Estimate, (value, low, high): (f64, f64, f64)) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
    close(estimate.value, value) && close(estimate.low, low) && close(estimate.high, high)
}

fn check(case: &str, points: &[Point], expected: &Expected) {
    let outlook = Outlook::of(&course(points)).unwrap_or_else(|| panic!("{case}: an outlook"));
    assert!(near(outlook.four_week_reduction_percent, expected.reduction), "{case}: {outlook:?}");
    match (outlook.closure_days, expected.closure) {
        (Some(closure), Some(expected)) => assert!(near(closure, expected), "{case}: {closure:?}"),
        (closure, expected) => {
            assert!(closure.is_none() && expected.is_none(), "{case}: {closure:?}");
        }
    }
    assert!((outlook.radius_mm - expected.radius_mm).abs() < 1e-7, "{case}: {outlook:?}");
    let slope = outlook.radius_mm_per_day;
    assert!((slope - expected.radius_mm_per_day).abs() < 1e-8, "{case}: {outlook:?}");
    assert_eq!(outlook.four_weeks, expected.four_weeks, "{case}");
}

#[test]
fn measurements_count_by_their_own_errors() {
    let points = [
        (0, 1_000_000_000, 60_000_000),
        (6 * DAY + 3_600, 760_000_000, 90_000_000),
        (15 * DAY, 505_000_000, 20_000_000),
        (22 * DAY, 330_000_000, 45_000_000),
    ];
    let expected = Expected {
        reduction: (78.804_344_549_689, 69.641_909_103_368_8, 86.325_311_942_826_52),
        closure: Some((51.967_841_501_824_346, 43.080_918_970_808_66, 67.926_223_479_777_12)),
        radius_mm: 17.809_603_215_880_2,
        radius_mm_per_day: -0.342_704_309_072_659_64,
        four_weeks: FourWeekOutlook::OnCourse,
    };
    check("weighted", &points, &expected);
}

#[test]
fn scatter_beyond_the_errors_widens_the_bounds() {
    let points = [
        (0, 1_000_000_000, 10_000_000),
        (7 * DAY, 820_000_000, 10_000_000),
        (14 * DAY, 450_000_000, 10_000_000),
        (21 * DAY, 400_000_000, 10_000_000),
        (28 * DAY, 190_000_000, 10_000_000),
    ];
    let expected = Expected {
        reduction: (79.239_586_553_010_47, 67.730_572_777_228_79, 88.220_684_228_139_8),
        closure: Some((50.944_916_036_704_84, 41.690_537_575_522_83, 67.165_138_096_825_69)),
        radius_mm: 18.049_178_534_659_05,
        radius_mm_per_day: -0.354_288_120_166_003_64,
        four_weeks: FourWeekOutlook::OnCourse,
    };
    check("scattered", &points, &expected);
}

#[test]
fn three_measurements_over_seven_days_are_just_enough() {
    let points = |last: i64| {
        [
            (0, 900_000_000, 15_000_000),
            (4 * DAY, 820_000_000, 15_000_000),
            (last, 770_000_000, 15_000_000),
        ]
    };
    let expected = Expected {
        reduction: (51.323_852_150_813_565, 6.146_515_414_526_410_5, 81.802_456_399_083_75),
        closure: None,
        radius_mm: 16.914_345_788_797_288,
        radius_mm_per_day: -0.182_342_230_139_483_34,
        four_weeks: FourWeekOutlook::Uncertain,
    };
    check("three", &points(7 * DAY), &expected);
    assert_eq!(Outlook::of(&course(&points(7 * DAY - 1))), None, "a second less than a week");
    assert_eq!(Outlook::of(&course(&points(7 * DAY)[1..])), None, "two measurements");
    let mut from_nothing = points(7 * DAY);
    from_nothing[0].1 = 0;
    assert_eq!(Outlook::of(&course(&from_nothing)), None, "no area at first");
    from_nothing[0].1 = 1;
    assert!(Outlook::of(&course(&from_nothing)).is_some(), "the least area at first");
}

#[test]
fn more_than_twelve_measurements_take_the_last_quantile() {
    // Every other scan sees a twentieth of a millimetre too much, the rest too little.
    let points: Vec<Point> = (0..14)
        .map(|n: i64| {
            let off = if n % 2 == 1 { 0.05 } else { -0.05 };
            let radius_mm = 15.0 - 0.2 * n as f64 * 3.0 + off;
            let area = (std::f64::consts::PI * radius_mm * radius_mm * 1e6).round() as u64;
            (n * 3 * DAY, area, 12_000_000)
        })
        .collect();
    let expected = Expected {
        reduction: (60.420_965_046_154_53, 59.341_464_418_166_545, 61.485_941_625_931_176),
        closure: Some((75.156_995_187_883_67, 72.991_917_727_305_72, 77.482_532_903_167_88)),
        radius_mm: 14.989_842_756_393_568,
        radius_mm_per_day: -0.199_447_073_674_522_5,
        four_weeks: FourWeekOutlook::OnCourse,
    };
    check("many", &points, &expected);
}

#[test]
fn a_radius_is_not_known_better_than_a_tenth_of_a_millimetre() {
    let points = [
        (0, 40_000, 30_000),
        (10 * DAY, 20_000, 10_000),
        (20 * DAY, 0, 10_000),
        (30 * DAY, 10_000, 2_000),
    ];
    let expected = Expected {
        reduction: (92.985_298_705_274_1, -405.887_588_252_048_9, 100.0),
        closure: None,
        radius_mm: 0.099_618_132_457_845_41,
        radius_mm_per_day: -0.002_490_453_311_446_135_5,
        four_weeks: FourWeekOutlook::Uncertain,
    };
    check("small", &points, &expected);
}

#[test]
fn what_surely_grows_has_no_day() {
    let expected = Expected {
        reduction: (-189.000_000_355_502_72, -192.952_114_848_319_72, -185.074_725_509_192_7),
        closure: None,
        radius_mm: 9.999_999_998_935_863,
        radius_mm_per_day: 0.250_000_000_064_551_2,
        four_weeks: FourWeekOutlook::Behind,
    };
    check("growing", &circles(10.0, -0.25, 7, 6, 5_000_000), &expected);
}

#[test]
fn nothing_is_foretold_beyond_two_years() {
    let mut expected = Expected {
        reduction: (8.089_430_987_360_323, 7.373_907_215_902_675, 8.802_180_371_404_422),
        closure: Some((677.966_102_337_521_1, 656.626_194_980_895_8, 700.926_122_371_105_3)),
        radius_mm: 19.999_999_997_089_65,
        radius_mm_per_day: -0.029_499_999_967_745_844,
        four_weeks: FourWeekOutlook::Behind,
    };
    check("within", &circles(20.0, 0.0295, 14, 12, 1_000_000), &expected);
    // Its upper bound is day 799.
    expected = Expected {
        reduction: (7.147_503_973_679_226, 6.428_330_187_325_16, 7.863_903_372_619_74),
        closure: None,
        radius_mm: 19.999_999_998_884_36,
        radius_mm_per_day: -0.025_999_999_981_982_37,
        four_weeks: FourWeekOutlook::Behind,
    };
    check("beyond", &circles(20.0, 0.026, 14, 12, 1_000_000), &expected);
}

#[test]
fn the_fitted_area_is_that_of_the_circle_and_stays_nothing_once_closed() {
    let outlook = Outlook::of(&course(&circles(20.0, 0.25, 7, 5, 5_000_000))).expect("an outlook");
    for (day, radius_mm) in [(0.0, 20.0), (28.0, 13.0), (40.0, 10.0), (80.0, 0.0), (120.0, 0.0)] {
        let area_cm2 = std::f64::consts::PI * radius_mm * radius_mm / 100.0;
        assert!((outlook.area_cm2(day) - area_cm2).abs() < 1e-6, "day {day}");
    }
}
