//! The log's own events: its genesis and its keys. Stream type `ledger`, payloads in the clear.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::json::{self, JsonError, Members};
use crate::jws::Jwk;
use crate::primitives::sha256;
use crate::statement::{Actor, Grounds, Payload, Statement};

/// The stream type of the log's own events.
pub const STREAM_TYPE: &str = "ledger";

/// The version of every payload in this module.
pub const EVENT_VERSION: &str = "1";

/// The purpose of use of the log's own events (health care operations).
pub const PURPOSE: &str = "HOPERAT";

/// The longest payload of the log's own events that is read.
pub const MAX_SYSTEM_PAYLOAD: usize = 16 * 1024;

/// The longest reason of a retirement.
pub const MAX_REASON: usize = 256;

/// What can be wrong with a payload of the log's own.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// Too long.
    #[error("a payload of {0} bytes is too long for an event of the log's own")]
    TooLong(usize),
    /// A schema version this crate does not know.
    #[error("version {0} of this event is not known")]
    Version(String),
    /// Not the JSON the event type asks for.
    #[error("the payload cannot be read")]
    Json(#[from] JsonError),
    /// It could not be written.
    #[error("the payload cannot be written")]
    Write(#[source] serde_json::Error),
}

/// Position 0: the log is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GenesisPayload {
    /// The log's identity.
    pub origin: String,
    /// [`crate::FORMAT`].
    pub format: String,
    /// The first signing key; active from position 0.
    pub jwk: Jwk,
}

/// Another key may sign from the next position on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyActivatedPayload {
    /// The key.
    pub jwk: Jwk,
}

/// A key may not sign after this position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyRetiredPayload {
    /// The key's thumbprint.
    pub kid: String,
    /// Why.
    pub reason: String,
}

/// An event of the log's own that concerns keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemEvent {
    /// `LedgerCreated`.
    Genesis(GenesisPayload),
    /// `KeyActivated`.
    KeyActivated(KeyActivatedPayload),
    /// `KeyRetired`.
    KeyRetired(KeyRetiredPayload),
}

impl SystemEvent {
    /// The event type in the statement.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "LedgerCreated",
            Self::KeyActivated(_) => "KeyActivated",
            Self::KeyRetired(_) => "KeyRetired",
        }
    }

    /// The payload, JSON.
    pub fn to_payload(&self) -> Result<Vec<u8>, SystemError> {
        match self {
            Self::Genesis(payload) => serde_json::to_vec(payload),
            Self::KeyActivated(payload) => serde_json::to_vec(payload),
            Self::KeyRetired(payload) => serde_json::to_vec(payload),
        }
        .map_err(SystemError::Write)
    }

    /// Reads a payload. `None`: an event type that says nothing about keys.
    pub fn parse(
        event_type: &str,
        event_version: &str,
        payload: &[u8],
    ) -> Result<Option<Self>, SystemError> {
        if !matches!(event_type, "LedgerCreated" | "KeyActivated" | "KeyRetired") {
            return Ok(None);
        }
        if event_version != EVENT_VERSION {
            return Err(SystemError::Version(event_version.to_owned()));
        }
        if payload.len() > MAX_SYSTEM_PAYLOAD {
            return Err(SystemError::TooLong(payload.len()));
        }
        let value = json::parse(payload)?;
        let event = match event_type {
            "LedgerCreated" => {
                let mut members =
                    Members::exactly(value, "the payload", &["origin", "format", "jwk"])?;
                Self::Genesis(GenesisPayload {
                    origin: members.text("origin")?,
                    format: members.text("format")?,
                    jwk: Jwk::read(members.value("jwk")?)?,
                })
            }
            "KeyActivated" => {
                let mut members = Members::exactly(value, "the payload", &["jwk"])?;
                Self::KeyActivated(KeyActivatedPayload { jwk: Jwk::read(members.value("jwk")?)? })
            }
            _ => {
                let mut members = Members::exactly(value, "the payload", &["kid", "reason"])?;
                let (kid, reason) = (members.text("kid")?, members.text("reason")?);
                let printable = reason.bytes().all(|byte| matches!(byte, 0x20..=0x7E));
                if !printable || !(1..=MAX_REASON).contains(&reason.len()) {
                    return Err(json::shape("reason", "1 to 256 printable characters").into());
                }
                Self::KeyRetired(KeyRetiredPayload { kid, reason })
            }
        };
        Ok(Some(event))
    }
}

/// The id of the log's own stream: a `UUIDv8` made from the origin.
#[must_use]
pub fn stream_id(origin: &str) -> Uuid {
    let digest = sha256(&[b"coherency/ledger-stream/v1\n", origin.as_bytes()]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// What the writer knows when it records an event of the log's own.
#[derive(Clone, Debug)]
pub struct SystemContext {
    /// The new event's id.
    pub event_id: Uuid,
    /// The command it answers.
    pub command_id: Uuid,
    /// What it belongs to.
    pub correlation_id: Uuid,
    /// Who acted.
    pub actor: Actor,
    /// Why that was allowed.
    pub grounds: Grounds,
    /// When.
    pub recorded_at: Timestamp,
}

/// Statement and payload of an event of the log's own. The genesis has sequence 1.
pub fn draft(
    origin: &str,
    sequence: u64,
    event: &SystemEvent,
    context: SystemContext,
) -> Result<(Statement, Vec<u8>), SystemError> {
    let payload = event.to_payload()?;
    let statement = Statement {
        origin: origin.to_owned(),
        event_id: context.event_id,
        stream_type: STREAM_TYPE.to_owned(),
        stream_id: stream_id(origin),
        sequence,
        event_type: event.event_type().to_owned(),
        event_version: EVENT_VERSION.to_owned(),
        subject: None,
        actor: context.actor,
        grounds: Some(context.grounds),
        purpose: PURPOSE.to_owned(),
        command_id: context.command_id,
        correlation_id: context.correlation_id,
        recorded_at: context.recorded_at,
        payload: Payload::plain(&payload),
        media: Vec::new(),
        actor_signature: None,
    };
    Ok((statement, payload))
}

/// The genesis of a log whose first key is `jwk`.
pub fn genesis(
    origin: &str,
    jwk: Jwk,
    context: SystemContext,
) -> Result<(Statement, Vec<u8>), SystemError> {
    let event = SystemEvent::Genesis(GenesisPayload {
        origin: origin.to_owned(),
        format: crate::FORMAT.to_owned(),
        jwk,
    });
    draft(origin, 1, &event, context)
}
