//! Published vectors for every primitive, and that the fast and the portable ones agree.

use proptest::prelude::*;

use super::*;

fn decoded<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).expect("hex").try_into().expect("the length")
}

/// FIPS 180-2, appendix B, and the empty message.
#[test]
fn sha_256_is_that_of_the_standard() {
    for (parts, digest) in [
        (
            &[b"abc".as_slice()][..],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (&[b"a", b"", b"bc"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            &[b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"],
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (&[], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        assert_eq!(sha256(parts), decoded(digest));
        assert_eq!(portable::sha256(parts), decoded(digest));
    }
}

/// RFC 4231, test cases 2 and 6.
#[test]
fn tags_are_those_of_the_standard() {
    let long = [0xAA; 131];
    for (key, message, tag) in [
        (
            b"Jefe".as_slice(),
            b"what do ya want for nothing?".as_slice(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &long,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        let parts = || message.chunks(5);
        assert_eq!(MacKey::new(key).tag(parts()), decoded(tag));
        assert_eq!(portable::MacKey::new(key).tag(parts()), decoded(tag));
        let tag: [u8; 32] = decoded(tag);
        for (whole, part) in [(message, &tag[..]), (message, &tag[..31]), (&message[1..], &tag[..])]
        {
            let holds = whole.len() == message.len() && part.len() == tag.len();
            assert_eq!(MacKey::new(key).verify(whole.chunks(5), part), holds);
            assert_eq!(portable::MacKey::new(key).verify(whole.chunks(5), part), holds);
        }
    }
}

/// RFC 8032, section 7.1, tests 1 and 3.
#[test]
fn signatures_are_those_of_the_standard() {
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            b"".as_slice(),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            &[0xAF, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let (key, made) = SigningKey::new(&decoded(seed));
        assert_eq!(made, decoded(public));
        assert_eq!(key.sign(message), decoded(signature));
        let (key, made) = portable::SigningKey::new(&decoded(seed));
        assert_eq!(made, decoded(public));
        assert_eq!(key.sign(message), decoded(signature));
    }
}

proptest! {
    #[test]
    fn both_make_the_same_bytes(seed: [u8; 32], message: Vec<u8>, split in 0.0..1.0_f64) {
        let at = (message.len() as f64 * split) as usize;
        let parts = [&message[..at], &message[at..]];
        prop_assert_eq!(sha256(&parts), portable::sha256(&parts));
        let tags = (MacKey::new(&seed), portable::MacKey::new(&seed));
        prop_assert_eq!(tags.0.tag(parts.into_iter()), tags.1.tag(parts.into_iter()));
        let (key, public) = SigningKey::new(&seed);
        let (other, same) = portable::SigningKey::new(&seed);
        prop_assert_eq!(public, same);
        prop_assert_eq!(key.sign(&message), other.sign(&message));
    }
}
