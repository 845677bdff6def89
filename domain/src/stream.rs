//! What every aggregate offers to the write side beside [`cqrs_es::Aggregate`].

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Now;
use crate::value::{Identifier, VisitTime};

/// What kind of "no" it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// What the command is about does not exist; this is what it is called.
    Missing(&'static str),
    /// It contradicts the present state.
    Conflict,
    /// What was sent is wrong, whatever the state.
    Invalid,
}

/// A typed "no". The `Display` text says what is wrong and what to do, and holds no PHI.
pub trait Refusal {
    /// What kind of "no" it is.
    fn kind(&self) -> RefusalKind;

    /// A stable code in kebab-case, for programs.
    fn code(&self) -> &'static str;

    /// The field of the command that is to blame, if one is.
    fn field(&self) -> Option<&'static str>;
}

/// An aggregate whose events the ledger can keep.
pub trait Stream: cqrs_es::Aggregate<Services = Now, Error: Refusal> + Clone {
    /// The version of the serialised form of the state. Another form is another version: a snapshot
    /// is only read by code that knows its version.
    const STATE_VERSION: u32;

    /// Whether the payloads of these streams are sealed with the data key of a subject: all of them, or none.
    const SEALED: bool;

    /// Whether states of these streams may be kept as snapshots. Never where the state decides about access or
    /// about an erasure: such a stream is read whole, from what is signed.
    const KEEPS_SNAPSHOTS: bool;

    /// Whether each of these streams begins a subject of its own, under its own id and with a data key. An id is that of
    /// one kind of subject only.
    const BEGINS_SUBJECT: bool = false;

    /// Whether some of the events take or give back claims. Where none does, [`Stream::claims`] is empty for all of them.
    const HAS_CLAIMS: bool = false;

    /// Whether each stream is one event that no command decides on again.
    const SINGLE_EVENT: bool = false;

    /// The id of the one stream of this type, if there is only one.
    const SINGLETON: Option<Uuid> = None;

    /// The type of the event that erases the subject with the stream's id, if one does.
    const ERASURE_EVENT: Option<&'static str> = None;

    /// The event that names an object outside the log, if one does.
    const BLOB_REFERENCE: Option<BlobReference> = None;

    /// Decides a command: events, or a refusal. Pure; `handle` writes what this returns.
    fn decide(&self, command: Self::Command, now: &Now) -> Result<Vec<Self::Event>, Self::Error>;

    /// Whose data key seals this stream: the patient, or the account. Asked after the events are
    /// applied; `id` is the stream's own.
    fn subject(&self, id: Uuid) -> Option<Uuid>;

    /// What an event takes and releases of what must be unique or must not overlap. Pure.
    fn claims(id: Uuid, event: &Self::Event) -> Vec<ClaimChange>;

    /// The captures an event names; their digests and sizes go into the signed statement.
    fn media(event: &Self::Event) -> Vec<MediaRef>;

    /// Whose data key an event destroys, if it does: the sequencer destroys the key in the very
    /// transaction that appends the event. Pure.
    fn erases(_id: Uuid, _event: &Self::Event) -> Option<Uuid> {
        None
    }

    /// The stream, by type and id, that must be there before this one may begin, if its own decisions
    /// cannot know and no data key tells. Pure.
    fn follows(_id: Uuid) -> Option<(&'static str, Uuid)> {
        None
    }

    /// The other streams that an event relies on: how each stands decides whether the event may come to be. Asked once the
    /// event is decided and never again, so that what is in the log stays there however those streams stand later. Pure.
    fn relies_on(_event: &Self::Event) -> Vec<Reliance<Self::Error>> {
        Vec::new()
    }

    /// How this stream stands, for events of others that rely on it. None may, unless it says so.
    fn standing(&self) -> Standing {
        Standing::Unknown
    }
}

/// How a stream stands that an event of another one relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is nothing under this id.
    Unknown,
    /// It is out of use.
    Inactive,
    /// It is in use, as a thing of this kind.
    InUse(&'static str),
}

/// A stream that an event of another one relies on.
#[derive(Clone, Debug)]
pub struct Reliance<E> {
    /// The type of the stream.
    pub stream_type: &'static str,
    /// The stream.
    pub id: Uuid,
    /// Why the event is refused, if the stream stands like this; nothing where it may be relied on.
    pub refusal: fn(Standing) -> Option<E>,
}

/// Something to be done with the aggregate that a type of streams belongs to.
pub trait StreamVisitor {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<A: Stream + 'static>(self) -> Self::Output;
}

/// The keys of identifiers, each once.
fn keys(identifiers: &[Identifier]) -> BTreeSet<String> {
    identifiers.iter().map(Identifier::claim_key).collect()
}

/// Whether an identifier is there twice.
pub(crate) fn has_repeated(identifiers: &[Identifier]) -> bool {
    keys(identifiers).len() < identifiers.len()
}

/// What a change of identifiers, each of which is unique within its kind, gives back and takes.
pub(crate) fn identifier_claims(
    kind: &'static str,
    before: &[Identifier],
    after: &[Identifier],
) -> Vec<ClaimChange> {
    let take = |key| ClaimChange::Take(Claim::Unique { kind, key });
    let release = |key| ClaimChange::ReleaseUnique { kind, key };
    let (before, after) = (keys(before), keys(after));
    let released = before.difference(&after).cloned().map(release);
    released.chain(after.difference(&before).cloned().map(take)).collect()
}

/// How a stored event names an object that is kept outside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobReference {
    /// The type of the event.
    pub event_type: &'static str,
    /// The JSON pointer (RFC 6901) to the object's id in the event's payload.
    pub pointer: &'static str,
}

/// What is fixed about the streams of one aggregate, for readers that know nothing else of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamKind {
    /// The type of the streams.
    pub stream_type: &'static str,
    /// As [`Stream::SEALED`].
    pub sealed: bool,
    /// As [`Stream::KEEPS_SNAPSHOTS`].
    pub keeps_snapshots: bool,
    /// As [`Stream::BEGINS_SUBJECT`].
    pub begins_subject: bool,
    /// As [`Stream::HAS_CLAIMS`].
    pub has_claims: bool,
    /// As [`Stream::SINGLE_EVENT`].
    pub single_event: bool,
    /// As [`Stream::BLOB_REFERENCE`].
    pub blob_reference: Option<BlobReference>,
}

impl StreamKind {
    pub(crate) const fn of<A: Stream>() -> StreamKind {
        StreamKind {
            stream_type: A::TYPE,
            sealed: A::SEALED,
            keeps_snapshots: A::KEEPS_SNAPSHOTS,
            begins_subject: A::BEGINS_SUBJECT,
            has_claims: A::HAS_CLAIMS,
            single_event: A::SINGLE_EVENT,
            blob_reference: A::BLOB_REFERENCE,
        }
    }
}

/// The longest time that may be claimed at once.
pub const BUSY_MAX: SignedDuration =
    SignedDuration::from_mins(VisitTime::MAX_DURATION_MINUTES as i64);

/// Something only one stream may hold at a time.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// A key that must be unique within its kind.
    Unique {
        /// What kind of key it is.
        kind: &'static str,
        /// The key. It may identify a person, so it is stored only as a keyed hash.
        key: String,
    },
    /// A resource that must not be used twice at a time. The range is half-open.
    Busy {
        /// Who or what is busy.
        resource: Resource,
        /// The first instant.
        from: Timestamp,
        /// The first instant that is free again.
        until: Timestamp,
    },
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unique { kind, .. } => {
                f.debug_struct("Unique").field("kind", kind).finish_non_exhaustive()
            }
            Self::Busy { resource, from, until } => f
                .debug_struct("Busy")
                .field("resource", resource)
                .field("from", from)
                .field("until", until)
                .finish(),
        }
    }
}

/// How an event changes the claims of its stream.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimChange {
    /// Take a claim; if another stream holds it, the command is refused.
    Take(Claim),
    /// Give a unique key back.
    ReleaseUnique {
        /// What kind of key it is.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// Give back all the time this stream holds.
    ReleaseBusy,
}

impl std::fmt::Debug for ClaimChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Take(claim) => f.debug_tuple("Take").field(claim).finish(),
            Self::ReleaseUnique { kind, .. } => {
                f.debug_struct("ReleaseUnique").field("kind", kind).finish_non_exhaustive()
            }
            Self::ReleaseBusy => f.write_str("ReleaseBusy"),
        }
    }
}

/// Something whose time can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Which one.
    pub id: Uuid,
}

/// The kinds of things whose time can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A practitioner.
    Practitioner,
    /// A room.
    Room,
    /// A patient, who cannot be at two places at once either.
    Patient,
}

impl ResourceKind {
    /// The name used in stored claims and in conflicts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Practitioner => "practitioner",
            Self::Room => "room",
            Self::Patient => "patient",
        }
    }
}

/// A stored capture, as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRef {
    /// The SHA-256 of the capture before encryption.
    pub sha256: [u8; 32],
    /// Its size in bytes before encryption.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// Implements [`cqrs_es::Aggregate`] over `decide` and `fold`, alike for every aggregate.
macro_rules! aggregate {
    ($aggregate:ty, $type:literal, $command:ty, $event:ty, $error:ty) => {
        impl $aggregate {
            /// The type of its streams, for readers that know nothing of aggregates.
            pub const STREAM_TYPE: &'static str = $type;
        }

        impl cqrs_es::Aggregate for $aggregate {
            const TYPE: &'static str = $type;
            type Command = $command;
            type Event = $event;
            type Error = $error;
            type Services = $crate::clock::Now;

            async fn handle(
                &mut self,
                command: Self::Command,
                now: &Self::Services,
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in $crate::stream::Stream::decide(self, command, now)? {
                    // The sink applies the event to `self` as it takes it.
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                self.fold(event);
            }
        }
    };
}

/// Implements [`cqrs_es::DomainEvent`] for an event enum from a table of variants and versions.
macro_rules! domain_event {
    ($event:ident { $($variant:ident: $version:literal),* $(,)? }) => {
        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                match self { $(Self::$variant(_) => stringify!($variant),)* }.to_owned()
            }

            fn event_version(&self) -> String {
                match self { $(Self::$variant(_) => $version,)* }.to_owned()
            }
        }

        impl $event {
            /// Every type of event in this enum, with its current version.
            pub const VERSIONS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($variant), $version),)*];
        }
    };
}

pub(crate) use {aggregate, domain_event};
