//! Every aggregate there is, for readers that know nothing else of it.

use cqrs_es::Aggregate;

use crate::stream::Stream;
use crate::{Custody, Patient};

/// Names the aggregates, once. From the list follow the enum of all their events, how a stored one is read, and what is
/// fixed about their streams.
macro_rules! aggregates {
    ($($(#[$meta:meta])* $variant:ident: $aggregate:ty,)*) => {
        /// Any event of the log but its own.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event {
            $($(#[$meta])* $variant(<$aggregate as cqrs_es::Aggregate>::Event),)*
        }

        impl Event {
            /// Reads a stored event, bringing older versions up to date.
            ///
            /// # Errors
            /// When this version knows no such event.
            pub fn from_stored(
                stream_type: &str,
                event_type: &str,
                event_version: &str,
                payload: &[u8],
            ) -> Result<Self, UnknownEvent> {
                let stored = (event_type, event_version, payload);
                match stream_type {
                    $(<$aggregate>::STREAM_TYPE => {
                        let versions = <<$aggregate as cqrs_es::Aggregate>::Event>::VERSIONS;
                        let read = crate::event::read(<$aggregate>::STREAM_TYPE, versions, stored);
                        read.map(Self::$variant)
                    })*
                    _ => Err(UnknownEvent::StreamType),
                }
            }

            /// The type of the streams that hold such events.
            pub fn stream_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => <$aggregate>::STREAM_TYPE,)* }
            }

            /// What it takes and gives back, in the stream with this id.
            pub fn claims(&self, id: uuid::Uuid) -> Vec<ClaimChange> {
                match self { $(Self::$variant(event) => <$aggregate>::claims(id, event),)* }
            }

            /// The type of the event.
            pub fn event_type(&self) -> String {
                match self { $(Self::$variant(event) => cqrs_es::DomainEvent::event_type(event),)* }
            }
        }

        /// The streams of every aggregate there is.
        pub const STREAM_KINDS: [StreamKind; [$(stringify!($variant)),*].len()] =
            [$(StreamKind::of::<$aggregate>()),*];

        /// Brings a visitor to the aggregate that a type of streams belongs to; nothing, if there is no such type.
        pub fn visit<V: StreamVisitor>(stream_type: &str, visitor: V) -> Option<V::Output> {
            match stream_type {
                $(<$aggregate>::STREAM_TYPE => Some(visitor.visit::<$aggregate>()),)*
                _ => None,
            }
        }
    };
}

pub(crate) use aggregates;

/// The type of the streams that begin a record: the subjects that may be erased, and whose captures are kept outside the
/// log.
pub const RECORD: &str = <Patient as Aggregate>::TYPE;

/// The type of the streams, and of the event in them, by which a record is erased.
pub const ERASURE: (&str, &str) = match Custody::ERASURE_EVENT {
    Some(event_type) => (<Custody as Aggregate>::TYPE, event_type),
    None => panic!("an erasure has an event"),
};
