//! The statement: what is signed about an event. It holds no personal health information.
//!
//! A statement is serialised once, by its writer, and stored as those bytes. It has one of two formats, which its member
//! `format` names: [`FORMAT_V2`] is what is written, and says by which rule of which policy the action was allowed;
//! [`FORMAT_V1`] does not say, and is read for as long as there are logs that hold it.

use std::fmt;

use jiff::Timestamp;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
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

/// The longest id of a rule.
pub const MAX_RULE: usize = 64;

/// The first format: it names no rule.
pub const FORMAT_V1: &str = "coherency-event/v1";

/// The format that is written: it has [`Grounds`].
pub const FORMAT_V2: &str = "coherency-event/v2";

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

/// Why the action was allowed, and by what way the actor came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// The id of the rule that allowed it: see [`is_rule`].
    pub because: String,
    /// SHA-256 of the text of the policy that has this rule.
    pub policy: Digest,
    /// The program through which the actor acted, by the name under which it is registered.
    pub client: Option<String>,
    /// The actor's session: an id, and no secret.
    pub session: Option<Uuid>,
}

/// What is signed about one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
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
    /// Whose data key seals the payload; null where it is about no person.
    pub subject: Option<Uuid>,
    /// Who acted.
    pub actor: Actor,
    /// Why that was allowed. Only a statement of [`FORMAT_V1`] has none, and none makes it one.
    pub grounds: Option<Grounds>,
    /// The purpose of use, an HL7 v3 `PurposeOfUse` code.
    pub purpose: String,
    /// The command this event answers.
    pub command_id: Uuid,
    /// What this belongs to.
    pub correlation_id: Uuid,
    /// When it was recorded: RFC 3339, UTC, exactly six digits of a second.
    pub recorded_at: Timestamp,
    /// The event's body as stored.
    pub payload: Payload,
    /// Files the event names.
    pub media: Vec<Media>,
    /// The actor's own signature where one was given.
    pub actor_signature: Option<String>,
}

impl Serialize for Statement {
    /// The order here is the order on the wire.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let grounds = self.grounds.as_ref();
        let client = grounds.and_then(|grounds| grounds.client.as_ref());
        let session = grounds.and_then(|grounds| grounds.session.as_ref());
        let added = grounds.map_or(0, |_| 2) + client.iter().len() + session.iter().len();
        let count = MEMBERS_V1.len() + added;
        let mut members = serializer.serialize_struct("Statement", count)?;
        members.serialize_field("format", self.format())?;
        members.serialize_field("origin", &self.origin)?;
        members.serialize_field("event_id", &self.event_id)?;
        members.serialize_field("stream_type", &self.stream_type)?;
        members.serialize_field("stream_id", &self.stream_id)?;
        members.serialize_field("sequence", &self.sequence)?;
        members.serialize_field("event_type", &self.event_type)?;
        members.serialize_field("event_version", &self.event_version)?;
        members.serialize_field("subject", &self.subject)?;
        members.serialize_field("actor", &self.actor)?;
        if let Some(grounds) = grounds {
            members.serialize_field("because", &grounds.because)?;
            members.serialize_field("policy", &grounds.policy)?;
        }
        if let Some(client) = client {
            members.serialize_field("client", client)?;
        }
        if let Some(session) = session {
            members.serialize_field("session", session)?;
        }
        members.serialize_field("purpose", &self.purpose)?;
        members.serialize_field("command_id", &self.command_id)?;
        members.serialize_field("correlation_id", &self.correlation_id)?;
        members.serialize_field("recorded_at", &instant::spell(self.recorded_at))?;
        members.serialize_field("payload", &self.payload)?;
        members.serialize_field("media", &self.media)?;
        members.serialize_field("actor_signature", &self.actor_signature)?;
        members.end()
    }
}

/// The members of [`FORMAT_V1`], all of which [`FORMAT_V2`] has too.
const MEMBERS_V1: [&str; 17] = [
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

/// The members of [`FORMAT_V2`].
const MEMBERS_V2: [&str; 21] = {
    let mut members = ["because"; 21];
    let (before, after) = members.split_at_mut(MEMBERS_V1.len());
    before.copy_from_slice(&MEMBERS_V1);
    after.copy_from_slice(&["because", "policy", "client", "session"]);
    members
};

/// Those of them that may be absent.
const OPTIONAL_V2: [&str; 2] = ["client", "session"];

impl Statement {
    /// [`FORMAT_V2`] where there are grounds, else [`FORMAT_V1`].
    #[must_use]
    pub fn format(&self) -> &'static str {
        if self.grounds.is_some() { FORMAT_V2 } else { FORMAT_V1 }
    }

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

    fn read(value: Value<'_>) -> Result<Self, StatementError> {
        const WHAT: &str = "the statement";
        // Which members there must be is said by one of them.
        let format = match json::member(&value, "format") {
            Some(Value::Text(format)) => format.as_ref(),
            _ => return Err(json::shape("format", "a text").into()),
        };
        let (mut members, has_grounds) = match format {
            FORMAT_V1 => (Members::exactly(value, WHAT, &MEMBERS_V1)?, false),
            FORMAT_V2 => (Members::with_optional(value, WHAT, &MEMBERS_V2, &OPTIONAL_V2)?, true),
            _ => {
                let problem = "this version is not known";
                return Err(StatementError::Field { field: "format", problem });
            }
        };
        let grounds = has_grounds.then(|| Grounds::read(&mut members)).transpose()?;
        let media = members.list("media")?;
        Ok(Self {
            origin: members.text("origin")?,
            event_id: members.uuid("event_id")?,
            stream_type: members.text("stream_type")?,
            stream_id: members.uuid("stream_id")?,
            sequence: members.number("sequence")?,
            event_type: members.text("event_type")?,
            event_version: members.text("event_version")?,
            subject: members.uuid_or_null("subject")?,
            actor: Actor::read(members.value("actor")?)?,
            grounds,
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
        let client = self.grounds.iter().filter_map(|grounds| grounds.client.as_ref());
        let client = client.map(|client| ("client", client));
        for (field, text) in names.into_iter().chain(media).chain(client) {
            if text.is_empty()
                || text.len() > MAX_NAME
                || !text.bytes().all(|b| b.is_ascii_graphic())
            {
                return refuse(field, "not 1 to 128 printable ASCII characters without spaces");
            }
        }
        if self.grounds.as_ref().is_some_and(|grounds| !is_rule(&grounds.because)) {
            return refuse("because", "not 1 to 64 of the characters a-z 0-9 : / -");
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

/// Whether a text can be the id of a rule: 1 to 64 of the characters `a-z 0-9 : / -`.
#[must_use]
pub fn is_rule(text: &str) -> bool {
    let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b':' | b'/' | b'-');
    (1..=MAX_RULE).contains(&text.len()) && text.bytes().all(known)
}

impl Grounds {
    fn read(members: &mut Members<'_>) -> Result<Self, JsonError> {
        Ok(Self {
            because: members.text("because")?,
            policy: Digest(members.digest("policy")?),
            client: members.text_if_given("client")?,
            session: members.uuid_if_given("session")?,
        })
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

    const FORM: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

    /// The instant in microseconds, if it has a spelling in this format.
    pub(super) fn to_micros(instant: Timestamp) -> Option<i64> {
        let micros = instant.as_microsecond();
        let whole = Timestamp::from_microsecond(micros).ok()? == instant;
        // The last instants of the year 9999 cannot be told by every library.
        let years = (0..253_370_764_800_000_000).contains(&micros);
        (whole && years).then_some(micros)
    }

    pub(super) fn spell(instant: Timestamp) -> String {
        instant.strftime(FORM).to_string()
    }

    /// Reads the one spelling of an instant. A leap second has none.
    pub(super) fn parse(text: &str) -> Option<Timestamp> {
        let instant = Some(text).filter(|text| text.len() == 27)?.parse::<Timestamp>().ok()?;
        (spell(instant) == text).then_some(instant)
    }
}
