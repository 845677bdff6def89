//! The healing course of a wound as it is shown: its figures, and a chart of them.

mod chart;

use domain::wound::outlook::{Estimate, FourWeekOutlook, MeasuredArea, Outlook};
use schemars::JsonSchema;
use serde::Serialize;

use crate::read_models::{HealingPoint, WoundDocument};

pub use chart::svg;

/// A wound's course so far and what it says of the weeks to come.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HealingCourse {
    /// One point for each measured scan, by the time of capture.
    pub points: Vec<HealingPoint>,
    /// What they say of the weeks to come; absent while they say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlook: Option<OutlookDocument>,
    #[serde(skip)]
    fitted: Option<Outlook>,
}

/// An outlook, in whole numbers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OutlookDocument {
    /// By how much the area has shrunk, or will have, four weeks after the first scan, in permille.
    pub four_week_reduction_permille: Bounds,
    /// Whether that reaches one half: `on-course`, `uncertain` or `behind`.
    pub four_weeks: &'static str,
    /// When the wound closes, in days from the first scan; absent if that is not certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closure_days: Option<Bounds>,
}

/// A figure and the bounds that hold it nine times in ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Bounds {
    /// The best guess.
    pub value: i64,
    /// The lower bound.
    pub low: i64,
    /// The upper bound.
    pub high: i64,
}

impl Bounds {
    fn of(estimate: Estimate, scale: f64) -> Bounds {
        let whole = |figure: f64| (figure * scale).round() as i64;
        Bounds {
            value: whole(estimate.value),
            low: whole(estimate.low),
            high: whole(estimate.high),
        }
    }
}

impl HealingCourse {
    /// The course of a wound.
    #[must_use]
    pub fn of(wound: &WoundDocument) -> HealingCourse {
        HealingCourse::through(wound.healing.clone())
    }

    fn through(points: Vec<HealingPoint>) -> HealingCourse {
        let areas: Vec<MeasuredArea> = points
            .iter()
            .map(|point| MeasuredArea {
                at: point.captured_at,
                area_um2: point.area_um2,
                area_sd_um2: point.area_sd_um2,
            })
            .collect();
        let fitted = Outlook::of(&areas);
        let outlook = fitted.map(|outlook| OutlookDocument {
            four_week_reduction_permille: Bounds::of(outlook.four_week_reduction_percent, 10.0),
            four_weeks: match outlook.four_weeks {
                FourWeekOutlook::OnCourse => "on-course",
                FourWeekOutlook::Uncertain => "uncertain",
                FourWeekOutlook::Behind => "behind",
            },
            closure_days: outlook.closure_days.map(|closure| Bounds::of(closure, 1.0)),
        });
        HealingCourse { points, outlook, fitted }
    }
}
