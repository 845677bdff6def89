//! Evidence, tested: published vectors, other implementations, our own vectors, and tampering.

mod cases;
#[cfg(feature = "postgres")]
mod data_keys;
mod edges;
mod exports;
mod folders;
mod grounds;
mod independent;
#[path = "../mutations/layout.rs"]
#[expect(dead_code, reason = "the mutations use more of it")]
mod layout;
mod limits;
#[cfg(feature = "postgres")]
mod postgres;
mod properties;
#[cfg(feature = "postgres")]
mod reader;
#[cfg(feature = "postgres")]
mod served;
mod snapshots;
#[cfg(feature = "postgres")]
mod stored;
#[cfg(feature = "postgres")]
mod tags;
mod tampering;
mod vectors;
mod verdicts;
mod witness;
mod world;
