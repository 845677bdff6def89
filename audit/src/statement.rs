//! The statement: what is signed about an event. It holds no personal health information.
//!
//! A statement is serialised once, by its writer, and stored as those bytes.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::merkle::MAX_SIZE;
use crate::note;

/// The longest statement.
///
/// The evidence rules ask for less than 64 KiB. The entry bundles of tlog-tiles ask for more: an
/// entry is the compact JWS and carries a 16-bit length, and base64url grows a statement by a
/// third. 48,000 bytes become 64,000; header and signature fit into the rest.
pub const MAX_STATEMENT: usize = 48_000;

/// The most media one event may name.
pub const MAX_MEDIA: usize = 128;

/// The longest short text in a statement: types, versions, roles, codes.
pub const MAX_NAME: usize = 128;

/// The longest signature of an actor's own.
pub const MAX_ACTOR_SIGNATURE: usize = 8 * 1024;

/// The value of [`Statement::format`].
pub const FORMAT: &str = "coherency-event/v1";

/// The `encryption` of a payload that is stored in the clear.
pub const ENCRYPTION_NONE: &str = "none";

/// The `encryption` of a sealed payload.
pub const ENCRYPTION_A256GCM: &str = "A256GCM";

/// What can be wrong with a statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Longer than [`MAX_STATEMENT`].
    #[error("a statement of {0} bytes is longer than {MAX_STATEMENT}")]
    TooLong(usize),
    /// Not JSON with exactly the fields of a statement.
    #[error("the statement cannot be read")]
    Json(#[source] serde_json::Error),
    /// A field outside its bounds.
    #[error("the statement's {field} is not valid: {problem}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(crate::encoding::sha256(&[bytes]))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if lower && hex::decode_to_slice(&text, &mut bytes).is_ok() {
            Ok(Self(bytes))
        } else {
            Err(serde::de::Error::custom("expected 64 lower-case hexadecimal digits"))
        }
    }
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The account.
    pub id: Uuid,
    /// `user`, `service` or `system`.
    pub kind: String,
    /// The role under which the action was allowed.
    pub role: String,
}

/// What is stored of the event's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// SHA-256 of the stored bytes.
    pub sha256: Digest,
    /// Number of the stored bytes.
    pub size: u64,
    /// [`ENCRYPTION_A256GCM`] or [`ENCRYPTION_NONE`].
    pub encryption: String,
    /// The data key of a sealed payload; null if stored in the clear.
    pub key_id: Option<Uuid>,
    /// The hiding commitment to the plaintext of a sealed payload; null if stored in the clear.
    pub commitment: Option<Digest>,
}

impl Payload {
    /// A payload stored in the clear.
    #[must_use]
    pub fn plain(bytes: &[u8]) -> Self {
        Self {
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
            encryption: ENCRYPTION_NONE.to_owned(),
            key_id: None,
            commitment: None,
        }
    }

    /// A sealed payload.
    #[must_use]
    pub fn sealed(sealed: &crate::seal::Sealed, key_id: Uuid) -> Self {
        Self {
            sha256: Digest::of(&sealed.bytes),
            size: sealed.bytes.len() as u64,
            encryption: ENCRYPTION_A256GCM.to_owned(),
            key_id: Some(key_id),
            commitment: Some(Digest(sealed.commitment)),
        }
    }
}

/// A file the event names, kept outside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// SHA-256 of the plain file.
    pub sha256: Digest,
    /// Its number of bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// What is signed about one event. Field order is the order on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Always [`FORMAT`].
    pub format: String,
    /// The log's identity.
    pub origin: String,
    /// The event (`UUIDv7`).
    pub event_id: Uuid,
    /// The kind of stream.
    pub stream_type: String,
    /// The stream.
    pub stream_id: Uuid,
    /// Dense from 1 within the stream.
    pub sequence: u64,
    /// The kind of event.
    pub event_type: String,
    /// The version of its body's schema.
    pub event_version: String,
    /// Whose data key seals the payload; null where it is about nobody.
    pub subject: Option<Uuid>,
    /// Who acted.
    pub actor: Actor,
    /// The purpose of use, an HL7 v3 `PurposeOfUse` code.
    pub purpose: String,
    /// The command this event answers.
    pub command_id: Uuid,
    /// What this belongs to.
    pub correlation_id: Uuid,
    /// When it was recorded: RFC 3339, UTC, exactly six digits of a second.
    #[serde(with = "instant")]
    pub recorded_at: Timestamp,
    /// The event's body as stored.
    pub payload: Payload,
    /// Files the event names.
    pub media: Vec<Media>,
    /// The actor's own signature where one was given.
    pub actor_signature: Option<String>,
}

impl Statement {
    /// The bytes to sign and to store. Called once per event.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        self.check()?;
        let bytes = serde_json::to_vec(self).map_err(StatementError::Json)?;
        if bytes.len() > MAX_STATEMENT {
            return Err(StatementError::TooLong(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads a statement: exactly its fields, each once and within its bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > MAX_STATEMENT {
            return Err(StatementError::TooLong(bytes.len()));
        }
        let statement: Self = serde_json::from_slice(bytes).map_err(StatementError::Json)?;
        statement.check()?;
        Ok(statement)
    }

    fn check(&self) -> Result<(), StatementError> {
        let refuse = |field, problem| Err(StatementError::Field { field, problem });
        if self.format != FORMAT {
            return refuse("format", "this version is not known");
        }
        if !note::is_key_name(&self.origin) {
            return refuse("origin", "not a valid log name");
        }
        if self.sequence == 0 || self.sequence > MAX_SIZE {
            return refuse("sequence", "not between 1 and 2^53 - 1");
        }
        let names = [
            ("stream_type", &self.stream_type),
            ("event_type", &self.event_type),
            ("event_version", &self.event_version),
            ("actor.kind", &self.actor.kind),
            ("actor.role", &self.actor.role),
            ("purpose", &self.purpose),
        ];
        let media = self.media.iter().map(|media| ("media.media_type", &media.media_type));
        for (field, text) in names.into_iter().chain(media) {
            if text.is_empty()
                || text.len() > MAX_NAME
                || !text.bytes().all(|b| b.is_ascii_graphic())
            {
                return refuse(field, "not 1 to 128 printable ASCII characters without spaces");
            }
        }
        if instant::to_micros(self.recorded_at).is_none() {
            return refuse("recorded_at", "not a whole number of microseconds in years 1 to 9999");
        }
        if self.media.len() > MAX_MEDIA {
            return refuse("media", "more than 128");
        }
        if self.actor_signature.as_ref().is_some_and(|text| text.len() > MAX_ACTOR_SIGNATURE) {
            return refuse("actor_signature", "longer than 8 KiB");
        }
        let sealed = self.payload.key_id.is_some() && self.payload.commitment.is_some();
        let clear = self.payload.key_id.is_none() && self.payload.commitment.is_none();
        match self.payload.encryption.as_str() {
            ENCRYPTION_A256GCM if sealed => Ok(()),
            ENCRYPTION_NONE if clear => Ok(()),
            ENCRYPTION_A256GCM | ENCRYPTION_NONE => {
                refuse("payload", "key and commitment belong to a sealed payload, both or neither")
            }
            _ => refuse("payload.encryption", "not known"),
        }
    }
}

/// `2026-11-21T22:08:00.123456Z`, and nothing else.
mod instant {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    const FORM: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

    /// The instant in microseconds, if it has a spelling in this format.
    pub(super) fn to_micros(instant: Timestamp) -> Option<i64> {
        let micros = instant.as_microsecond();
        let whole = Timestamp::from_microsecond(micros).ok()? == instant;
        (whole && spell(instant).len() == 27).then_some(micros)
    }

    fn spell(instant: Timestamp) -> String {
        instant.strftime(FORM).to_string()
    }

    pub(super) fn serialize<S: Serializer>(
        instant: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&spell(*instant))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let instant = Some(&text)
            .filter(|text| text.len() == 27)
            .and_then(|text| text.parse::<Timestamp>().ok())
            .filter(|instant| spell(*instant) == text);
        instant.ok_or_else(|| {
            serde::de::Error::custom("expected an instant like 2026-11-21T22:08:00.123456Z")
        })
    }
}
