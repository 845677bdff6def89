//! Looks at what is no patient's record, or at no record: a search without a result, a list or a command that is denied before
//! it says whom it concerns, accounts, models, the log itself, what is left of an erased record. One stream for each look,
//! holding one event, in the clear: it names ids and never what was searched for. Looks at records of patients are
//! [`disclosure`](crate::disclosure)s.

mod command;
mod event;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::{AccessCommand, RecordAccess};
pub use event::{AccessEvent, AccessRecorded};

use crate::clock::Now;
use crate::disclosure::{DisclosureError, MAX_DOCUMENTS};
use crate::stream::{ClaimChange, MediaRef, Stream, aggregate};
use crate::value::coded;

coded! {
    /// What came of it.
    AccessOutcome {
        /// It was allowed, and what was asked for was shown if it was there.
        Allowed = "allowed",
        /// It was allowed, and there was nothing to show.
        NothingFound = "nothing-found",
        /// It was denied.
        Denied = "denied",
    }
}

/// A look at what is no patient's record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    recorded: Option<AccessRecorded>,
}

aggregate!(Access, "access", AccessCommand, AccessEvent, DisclosureError);

impl Access {
    /// What was recorded; nothing before it is.
    pub fn recorded(&self) -> Option<&AccessRecorded> {
        self.recorded.as_ref()
    }

    fn fold(&mut self, AccessEvent::AccessRecorded(event): AccessEvent) {
        self.recorded = Some(event);
    }
}

impl Stream for Access {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = false;
    const KEEPS_SNAPSHOTS: bool = true;
    const SINGLE_EVENT: bool = true;

    fn decide(
        &self,
        AccessCommand::Record(command): AccessCommand,
        _now: &Now,
    ) -> Result<Vec<AccessEvent>, DisclosureError> {
        if self.recorded.is_some() {
            return Err(DisclosureError::AlreadyRecorded);
        }
        if command.what.len() > MAX_DOCUMENTS {
            return Err(DisclosureError::TooManyDocuments { max: MAX_DOCUMENTS });
        }
        let RecordAccess { resource, what, outcome, count, repeats } = command;
        let event = AccessRecorded { resource, what, outcome, count, repeats };
        Ok(vec![AccessEvent::AccessRecorded(event)])
    }

    fn subject(&self, _id: Uuid) -> Option<Uuid> {
        None
    }

    fn claims(_id: Uuid, _event: &AccessEvent) -> Vec<ClaimChange> {
        vec![]
    }

    fn media(_event: &AccessEvent) -> Vec<MediaRef> {
        vec![]
    }
}
