//! The few encodings the formats use, each strict: one text per value.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Standard base64 with padding (notes, checkpoints, proofs).
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes standard base64; refuses other alphabets, missing padding and stray bits.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Base64url without padding (JWS, JWK).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding; refuses padding and stray bits.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes exactly 32 bytes of standard base64.
pub(crate) fn hash_from_base64(text: &str) -> Option<[u8; 32]> {
    if text.len() != 44 {
        return None;
    }
    from_base64(text)?.try_into().ok()
}

/// A decimal number with one spelling: no sign, no leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let one_spelling = !text.is_empty()
        && text.len() <= 20
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if one_spelling { text.parse().ok() } else { None }
}

/// Whether the y coordinate of an encoded Ed25519 point is reduced: below 2^255 - 19. The library reads larger ones
/// too, as another spelling of the same point.
pub(crate) fn is_canonical_point(bytes: &[u8; 32]) -> bool {
    let high = (bytes[31] & 0x7F) != 0x7F || bytes[1..31].iter().any(|byte| *byte != 0xFF);
    high || bytes[0] < 0xED
}

#[cfg(test)]
mod tests {
    use super::is_canonical_point;

    /// 2^255 - 19 in little endian is ED FF … FF 7F; the highest bit is the sign of the other coordinate.
    #[test]
    fn a_coordinate_is_canonical_below_the_prime_and_not_from_it_on() {
        let point = |first, last| {
            let mut bytes = [0xFF; 32];
            (bytes[0], bytes[31]) = (first, last);
            bytes
        };
        for last in [0x7F, 0xFF] {
            assert!(is_canonical_point(&point(0xEC, last)), "one less than the prime");
            assert!(!is_canonical_point(&point(0xED, last)), "the prime itself: 0 once more");
            assert!(!is_canonical_point(&point(0xFF, last)), "18 once more");
        }
        assert!(is_canonical_point(&point(0xFF, 0x7E)));
        assert!(is_canonical_point(&[0; 32]));
        for at in 1..31 {
            let mut bytes = point(0xFF, 0x7F);
            bytes[at] = 0xFE;
            assert!(is_canonical_point(&bytes), "byte {at} is smaller");
        }
    }
}
