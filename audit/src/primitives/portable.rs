//! By crates that are Rust throughout.

use ed25519_dalek::Signer as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// SHA-256 over the concatenation of the parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// A key for HMAC-SHA-256, wiped when it is dropped.
#[derive(Clone)]
pub(crate) struct MacKey(Zeroizing<Vec<u8>>);

impl MacKey {
    pub(crate) fn new(key: &[u8]) -> MacKey {
        MacKey(Zeroizing::new(key.to_vec()))
    }

    /// The tag of what comes of the parts.
    pub(crate) fn tag<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
        self.keyed(parts).finalize().into_bytes().into()
    }

    /// Whether a tag is that one. Takes the same time whatever differs.
    pub(crate) fn verify<'a>(&self, parts: impl Iterator<Item = &'a [u8]>, tag: &[u8]) -> bool {
        self.keyed(parts).verify_slice(tag).is_ok()
    }

    fn keyed<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any length");
        parts.for_each(|part| mac.update(part));
        mac
    }
}

/// A key that signs, wiped when it is dropped.
#[derive(Clone)]
pub(crate) struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key made from a seed, and its public half.
    pub(crate) fn new(seed: &[u8; 32]) -> (SigningKey, [u8; 32]) {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = key.verifying_key().to_bytes();
        (SigningKey(key), public)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}
