//! What the network learns from and what it is judged by: photographs, phantoms, drawings.

use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rayon::prelude::*;

use super::{
    augment::{self, Sample},
    synthetic,
    train::{TrainConfig, TrainError},
};
use crate::evaluation::dataset::{self, Example, Split};
use crate::network::segment::GRID;
use crate::{
    error::CaptureError,
    phantom::{self, PhantomSpec},
};

/// Seeds of what only judges the network, far from those of what it learns from.
const HELD_OUT_SEED: u64 = 0xFFFF_0000;

/// Size of the pictures of phantoms; drawings are as wide.
const PHANTOM_SIZE: [u32; 2] = [512, 384];

/// Everything to learn from and to be judged by.
pub(super) struct Material {
    photographs: Vec<Example>,
    phantoms: Vec<Example>,
    woundless: Vec<Example>,
    pub(super) held_out: HeldOut,
}

/// What judges the network, and nothing else.
pub(super) struct HeldOut {
    pub(super) photographs: Vec<Example>,
    pub(super) phantoms: Vec<Example>,
    pub(super) woundless: Vec<Example>,
}

/// Pictures made from a range of seeds.
struct SyntheticExamples {
    phantoms: Vec<Example>,
    healthy: Vec<Example>,
    drawings: Vec<Example>,
}

impl SyntheticExamples {
    fn from(
        seed: u64,
        phantoms: usize,
        healthy: usize,
        drawings_wanted: usize,
    ) -> Result<SyntheticExamples, CaptureError> {
        let seeds = |count: usize| seed..seed + count as u64;
        Ok(SyntheticExamples {
            phantoms: phantom_examples(seeds(phantoms).map(PhantomSpec::random).collect())?,
            healthy: phantom_examples(seeds(healthy).map(PhantomSpec::healthy).collect())?,
            drawings: drawings(seeds(drawings_wanted)),
        })
    }

    /// To learn from: a third as many healthy phantoms as others.
    fn to_learn_from(
        seed: u64,
        phantoms: usize,
        drawings: usize,
    ) -> Result<SyntheticExamples, CaptureError> {
        SyntheticExamples::from(seed << 32, phantoms, phantoms / 3, drawings)
    }

    fn woundless(healthy: Vec<Example>, mut drawings: Vec<Example>) -> Vec<Example> {
        drawings.extend(healthy);
        drawings
    }
}

fn phantom_examples(specs: Vec<PhantomSpec>) -> Result<Vec<Example>, CaptureError> {
    specs
        .into_par_iter()
        .map(|spec| {
            let spec = PhantomSpec { image_size: PHANTOM_SIZE, depth_size: [32, 24], ..spec };
            let made = phantom::generate(&spec)?;
            Ok(Example { image: made.capture.into_parts().image, mask: made.mask })
        })
        .collect()
}

fn drawings(seeds: std::ops::Range<u64>) -> Vec<Example> {
    seeds
        .into_par_iter()
        .map(|seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let height = if rng.random_bool(0.5) { 384 } else { 512 };
            synthetic::woundless(PHANTOM_SIZE[0], height, &mut rng)
        })
        .collect()
}

/// Why made pictures could not be written.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A phantom could not be made.
    #[error("a phantom could not be made")]
    Phantom(#[source] CaptureError),
    /// A folder could not be made.
    #[error("the folder {} could not be made", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A picture could not be written.
    #[error("the picture {} could not be written", path.display())]
    Picture {
        /// Which.
        path: PathBuf,
        /// What the encoder said.
        #[source]
        source: image::ImageError,
    },
}

/// Writes made pictures and their masks as PNG files of equal stems into `images` and `labels`
/// below a folder: `phantom-N` with a wound, a third as many `healthy-N`, and `drawing-N`.
/// Returns how many there are. Those that judge are not among them.
///
/// # Errors
///
/// A phantom cannot be made or a file not be written.
pub fn write_material(
    folder: &Path,
    seed: u64,
    phantoms: usize,
    drawings_wanted: usize,
) -> Result<usize, MaterialError> {
    let made = SyntheticExamples::to_learn_from(seed, phantoms, drawings_wanted)
        .map_err(MaterialError::Phantom)?;
    let kinds = [("phantom", made.phantoms), ("healthy", made.healthy), ("drawing", made.drawings)];
    for name in ["images", "labels"] {
        let path = folder.join(name);
        std::fs::create_dir_all(&path)
            .map_err(|source| MaterialError::Folder { path: path.clone(), source })?;
    }
    let mut written = 0;
    for (kind, examples) in &kinds {
        examples.par_iter().enumerate().try_for_each(|(index, example)| {
            let file = format!("{kind}-{index:04}.png");
            let fail = |path: &Path| {
                let path = path.to_owned();
                move |source| MaterialError::Picture { path, source }
            };
            let path = folder.join("images").join(&file);
            example.image.save(&path).map_err(fail(&path))?;
            let path = folder.join("labels").join(&file);
            example.mask.save(&path).map_err(fail(&path))
        })?;
        written += examples.len();
    }
    Ok(written)
}

/// The photographs of one side of the split.
fn photographs(
    images: &Path,
    masks: &Path,
    split: Split,
    limit: Option<usize>,
) -> Result<Vec<Example>, TrainError> {
    let pairs = dataset::pairs(images, masks).map_err(TrainError::Dataset)?;
    let chosen: Vec<_> = pairs
        .iter()
        .filter(|pair| Split::of(&pair.stem) == split)
        .take(limit.unwrap_or(usize::MAX))
        .collect();
    let examples: Result<Vec<_>, _> = chosen.par_iter().map(|pair| pair.load()).collect();
    let examples = examples.map_err(TrainError::Dataset)?;
    if examples.is_empty() { Err(TrainError::Empty) } else { Ok(examples) }
}

impl HeldOut {
    /// Reads and makes it.
    pub(super) fn gather(
        images: &Path,
        masks: &Path,
        limit: Option<usize>,
    ) -> Result<Self, TrainError> {
        let photographs = photographs(images, masks, Split::HeldOut, limit)?;
        let SyntheticExamples { phantoms, healthy, drawings } =
            SyntheticExamples::from(HELD_OUT_SEED, 40, 12, 48)?;
        Ok(Self {
            photographs,
            phantoms,
            woundless: SyntheticExamples::woundless(healthy, drawings),
        })
    }
}

impl Material {
    /// Reads and makes all of it.
    pub(super) fn gather(config: &TrainConfig) -> Result<Self, TrainError> {
        let TrainConfig { images, masks, limit, .. } = config;
        let held_out = HeldOut::gather(images, masks, *limit)?;
        let photographs = photographs(images, masks, Split::Training, *limit)?;
        let SyntheticExamples { phantoms, healthy, drawings } =
            SyntheticExamples::to_learn_from(config.seed, config.phantoms, config.drawings)?;
        let woundless = SyntheticExamples::woundless(healthy, drawings);
        Ok(Self { photographs, phantoms, woundless, held_out })
    }

    /// What an epoch looks at, in order: each photograph, half of the phantoms and of the
    /// pictures without a wound, and some photographs away from their wounds.
    pub(super) fn epoch(&self, rng: &mut StdRng) -> Vec<Item<'_>> {
        let mut items: Vec<_> = self.photographs.iter().map(Item::Whole).collect();
        let mut some = |examples: &'_ [Example], share: f64| -> Vec<usize> {
            let mut order: Vec<_> = (0..examples.len()).collect();
            order.shuffle(rng);
            order.truncate((examples.len() as f64 * share).round() as usize);
            order
        };
        items.extend(some(&self.phantoms, 0.5).into_iter().map(|i| Item::Whole(&self.phantoms[i])));
        items.extend(
            some(&self.woundless, 0.4).into_iter().map(|i| Item::Whole(&self.woundless[i])),
        );
        items.extend(
            some(&self.photographs, 0.06).into_iter().map(|i| Item::Away(&self.photographs[i])),
        );
        items.shuffle(rng);
        items
    }
}

/// A picture, and which part of it to look at.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    /// All of it.
    Whole(&'a Example),
    /// A part that shows no wound.
    Away(&'a Example),
}

impl Item<'_> {
    /// What the network sees this time, `side` pixels square.
    pub(super) fn sample(self, side: usize, rng: &mut StdRng) -> Sample {
        match self {
            Self::Whole(example) => augment::random(example, side, GRID as usize, rng),
            Self::Away(example) => augment::away_from_wound(example, side, rng)
                .unwrap_or_else(|| augment::random(example, side, GRID as usize, rng)),
        }
    }
}
