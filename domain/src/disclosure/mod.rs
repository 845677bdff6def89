//! Looks at records of patients: one stream for each, holding one event, sealed with the patient's data key. What is looked
//! at beside them is in [`access`](crate::access).

mod command;
mod error;
mod event;
mod repeats;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::{DisclosureCommand, RecordDisclosure};
pub use error::DisclosureError;
pub use event::{DisclosureEvent, RecordDisclosed};
pub use repeats::{ONE, Repeats};
pub(crate) use repeats::{is_one, one};

use crate::clock::Now;
use crate::ids::typed_id;
use crate::stream::{ClaimChange, MediaRef, Stream, aggregate};
use crate::value::coded;

typed_id! {
    /// One look at a record.
    DisclosureId;
}

/// The most documents one disclosure names.
pub const MAX_DOCUMENTS: usize = 500;

coded! {
    /// Whether a record was shown.
    DisclosureOutcome {
        /// It was shown.
        Disclosed = "disclosed",
        /// It was refused.
        Denied = "denied",
    }
}

/// A look at a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclosure {
    recorded: Option<RecordDisclosed>,
}

aggregate!(Disclosure, "disclosure", DisclosureCommand, DisclosureEvent, DisclosureError);

impl Disclosure {
    /// What was recorded; nothing before it is.
    pub fn recorded(&self) -> Option<&RecordDisclosed> {
        self.recorded.as_ref()
    }

    fn fold(&mut self, DisclosureEvent::RecordDisclosed(event): DisclosureEvent) {
        self.recorded = Some(event);
    }
}

impl Stream for Disclosure {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = true;
    const KEEPS_SNAPSHOTS: bool = true;
    const SINGLE_EVENT: bool = true;

    fn decide(
        &self,
        DisclosureCommand::Record(command): DisclosureCommand,
        _now: &Now,
    ) -> Result<Vec<DisclosureEvent>, DisclosureError> {
        if self.recorded.is_some() {
            return Err(DisclosureError::AlreadyRecorded);
        }
        if command.what.len() > MAX_DOCUMENTS {
            return Err(DisclosureError::TooManyDocuments { max: MAX_DOCUMENTS });
        }
        let RecordDisclosure { patient_id, resource, what, outcome, count, repeats } = command;
        let event = RecordDisclosed { patient_id, resource, what, outcome, count, repeats };
        Ok(vec![DisclosureEvent::RecordDisclosed(event)])
    }

    fn subject(&self, _id: Uuid) -> Option<Uuid> {
        self.recorded.as_ref().map(|recorded| recorded.patient_id.as_uuid())
    }

    fn claims(_id: Uuid, _event: &DisclosureEvent) -> Vec<ClaimChange> {
        vec![]
    }

    fn media(_event: &DisclosureEvent) -> Vec<MediaRef> {
        vec![]
    }
}
