//! Wounds, from a capture to figures: what a phone's depth camera saw is decoded and checked
//! ([`capture`], [`bundle`], [`importers`], [`ply`]), the wound is found in the picture
//! ([`network`]), its outline is lifted onto the skin and measured ([`geometry`], [`pipeline`]), and its
//! tissue is classified by colour ([`tissue`]).
//!
//! [`drift`] tells whether a model is handed pictures like those it was judged by. [`phantom`] makes captures whose true
//! figures are known, for tests, training and samples. [`evaluation`] judges
//! networks, and the feature `training` adds what makes them.

pub mod bundle;
pub mod capture;
pub mod decode;
pub mod drift;
pub mod error;
pub mod evaluation;
pub mod geometry;
pub mod importers;
pub mod limits;
mod metadata;
pub mod network;
pub mod overlay;
pub mod phantom;
pub mod pipeline;
pub mod ply;
#[cfg(test)]
mod published;
mod random;
pub mod tissue;
#[cfg(feature = "training")]
pub mod training;
pub mod upload;
