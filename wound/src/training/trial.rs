//! A trial: how far the figures of phantoms are from the truth, and how often the truth lies within
//! the stated uncertainty. The same table for the true outline and for the network's, so that what
//! the geometry leaves and what the network adds can be told apart.

use std::ops::Range;

use domain::ModelCard;
use rayon::prelude::*;
use serde::Serialize;

use crate::capture::Frame;
use crate::error::CaptureError;
use crate::geometry::{BoundaryError, Figures, Polygon, ScanRejection, measure_frame};
use crate::network::{Segmentation, Segmenter};
use crate::phantom::{self, PhantomSpec, Truth};
use crate::pipeline;

/// Half the width of a 90 % interval, in standard deviations.
const INTERVAL_90: f64 = 1.645;
/// A true outline has no error.
const NO_ERROR: BoundaryError = BoundaryError { offset: 0.0, ragged: 0.0 };
/// The picture plays no part where the true outline is given, so it is small.
const SMALL: [u32; 2] = [320, 240];
/// Points of a contour at which its error is taken.
const CONTOUR_POINTS: usize = 200;

/// A measure with its unit, and whether its error is a share of the truth.
const MEASURES: [(&str, &str, bool); 6] = [
    ("area", "%", true),
    ("perimeter", "%", true),
    ("length", "mm", false),
    ("width", "mm", false),
    ("depth", "mm", false),
    ("volume", "%", true),
];

/// One measured phantom.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its seed.
    pub seed: u64,
    /// What it truly is.
    pub truth: Truth,
    /// What was measured, or why not.
    pub figures: Result<Figures, ScanRejection>,
    /// The network's contour against the true one, in cells: mean and deviation along it.
    pub contour: Option<(f64, f64)>,
}

impl Case {
    /// Figure and truth of each of the [`Row`]s.
    fn pairs(&self) -> Option<[(crate::geometry::Figure, f64); 6]> {
        let (figures, truth) = (self.figures.as_ref().ok()?, &self.truth);
        Some([
            (figures.area_mm2, truth.area_mm2),
            (figures.perimeter_mm, truth.perimeter_mm),
            (figures.length_mm, truth.length_mm),
            (figures.width_mm, truth.width_mm),
            (figures.max_depth_mm, truth.max_depth_mm),
            (figures.volume_mm3, truth.volume_mm3),
        ])
    }
}

/// One measure over all cases.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What is measured.
    pub measure: &'static str,
    /// Unit of the errors: `%` of the truth, or `mm`.
    pub unit: &'static str,
    /// Cases.
    pub count: usize,
    /// Median of the absolute error.
    pub median: f64,
    /// Nine in ten are nearer than this.
    pub worst_decile: f64,
    /// The largest.
    pub worst: f64,
    /// How often the truth lies in the 90 % interval, in per cent.
    pub covered: f64,
}

/// Measures the phantoms of these seeds inside their true outlines.
///
/// # Errors
/// When a phantom cannot be made, which the random ones always can.
pub fn with_true_outlines(
    seeds: Range<u64>,
    spec: impl Fn(u64) -> PhantomSpec + Sync,
) -> Result<Vec<Case>, CaptureError> {
    let case = |seed| {
        let phantom =
            phantom::generate_unpainted(&PhantomSpec { image_size: SMALL, ..spec(seed) })?;
        let figures = Polygon::new(phantom.outline)
            .ok_or(ScanRejection::NoWound)
            .and_then(|outline| measure_frame(&phantom.capture, &outline, NO_ERROR));
        Ok(phantom.truth.map(|truth| Case { seed, truth, figures, contour: None }))
    };
    seeds.into_par_iter().map(case).filter_map(Result::transpose).collect()
}

/// Measures the phantoms of these seeds inside the outlines of a network with this card.
///
/// # Errors
/// When a phantom cannot be made, which the random ones always can.
pub fn with_network(
    seeds: Range<u64>,
    network: &Segmenter,
    card: &ModelCard,
) -> Result<Vec<Case>, CaptureError> {
    let case = |seed| {
        let phantom = phantom::generate(&PhantomSpec::random(seed))?;
        let segmentation = network.segment(phantom.capture.image());
        let contour = contour_error(&segmentation, card, &phantom.capture, phantom.outline);
        let figures = pipeline::measure_found(&phantom.capture, &segmentation, card);
        Ok(phantom.truth.map(|truth| Case { seed, truth, figures, contour }))
    };
    // The network is parallel in itself.
    seeds.map(case).filter_map(Result::transpose).collect()
}

/// Where the network's contour runs outside the true one, in cells: mean and deviation along it.
fn contour_error(
    segmentation: &Segmentation,
    card: &ModelCard,
    frame: &Frame,
    truth: Vec<[f64; 2]>,
) -> Option<(f64, f64)> {
    let truth = Polygon::new(truth)?;
    let (found, cell) = pipeline::outline(segmentation, card, frame.image().dimensions()).ok()?;
    let points = found.resampled(CONTOUR_POINTS);
    let beyond: Vec<f64> =
        points.points().iter().map(|point| truth.signed_distance(*point) / cell).collect();
    let mean = beyond.iter().sum::<f64>() / beyond.len() as f64;
    let square = beyond.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    Some((mean, (square / beyond.len() as f64).sqrt()))
}

/// The table of the cases that were measured. Volumes below `volume_from_mm3` are left out of the
/// volume's errors, as a share of little says nothing, but not of its coverage.
#[must_use]
pub fn table(cases: &[Case], volume_from_mm3: f64) -> Vec<Row> {
    MEASURES
        .iter()
        .enumerate()
        .map(|(index, (measure, unit, share))| {
            let pairs: Vec<_> =
                cases.iter().filter_map(Case::pairs).map(|pairs| pairs[index]).collect();
            let covered = pairs
                .iter()
                .filter(|(figure, truth)| (figure.value - truth).abs() <= INTERVAL_90 * figure.sd)
                .count();
            let floor = if *measure == "volume" { volume_from_mm3 } else { 0.0 };
            let mut errors: Vec<f64> = pairs
                .iter()
                .filter(|(_, truth)| *truth >= floor)
                .map(|(figure, truth)| {
                    let error = (figure.value - truth).abs();
                    if *share { 100.0 * error / truth } else { error }
                })
                .collect();
            errors.sort_by(f64::total_cmp);
            Row {
                measure,
                unit,
                count: errors.len(),
                median: quantile(&errors, 0.5),
                worst_decile: quantile(&errors, 0.9),
                worst: quantile(&errors, 1.0),
                covered: 100.0 * covered as f64 / pairs.len().max(1) as f64,
            }
        })
        .collect()
}

/// The value below which a share of the sorted values lies; NaN if there are no values.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * share).round() as usize).copied().unwrap_or(f64::NAN)
}
