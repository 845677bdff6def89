//! The card of a model: what it is for, what it was made of, how good it is, and where it must not be trusted.
//!
//! A card is kept in the clear and for good, so it tells of pictures in numbers only and names no person.

use serde::{Deserialize, Serialize};

use crate::value::{Line, Note};

/// How many tenths a distribution is counted in.
pub const TENTHS: usize = 10;

/// Why a card was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// None or too many limits.
    #[error("a card names 1 to {max} limits of its model: say where it must not be trusted")]
    Limits {
        /// The most.
        max: usize,
    },
    /// A figure that cannot be.
    #[error("{field} is out of range: {min} to {max} is possible")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The least, in the field's unit.
        min: u32,
        /// The most.
        max: u32,
    },
    /// Too few pictures, or too many.
    #[error("{field} must count {min} to {max} pictures")]
    Reference {
        /// The field.
        field: &'static str,
        /// The fewest.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Two features of different pictures.
    #[error("both distributions of the reference must count the same pictures")]
    ReferenceUneven,
}

/// How good a model was on pictures that it did not learn from. Whole numbers, as all figures of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CardMetrics {
    /// How many pictures.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub n: u32,
    /// Dice over the pixels of all of them together.
    #[cfg_attr(feature = "schema", schemars(range(max = 1000)))]
    pub dice_pooled_permille: u16,
    /// The mean of each picture's Dice.
    #[cfg_attr(feature = "schema", schemars(range(max = 1000)))]
    pub dice_mean_permille: u16,
}

/// How far the model's contour is from the true one, in thousandths of a cell of its grid, as standard deviations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContourError {
    /// Of the whole contour, outwards or inwards.
    #[cfg_attr(feature = "schema", schemars(range(max = ModelCard::MAX_ERROR_MILLICELLS)))]
    pub offset_millicells: u16,
    /// Of one place of it beside the next.
    #[cfg_attr(feature = "schema", schemars(range(max = ModelCard::MAX_ERROR_MILLICELLS)))]
    pub ragged_millicells: u16,
}

/// How features of pictures are distributed where the model is known to work: how many pictures lie in each tenth
/// of the feature's range, from 0 to 1. What a clinic hands in is compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The probability that the picture shows a wound.
    pub wound_probability: [u32; TENTHS],
    /// The mean brightness of the picture.
    pub picture_brightness: [u32; TENTHS],
}

/// The card of a model: read through `Deref`, made by `ModelCard::try_from(CardParts)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CardParts", into = "CardParts")]
pub struct ModelCard(CardParts);

/// The parts of a [`ModelCard`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CardParts {
    /// What the model is called.
    pub name: Line<100>,
    /// Which version of it this is.
    pub version: Line<40>,
    /// What it is for, and what must happen before anybody relies on it.
    pub intended_use: Note,
    /// What it learned from.
    pub training_data: Note,
    /// What the licence of weights and training data allows.
    pub licence: Note,
    /// Where it must not be trusted.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = ModelCard::MAX_LIMITS)))]
    pub limits: Vec<Note>,
    /// How good it is.
    pub metrics: CardMetrics,
    /// From this probability on a picture is said to show a wound.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub wound_threshold_permille: u16,
    /// How exact its contour is.
    pub contour_error: ContourError,
    /// What it saw when it was judged.
    pub reference: Reference,
}

#[cfg(feature = "schema")]
crate::schema::made_of!(ModelCard(CardParts));

impl ModelCard {
    /// The most limits a card may name.
    pub const MAX_LIMITS: usize = 20;
    /// The greatest error of a contour: ten cells.
    pub const MAX_ERROR_MILLICELLS: u16 = 10_000;
    /// The fewest pictures a reference is made of. Fewer say nothing about a distribution.
    pub const MIN_REFERENCE: u64 = 50;
    /// The most pictures of a reference.
    pub const MAX_REFERENCE: u64 = 100_000_000;

    fn check(parts: &CardParts) -> Result<(), CardError> {
        if !(1..=Self::MAX_LIMITS).contains(&parts.limits.len()) {
            return Err(CardError::Limits { max: Self::MAX_LIMITS });
        }
        let error = parts.contour_error;
        let cells = u32::from(Self::MAX_ERROR_MILLICELLS);
        for (field, value, min, max) in [
            ("n", parts.metrics.n, 1, u32::MAX),
            ("dice_pooled_permille", parts.metrics.dice_pooled_permille.into(), 0, 1000),
            ("dice_mean_permille", parts.metrics.dice_mean_permille.into(), 0, 1000),
            ("wound_threshold_permille", parts.wound_threshold_permille.into(), 1, 1000),
            ("offset_millicells", error.offset_millicells.into(), 0, cells),
            ("ragged_millicells", error.ragged_millicells.into(), 0, cells),
        ] {
            if !(min..=max).contains(&value) {
                return Err(CardError::OutOfRange { field, min, max });
            }
        }
        let pictures = |counts: &[u32; TENTHS]| counts.iter().copied().map(u64::from).sum::<u64>();
        let (min, max) = (Self::MIN_REFERENCE, Self::MAX_REFERENCE);
        let counted = [
            ("wound_probability", pictures(&parts.reference.wound_probability)),
            ("picture_brightness", pictures(&parts.reference.picture_brightness)),
        ];
        for (field, count) in counted {
            if !(min..=max).contains(&count) {
                return Err(CardError::Reference { field, min, max });
            }
        }
        if counted[0].1 == counted[1].1 { Ok(()) } else { Err(CardError::ReferenceUneven) }
    }

    /// From this probability on a picture is said to show a wound.
    pub fn wound_threshold(&self) -> f32 {
        f32::from(self.0.wound_threshold_permille) / 1000.0
    }
}

impl TryFrom<CardParts> for ModelCard {
    type Error = CardError;

    fn try_from(parts: CardParts) -> Result<Self, CardError> {
        Self::check(&parts)?;
        Ok(Self(parts))
    }
}

impl From<ModelCard> for CardParts {
    fn from(card: ModelCard) -> Self {
        card.0
    }
}

impl std::ops::Deref for ModelCard {
    type Target = CardParts;

    fn deref(&self) -> &CardParts {
        &self.0
    }
}
