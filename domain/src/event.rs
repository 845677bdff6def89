//! Any event of the log, and how stored events are read.

use cqrs_es::DomainEvent;
use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::account::AccountEvent;
use crate::appointment::AppointmentEvent;
use crate::custody::CustodyEvent;
use crate::disclosure::DisclosureEvent;
use crate::model::ModelEvent;
use crate::patient::PatientEvent;
use crate::stream::{ClaimChange, Stream};
use crate::value::describe;
use crate::wound::WoundEvent;
use crate::{Account, Appointment, Custody, Disclosure, ModelRegistry, Patient, WoundEpisode};

/// Any event of the seven aggregates.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Of a patient.
    Patient(PatientEvent),
    /// Of an appointment.
    Appointment(AppointmentEvent),
    /// Of an episode of a wound.
    Wound(WoundEvent),
    /// Of an account.
    Account(AccountEvent),
    /// A look at a record.
    Disclosure(DisclosureEvent),
    /// A hold on a record, or its erasure.
    Custody(CustodyEvent),
    /// What happened to the models that measure wounds.
    Model(ModelEvent),
}

/// A stored event this version cannot read. It holds nothing of the payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownEvent {
    /// No such stream type.
    #[error(
        "the stream type is unknown: this version reads patient, appointment, wound, account, disclosure, custody and model"
    )]
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

impl Event {
    /// Reads a stored event, bringing older versions up to date.
    pub fn from_stored(
        stream_type: &str,
        event_type: &str,
        event_version: &str,
        payload: &[u8],
    ) -> Result<Self, UnknownEvent> {
        let stored = (event_type, event_version, payload);
        match stream_type {
            "patient" => read("patient", PatientEvent::VERSIONS, stored).map(Self::Patient),
            "appointment" => {
                read("appointment", AppointmentEvent::VERSIONS, stored).map(Self::Appointment)
            }
            "wound" => read("wound", WoundEvent::VERSIONS, stored).map(Self::Wound),
            "account" => read("account", AccountEvent::VERSIONS, stored).map(Self::Account),
            "disclosure" => {
                read("disclosure", DisclosureEvent::VERSIONS, stored).map(Self::Disclosure)
            }
            "custody" => read("custody", CustodyEvent::VERSIONS, stored).map(Self::Custody),
            "model" => read("model", ModelEvent::VERSIONS, stored).map(Self::Model),
            _ => Err(UnknownEvent::StreamType),
        }
    }

    /// The type of the streams that hold such events.
    pub fn stream_type(&self) -> &'static str {
        match self {
            Self::Patient(_) => "patient",
            Self::Appointment(_) => "appointment",
            Self::Wound(_) => "wound",
            Self::Account(_) => "account",
            Self::Disclosure(_) => "disclosure",
            Self::Custody(_) => "custody",
            Self::Model(_) => "model",
        }
    }

    /// What it takes and gives back, in the stream with this id.
    pub fn claims(&self, id: Uuid) -> Vec<ClaimChange> {
        match self {
            Self::Patient(event) => Patient::claims(id, event),
            Self::Appointment(event) => Appointment::claims(id, event),
            Self::Wound(event) => WoundEpisode::claims(id, event),
            Self::Account(event) => Account::claims(id, event),
            Self::Disclosure(event) => Disclosure::claims(id, event),
            Self::Custody(event) => Custody::claims(id, event),
            Self::Model(event) => ModelRegistry::claims(id, event),
        }
    }

    /// The type of the event.
    pub fn event_type(&self) -> String {
        match self {
            Self::Patient(event) => event.event_type(),
            Self::Appointment(event) => event.event_type(),
            Self::Wound(event) => event.event_type(),
            Self::Account(event) => event.event_type(),
            Self::Disclosure(event) => event.event_type(),
            Self::Custody(event) => event.event_type(),
            Self::Model(event) => event.event_type(),
        }
    }
}

fn read<E: DomainEvent + DeserializeOwned>(
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
