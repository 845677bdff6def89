//! C2SP signed notes: text, an empty line, and one line for each signature.
//!
//! Signature type 0x01 (Ed25519) and type 0x04 (a witness's timestamped cosignature) are made and
//! checked. Verification is strict.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

use crate::encoding;
use crate::primitives::{self, SigningKey};

/// The longest note that is read.
pub const MAX_NOTE: usize = 64 * 1024;

/// The most signature lines that are read.
pub const MAX_SIGNATURES: usize = 100;

const ED25519: u8 = 0x01;
const COSIGNATURE: u8 = 0x04;

/// What can be wrong with a note or a key's text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// A key name that is empty, too long, or has a space or a plus sign.
    #[error("a key name must be 1 to 255 bytes without spaces, control characters or '+'")]
    KeyName,
    /// A verifier key that cannot be read.
    #[error("the verifier key is malformed: {0}")]
    VerifierKey(&'static str),
    /// A note that cannot be read.
    #[error("the note is malformed: {0}")]
    Malformed(&'static str),
    /// A signature by a known key that is wrong.
    #[error("the signature by {name} is wrong")]
    BadSignature {
        /// The key's name.
        name: String,
    },
    /// No signature by any of the known keys.
    #[error("the note carries no signature by a known key")]
    Unsigned,
}

/// Whether a text can name a key (and be a log's origin).
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.chars().any(|c| is_space(c) || c.is_control() || c == '+')
}

/// The characters that count as spaces, written out so that no edition of Unicode changes what a name is.
fn is_space(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

fn key_id(name: &str, algorithm: u8, key: &[u8; 32]) -> u32 {
    let digest = primitives::sha256(&[name.as_bytes(), b"\n", &[algorithm], key]);
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The public half of a note's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    algorithm: u8,
    key: VerifyingKey,
    id: u32,
}

impl NoteVerifier {
    /// An Ed25519 key (type 0x01) under a name.
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteError> {
        Self::with_algorithm(name, ED25519, key)
    }

    fn with_algorithm(name: &str, algorithm: u8, bytes: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::KeyName);
        }
        let key = Some(&bytes)
            .filter(|bytes| encoding::is_canonical_point(bytes))
            .and_then(|bytes| VerifyingKey::from_bytes(bytes).ok())
            .ok_or(NoteError::VerifierKey("not a point on the curve"))?;
        if key.is_weak() {
            return Err(NoteError::VerifierKey("a key of small order"));
        }
        Ok(Self { name: name.to_owned(), algorithm, key, id: key_id(name, algorithm, &bytes) })
    }

    /// Reads `name+id+base64(type || key)`.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        if vkey.len() > 512 {
            return Err(NoteError::VerifierKey("too long"));
        }
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::VerifierKey("expected name+id+key"));
        };
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let id = Some(id)
            .filter(|id| id.len() == 8 && id.bytes().all(digits))
            .and_then(|id| u32::from_str_radix(id, 16).ok())
            .ok_or(NoteError::VerifierKey("the id is not eight lower-case hexadecimal digits"))?;
        let bytes =
            encoding::from_base64(key).ok_or(NoteError::VerifierKey("the key is not base64"))?;
        let (algorithm, key) = match bytes.split_first() {
            Some((algorithm @ (&ED25519 | &COSIGNATURE), key)) => (*algorithm, key),
            _ => return Err(NoteError::VerifierKey("the algorithm is unknown")),
        };
        let key: [u8; 32] =
            key.try_into().map_err(|_| NoteError::VerifierKey("the key is not 32 bytes"))?;
        let verifier = Self::with_algorithm(name, algorithm, key)?;
        if verifier.id == id {
            Ok(verifier)
        } else {
            Err(NoteError::VerifierKey("the id does not belong to the key"))
        }
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can be a log's key, which signs (type 0x01); a witness's cosigns.
    #[must_use]
    pub fn is_of_a_log(&self) -> bool {
        self.algorithm == ED25519
    }

    /// The key's id: the first four bytes of `SHA-256(name || "\n" || type || key)`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        match self.algorithm {
            ED25519 => Signature::from_slice(signature)
                .is_ok_and(|signature| self.key.verify_strict(text.as_bytes(), &signature).is_ok()),
            _ => self.verifies_cosignature(text, signature),
        }
    }

    fn verifies_cosignature(&self, text: &str, signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
        let seconds = u64::from_be_bytes(*time);
        if seconds > MAX_SECONDS {
            return false;
        }
        let message = cosigned(seconds, text);
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message.as_bytes(), &signature).is_ok())
    }
}

/// The latest time a cosignature may name, in seconds since 1970.
const MAX_SECONDS: u64 = i64::MAX as u64;

/// What a witness signs.
fn cosigned(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.algorithm];
        key.extend_from_slice(&self.key.to_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, encoding::base64(&key))
    }
}

/// A key that signs notes. Has no `Debug`: it holds a secret.
#[derive(Clone)]
pub struct NoteSigner {
    verifier: NoteVerifier,
    key: SigningKey,
}

impl NoteSigner {
    /// The Ed25519 key made from a seed, under a name.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let (key, public) = SigningKey::new(seed);
        Ok(Self { verifier: NoteVerifier::new(name, public)?, key })
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// Signs a text, which must end in a newline.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        if !text.ends_with('\n') || text.len() > MAX_NOTE {
            return Err(NoteError::Malformed("the text must end in a newline and be bounded"));
        }
        Ok(format!("{text}\n{}", self.line(text)))
    }

    /// Adds this key's signature to a note.
    pub fn add(&self, note: &str) -> Result<String, NoteError> {
        let (text, _) = split(note)?;
        Ok(format!("{note}{}", self.line(text)))
    }

    fn line(&self, text: &str) -> String {
        let mut bytes = self.verifier.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.key.sign(text.as_bytes()));
        format!("— {} {}\n", self.verifier.name, encoding::base64(&bytes))
    }
}

/// A witness's key. Has no `Debug`: it holds a secret.
#[derive(Clone)]
pub struct Cosigner {
    verifier: NoteVerifier,
    key: SigningKey,
}

impl Cosigner {
    /// The Ed25519 cosigning key (type 0x04) made from a seed, under a name.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let (key, public) = SigningKey::new(seed);
        Ok(Self { verifier: NoteVerifier::with_algorithm(name, COSIGNATURE, public)?, key })
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// The signature line for the text of a note, as of a time in seconds since 1970.
    #[must_use]
    pub fn line(&self, text: &str, seconds: u64) -> String {
        let seconds = seconds.min(MAX_SECONDS);
        let mut bytes = self.verifier.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&seconds.to_be_bytes());
        bytes.extend_from_slice(&self.key.sign(cosigned(seconds, text).as_bytes()));
        format!("— {} {}\n", self.verifier.name, encoding::base64(&bytes))
    }
}

/// A note whose known signatures all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedNote<'a> {
    /// The signed text, with its final newline.
    pub text: &'a str,
    /// The known keys that signed it, in the order of the lines.
    pub signed_by: Vec<NoteVerifier>,
    /// How many signature lines belong to keys that are not known here.
    pub unknown: usize,
}

fn split(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > MAX_NOTE {
        return Err(NoteError::Malformed("too long"));
    }
    if note.chars().any(|c| c.is_control() && c != '\n') {
        return Err(NoteError::Malformed("a control character"));
    }
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line before signatures"))?;
    let (text, signatures) = (&note[..=at], &note[at + 2..]);
    if signatures.is_empty() || !signatures.ends_with('\n') {
        return Err(NoteError::Malformed("no signature line, or the last one is cut off"));
    }
    Ok((text, signatures))
}

/// The text of a note whose signatures have not been checked.
pub(crate) fn unverified_text(note: &str) -> Result<&str, NoteError> {
    split(note).map(|(text, _)| text)
}

/// Reads the bytes of a note, which must be UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<&str, NoteError> {
    std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))
}

/// Reads a note and checks the signatures by the known keys. At least one must be there, and a
/// wrong one by a known key refuses the note.
pub fn open<'a>(note: &'a str, known: &[NoteVerifier]) -> Result<OpenedNote<'a>, NoteError> {
    let (text, signatures) = split(note)?;
    let mut opened = OpenedNote { text, signed_by: Vec::new(), unknown: 0 };
    for (count, line) in signatures.lines().enumerate() {
        if count >= MAX_SIGNATURES {
            return Err(NoteError::Malformed("too many signatures"));
        }
        let (name, encoded) = line
            .strip_prefix("— ")
            .and_then(|line| line.split_once(' '))
            .ok_or(NoteError::Malformed("a signature line is not '— name base64'"))?;
        let bytes = encoding::from_base64(encoded)
            .ok_or(NoteError::Malformed("a signature is not base64"))?;
        let Some((id, signature)) = bytes.split_first_chunk::<4>() else {
            return Err(NoteError::Malformed("a signature is too short"));
        };
        if !is_key_name(name) || signature.is_empty() {
            return Err(NoteError::Malformed("a signature line has no valid name or signature"));
        }
        let id = u32::from_be_bytes(*id);
        match known.iter().find(|key| key.name == name && key.id == id) {
            None => opened.unknown += 1,
            Some(key) if key.verifies(text, signature) => {
                if opened.signed_by.contains(key) {
                    return Err(NoteError::Malformed("one key signed twice"));
                }
                opened.signed_by.push(key.clone());
            }
            Some(key) => return Err(NoteError::BadSignature { name: key.name.clone() }),
        }
    }
    if opened.signed_by.is_empty() { Err(NoteError::Unsigned) } else { Ok(opened) }
}
