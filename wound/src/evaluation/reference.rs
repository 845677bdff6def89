//! What a model saw when it was judged, in numbers: how the features that drift is detected by are distributed over a
//! set of pictures. A card holds it, and the worker compares with it what it is handed in (`drift.rs`).

use std::path::PathBuf;

use domain::model::{Reference, TENTHS};

use super::dataset::{self, DatasetError, Split};
use crate::network::{Features, Segmenter};

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
