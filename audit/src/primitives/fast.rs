//! By aws-lc.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::{digest, hmac};

/// What is so short is joined first: that is quicker than a context.
const SHORT: usize = 128;

/// SHA-256 over the concatenation of the parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let digest = if length <= SHORT {
        let mut joined = [0; SHORT];
        let mut end = 0;
        for part in parts {
            joined[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        digest::digest(&digest::SHA256, &joined[..end])
    } else {
        let mut context = digest::Context::new(&digest::SHA256);
        parts.iter().for_each(|part| context.update(part));
        context.finish()
    };
    bytes(digest.as_ref())
}

/// A key for HMAC-SHA-256, wiped when it is dropped.
#[derive(Clone)]
pub(crate) struct MacKey(Arc<hmac::Key>);

impl MacKey {
    pub(crate) fn new(key: &[u8]) -> MacKey {
        MacKey(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The tag of what comes of the parts.
    pub(crate) fn tag<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        parts.for_each(|part| context.update(part));
        bytes(context.sign().as_ref())
    }

    /// Whether a tag is that one. Takes the same time whatever differs.
    pub(crate) fn verify<'a>(&self, parts: impl Iterator<Item = &'a [u8]>, tag: &[u8]) -> bool {
        verify_slices_are_equal(&self.tag(parts), tag).is_ok()
    }
}

/// A key that signs, wiped when it is dropped.
#[derive(Clone)]
pub(crate) struct SigningKey(Arc<Ed25519KeyPair>);

impl SigningKey {
    /// The key made from a seed, and its public half.
    pub(crate) fn new(seed: &[u8; 32]) -> (SigningKey, [u8; 32]) {
        let public = ed25519_dalek::SigningKey::from_bytes(seed).verifying_key().to_bytes();
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, &public)
            .expect("the public half is that of the seed");
        (SigningKey(Arc::new(pair)), public)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        bytes(self.0.sign(message).as_ref())
    }
}

fn bytes<const N: usize>(made: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(made);
    bytes
}
