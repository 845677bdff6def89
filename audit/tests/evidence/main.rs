//! Evidence, tested: published vectors, other implementations, our own vectors, and tampering.

mod exports;
mod independent;
#[cfg(feature = "postgres")]
mod postgres;
mod properties;
mod snapshots;
mod tampering;
mod vectors;
mod witness;
mod world;
