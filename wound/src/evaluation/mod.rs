//! Judging weights by pictures that people outlined: [`evaluate`] scores them, [`reference`](fn@reference) counts what they see.

pub(crate) mod dataset;
pub(crate) mod evaluate;
mod reference;

pub use dataset::{DatasetError, Split};
pub use evaluate::{EvaluateConfig, EvaluateError, Evaluation, Tally, evaluate};
pub use reference::{ReferenceConfig, ReferenceError, reference};
