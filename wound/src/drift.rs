//! Drift: whether the pictures a model is handed here look, to the model, like those it was judged by.
//!
//! Each feature of the last scans is compared with the reference on the model's card by the population stability
//! index over tenths (docs/measurement.md): `PSI = Σ (aᵢ − eᵢ) · ln(aᵢ / eᵢ)`, with half a picture added to each tenth,
//! so that an empty one does not make it infinite. If nothing has changed, PSI is distributed as `(1/n + 1/m) · χ²` with
//! nine degrees of freedom for n scans and a reference of m pictures (Yurdakul and Naranjo, *Journal of Risk Model
//! Validation* 14(4), 2020); the level that it then exceeds once in twenty times is shown beside it.
//!
//! What is counted names no person, wound or scan.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use domain::ModelCard;
use domain::model::TENTHS;
use domain::value::Digest;

use crate::network::Features;

/// So many scans are compared, the newest.
const WINDOW: usize = 500;

/// From so many on a figure is shown.
const SHOWN_FROM: usize = 50;

/// The 95 % quantile of χ² with nine degrees of freedom.
const CHI_SQUARE_95: f64 = 16.919;

/// The features, as metrics call them, in the order of [`Features::tenths`].
const FEATURES: [&str; 2] = ["wound_probability", "picture_brightness"];

/// What a model is called in metrics: the first half of its weights' digest names it well enough there.
#[must_use]
pub fn label(weights: &Digest) -> String {
    weights.to_string().chars().take(16).collect()
}

/// Watches what one model sees.
#[derive(Debug)]
pub struct DriftWatch {
    model: String,
    reference: [[u32; TENTHS]; 2],
    seen: Mutex<VecDeque<[usize; 2]>>,
}

impl DriftWatch {
    /// Watches the model of this label against the reference on its card.
    #[must_use]
    pub fn new(model: String, card: &ModelCard) -> Self {
        let reference = [card.reference.wound_probability, card.reference.picture_brightness];
        Self { model, reference, seen: Mutex::default() }
    }

    /// Takes note of a scan, and tells the metrics how things stand.
    pub fn observe(&self, features: Features) {
        let model = || self.model.clone();
        metrics::histogram!("model_wound_probability", "model" => model())
            .record(f64::from(features.wound_probability));
        for (feature, drift) in FEATURES.into_iter().zip(self.note(features.tenths())) {
            let Some(Drift { psi, chance }) = drift else { continue };
            metrics::gauge!("model_drift_psi", "model" => model(), "feature" => feature).set(psi);
            metrics::gauge!("model_drift_psi_chance", "model" => model(), "feature" => feature)
                .set(chance);
        }
    }

    /// Adds a scan to the window; the drift of each feature, once there are enough.
    fn note(&self, tenths: [usize; 2]) -> [Option<Drift>; 2] {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back(tenths);
        while seen.len() > WINDOW {
            seen.pop_front();
        }
        if seen.len() < SHOWN_FROM {
            return [None; 2];
        }
        let mut counts = [[0_u32; TENTHS]; 2];
        for tenths in seen.iter() {
            for (counts, tenth) in counts.iter_mut().zip(tenths) {
                counts[*tenth] += 1;
            }
        }
        [0, 1].map(|feature| Some(Drift::of(&self.reference[feature], &counts[feature])))
    }
}

/// How far a distribution has moved.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Drift {
    /// The population stability index.
    psi: f64,
    /// What chance alone exceeds once in twenty times.
    chance: f64,
}

impl Drift {
    fn of(reference: &[u32; TENTHS], seen: &[u32; TENTHS]) -> Drift {
        let total = |counts: &[u32; TENTHS]| counts.iter().copied().map(f64::from).sum::<f64>();
        let (m, n) = (total(reference), total(seen));
        let share =
            |count: u32, total: f64| (f64::from(count) + 0.5) / (total + TENTHS as f64 / 2.0);
        let psi = reference
            .iter()
            .zip(seen)
            .map(|(expected, actual)| {
                let (expected, actual) = (share(*expected, m), share(*actual, n));
                (actual - expected) * (actual / expected).ln()
            })
            .sum();
        Drift { psi, chance: CHI_SQUARE_95 * (1.0 / n + 1.0 / m) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::embedded_card;

    #[test]
    fn the_index_is_the_published_formula() {
        let reference = [10, 20, 30, 40, 50, 50, 40, 30, 20, 10];
        let same = Drift::of(&reference, &reference);
        assert!(same.psi.abs() < 1e-12);
        assert!((same.chance - 16.919 * 2.0 / 300.0).abs() < 1e-12);
        // By hand: all of 100 scans in the last tenth, against a reference of 100 in the first. Shares are
        // 100.5/105 and 0.5/105 there, so 2 · (100/105) · ln(201).
        let mut first = [0; TENTHS];
        let mut last = [0; TENTHS];
        first[0] = 100;
        last[TENTHS - 1] = 100;
        let moved = Drift::of(&first, &last);
        assert!((moved.psi - 2.0 * (100.0 / 105.0) * 201.0_f64.ln()).abs() < 1e-9, "{moved:?}");
        // The same shares of more pictures have moved nowhere.
        let tenfold = reference.map(|count| count * 10);
        assert!(Drift::of(&reference, &tenfold).psi < 0.001);
        // A tenth of the pictures one tenth further is little, half of them is much.
        let shifted = |share: u32| {
            let mut shifted = reference.map(|count| count * (10 - share));
            for (index, count) in reference.iter().enumerate() {
                shifted[(index + 1).min(TENTHS - 1)] += count * share;
            }
            Drift::of(&tenfold, &shifted).psi
        };
        assert!(shifted(1) < 0.1, "{}", shifted(1));
        assert!(shifted(10) > 0.1, "{}", shifted(10));
    }

    #[test]
    fn a_figure_is_shown_from_fifty_scans_on_and_follows_the_last_five_hundred() {
        let watch = DriftWatch::new("model".to_owned(), embedded_card());
        for scan in 1..SHOWN_FROM {
            assert_eq!(watch.note([9, 4]), [None; 2], "scan {scan}");
        }
        assert!(watch.note([9, 4])[0].is_some());
        // A clinic whose light fails: once 500 such scans are in, nothing of what was before counts.
        let mut last = [None; 2];
        for _ in 0..WINDOW {
            last = watch.note([9, 0]);
        }
        let mut dark = [0; TENTHS];
        dark[0] = WINDOW as u32;
        let brightness = last[1].expect("shown");
        assert_eq!(brightness, Drift::of(&embedded_card().reference.picture_brightness, &dark));
        assert!(brightness.psi > 0.25 && brightness.psi > brightness.chance, "{brightness:?}");
    }

    #[test]
    fn a_model_is_called_by_half_of_its_digest() {
        assert_eq!(label(&Digest([0xAB; 32])), "abababababababab");
    }
}
