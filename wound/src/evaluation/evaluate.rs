//! How well the network does on pictures with hand-drawn outlines.

use std::path::PathBuf;

use image::GrayImage;
use serde::Serialize;

use super::dataset::{self, DatasetError, Split};
use crate::network::segment::{PIXEL_THRESHOLD, Segmentation, Segmenter};

/// What to judge.
#[derive(Debug, Clone)]
pub struct EvaluateConfig {
    /// Folder of pictures (JPEG or PNG).
    pub images: PathBuf,
    /// Folder of masks, paired with the pictures by the files' stems.
    pub masks: PathBuf,
    /// Only one side of the fixed split; `None` judges every pair.
    pub split: Option<Split>,
    /// The probability from which on there is a wound.
    pub wound_threshold: f32,
}

/// Why nothing could be judged.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The pictures or masks could not be had.
    #[error("the pictures and masks could not be read")]
    Dataset(#[source] DatasetError),
    /// There is nothing to judge.
    #[error("no picture has a mask of the same stem")]
    Empty,
}

/// The figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// Pictures judged.
    pub n: usize,
    /// Dice over the pixels of all pictures together.
    pub dice_pooled: f64,
    /// Mean of the pictures' Dice; a picture without wound counts 1 if none was found, else 0.
    pub dice_mean: f64,
    /// The same over the pictures with a wound.
    pub dice_mean_nonempty: f64,
    /// Pictures without a wound.
    pub n_empty: usize,
    /// The share of the pictures without a wound in which one was found.
    pub false_positive_rate_on_empty: f64,
    /// The share of the pictures with a wound in which none was found.
    pub miss_rate_on_nonempty: f64,
}

/// Adds pictures up to an [`Evaluation`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    n: usize,
    n_empty: usize,
    found_on_empty: usize,
    missed: usize,
    both: u64,
    sum: u64,
    dice_empty: f64,
    dice_nonempty: f64,
}

impl Tally {
    /// Adds one picture: for each pixel, whether it was predicted and whether it is wound.
    pub fn add(&mut self, pixels: impl IntoIterator<Item = (bool, bool)>) {
        let (mut both, mut predicted, mut truth) = (0u64, 0u64, 0u64);
        for (p, t) in pixels {
            both += u64::from(p && t);
            predicted += u64::from(p);
            truth += u64::from(t);
        }
        self.n += 1;
        self.both += both;
        self.sum += predicted + truth;
        if truth == 0 {
            self.n_empty += 1;
            self.found_on_empty += usize::from(predicted > 0);
            self.dice_empty += if predicted == 0 { 1.0 } else { 0.0 };
        } else {
            self.missed += usize::from(predicted == 0);
            self.dice_nonempty += 2.0 * both as f64 / (predicted + truth) as f64;
        }
    }

    /// The figures so far. Where nothing was to be judged, the perfect figure stands.
    #[must_use]
    pub fn evaluation(&self) -> Evaluation {
        let share = |part: f64, whole: usize, none: f64| {
            if whole == 0 { none } else { part / whole as f64 }
        };
        let nonempty = self.n - self.n_empty;
        Evaluation {
            n: self.n,
            dice_pooled: if self.sum == 0 { 1.0 } else { 2.0 * self.both as f64 / self.sum as f64 },
            dice_mean: share(self.dice_empty + self.dice_nonempty, self.n, 1.0),
            dice_mean_nonempty: share(self.dice_nonempty, nonempty, 1.0),
            n_empty: self.n_empty,
            false_positive_rate_on_empty: share(self.found_on_empty as f64, self.n_empty, 0.0),
            miss_rate_on_nonempty: share(self.missed as f64, nonempty, 0.0),
        }
    }
}

/// A picture's segmentation against its mask, at the mask's resolution.
pub(crate) fn compare(
    segmentation: &Segmentation,
    mask: &GrayImage,
    wound_threshold: f32,
) -> Vec<(bool, bool)> {
    let found = segmentation.wound_found(wound_threshold);
    let scale_x = segmentation.width as f32 / mask.width() as f32;
    let scale_y = segmentation.height as f32 / mask.height() as f32;
    mask.enumerate_pixels()
        .map(|(x, y, pixel)| {
            let at = || segmentation.at((x as f32 + 0.5) * scale_x, (y as f32 + 0.5) * scale_y);
            (found && at() >= PIXEL_THRESHOLD, dataset::is_wound(pixel.0[0]))
        })
        .collect()
}

/// Judges a network, picture by picture; `progress` hears how many of how many are done.
///
/// # Errors
///
/// The folders cannot be read, a file in them is damaged, or no picture has a mask.
pub fn evaluate(
    segmenter: &Segmenter,
    config: &EvaluateConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, EvaluateError> {
    let pairs = dataset::pairs(&config.images, &config.masks).map_err(EvaluateError::Dataset)?;
    let pairs: Vec<_> = pairs
        .into_iter()
        .filter(|pair| config.split.is_none_or(|split| Split::of(&pair.stem) == split))
        .collect();
    if pairs.is_empty() {
        return Err(EvaluateError::Empty);
    }
    let mut tally = Tally::default();
    for (done, pair) in pairs.iter().enumerate() {
        let example = pair.load().map_err(EvaluateError::Dataset)?;
        let segmentation = segmenter.segment(&example.image);
        tally.add(compare(&segmentation, &example.mask, config.wound_threshold));
        progress(done + 1, pairs.len());
    }
    Ok(tally.evaluation())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(predicted: &[u8], truth: &[u8]) -> Vec<(bool, bool)> {
        predicted.iter().zip(truth).map(|(p, t)| (*p == 1, *t == 1)).collect()
    }

    #[test]
    fn figures_of_masks_made_by_hand() {
        let mut tally = Tally::default();
        // 2 of 3 found, 1 too many: Dice 2·2/(3+3).
        tally.add(pixels(&[1, 1, 0, 1], &[1, 1, 1, 0]));
        // Missed altogether.
        tally.add(pixels(&[0, 0, 0, 0], &[0, 1, 0, 0]));
        // No wound and none found; no wound but one found.
        tally.add(pixels(&[0, 0, 0, 0], &[0, 0, 0, 0]));
        tally.add(pixels(&[0, 0, 1, 1], &[0, 0, 0, 0]));
        let evaluation = tally.evaluation();
        assert_eq!(evaluation.n, 4);
        assert_eq!(evaluation.n_empty, 2);
        assert!((evaluation.dice_pooled - 2.0 * 2.0 / 9.0).abs() < 1e-12);
        assert!((evaluation.dice_mean - (2.0 / 3.0 + 0.0 + 1.0 + 0.0) / 4.0).abs() < 1e-12);
        assert!((evaluation.dice_mean_nonempty - 1.0 / 3.0).abs() < 1e-12);
        assert!((evaluation.false_positive_rate_on_empty - 0.5).abs() < 1e-12);
        assert!((evaluation.miss_rate_on_nonempty - 0.5).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_judge_is_no_fault() {
        let evaluation = Tally::default().evaluation();
        assert_eq!(evaluation.n, 0);
        assert!((evaluation.dice_pooled - 1.0).abs() < 1e-12);
        assert!(evaluation.false_positive_rate_on_empty.abs() < 1e-12);
    }

    #[test]
    fn a_segmentation_is_compared_at_the_masks_resolution() {
        let mut mask = GrayImage::new(8, 4);
        for y in 0..4 {
            for x in 4..8 {
                mask.put_pixel(x, y, image::Luma([255]));
            }
        }
        let segmentation = Segmentation {
            width: 4,
            height: 2,
            probability: vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0],
            wound_probability: 0.9,
        };
        let mut tally = Tally::default();
        tally.add(compare(&segmentation, &mask, 0.5));
        assert!((tally.evaluation().dice_pooled - 1.0).abs() < 1e-12);
        let mut tally = Tally::default();
        tally.add(compare(&segmentation, &mask, 0.95));
        assert!(tally.evaluation().dice_pooled.abs() < 1e-12, "below the threshold nothing counts");
    }
}
