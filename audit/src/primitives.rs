//! SHA-256, HMAC-SHA-256 and signatures by Ed25519: by aws-lc where it is available, else by the `RustCrypto` crates and
//! ed25519-dalek, which make the same bytes of the same input. aws-lc signs in less than half of the time, and hashes in
//! little more than half of it where the processor has no instructions for that. See `docs/adr/0045`.
//!
//! Signatures are checked by ed25519-dalek alone, strictly; so is every public key.

#[cfg(feature = "seal")]
mod fast;
#[cfg(any(test, not(feature = "seal")))]
mod portable;

#[cfg(feature = "seal")]
pub(crate) use fast::{MacKey, SigningKey, sha256};
#[cfg(not(feature = "seal"))]
pub(crate) use portable::{MacKey, SigningKey, sha256};

#[cfg(test)]
mod tests;
