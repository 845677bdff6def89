//! The chart of a healing course: a self-contained SVG for page and report alike. It shows figures and days
//! only: nothing says whose wound it is.

use std::fmt::Write as _;

use domain::wound::outlook::{FOUR_WEEK_TARGET_PERCENT, FOUR_WEEKS_DAYS};

use super::HealingCourse;
use crate::read_models::HealingPoint;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;

/// Standard deviations on either side that hold a figure nine times in ten.
const NINE_IN_TEN: f64 = 1.645;

/// The chart begins at the first scan and reaches at least this far, so that the four-week line is on it.
const DAYS_MIN: f64 = 35.0;

/// How far beyond the last scan, or the expected closure, it reaches.
const DAYS_BEYOND: f64 = 1.08;

/// Pieces of the fitted curve.
const CURVE_PIECES: u32 = 60;

struct Scale {
    days: f64,
    area_cm2: f64,
}

impl Scale {
    fn x(&self, day: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * day / self.days
    }

    fn y(&self, area_cm2: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (area_cm2 / self.area_cm2).clamp(0.0, 1.0)
    }
}

/// The distance between two ticks: 1, 2 or 5 times a power of ten, so that there are about six.
fn tick(span: f64) -> f64 {
    let rough = (span / 6.0).max(1e-3);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough)
}

/// The ticks from zero to the end of an axis.
fn ticks(span: f64) -> impl Iterator<Item = f64> {
    let step = tick(span);
    let count = (span / step).floor() as u32;
    (0..=count).map(move |n| f64::from(n) * step)
}

fn area_cm2(point: &HealingPoint) -> f64 {
    point.area_um2 as f64 / 1e8
}

fn sd_cm2(point: &HealingPoint) -> f64 {
    point.area_sd_um2 as f64 / 1e8
}

/// Draws a course. Figures are square centimetres over days from the first scan; bars hold nine times in ten.
#[must_use]
pub fn svg(course: &HealingCourse) -> String {
    let points = &course.points;
    let day = |point: &HealingPoint| {
        let first = points.first().map_or(point.captured_at, |first| first.captured_at);
        point.captured_at.duration_since(first).as_secs_f64() / 86_400.0
    };
    let closure = course.fitted.and_then(|outlook| outlook.closure_days);
    let last = points.last().map_or(0.0, &day);
    let days = closure.map_or(last, |closure| last.max(closure.high)).max(DAYS_MIN) * DAYS_BEYOND;
    let highest = points
        .iter()
        .map(|point| area_cm2(point) + NINE_IN_TEN * sd_cm2(point))
        .fold(0.0, f64::max);
    let scale = Scale { days, area_cm2: if highest > 0.0 { highest * 1.05 } else { 1.0 } };
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = draw(&mut svg, course, &scale, &day);
    svg
}

fn draw(
    svg: &mut String,
    course: &HealingCourse,
    scale: &Scale,
    day: &dyn Fn(&HealingPoint) -> f64,
) -> std::fmt::Result {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" font-family=\"sans-serif\" font-size=\"13\">"
    )?;
    writeln!(svg, "<title>Wound area over time</title>")?;
    writeln!(svg, "<desc>{}</desc>", summary(course))?;
    writeln!(svg, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>")?;
    writeln!(svg, "<text x=\"{LEFT}\" y=\"24\" fill=\"#1a1a1a\">{}</text>", summary(course))?;
    for area in ticks(scale.area_cm2) {
        let y = scale.y(area);
        writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e2e2e2\"/>")?;
        let (x, y) = (LEFT - 8.0, y + 4.0);
        let digits = if tick(scale.area_cm2) < 1.0 { 1 } else { 0 };
        writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"#555\">{area:.digits$}</text>"
        )?;
    }
    for at in ticks(scale.days) {
        let (x, y) = (scale.x(at), bottom + 20.0);
        writeln!(svg, "<path d=\"M{x:.1} {bottom}v5\" stroke=\"#777\"/>")?;
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#555\">{at:.0}</text>"
        )?;
    }
    let (middle, below) = ((LEFT + right) / 2.0, HEIGHT - 12.0);
    writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\" fill=\"#555\">days from the first scan</text>"
    )?;
    let half = (TOP + bottom) / 2.0;
    writeln!(
        svg,
        "<text transform=\"translate(18 {half}) rotate(-90)\" text-anchor=\"middle\" fill=\"#555\">area, cm²</text>"
    )?;
    writeln!(svg, "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#777\"/>")?;
    if let Some(first) = course.points.first() {
        target(svg, area_cm2(first), scale)?;
    }
    outlook(svg, course, scale)?;
    for point in &course.points {
        let (x, area, reach) = (scale.x(day(point)), area_cm2(point), NINE_IN_TEN * sd_cm2(point));
        let (low, high, y) = (scale.y(area - reach), scale.y(area + reach), scale.y(area));
        writeln!(
            svg,
            "<path d=\"M{x:.1} {low:.1}V{high:.1}\" stroke=\"#0b5cad\" stroke-width=\"1.5\"/>"
        )?;
        // Hollow until a clinician has confirmed it.
        let fill = if point.confirmed { "#0b5cad" } else { "#ffffff" };
        writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{fill}\" stroke=\"#0b5cad\" stroke-width=\"2\"/>"
        )?;
    }
    writeln!(svg, "</svg>")
}

/// Where half of the first area lies, and the day by which it should be reached.
fn target(svg: &mut String, first_cm2: f64, scale: &Scale) -> std::fmt::Result {
    let y = scale.y(first_cm2 * (1.0 - FOUR_WEEK_TARGET_PERCENT / 100.0));
    let x = scale.x(FOUR_WEEKS_DAYS);
    writeln!(
        svg,
        "<path d=\"M{LEFT} {y:.1}H{x:.1}V{}\" fill=\"none\" stroke=\"#b35900\" stroke-dasharray=\"5 4\"/>",
        HEIGHT - BOTTOM
    )?;
    let above = y - 6.0;
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{above:.1}\" text-anchor=\"end\" fill=\"#b35900\">half within four weeks</text>"
    )
}

/// The fitted curve, and between which days it comes to nothing.
fn outlook(svg: &mut String, course: &HealingCourse, scale: &Scale) -> std::fmt::Result {
    let Some(outlook) = course.fitted else { return Ok(()) };
    if let Some(closure) = outlook.closure_days {
        let (low, high) = (scale.x(closure.low.max(0.0)), scale.x(closure.high));
        let (y, width) = (HEIGHT - BOTTOM - 6.0, high - low);
        writeln!(
            svg,
            "<rect x=\"{low:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"6\" fill=\"#2e7d32\" fill-opacity=\"0.45\"/>"
        )?;
    }
    let end = outlook.closure_days.map_or(scale.days, |closure| closure.value);
    let mut path = String::new();
    for piece in 0..=CURVE_PIECES {
        let day = end * f64::from(piece) / f64::from(CURVE_PIECES);
        let area = outlook.area_cm2(day);
        if area > scale.area_cm2 {
            continue;
        }
        let pen = if path.is_empty() { 'M' } else { 'L' };
        write!(path, "{pen}{:.1} {:.1}", scale.x(day), scale.y(area))?;
    }
    writeln!(
        svg,
        "<path d=\"{path}\" fill=\"none\" stroke=\"#0b5cad\" stroke-opacity=\"0.5\" stroke-width=\"2\"/>"
    )
}

/// The chart in a sentence.
fn summary(course: &HealingCourse) -> String {
    let (Some(first), Some(last)) = (course.points.first(), course.points.last()) else {
        return "No scan is measured yet.".to_owned();
    };
    let mut told = format!("{:.1} cm² at first", area_cm2(first));
    if course.points.len() > 1 {
        let _ = write!(told, ", {:.1} cm² now", area_cm2(last));
    }
    match course.outlook.as_ref() {
        Some(outlook) => {
            let weeks = &outlook.four_week_reduction_permille;
            let percent = |permille: i64| (permille as f64 / 10.0).round();
            let _ = write!(
                told,
                "; {:.0} % ({:.0} to {:.0}) smaller after four weeks",
                percent(weeks.value),
                percent(weeks.low),
                percent(weeks.high)
            );
            if let Some(days) = &outlook.closure_days {
                let _ = write!(
                    told,
                    "; closes about day {} ({} to {})",
                    days.value, days.low, days.high
                );
            }
            told.push('.');
        }
        None => told.push_str("; too little to foretell anything."),
    }
    told
}

#[cfg(test)]
mod tests {
    use domain::{MeasurementId, ScanId};
    use jiff::{SignedDuration, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn course(areas_cm2: &[(i64, f64)]) -> HealingCourse {
        let points = areas_cm2
            .iter()
            .map(|(day, area)| HealingPoint {
                scan_id: ScanId::from_uuid(Uuid::nil()),
                measurement_id: MeasurementId::from_uuid(Uuid::nil()),
                captured_at: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day),
                confirmed: *day == 0,
                area_um2: (area * 1e8) as u64,
                area_sd_um2: (area * 2e6) as u64,
                area_reduction_permille: None,
                healing_rate_ppm_per_day: None,
                linear_advance_um: None,
                push_area_score: 0,
            })
            .collect();
        HealingCourse::through(points)
    }

    #[test]
    fn a_course_is_drawn() {
        let course = course(&[(0, 12.0), (7, 9.9), (14, 8.3), (21, 6.6), (28, 5.3)]);
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/projections"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!("healing_chart", svg(&course));
        });
    }

    #[test]
    fn whatever_there_is_can_be_drawn() {
        for points in [
            &[][..],
            &[(0, 3.0)],
            &[(0, 0.0), (9, 0.0), (20, 0.0)],
            &[(0, 1.0), (7, 2.0), (14, 4.0)],
            &[(0, 3.0), (400, 0.5), (900, 2.0)],
        ] {
            let drawn = svg(&course(points));
            assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>\n"));
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{points:?}: {drawn}");
            assert_eq!(drawn.matches("<circle").count(), points.len());
        }
    }

    #[test]
    fn axes_have_round_ticks() {
        for (span, step) in [(35.0, 10.0), (12.0, 2.0), (0.9, 0.2), (6.0, 1.0), (300.0, 50.0)] {
            assert!((tick(span) - step).abs() < 1e-9, "{span}: {}", tick(span));
        }
    }
}
