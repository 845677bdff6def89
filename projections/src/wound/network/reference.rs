//! What a model saw when it was judged, in numbers: how the features that drift is told by are distributed over a
//! set of pictures. A card holds it, and the worker compares with it what it is handed in (`worker::drift`).

use std::path::PathBuf;

use domain::model::{Reference, TENTHS};
use image::RgbImage;

use super::{
    dataset::{self, DatasetError, Split},
    segment::{Segmentation, Segmenter},
};

/// What drift is told by: two features of a picture, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// The probability that it shows a wound.
    pub wound_probability: f32,
    /// Its mean brightness.
    pub picture_brightness: f32,
}

impl Features {
    /// The features of a picture and of what the network saw in it.
    #[must_use]
    pub fn of(image: &RgbImage, segmentation: &Segmentation) -> Self {
        Self {
            wound_probability: segmentation.wound_probability,
            picture_brightness: brightness(image),
        }
    }

    /// The tenths they lie in, in the order of the fields.
    #[must_use]
    pub fn tenths(self) -> [usize; 2] {
        [tenth(self.wound_probability), tenth(self.picture_brightness)]
    }
}

/// Which tenth of the range from 0 to 1 a value lies in; 1 lies in the last.
fn tenth(value: f32) -> usize {
    ((value.clamp(0.0, 1.0) * TENTHS as f32) as usize).min(TENTHS - 1)
}

/// The mean luma (BT.601) of the pixels that are not wholly black, from 0 to 1. Black is what photographs are padded
/// with, and says nothing about the light.
fn brightness(image: &RgbImage) -> f32 {
    let (mut sum, mut count) = (0_u64, 0_u64);
    for pixel in image.pixels().filter(|pixel| pixel.0 != [0, 0, 0]) {
        let [red, green, blue] = pixel.0.map(u64::from);
        sum += 299 * red + 587 * green + 114 * blue;
        count += 1;
    }
    if count == 0 { 0.0 } else { (sum as f64 / (255_000 * count) as f64) as f32 }
}

/// Of which pictures.
#[derive(Debug, Clone)]
pub struct ReferenceConfig {
    /// Folder of pictures (JPEG or PNG).
    pub images: PathBuf,
    /// Folder of masks, paired with the pictures by the files' stems, so that they are the pictures the model was
    /// judged by.
    pub masks: PathBuf,
    /// Only one side of the fixed split; `None` takes every pair.
    pub split: Option<Split>,
}

/// Why there is no reference.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The pictures or masks could not be had.
    #[error("the pictures and masks could not be read")]
    Dataset(#[source] DatasetError),
    /// There is nothing to count.
    #[error("no picture has a mask of the same stem")]
    Empty,
}

/// Counts the features of pictures as a network sees them; `progress` hears how many of how many are done.
///
/// # Errors
///
/// The folders cannot be read, a file in them is damaged, or no picture has a mask.
pub fn reference(
    segmenter: &Segmenter,
    config: &ReferenceConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Reference, ReferenceError> {
    let pairs = dataset::pairs(&config.images, &config.masks).map_err(ReferenceError::Dataset)?;
    let chosen = |stem: &str| config.split.is_none_or(|split| Split::of(stem) == split);
    let pairs: Vec<_> = pairs.into_iter().filter(|pair| chosen(&pair.stem)).collect();
    if pairs.is_empty() {
        return Err(ReferenceError::Empty);
    }
    let mut counts = [[0_u32; TENTHS]; 2];
    for (done, pair) in pairs.iter().enumerate() {
        let image = pair.load().map_err(ReferenceError::Dataset)?.image;
        let tenths = Features::of(&image, &segmenter.segment(&image)).tenths();
        for (counts, tenth) in counts.iter_mut().zip(tenths) {
            counts[tenth] += 1;
        }
        progress(done + 1, pairs.len());
    }
    let [wound_probability, picture_brightness] = counts;
    Ok(Reference { wound_probability, picture_brightness })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_cover_the_range_and_nothing_falls_outside() {
        let table =
            [(0.0, 0), (0.099, 0), (0.1, 1), (0.55, 5), (0.999, 9), (1.0, 9), (-1.0, 0), (7.0, 9)];
        for (value, expected) in table {
            assert_eq!(tenth(value), expected, "{value}");
        }
        assert_eq!(tenth(f32::NAN), 0);
    }

    #[test]
    fn brightness_is_of_what_is_not_padding() {
        let mut image = RgbImage::from_pixel(4, 4, image::Rgb([255, 255, 255]));
        assert!((brightness(&image) - 1.0).abs() < 1e-6);
        for x in 0..4 {
            image.put_pixel(x, 0, image::Rgb([0, 0, 0]));
        }
        assert!((brightness(&image) - 1.0).abs() < 1e-6, "black rows do not count");
        let grey = RgbImage::from_pixel(3, 2, image::Rgb([51, 51, 51]));
        assert!((brightness(&grey) - 0.2).abs() < 1e-6);
        assert!(brightness(&RgbImage::new(3, 2)).abs() < 1e-6, "nothing but black is dark");
    }
}
