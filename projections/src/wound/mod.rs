//! Wounds, from a capture to figures: what a phone's depth camera saw is decoded and checked
//! ([`capture`], [`bundle`], [`importers`], [`ply`]), the wound is found in the picture
//! ([`network`]), its outline is lifted onto the skin and measured ([`geometry`], [`pipeline`]), and its
//! tissue is told apart by colour ([`tissue`]).
//!
//! [`phantom`] makes captures whose true figures are known, for tests, training and samples.

pub mod bundle;
pub mod capture;
pub mod decode;
pub mod geometry;
pub mod importers;
mod logistic;
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
pub mod trial;
