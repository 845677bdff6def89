//! How stored events are read, older versions of them too.

use cqrs_es::DomainEvent;
use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::STREAM_KINDS;
use crate::value::describe;

/// A stored event this version cannot read. It holds nothing of the payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownEvent {
    /// No such stream type.
    #[error("the stream type is unknown: this version reads {}", stream_types())]
    StreamType,
    /// No such event type in this stream type.
    #[error(
        "the event type is unknown in a stream of type {stream_type}: a newer version may have written it"
    )]
    EventType {
        /// The type of the stream.
        stream_type: &'static str,
    },
    /// A version nothing leads from to the current one.
    #[error("the version of this {event_type} is unknown: this version reads up to {current}")]
    Version {
        /// The type of the event.
        event_type: &'static str,
        /// The version this code writes.
        current: &'static str,
    },
    /// The payload does not fit the event type and version.
    #[error("the payload does not fit {event_type} version {current}: {reason}")]
    Payload {
        /// The type of the event.
        event_type: &'static str,
        /// The version this code writes.
        current: &'static str,
        /// What does not fit, without the content.
        reason: String,
    },
}

fn stream_types() -> String {
    STREAM_KINDS.map(|kind| kind.stream_type).join(", ")
}

/// Reads a stored event of one type of stream, bringing older versions up to date.
pub(crate) fn read<E: DomainEvent + DeserializeOwned>(
    stream_type: &'static str,
    versions: &'static [(&'static str, &'static str)],
    (event_type, event_version, payload): (&str, &str, &[u8]),
) -> Result<E, UnknownEvent> {
    let &(event_type, current) = versions
        .iter()
        .find(|(name, _)| *name == event_type)
        .ok_or(UnknownEvent::EventType { stream_type })?;
    let unfit = |reason| UnknownEvent::Payload { event_type, current, reason };
    let misfit = |error: serde_json::Error| unfit(describe(&error));

    let event: E = if event_version == current {
        serde_json::from_slice(payload).map_err(misfit)?
    } else {
        let mut version = event_version;
        let mut payload: Value = serde_json::from_slice(payload).map_err(misfit)?;
        for step in STEPS {
            if step.event_type == event_type && step.from == version {
                payload = (step.rewrite)(payload);
                version = step.to;
            }
        }
        if version != current {
            return Err(UnknownEvent::Version { event_type, current });
        }
        serde_json::from_value(payload).map_err(misfit)?
    };
    // The payload names its type too; a swapped one must not pass for another event.
    if event.event_type() == event_type {
        Ok(event)
    } else {
        Err(unfit("it holds another type of event".to_owned()))
    }
}

/// One step from a version of an event to the next.
#[derive(Clone, Copy)]
struct Step {
    event_type: &'static str,
    from: &'static str,
    to: &'static str,
    rewrite: fn(Value) -> Value,
}

/// Every step there is, older ones first.
const STEPS: &[Step] = &[Step {
    event_type: "AppointmentCancelled",
    from: "1",
    to: "2",
    rewrite: crate::appointment::cancelled_v1_to_v2,
}];

/// The upcasters for the loading of aggregates through cqrs-es, older steps first.
pub fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
    STEPS.iter().map(|step| Box::new(*step) as Box<dyn EventUpcaster>).collect()
}

impl EventUpcaster for Step {
    fn can_upcast(&self, event_type: &str, event_version: &str) -> bool {
        self.event_type == event_type && self.from == event_version
    }

    fn upcast(&self, event: SerializedEvent) -> SerializedEvent {
        SerializedEvent {
            event_version: self.to.to_owned(),
            payload: (self.rewrite)(event.payload),
            ..event
        }
    }
}
