//! Where in a picture is the wound, and is there one at all.
//!
//! [`Segmenter`] answers both with the network whose weights are part of the program. The feature `training` adds what
//! makes such weights, takes them over from elsewhere and judges them (`crate::training`). What the weights were made of, what
//! they can do and what they must not be used for stands in `weights/MODEL_CARD.md`, and, for programs, in
//! `weights/card.json` ([`embedded_card`]). A model that is registered comes as a [`ModelPackage`]: its weights and its card.

pub(crate) mod card;
mod closer;
pub(crate) mod ensemble;
pub(crate) mod evidence;
mod features;
pub(crate) mod model;
mod package;
pub(crate) mod segment;

pub use card::{embedded_card, wound_threshold};
pub use features::Features;
pub use package::{MAX_PACKAGE_BYTES, ModelPackage, PACKAGE_MEDIA_TYPE, PackageError};
pub use segment::{Segmentation, Segmenter, SegmenterError, embedded_weights};
