//! From a decision to a sealed and signed event, in the request's own task.

use std::sync::Arc;

use audit::jws;
use audit::merkle;
use audit::postgres::EventTags;
use audit::seal::{EventIdentity, MAX_PAYLOAD, seal_payload};
use audit::statement::{self, Digest, Media, Payload, Statement};
use domain::MediaRef;
use jiff::Timestamp;
use uuid::Uuid;

use crate::actor::Actor;
use crate::context::Context;
use crate::data_keys::SubjectKey;
use crate::error::{CommandError, Unavailable};
use crate::log::SealedEvent;
use crate::policy::Grant;
use crate::random;
use crate::signing::{Signing, SigningKey};

/// Seals and signs for one log.
pub(crate) struct Sealer {
    pub(crate) origin: String,
    pub(crate) signing: Arc<Signing>,
    pub(crate) tags: EventTags,
}

/// An event that was decided, before it is sealed.
pub(crate) struct Draft<'a> {
    pub(crate) stream_type: &'static str,
    pub(crate) stream_id: Uuid,
    pub(crate) sequence: u64,
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    /// JSON.
    pub(crate) body: Vec<u8>,
    pub(crate) media: Vec<MediaRef>,
    /// Whom it is about, with the key that seals it.
    pub(crate) subject: Option<(Uuid, &'a SubjectKey)>,
}

impl Sealer {
    pub(crate) fn seal(
        &self,
        draft: Draft<'_>,
        context: &Context,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<SealedEvent, CommandError> {
        if draft.body.len() > MAX_PAYLOAD {
            let size = draft.body.len();
            return Err(CommandError::TooLarge { what: "event", size, limit: MAX_PAYLOAD });
        }
        let event_id = random::uuid_v7(now);
        let (payload, bytes) = self.payload(&draft, event_id)?;
        let statement = Statement {
            origin: self.origin.clone(),
            event_id,
            stream_type: draft.stream_type.to_owned(),
            stream_id: draft.stream_id,
            sequence: draft.sequence,
            event_type: draft.event_type,
            event_version: draft.event_version,
            subject: draft.subject.map(|(subject, _)| subject),
            actor: acting(&context.actor, grant),
            grounds: Some(grant.grounds()),
            purpose: context.purpose.code().to_owned(),
            command_id: context.command_id,
            correlation_id: context.correlation_id,
            recorded_at: now,
            payload,
            media: draft.media.into_iter().map(media).collect(),
            actor_signature: None,
        };
        sign(&self.signing.current(), &self.tags, draft.stream_type, statement, bytes)
    }

    fn payload(
        &self,
        draft: &Draft<'_>,
        event_id: Uuid,
    ) -> Result<(Payload, Vec<u8>), CommandError> {
        let Some((_, key)) = draft.subject else {
            return Ok((Payload::plain(&draft.body), draft.body.clone()));
        };
        let identity = EventIdentity {
            origin: &self.origin,
            event_id,
            stream_type: draft.stream_type,
            stream_id: draft.stream_id,
            sequence: draft.sequence,
        };
        let sealed =
            seal_payload(&key.key, random::bytes(), random::bytes(), &identity, &draft.body)
                .map_err(|error| Unavailable::Seal(Box::new(error)))?;
        Ok((Payload::sealed(&sealed, key.id), sealed.bytes))
    }
}

/// The actor as a statement names it: in the role that was granted.
pub(crate) fn acting(actor: &Actor, grant: &Grant) -> statement::Actor {
    statement::Actor {
        id: actor.id.as_uuid(),
        kind: actor.kind.as_str().to_owned(),
        role: grant.role().to_owned(),
    }
}

/// Serialises the statement, once, and signs those bytes.
pub(crate) fn sign(
    key: &SigningKey,
    tags: &EventTags,
    stream_type: &'static str,
    statement: Statement,
    payload: Vec<u8>,
) -> Result<SealedEvent, CommandError> {
    let bytes = statement.to_bytes().map_err(|error| Unavailable::Seal(Box::new(error)))?;
    let signed = key.event.sign(&bytes);
    let jws = jws::compact(&signed.header, &bytes, &signed.signature);
    let leaf = merkle::leaf_hash(jws.as_bytes());
    Ok(SealedEvent {
        event_id: statement.event_id,
        stream_type,
        stream_id: statement.stream_id,
        sequence: statement.sequence,
        event_type: statement.event_type,
        event_version: statement.event_version,
        subject: statement.subject,
        recorded_at: statement.recorded_at,
        header: signed.header,
        statement: bytes,
        signature: signed.signature,
        payload,
        leaf,
        tag: tags.tag(&leaf),
        jws,
    })
}

fn media(media: MediaRef) -> Media {
    Media { sha256: Digest(media.sha256), size: media.size, media_type: media.media_type }
}
