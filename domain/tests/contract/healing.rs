//! Healing figures against the published bins and against hand-made courses.

use domain::wound::healing::{
    Exudate, WorstTissue, exponential_rate_per_day, linear_advance_mm, percent_area_reduction,
    push_area_score, push_score,
};

use crate::support::at;

const CM2: u64 = 100_000_000;

#[test]
fn push_bins() {
    // In hundredths of a square centimetre, so that the rounding to a tenth shows.
    let table = [
        (0, 0),
        (1, 1),
        (4, 1),
        (24, 1),
        (25, 2), // 0.25 rounds to 0.3
        (30, 2),
        (64, 2), // 0.64 rounds to 0.6
        (65, 3),
        (70, 3),
        (104, 3),
        (105, 4),
        (204, 4),
        (205, 5),
        (304, 5),
        (305, 6),
        (404, 6),
        (405, 7),
        (804, 7),
        (805, 8),
        (1_204, 8),
        (1_205, 9),
        (2_400, 9),
        (2_404, 9),
        (2_405, 10),
        (50_000, 10),
    ];
    for (hundredths, score) in table {
        let area_um2 = hundredths * CM2 / 100;
        assert_eq!(push_area_score(area_um2), score, "{hundredths} hundredths of a cm2");
    }
    assert_eq!(push_area_score(u64::MAX), 10);
}

#[test]
fn push_runs_from_0_to_17() {
    assert_eq!(push_score(0, Exudate::None, WorstTissue::Closed), 0);
    assert_eq!(push_score(5 * CM2, Exudate::Moderate, WorstTissue::Slough), 7 + 2 + 3);
    assert_eq!(push_score(25 * CM2, Exudate::Heavy, WorstTissue::Necrotic), 17);
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-9)
}

#[test]
fn percent_area_reduction_of_the_first_area() {
    assert!(near(percent_area_reduction(10 * CM2, 5 * CM2), 50.0));
    assert!(near(percent_area_reduction(10 * CM2, 0), 100.0));
    assert!(near(percent_area_reduction(10 * CM2, 12 * CM2), -20.0));
    assert_eq!(percent_area_reduction(0, CM2), None);
}

#[test]
fn exponential_rate_needs_two_areas_and_time() {
    let (first, later) = (at("2026-03-01T12:00:00Z"), at("2026-03-15T12:00:00Z"));
    let halved = exponential_rate_per_day((10 * CM2, first), (5 * CM2, later));
    assert!(near(halved, 2.0_f64.ln() / 14.0));
    let grown = exponential_rate_per_day((5 * CM2, first), (10 * CM2, later));
    assert!(near(grown, -(2.0_f64.ln()) / 14.0));
    assert_eq!(exponential_rate_per_day((10 * CM2, first), (0, later)), None);
    assert_eq!(exponential_rate_per_day((0, first), (CM2, later)), None);
    assert_eq!(exponential_rate_per_day((10 * CM2, first), (5 * CM2, first)), None);
    assert_eq!(exponential_rate_per_day((10 * CM2, later), (5 * CM2, first)), None);
}

#[test]
fn linear_advance_is_the_change_of_area_over_the_mean_perimeter() {
    // From 6 cm² to 4 cm² over a mean perimeter of 10 cm: 2 cm² / 10 cm = 2 mm.
    assert!(near(linear_advance_mm((6 * CM2, 110_000), (4 * CM2, 90_000)), 2.0));
    assert!(near(linear_advance_mm((4 * CM2, 90_000), (6 * CM2, 110_000)), -2.0));
    assert_eq!(linear_advance_mm((CM2, 0), (CM2, 0)), None);
}
