//! What the network learns from and what it is judged by: photographs, phantoms, drawings.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rayon::prelude::*;

use super::{
    augment::{self, Sample},
    dataset::{self, Example, Split},
    segment::GRID,
    synthetic,
    train::{TrainConfig, TrainError},
};
use crate::wound::phantom::{self, PhantomSpec};

/// Seeds of what only judges the network, far from those of what it learns from.
const HELD_OUT_SEED: u64 = 0xFFFF_0000;

/// Everything to learn from and to be judged by.
pub(super) struct Material {
    photographs: Vec<Example>,
    phantoms: Vec<Example>,
    woundless: Vec<Example>,
    pub(super) held_out: Vec<Example>,
    pub(super) held_out_phantoms: Vec<Example>,
    pub(super) held_out_woundless: Vec<Example>,
}

fn phantom_examples(specs: Vec<PhantomSpec>) -> Result<Vec<Example>, TrainError> {
    specs
        .into_par_iter()
        .map(|spec| {
            let spec = PhantomSpec { image_size: [384, 288], depth_size: [32, 24], ..spec };
            let made = phantom::generate(&spec).map_err(TrainError::Phantom)?;
            Ok(Example { image: made.capture.into_parts().image, mask: made.mask })
        })
        .collect()
}

fn drawings(seeds: std::ops::Range<u64>) -> Vec<Example> {
    seeds
        .into_par_iter()
        .map(|seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let height = if rng.random_bool(0.5) { 288 } else { 384 };
            synthetic::woundless(384, height, &mut rng)
        })
        .collect()
}

impl Material {
    /// Reads and makes all of it.
    pub(super) fn gather(config: &TrainConfig) -> Result<Self, TrainError> {
        let pairs = dataset::pairs(&config.images, &config.masks).map_err(TrainError::Dataset)?;
        let side = |split: Split| -> Result<Vec<Example>, TrainError> {
            let chosen: Vec<_> = pairs
                .iter()
                .filter(|pair| Split::of(&pair.stem) == split)
                .take(config.limit.unwrap_or(usize::MAX))
                .collect();
            let examples: Result<_, _> = chosen.par_iter().map(|pair| pair.load()).collect();
            examples.map_err(TrainError::Dataset)
        };
        let (photographs, held_out) = (side(Split::Training)?, side(Split::HeldOut)?);
        if photographs.is_empty() || held_out.is_empty() {
            return Err(TrainError::Empty);
        }
        let start = config.seed << 32;
        let seeds = |count: usize| start..start + count as u64;
        let healthy =
            phantom_examples(seeds(config.phantoms / 3).map(PhantomSpec::healthy).collect())?;
        let mut woundless = drawings(seeds(config.drawings));
        woundless.extend(healthy);
        let judging = |count: u64| HELD_OUT_SEED..HELD_OUT_SEED + count;
        let mut held_out_woundless =
            phantom_examples(judging(12).map(PhantomSpec::healthy).collect())?;
        held_out_woundless.extend(drawings(judging(48)));
        Ok(Self {
            photographs,
            phantoms: phantom_examples(seeds(config.phantoms).map(PhantomSpec::random).collect())?,
            woundless,
            held_out,
            held_out_phantoms: phantom_examples(judging(40).map(PhantomSpec::random).collect())?,
            held_out_woundless,
        })
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
