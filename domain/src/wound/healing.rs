//! How a wound heals: pure functions of areas, times and what the clinician saw.

use jiff::Timestamp;

use crate::value::coded;

coded! {
    /// How much a wound exudes, for PUSH.
    Exudate {
        /// Nothing: 0.
        None = "none",
        /// Light: 1.
        Light = "light",
        /// Moderate: 2.
        Moderate = "moderate",
        /// Heavy: 3.
        Heavy = "heavy",
    }
}

coded! {
    /// The worst tissue present in a wound, for PUSH.
    WorstTissue {
        /// Closed or resurfaced: 0.
        Closed = "closed",
        /// Epithelial tissue: 1.
        Epithelial = "epithelial",
        /// Granulation tissue: 2.
        Granulation = "granulation",
        /// Slough: 3.
        Slough = "slough",
        /// Necrotic tissue: 4.
        Necrotic = "necrotic",
    }
}

/// A tenth of a square centimetre, in square micrometres.
const TENTH_CM2: u64 = 10_000_000;

/// The upper ends of the PUSH 3.0 area bins of scores 2 to 9, in tenths of a square centimetre.
/// Score 0 is closed, 1 is below the first bin, 10 above the last.
const PUSH_BINS_TENTHS: [u64; 8] = [6, 10, 20, 30, 40, 80, 120, 240];

/// The area's sub-score of PUSH 3.0: 0 to 10. The area is rounded to a tenth of a square centimetre
/// first, because the bins leave gaps of a tenth between them.
///
/// A wound smaller than a twentieth of a square centimetre rounds to 0.0 but is not closed: it scores 1.
pub fn push_area_score(area_um2: u64) -> u8 {
    if area_um2 == 0 {
        return 0;
    }
    let tenths = area_um2.saturating_add(TENTH_CM2 / 2) / TENTH_CM2;
    if tenths < 3 {
        return 1;
    }
    let below = PUSH_BINS_TENTHS.iter().take_while(|&&upper| tenths > upper).count();
    // At most eight bins lie below, so this is at most ten.
    u8::try_from(below).map_or(10, |below| below + 2)
}

/// The PUSH 3.0 score, 0 to 17: area, exudate and worst tissue.
pub fn push_score(area_um2: u64, exudate: Exudate, tissue: WorstTissue) -> u8 {
    let exudate = match exudate {
        Exudate::None => 0,
        Exudate::Light => 1,
        Exudate::Moderate => 2,
        Exudate::Heavy => 3,
    };
    let tissue = match tissue {
        WorstTissue::Closed => 0,
        WorstTissue::Epithelial => 1,
        WorstTissue::Granulation => 2,
        WorstTissue::Slough => 3,
        WorstTissue::Necrotic => 4,
    };
    push_area_score(area_um2) + exudate + tissue
}

/// By how many percent the area has shrunk: `100 (A₀ − A) / A₀`. Negative if it has grown; none if there
/// was no area to begin with.
pub fn percent_area_reduction(first_um2: u64, now_um2: u64) -> Option<f64> {
    (first_um2 > 0).then(|| {
        let (first, now) = (first_um2 as f64, now_um2 as f64);
        100.0 * (first - now) / first
    })
}

/// The exponential rate of healing, per day: `k = ln(A₀ / A) / t`. Positive if it shrinks; none without
/// two areas above zero or without time between them.
pub fn exponential_rate_per_day(
    (first_um2, first_at): (u64, Timestamp),
    (now_um2, now_at): (u64, Timestamp),
) -> Option<f64> {
    let days = now_at.duration_since(first_at).as_secs_f64() / 86_400.0;
    (first_um2 > 0 && now_um2 > 0 && days > 0.0)
        .then(|| (first_um2 as f64 / now_um2 as f64).ln() / days)
}

/// The linear advance of the wound's edge, in millimetres: the change of area over the mean perimeter.
/// Positive if it closes; none without a perimeter.
pub fn linear_advance_mm(
    (first_um2, first_um): (u64, u32),
    (now_um2, now_um): (u64, u32),
) -> Option<f64> {
    let perimeter_um = (f64::from(first_um) + f64::from(now_um)) / 2.0;
    (perimeter_um > 0.0).then(|| (first_um2 as f64 - now_um2 as f64) / perimeter_um / 1_000.0)
}
