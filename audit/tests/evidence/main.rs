//! Evidence, tested: published vectors, other implementations, our own vectors, and tampering.

mod exports;
mod independent;
mod limits;
#[cfg(feature = "postgres")]
mod postgres;
mod properties;
#[cfg(feature = "postgres")]
mod reader;
#[cfg(feature = "postgres")]
mod served;
mod snapshots;
mod tampering;
mod vectors;
mod witness;
mod world;
