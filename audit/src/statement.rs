//! The statement: what is signed about an event. It holds no personal health information.
//!
//! A statement is serialised once, by its writer, and stored as those bytes.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use uuid::{Uuid, Variant};

use crate::json::{self, JsonError, Members, Value};
use crate::merkle::MAX_SIZE;
use crate::note;
use crate::seal::{MAX_PAYLOAD, OVERHEAD};

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

/// What can act: a person, a program with an account of its own, the ledger itself.
pub const ACTOR_KINDS: [&str; 3] = ["user", "service", "system"];

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
    Json(#[from] JsonError),
    /// It could not be written.
    #[error("the statement cannot be written")]
    Write(#[source] serde_json::Error),
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
        Self(crate::primitives::sha256(&[bytes]))
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

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The account.
    pub id: Uuid,
    /// One of [`ACTOR_KINDS`].
    pub kind: String,
    /// The role under which the action was allowed.
    pub role: String,
}

/// What is stored of the event's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Media {
    /// SHA-256 of the plain file.
    pub sha256: Digest,
    /// Its number of bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// What is signed about one event. Field order is the order on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    #[serde(serialize_with = "instant::serialize")]
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
        let bytes = serde_json::to_vec(self).map_err(StatementError::Write)?;
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
        let statement = Self::read(json::parse(bytes)?)?;
        statement.check()?;
        Ok(statement)
    }

    fn read(value: Value<'_>) -> Result<Self, JsonError> {
        const MEMBERS: [&str; 17] = [
            "format",
            "origin",
            "event_id",
            "stream_type",
            "stream_id",
            "sequence",
            "event_type",
            "event_version",
            "subject",
            "actor",
            "purpose",
            "command_id",
            "correlation_id",
            "recorded_at",
            "payload",
            "media",
            "actor_signature",
        ];
        let mut members = Members::exactly(value, "the statement", &MEMBERS)?;
        let media = members.list("media")?;
        Ok(Self {
            format: members.text("format")?,
            origin: members.text("origin")?,
            event_id: members.uuid("event_id")?,
            stream_type: members.text("stream_type")?,
            stream_id: members.uuid("stream_id")?,
            sequence: members.number("sequence")?,
            event_type: members.text("event_type")?,
            event_version: members.text("event_version")?,
            subject: members.uuid_or_null("subject")?,
            actor: Actor::read(members.value("actor")?)?,
            purpose: members.text("purpose")?,
            command_id: members.uuid("command_id")?,
            correlation_id: members.uuid("correlation_id")?,
            recorded_at: instant::parse(&members.text("recorded_at")?)
                .ok_or(json::shape("recorded_at", "an instant like 2026-11-21T22:08:00.123456Z"))?,
            payload: Payload::read(members.value("payload")?)?,
            media: media.into_iter().map(Media::read).collect::<Result<_, _>>()?,
            actor_signature: members.text_or_null("actor_signature")?,
        })
    }

    fn check(&self) -> Result<(), StatementError> {
        let refuse = |field, problem| Err(StatementError::Field { field, problem });
        if self.format != FORMAT {
            return refuse("format", "this version is not known");
        }
        if !note::is_key_name(&self.origin) {
            return refuse("origin", "not a valid log name");
        }
        if self.event_id.get_version_num() != 7 || self.event_id.get_variant() != Variant::RFC4122 {
            return refuse("event_id", "not a UUIDv7");
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
            return refuse(
                "recorded_at",
                "not a whole number of microseconds in years 1970 to 9998",
            );
        }
        if self.media.len() > MAX_MEDIA {
            return refuse("media", "more than 128");
        }
        if self.media.iter().any(|media| media.size > MAX_SIZE) {
            return refuse("media.size", "beyond 2^53 - 1");
        }
        if !ACTOR_KINDS.contains(&self.actor.kind.as_str()) {
            return refuse("actor.kind", "not `user`, `service` or `system`");
        }
        let printable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
        if self.actor_signature.as_ref().is_some_and(|text| {
            text.is_empty() || text.len() > MAX_ACTOR_SIGNATURE || !printable(text)
        }) {
            return refuse("actor_signature", "not 1 to 8,192 printable characters");
        }
        self.check_payload()
    }

    fn check_payload(&self) -> Result<(), StatementError> {
        let refuse = |field, problem| Err(StatementError::Field { field, problem });
        let said = &self.payload;
        let (sealed, overhead) = match said.encryption.as_str() {
            ENCRYPTION_A256GCM => (true, OVERHEAD as u64),
            ENCRYPTION_NONE => (false, 0),
            _ => return refuse("payload.encryption", "not known"),
        };
        if said.key_id.is_some() != sealed || said.commitment.is_some() != sealed {
            return refuse(
                "payload",
                "a sealed one has key and commitment, one in the clear neither",
            );
        }
        if self.subject.is_some() != sealed {
            return refuse("subject", "a payload is sealed if and only if it is about somebody");
        }
        if !(overhead..=MAX_PAYLOAD as u64 + overhead).contains(&said.size) {
            return refuse("payload.size", "not a size a payload can have");
        }
        Ok(())
    }
}

impl Actor {
    fn read(value: Value<'_>) -> Result<Self, JsonError> {
        let mut members = Members::exactly(value, "the actor", &["id", "kind", "role"])?;
        Ok(Self {
            id: members.uuid("id")?,
            kind: members.text("kind")?,
            role: members.text("role")?,
        })
    }
}

impl Payload {
    fn read(value: Value<'_>) -> Result<Self, JsonError> {
        const MEMBERS: [&str; 5] = ["sha256", "size", "encryption", "key_id", "commitment"];
        let mut members = Members::exactly(value, "the payload", &MEMBERS)?;
        Ok(Self {
            sha256: Digest(members.digest("sha256")?),
            size: members.number("size")?,
            encryption: members.text("encryption")?,
            key_id: members.uuid_or_null("key_id")?,
            commitment: members.digest_or_null("commitment")?.map(Digest),
        })
    }
}

impl Media {
    fn read(value: Value<'_>) -> Result<Self, JsonError> {
        let mut members = Members::exactly(value, "a file", &["sha256", "size", "media_type"])?;
        Ok(Self {
            sha256: Digest(members.digest("sha256")?),
            size: members.number("size")?,
            media_type: members.text("media_type")?,
        })
    }
}

/// Whether a text is an instant as statements spell it.
pub(crate) fn is_instant(text: &str) -> bool {
    instant::parse(text).and_then(instant::to_micros).is_some()
}

/// `2026-11-21T22:08:00.123456Z`, and nothing else.
mod instant {
    use jiff::Timestamp;
    use serde::Serializer;

    const FORM: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

    /// The instant in microseconds, if it has a spelling in this format.
    pub(super) fn to_micros(instant: Timestamp) -> Option<i64> {
        let micros = instant.as_microsecond();
        let whole = Timestamp::from_microsecond(micros).ok()? == instant;
        // The last instants of the year 9999 cannot be told by every library.
        let years = (0..253_370_764_800_000_000).contains(&micros);
        (whole && years).then_some(micros)
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

    /// Reads the one spelling of an instant. A leap second has none.
    pub(super) fn parse(text: &str) -> Option<Timestamp> {
        let instant = Some(text).filter(|text| text.len() == 27)?.parse::<Timestamp>().ok()?;
        (spell(instant) == text).then_some(instant)
    }
}
