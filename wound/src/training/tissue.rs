//! Makes the numbers that tell tissue apart, and says how far they are to be trusted.

use std::path::Path;

use image::RgbImage;
use serde::Serialize;

use super::logistic::{self, Seen};
use crate::evaluation::dataset::{self, DatasetError};

use crate::tissue::{CELLS_ACROSS, COLOUR_SCALE, Cells, FEATURES, Features, probability, scaled};

/// How the labels of `dfutissue` name slough.
const FIBRIN: u8 = 1;
/// And granulation. Callus is no part of the wound.
const GRANULATION: u8 = 2;
/// Crops that follow each other may be of one person: each is judged by a fit to the other blocks.
const BLOCKS: usize = 6;
/// Keeps the coefficients finite where the classes part.
const RIDGE: f64 = 1e-3;

/// Why nothing could be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The crops or their labels could not be had.
    #[error("the crops and labels could not be read")]
    Dataset(#[from] DatasetError),
    /// There is too little to fit to.
    #[error(
        "only {crops} crops show enough of a wound and the skin around it: at least {BLOCKS} are needed"
    )]
    TooFew {
        /// How many there are.
        crops: usize,
    },
    /// The crops say nothing about one of the coefficients.
    #[error("the crops do not determine the coefficients")]
    Singular,
}

/// What was fitted, and how good it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// Crops with enough of a wound.
    pub crops: usize,
    /// The log odds of slough are the sum of these times the features.
    pub coefficients: [f64; FEATURES],
    /// From the 0.5th to the 99.5th percentile of the crops' L\*, a\* and b\*.
    pub range: [[f64; 2]; 3],
    /// Mean absolute error of the share of slough, on blocks that were not fitted to.
    pub mean_absolute_error: f64,
    /// The same, of always saying the median share: what colour adds must beat that.
    pub mean_absolute_error_of_median: f64,
    /// Standard deviation of the error.
    pub standard_deviation: f64,
    /// Mean error.
    pub bias: f64,
    /// Share of cells told rightly, the mean over crops.
    pub accuracy: f64,
}

/// One crop: its cells' features, and how much of each is slough.
struct Crop {
    features: Vec<Features>,
    slough: Vec<f64>,
}

impl Crop {
    fn share(&self) -> f64 {
        self.slough.iter().sum::<f64>() / self.slough.len() as f64
    }
}

/// The crop's cells; none if it shows too little.
fn crop(example: &dataset::Example) -> Option<Crop> {
    let of = |label: u8| {
        let pixels = example.mask.pixels().map(|pixel| if pixel.0[0] == label { 255 } else { 0 });
        let pixels: Vec<u8> = pixels.flat_map(|value| [value; 3]).collect();
        RgbImage::from_raw(example.mask.width(), example.mask.height(), pixels)
    };
    let (fibrin, granulation) = (of(FIBRIN)?, of(GRANULATION)?);
    let area = fibrin.pixels().chain(granulation.pixels()).filter(|p| p.0[0] > 0).count() as f64;
    let scale = (CELLS_ACROSS / area.sqrt()).min(1.0);
    let cells = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    let (width, height) = (cells(example.image.width()), cells(example.image.height()));
    let cover = |mask: &RgbImage| -> Vec<f64> {
        scaled(mask, width, height).pixels().map(|pixel| f64::from(pixel.0[0]) / 255.0).collect()
    };
    let (fibrin, granulation) = (cover(&fibrin), cover(&granulation));
    let both = fibrin.iter().zip(&granulation);
    let wound: Vec<bool> = both.clone().map(|(fibrin, other)| fibrin + other > 0.5).collect();
    let slough = both.zip(&wound).filter(|(_, wound)| **wound);
    let slough = slough.map(|((fibrin, other), _)| fibrin / (fibrin + other)).collect();
    let features = Cells::new(&scaled(&example.image, width, height), wound).features()?;
    Some(Crop { features, slough })
}

/// Logistic regression; every crop weighs the same.
fn regress<'a>(crops: impl Iterator<Item = &'a Crop> + Clone) -> Result<Features, FitError> {
    let cells = crops.flat_map(|crop| {
        let weight = 1.0 / crop.slough.len() as f64;
        let cells = crop.features.iter().zip(&crop.slough);
        cells.map(move |(numbers, share)| Seen { numbers, share: *share, weight })
    });
    let fitted = logistic::fit(cells, &[0.0; FEATURES], &[RIDGE; FEATURES]);
    fitted.and_then(|fitted| fitted.try_into().ok()).ok_or(FitError::Singular)
}

fn range(crops: &[Crop]) -> [[f64; 2]; 3] {
    [0, 1, 2].map(|channel| {
        let cells = crops.iter().flat_map(|crop| &crop.features);
        let mut values: Vec<f64> = cells.map(|cell| cell[channel] * COLOUR_SCALE).collect();
        values.sort_by(f64::total_cmp);
        [0.005, 0.995].map(|share| super::trial::quantile(&values, share))
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Fits to crops and their labels, paired by stem, and judges the fit on blocks of them left out by turns.
///
/// # Errors
/// The folders cannot be read, or hold too little.
pub fn fit(images: &Path, labels: &Path) -> Result<Fit, FitError> {
    let mut crops = Vec::new();
    for pair in dataset::pairs(images, labels)? {
        crops.extend(crop(&pair.load()?));
    }
    if crops.len() < BLOCKS {
        return Err(FitError::TooFew { crops: crops.len() });
    }
    let (mut errors, mut right) = (Vec::new(), Vec::new());
    let block = |index: usize| index * BLOCKS / crops.len();
    for left_out in 0..BLOCKS {
        let numbered = || crops.iter().enumerate();
        let fitted =
            numbered().filter(|(index, _)| block(*index) != left_out).map(|(_, crop)| crop);
        let coefficients = regress(fitted)?;
        for (_, crop) in numbered().filter(|(index, _)| block(*index) == left_out) {
            let told: Vec<f64> =
                crop.features.iter().map(|cell| probability(&coefficients, cell)).collect();
            errors.push(mean(&told) - crop.share());
            let pairs = told.iter().zip(&crop.slough);
            let agree = pairs.filter(|(told, slough)| (**told > 0.5) == (**slough > 0.5)).count();
            right.push(agree as f64 / told.len() as f64);
        }
    }
    let absolute: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    let bias = mean(&errors);
    let squares: Vec<f64> = errors.iter().map(|error| (error - bias).powi(2)).collect();
    let mut shares: Vec<f64> = crops.iter().map(Crop::share).collect();
    shares.sort_by(f64::total_cmp);
    let median = super::trial::quantile(&shares, 0.5);
    let from_median: Vec<f64> = shares.iter().map(|share| (share - median).abs()).collect();
    Ok(Fit {
        crops: crops.len(),
        coefficients: regress(crops.iter())?,
        range: range(&crops),
        mean_absolute_error: mean(&absolute),
        mean_absolute_error_of_median: mean(&from_median),
        standard_deviation: mean(&squares).sqrt(),
        bias,
        accuracy: mean(&right),
    })
}
