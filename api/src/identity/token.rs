//! Access tokens: short-lived JWTs signed with Ed25519, checked strictly.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Longest token looked at; ours have under 700 bytes.
const MAX_TOKEN_BYTES: usize = 4096;
const TOKEN_TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The account.
    pub sub: Uuid,
    /// What the account might do when the token was issued.
    pub roles: Vec<String>,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Expires at, seconds since 1970.
    pub exp: i64,
    /// The token's own id.
    pub jti: Uuid,
}

/// Why a token is not taken. None of it quotes the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of our tokens: its form, algorithm, key, type or claims.
    #[error("the access token is malformed or of another kind")]
    Malformed,
    /// The signature does not verify.
    #[error("the access token's signature is not valid")]
    Signature,
    /// Issued by another issuer.
    #[error("the access token has another issuer")]
    Issuer,
    /// Issued for another audience.
    #[error("the access token is for another audience")]
    Audience,
    /// Too old.
    #[error("the access token has expired")]
    Expired,
    /// Issued in the future: clocks disagree, or the token was forged.
    #[error("the access token is not valid yet")]
    NotYet,
    /// The signing key could not be prepared.
    #[error("access tokens cannot be signed")]
    Key,
}

/// An access token, ready to be handed out.
#[derive(Clone)]
pub struct Issued {
    /// The compact JWT.
    pub token: String,
    /// Its lifetime from now.
    pub expires_in: Duration,
}

/// Issues and checks access tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    encoding: EncodingKey,
    decoding: DecodingKey,
    kid: String,
    issuer: String,
    audience: String,
    lifetime: Duration,
}

/// How far two clocks may disagree about the time of issue.
const LEEWAY_SECONDS: i64 = 5;

impl Tokens {
    /// Prepares the key made from `seed`; tokens name `issuer` and `audience`.
    ///
    /// # Errors
    ///
    /// `TokenError::Key` when the key cannot be brought into the form the signer wants.
    pub fn new(
        seed: &[u8; 32],
        issuer: &str,
        audience: &str,
        lifetime: Duration,
    ) -> Result<Self, TokenError> {
        let key = SigningKey::from_bytes(seed);
        let document = key.to_pkcs8_der().map_err(|_| TokenError::Key)?;
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let decoding = DecodingKey::from_ed_components(&x).map_err(|_| TokenError::Key)?;
        // RFC 7638: the members in this order, without white space.
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(jwk.as_bytes()));
        Ok(Self(Arc::new(Inner {
            encoding: EncodingKey::from_ed_der(document.as_bytes()),
            decoding,
            kid,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            lifetime,
        })))
    }

    /// A token for `account`.
    ///
    /// # Errors
    ///
    /// `TokenError::Key` when signing fails.
    pub fn issue(
        &self,
        account: Uuid,
        roles: Vec<String>,
        now: Timestamp,
    ) -> Result<Issued, TokenError> {
        let seconds = i64::try_from(self.0.lifetime.as_secs()).map_err(|_| TokenError::Key)?;
        let claims = Claims {
            iss: self.0.issuer.clone(),
            aud: self.0.audience.clone(),
            sub: account,
            roles,
            iat: now.as_second(),
            exp: now.as_second().saturating_add(seconds),
            jti: Uuid::now_v7(),
        };
        self.sign(&claims).map(|token| Issued { token, expires_in: self.0.lifetime })
    }

    fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.0.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.0.encoding).map_err(|_| TokenError::Key)
    }

    /// What `token` says, if it is ours and still good at `now`.
    ///
    /// # Errors
    ///
    /// The first thing found wrong with it.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.alg != Algorithm::EdDSA
            || header.typ.as_deref() != Some(TOKEN_TYPE)
            || header.kid.as_deref() != Some(self.0.kid.as_str())
        {
            return Err(TokenError::Malformed);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&self.0.issuer]);
        validation.set_audience(&[&self.0.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The times are checked below against the clock we are given.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.0.decoding, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => TokenError::Signature,
                ErrorKind::InvalidIssuer => TokenError::Issuer,
                ErrorKind::InvalidAudience => TokenError::Audience,
                _ => TokenError::Malformed,
            })?
            .claims;
        if now.as_second() >= claims.exp {
            return Err(TokenError::Expired);
        }
        if claims.iat > now.as_second().saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::NotYet);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(900);

    fn tokens(seed: u8, issuer: &str, audience: &str) -> Tokens {
        Tokens::new(&[seed; 32], issuer, audience, LIFETIME).expect("tokens")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    fn part(value: &serde_json::Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn a_token_lives_from_issue_to_expiry() {
        let tokens = tokens(1, "ledger.example", "clinic");
        let account = Uuid::from_u128(7);
        let issued = tokens.issue(account, vec!["clinician".into()], at(1_000_000)).expect("issue");
        let claims = tokens.verify(&issued.token, at(1_000_899)).expect("still good");
        assert_eq!((claims.sub, claims.exp), (account, 1_000_900));
        assert_eq!(tokens.verify(&issued.token, at(1_000_900)), Err(TokenError::Expired));
        assert_eq!(tokens.verify(&issued.token, at(999_000)), Err(TokenError::NotYet));
    }

    #[test]
    fn whatever_is_not_ours_is_refused() {
        let ours = tokens(1, "ledger.example", "clinic");
        let now = at(1_000_000);
        let issue =
            |tokens: &Tokens| tokens.issue(Uuid::from_u128(7), vec![], now).expect("issue").token;
        let good = issue(&ours);
        let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();

        let cases = [
            ("another issuer", issue(&tokens(1, "elsewhere", "clinic")), TokenError::Issuer),
            ("another audience", issue(&tokens(1, "ledger.example", "bank")), TokenError::Audience),
            ("another key", issue(&tokens(2, "ledger.example", "clinic")), TokenError::Malformed),
            ("not a token", "abc".to_owned(), TokenError::Malformed),
            ("nothing", String::new(), TokenError::Malformed),
            ("far too long", "a".repeat(MAX_TOKEN_BYTES + 1), TokenError::Malformed),
        ];
        for (name, token, expected) in cases {
            assert_eq!(ours.verify(&token, now), Err(expected), "{name}");
        }

        // The signature of one token under the claims of another.
        parts[1] = part(&serde_json::json!({
            "iss": "ledger.example", "aud": "clinic", "sub": Uuid::from_u128(8), "roles": ["admin"],
            "iat": 1_000_000, "exp": 2_000_000, "jti": Uuid::from_u128(9),
        }));
        assert_eq!(ours.verify(&parts.join("."), now), Err(TokenError::Signature));

        // Algorithm confusion: none, and a MAC keyed with our public key.
        for alg in ["none", "HS256", "ES256"] {
            let kid = &ours.0.kid;
            parts[0] = part(&serde_json::json!({ "alg": alg, "typ": TOKEN_TYPE, "kid": kid }));
            for signature in ["", parts[2].clone().as_str()] {
                let token = format!("{}.{}.{signature}", parts[0], parts[1]);
                assert_eq!(ours.verify(&token, now), Err(TokenError::Malformed), "{alg}");
            }
        }
    }
}
