//! The whole way: bytes are decoded, the wound is found, its outline measured, and the figures
//! become a measurement as the log records it.

use domain::ModelCard;
use domain::model::ContourError;
use domain::value::Digest;
use domain::wound::{Axis, Boundary as DrawnBy, Measurement, MeasurementParts, TissuePermille};
use sha2::Digest as _;

use crate::bundle;
use crate::capture::{Capture, Frame};
use crate::drift::{self, DriftWatch};
use crate::error::CaptureError;
use crate::error::PlyError;
use crate::geometry::{
    BoundaryError, Figure, Figures, Polygon, ScanRejection, WOUND_YELLOW, contour, measure_frame,
    measure_marked_faces,
};
use crate::network::{Features, Segmentation, Segmenter, SegmenterError, embedded_card};
use crate::ply;
use crate::tissue;

/// Every version of geometry and tissue there has been, the present one last: part of the model's digest, so there
/// is another one whenever either comes out differently. The older ones tell which measurements in the log some
/// weights made (`model_digests`), so none is ever taken out.
const GEOMETRY_VERSIONS: [&str; 3] = ["geometry 1", "geometry 2", "geometry 3"];
/// A second find of this share of the largest is a second wound; less is a speck.
const SECOND_WOUND_SHARE: f64 = 0.3;
/// A find of fewer cells than this is a speck.
const WOUND_CELLS_MIN: f64 = 6.0;
/// The network's contour is smoothed over about this many cells.
const CONTOUR_SMOOTHING_CELLS: f64 = 0.7;
/// Error of a drawn outline, in pixels of the image.
const OUTLINE_ERROR: BoundaryError = BoundaryError { offset: 0.4, ragged: 0.6 };
/// Points of a recorded outline.
const RECORDED_POINTS: usize = 256;

/// Who says where the wound is.
#[derive(Debug, Clone, Copy)]
pub enum Boundary<'a> {
    /// The network, whose card says how exactly.
    Network(&'a Segmentation, &'a ModelCard),
    /// A person, as a polygon in pixels of the colour image.
    Outline(&'a [[f64; 2]]),
}

/// Decodes a capture by its media type.
///
/// # Errors
/// A media type that is no capture's, or whatever is wrong with the bytes.
pub fn decode(bytes: &[u8], media_type: &str) -> Result<Capture, CaptureError> {
    match media_type {
        bundle::MEDIA_TYPE => bundle::read(bytes).map(Capture::from),
        bundle::PLY_MEDIA_TYPE => ply::read(bytes).map(Capture::from),
        _ => Err(CaptureError::MediaType),
    }
}

/// Measures the wound of a capture, as the log records it.
///
/// A surface has its wound marked by colour, so there `boundary` is not asked.
///
/// # Errors
/// Why there is no figure to be trusted.
pub fn measure(capture: &Capture, boundary: Boundary<'_>) -> Result<Measurement, ScanRejection> {
    match capture {
        Capture::Frame(frame) => {
            let (figures, outline, drawn_by, probability) = match boundary {
                Boundary::Network(segmentation, card) => {
                    let figures = measure_found(frame, segmentation, card)?;
                    let outline = Polygon::new(figures.outline.clone());
                    let outline = outline.ok_or(ScanRejection::NoWound)?;
                    let size = frame.image().dimensions();
                    let probability = mean_inside(segmentation, &outline, size);
                    (figures, outline, DrawnBy::Network, probability)
                }
                Boundary::Outline(points) => {
                    let outline = Polygon::new(points.to_vec()).ok_or(ScanRejection::Outline)?;
                    let figures = measure_frame(frame, &outline, OUTLINE_ERROR)?;
                    (figures, outline, DrawnBy::Outline, 1.0)
                }
            };
            let tissue = tissue::shares(frame.image(), &outline);
            record(&figures, drawn_by, probability, tissue)
        }
        Capture::Surface(surface) => {
            let figures = measure_marked_faces(surface, WOUND_YELLOW)?;
            record(&figures, DrawnBy::Outline, 1.0, None)
        }
    }
}

/// The figures inside the network's outline, with the network's error as its card states it.
///
/// # Errors
/// Why there is no figure to be trusted.
pub fn measure_found(
    frame: &Frame,
    segmentation: &Segmentation,
    card: &ModelCard,
) -> Result<Figures, ScanRejection> {
    let (outline, cell) = outline(segmentation, card, frame.image().dimensions())?;
    let ContourError { offset_millicells, ragged_millicells } = card.contour_error;
    let error = BoundaryError {
        offset: f64::from(offset_millicells) / 1000.0 * cell,
        ragged: f64::from(ragged_millicells) / 1000.0 * cell,
    };
    measure_frame(frame, &outline, error)
}

/// The network's outline in pixels of the image, and the size of its cells there.
///
/// # Errors
/// No wound, or more than one.
pub fn outline(
    segmentation: &Segmentation,
    card: &ModelCard,
    image_size: (u32, u32),
) -> Result<(Polygon, f64), ScanRejection> {
    if !segmentation.wound_found(card.wound_threshold()) {
        return Err(ScanRejection::NoWound);
    }
    let cell = f64::from(image_size.0) / f64::from(segmentation.width.max(1));
    let contours = contour::contours(
        &segmentation.probability,
        segmentation.width as usize,
        segmentation.height as usize,
        image_size,
    );
    let largest = contours.first().map(Polygon::area).unwrap_or_default();
    let finds = contours
        .iter()
        .filter(|contour| {
            contour.area() >= WOUND_CELLS_MIN * cell * cell
                && contour.area() >= SECOND_WOUND_SHARE * largest
        })
        .count();
    match finds {
        0 => Err(ScanRejection::NoWound),
        1 => {
            let traced = &contours[0];
            let length: f64 = traced.edges().map(|(a, b)| (b[0] - a[0]).hypot(b[1] - a[1])).sum();
            // Half a cell between points, so the smoothing's width is in half cells.
            let count = ((2.0 * length / cell).round() as usize).clamp(16, 2000);
            Ok((traced.resampled(count).smoothed(2.0 * CONTOUR_SMOOTHING_CELLS), cell))
        }
        count => Err(ScanRejection::SeveralWounds { count }),
    }
}

/// The mean probability of the cells inside the outline.
fn mean_inside(segmentation: &Segmentation, outline: &Polygon, image_size: (u32, u32)) -> f64 {
    let scale_x = f64::from(image_size.0) / f64::from(segmentation.width.max(1));
    let scale_y = f64::from(image_size.1) / f64::from(segmentation.height.max(1));
    let (mut sum, mut count) = (0.0, 0_u32);
    for (index, probability) in (0_u32..).zip(&segmentation.probability) {
        let (column, row) = (index % segmentation.width, index / segmentation.width);
        let at =
            [(f64::from(column) + 0.5) * scale_x - 0.5, (f64::from(row) + 0.5) * scale_y - 0.5];
        if outline.contains(at) {
            sum += f64::from(*probability);
            count += 1;
        }
    }
    if count == 0 { f64::from(segmentation.wound_probability) } else { sum / f64::from(count) }
}

/// Figures as whole numbers of the log's units.
fn record(
    figures: &Figures,
    boundary: DrawnBy,
    probability: f64,
    tissue: Option<TissuePermille>,
) -> Result<Measurement, ScanRejection> {
    let outline = Polygon::new(figures.outline.clone()).map_or_else(Vec::new, |outline| {
        let kept = if outline.points().len() > Measurement::MAX_OUTLINE_POINTS {
            outline.resampled(RECORDED_POINTS)
        } else {
            outline
        };
        let pixel = |value: f64| value.round().clamp(0.0, f64::from(u16::MAX)) as u16;
        kept.points().iter().map(|point| point.map(pixel)).collect()
    });
    let length = |figure: Figure| (micro(figure.value), micro(figure.sd));
    let (perimeter_um, perimeter_sd_um) = length(figures.perimeter_mm);
    let (length_um, length_sd_um) = length(figures.length_mm);
    let (width_um, width_sd_um) = length(figures.width_mm);
    let (max_depth_um, max_depth_sd_um) = length(figures.max_depth_mm);
    let parts = MeasurementParts {
        area_um2: whole(figures.area_mm2.value * 1e6),
        area_sd_um2: whole(figures.area_mm2.sd * 1e6),
        perimeter_um,
        perimeter_sd_um,
        length_um,
        length_sd_um,
        width_um,
        width_sd_um,
        max_depth_um,
        max_depth_sd_um,
        volume_nl: whole(figures.volume_mm3.value * 1e3),
        volume_sd_nl: whole(figures.volume_mm3.sd * 1e3),
        boundary,
        wound_probability_permille: (probability * 1000.0).round().clamp(0.0, 1000.0) as u16,
        axis: if figures.head_to_toe { Axis::HeadToToe } else { Axis::Image },
        tissue,
        outline,
    };
    Measurement::try_from(parts).map_err(|_| ScanRejection::Implausible)
}

/// A whole number; what is no number becomes the largest, which the domain refuses.
fn whole(value: f64) -> u64 {
    if value.is_finite() { value.max(0.0).round() as u64 } else { u64::MAX }
}

fn micro(millimetres: f64) -> u32 {
    u32::try_from(whole(millimetres * 1e3)).unwrap_or(u32::MAX)
}

impl From<&CaptureError> for ScanRejection {
    fn from(error: &CaptureError) -> Self {
        match error {
            CaptureError::Intrinsics { .. } => Self::Intrinsics,
            CaptureError::TooLarge { .. } => Self::TooLarge,
            CaptureError::Ply(PlyError::NoVertex) => Self::SurfaceEmpty,
            other => Self::Format { code: other.code() },
        }
    }
}

/// The model of some weights as measurements name it: weights and geometry together decide what is measured.
#[must_use]
pub fn model_digest(weights: &Digest) -> Digest {
    digest_with(weights, GEOMETRY_VERSIONS[GEOMETRY_VERSIONS.len() - 1])
}

/// Every name under which these weights may have measured, with this and earlier versions of the program.
pub fn model_digests(weights: &Digest) -> impl Iterator<Item = Digest> {
    GEOMETRY_VERSIONS.iter().map(|geometry| digest_with(weights, geometry))
}

fn digest_with(weights: &Digest, geometry: &str) -> Digest {
    let mut hash = sha2::Sha256::new();
    hash.update(weights.as_bytes());
    hash.update(geometry.as_bytes());
    Digest::from(<[u8; 32]>::from(hash.finalize()))
}

/// Decodes, segments and measures: what the worker asks.
#[derive(Debug)]
pub struct WoundAnalyzer {
    segmenter: Segmenter,
    card: ModelCard,
    drift: Option<DriftWatch>,
}

impl WoundAnalyzer {
    /// With this network, and the card that belongs to its weights.
    #[must_use]
    pub fn new(segmenter: Segmenter, card: ModelCard) -> Self {
        Self { segmenter, card, drift: None }
    }

    /// With the network whose weights are part of the program.
    ///
    /// # Errors
    /// The weights in the program are not those of this network.
    pub fn embedded() -> Result<Self, SegmenterError> {
        Segmenter::embedded().map(|segmenter| Self::new(segmenter, embedded_card().clone()))
    }

    /// The same, with what it sees compared to what its card says it was judged by.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.drift = Some(DriftWatch::new(self.label(), &self.card));
        self
    }

    /// Measures a decoded capture, with the network's outline or with one that a person drew.
    ///
    /// # Errors
    /// Why there is no figure to be trusted.
    pub fn measure(
        &self,
        capture: &Capture,
        outline: Option<&[[f64; 2]]>,
    ) -> Result<Measurement, ScanRejection> {
        match (capture, outline) {
            (_, Some(outline)) => measure(capture, Boundary::Outline(outline)),
            (Capture::Surface(_), None) => measure(capture, Boundary::Outline(&[])),
            (Capture::Frame(frame), None) => {
                let segmentation = self.segmenter.segment(frame.image());
                if let Some(drift) = &self.drift {
                    drift.observe(Features::of(frame.image(), &segmentation));
                }
                measure(capture, Boundary::Network(&segmentation, &self.card))
            }
        }
    }

    /// Decodes one capture and measures what the network finds in it.
    ///
    /// # Errors
    /// Why there is no figure to be trusted.
    pub fn analyze(&self, bytes: &[u8], media_type: &str) -> Result<Measurement, ScanRejection> {
        let capture = decode(bytes, media_type).map_err(|error| ScanRejection::from(&error))?;
        self.measure(&capture, None)
    }

    /// The digest of everything that decides what is measured: weights and geometry.
    #[must_use]
    pub fn model_digest(&self) -> Digest {
        model_digest(&Digest::from(self.segmenter.digest()))
    }

    /// What the model is called in metrics.
    #[must_use]
    pub fn label(&self) -> String {
        drift::label(&Digest::from(self.segmenter.digest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the log says of measurements of the past must stay true: the list only grows at its end.
    #[test]
    fn the_names_of_models_are_pinned() {
        let weights = Digest([7; 32]);
        let names: Vec<String> = model_digests(&weights).map(|name| name.to_string()).collect();
        assert_eq!(
            names[..2],
            [
                "6b9965261b9efa7bc453a2af4f3ba5c0415611179c707f4c50a239ea936f2dbc",
                "8a6fa5c0016bbadd54ce909fd46084bd879dda761de24a38e0808c0517c58cb2",
            ]
        );
        assert_eq!(Some(model_digest(&weights).to_string()), names.last().cloned());
    }
}
