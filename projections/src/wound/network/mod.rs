//! Where in a picture is the wound, and is there one at all.
//!
//! [`Segmenter`] answers both with the network whose weights are part of the program; [`train`]
//! makes such weights, [`import`] takes over those that `training/train.py` made, and [`evaluate`]
//! judges them. What the weights were made of, what they can do and what they must not be used
//! for stands in `weights/MODEL_CARD.md`, and, for programs, in `weights/card.json` ([`embedded_card`]). A model that
//! is registered comes as a [`ModelPackage`]: its weights and its card.

mod augment;
mod card;
mod closer;
pub(in crate::wound) mod dataset;
mod ensemble;
mod evaluate;
mod evidence;
mod import;
mod judge;
mod material;
mod model;
mod package;
mod reference;
mod segment;
mod synthetic;
mod train;

pub use card::{embedded_card, wound_threshold};
pub use dataset::{DatasetError, Split};
pub use evaluate::{EvaluateConfig, EvaluateError, Evaluation, Tally, evaluate};
pub use import::{ImportConfig, ImportError, ImportReport, import};
pub use judge::Figures;
pub use material::{MaterialError, write_material};
pub use package::{MAX_PACKAGE_BYTES, ModelPackage, PACKAGE_MEDIA_TYPE, PackageError};
pub use reference::{Features, ReferenceConfig, ReferenceError, reference};
pub use segment::{Segmentation, Segmenter, SegmenterError, embedded_weights};
pub use train::{Progress, Start, TrainConfig, TrainError, TrainReport, train};
