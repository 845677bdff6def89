//! Making networks: behind the feature `training`, and in no server that is delivered.
//!
//! [`train`] makes weights, [`import`] takes over those that `training/train.py` made. [`tissue`] fits what tells tissue
//! apart, and [`trial`] compares the figures of phantoms with the truth.

mod augment;
mod calibration;
mod import;
mod judge;
mod logistic;
mod material;
#[cfg(test)]
mod quality;
mod synthetic;
pub mod tissue;
mod train;
pub mod trial;

pub use import::{ImportConfig, ImportError, ImportReport, import};
pub use judge::Figures;
pub use material::{MaterialError, write_material};
pub use train::{Progress, Start, TrainConfig, TrainError, TrainReport, train};
