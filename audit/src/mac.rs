//! Authentication of what is derived from the log and kept in a store: HMAC-SHA-256 under a key that no store holds.
//!
//! An attacker who can write to a store can write any row, document or entry. What such a store gives back is believed
//! only if its tag holds, and the tag binds what the bytes are about, so that no genuine one can stand in for another.

use std::fmt;

use zeroize::Zeroizing;

use crate::primitives;

/// The length of a tag in bytes.
pub const TAG_LEN: usize = 32;

/// A key for tags of one purpose. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct MacKey(primitives::MacKey);

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

impl MacKey {
    /// A key of 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> MacKey {
        MacKey(primitives::MacKey::new(Zeroizing::new(bytes).as_slice()))
    }

    /// A key for one purpose, derived from this one; other purposes tell nothing about it.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> MacKey {
        MacKey::from_bytes(self.tag(&[b"coherency/mac-key/v1", purpose.as_bytes()]))
    }

    /// The tag of some parts, each framed by its length, so that no two lists of parts share one.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let lengths = lengths(parts);
        self.0.tag(framed(parts, &lengths))
    }

    /// Whether a tag is that of the parts. Takes the same time whatever differs.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        let lengths = lengths(parts);
        self.0.verify(framed(parts, &lengths), tag)
    }
}

fn lengths(parts: &[&[u8]]) -> Vec<[u8; 8]> {
    parts.iter().map(|part| (part.len() as u64).to_be_bytes()).collect()
}

/// Each part after its length.
fn framed<'a>(parts: &'a [&'a [u8]], lengths: &'a [[u8; 8]]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().zip(parts).flat_map(|(length, part)| [length.as_slice(), *part])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MacKey {
        MacKey::from_bytes([7; 32])
    }

    #[test]
    fn a_tag_holds_for_its_parts_and_key_alone() {
        let tag = key().tag(&[b"ab", b"c"]);
        assert!(key().verify(&[b"ab", b"c"], &tag));
        for other in [&[b"a".as_slice(), b"bc"][..], &[b"abc"], &[b"ab", b"c", b""], &[]] {
            assert!(!key().verify(other, &tag), "{other:?}");
        }
        assert!(!MacKey::from_bytes([8; 32]).verify(&[b"ab", b"c"], &tag));
        assert!(!key().verify(&[b"ab", b"c"], &tag[..31]));
    }

    #[test]
    fn every_bit_of_a_tag_counts() {
        let tag = key().tag(&[b"x"]);
        for bit in 0..8 * TAG_LEN {
            let mut other = tag;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!key().verify(&[b"x"], &other), "bit {bit}");
        }
    }

    #[test]
    fn a_derived_key_depends_on_its_purpose() {
        let tag = key().derive("a").tag(&[b"x"]);
        assert!(key().derive("a").verify(&[b"x"], &tag));
        assert!(!key().derive("b").verify(&[b"x"], &tag));
        assert!(!key().verify(&[b"x"], &tag));
    }

    #[test]
    fn each_part_is_framed_by_its_length_in_eight_bytes() {
        let framed = [0, 0, 0, 0, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 0];
        let expected = primitives::MacKey::new(&[7; 32]).tag([framed.as_slice()].into_iter());
        assert_eq!(key().tag(&[b"ab", b""]), expected);
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", key()), "MacKey");
    }
}
