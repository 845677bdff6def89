//! One JWS per event (RFC 7515, `EdDSA` per RFC 8037), and public keys as JWK (RFC 7638).
//!
//! Only header, statement and signature are stored; base64url is made when it is needed. A header
//! has exactly one spelling, so that it can be compared as bytes.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::Serialize;

use crate::encoding::{base64url, from_base64url, is_canonical_point};
use crate::json::{self, JsonError, Members, Value};
use crate::merkle::{self, Hash};
use crate::primitives::{SigningKey, sha256};
use crate::statement::MAX_STATEMENT;

/// The `typ` of an event's header.
pub const TYPE: &str = "coherency-event+jws";

/// The longest header that is read; the one spelling has 109 bytes.
pub const MAX_HEADER: usize = 256;

/// The longest compact JWS: an entry of a tlog-tiles bundle carries a 16-bit length.
pub const MAX_COMPACT: usize = 65_535;

/// What can be wrong with a JWS or a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JwsError {
    /// The header is not the one spelling this format has.
    #[error("the header is not exactly that of a signed event")]
    Header,
    /// The header names another key than the one it is checked with.
    #[error("the header names another key")]
    OtherKey,
    /// The signature does not hold (strict verification).
    #[error("the signature does not hold")]
    Signature,
    /// Not a compact JWS of an event.
    #[error("the compact JWS is malformed: {0}")]
    Compact(&'static str),
    /// Not an Ed25519 public key as JWK.
    #[error("the JWK is malformed: {0}")]
    Jwk(&'static str),
}

/// An Ed25519 public key as a JWK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// The public key, base64url.
    pub x: String,
    /// The RFC 7638 thumbprint; checked where it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

/// A JWK Set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl Jwk {
    /// Reads a JWK: exactly its members, of which `kid` may be absent but not null.
    pub(crate) fn read(value: Value<'_>) -> Result<Self, JsonError> {
        const MEMBERS: [&str; 4] = ["kty", "crv", "x", "kid"];
        let mut members = Members::with_optional(value, "a JWK", &MEMBERS, &["kid"])?;
        Ok(Self {
            kty: members.text("kty")?,
            crv: members.text("crv")?,
            x: members.text("x")?,
            kid: members.take("kid").map(|kid| json::text(kid, "kid")).transpose()?,
        })
    }

    /// Reads the JSON text of a JWK.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::read(json::parse(bytes)?)
    }
}

impl JwkSet {
    /// Reads the JSON text of a JWK Set.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let mut members = Members::exactly(json::parse(bytes)?, "a JWK Set", &["keys"])?;
        let keys = members.list("keys")?.into_iter().map(Jwk::read).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }
}

/// A key that events are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    kid: String,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid)
    }
}

impl PublicKey {
    /// Reads the 32 bytes of a key. Weak keys (of small order) are refused, and so is a second spelling of a point.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, JwsError> {
        if !is_canonical_point(bytes) {
            return Err(JwsError::Jwk("a point whose y is not reduced"));
        }
        let key = VerifyingKey::from_bytes(bytes)
            .map_err(|_| JwsError::Jwk("not a point on the curve"))?;
        if key.is_weak() {
            return Err(JwsError::Jwk("a key of small order"));
        }
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(bytes));
        Ok(Self { key, kid: base64url(&sha256(&[members.as_bytes()])) })
    }

    /// Reads a JWK.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, JwsError> {
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
            return Err(JwsError::Jwk("expected kty OKP and crv Ed25519"));
        }
        let bytes: [u8; 32] = Some(&jwk.x)
            .filter(|x| x.len() == 43)
            .and_then(|x| from_base64url(x))
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(JwsError::Jwk("x is not 32 bytes of base64url"))?;
        let key = Self::from_bytes(&bytes)?;
        match &jwk.kid {
            Some(kid) if *kid != key.kid => Err(JwsError::Jwk("kid is not the thumbprint")),
            _ => Ok(key),
        }
    }

    /// The key as a JWK, with its thumbprint.
    #[must_use]
    pub fn to_jwk(&self) -> Jwk {
        Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: base64url(self.key.as_bytes()),
            kid: Some(self.kid.clone()),
        }
    }

    /// The key's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The RFC 7638 thumbprint, base64url: the `kid` of everything this key signs.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.kid
    }

    /// The header of everything this key signs.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{TYPE}"}}"#, self.kid).into_bytes()
    }

    /// Checks a signature over header and statement, strictly.
    pub fn verify(
        &self,
        header: &[u8],
        statement: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), JwsError> {
        if kid(header)? != self.kid {
            return Err(JwsError::OtherKey);
        }
        self.verify_message(&signing_input(header, statement), signature)
    }

    /// Checks a signature over bytes, strictly.
    pub fn verify_message(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), JwsError> {
        let signature = Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).map_err(|_| JwsError::Signature)
    }
}

/// The thumbprint a header names, where the header is exactly as this format has it.
pub fn kid(header: &[u8]) -> Result<&str, JwsError> {
    std::str::from_utf8(header)
        .ok()
        .and_then(|header| header.strip_prefix(r#"{"alg":"EdDSA","kid":""#))
        .and_then(|rest| rest.strip_suffix(r#"","typ":"coherency-event+jws"}"#))
        .filter(|kid| {
            kid.len() == 43
                && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
        .ok_or(JwsError::Header)
}

/// Header and signature of a statement; the statement itself stays with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The protected header, JSON.
    pub header: Vec<u8>,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

/// The key that signs events. Has no `Debug`: it holds a secret, wiped when it is dropped.
#[derive(Clone)]
pub struct EventSigner {
    key: SigningKey,
    public: PublicKey,
    header: Vec<u8>,
}

impl EventSigner {
    /// The key made from a seed.
    pub fn new(seed: &[u8; 32]) -> Result<Self, JwsError> {
        let (key, public) = SigningKey::new(seed);
        let public = PublicKey::from_bytes(&public)?;
        let header = public.header();
        Ok(Self { key, public, header })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the bytes of a statement.
    #[must_use]
    pub fn sign(&self, statement: &[u8]) -> Signed {
        let signature = self.key.sign(&signing_input(&self.header, statement));
        Signed { header: self.header.clone(), signature }
    }
}

fn signing_input(header: &[u8], statement: &[u8]) -> Vec<u8> {
    format!("{}.{}", base64url(header), base64url(statement)).into_bytes()
}

/// The compact serialisation: the leaf data of the event.
#[must_use]
pub fn compact(header: &[u8], statement: &[u8], signature: &[u8; 64]) -> String {
    format!("{}.{}.{}", base64url(header), base64url(statement), base64url(signature))
}

/// The leaf hash of an event: over its compact JWS.
#[must_use]
pub fn leaf(header: &[u8], statement: &[u8], signature: &[u8; 64]) -> Hash {
    merkle::leaf_hash(compact(header, statement, signature).as_bytes())
}

/// The parts of a compact JWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The protected header, JSON.
    pub header: Vec<u8>,
    /// The statement, JSON.
    pub statement: Vec<u8>,
    /// The signature.
    pub signature: [u8; 64],
}

/// Splits a compact JWS; checks lengths and encodings, not the signature.
pub fn parse_compact(jws: &str) -> Result<Parts, JwsError> {
    if jws.len() > MAX_COMPACT {
        return Err(JwsError::Compact("too long"));
    }
    let mut parts = jws.split('.');
    let (Some(header), Some(statement), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(JwsError::Compact("expected three parts"));
    };
    let header = from_base64url(header)
        .filter(|header| header.len() <= MAX_HEADER)
        .ok_or(JwsError::Compact("the header is not base64url, or too long"))?;
    let statement = from_base64url(statement)
        .filter(|statement| statement.len() <= MAX_STATEMENT)
        .ok_or(JwsError::Compact("the statement is not base64url, or too long"))?;
    let signature = from_base64url(signature)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(JwsError::Compact("the signature is not 64 bytes of base64url"))?;
    Ok(Parts { header, statement, signature })
}
