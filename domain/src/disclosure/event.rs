//! What was seen of a record.

use serde::{Deserialize, Serialize};

use super::DisclosureOutcome;
use crate::patient::PatientId;
use crate::stream::domain_event;
use crate::value::Code;

/// What was seen of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisclosureEvent {
    /// Somebody looked at a record, or was kept from it.
    RecordDisclosed(RecordDisclosed),
}

domain_event!(DisclosureEvent { RecordDisclosed: "1" });

/// Somebody looked at a record, or was kept from it. Who and what for stand in the signed statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordDisclosed {
    /// Whose record.
    pub patient_id: PatientId,
    /// The kind of view.
    pub resource: Code,
    /// The ids of the documents.
    pub what: Vec<Code>,
    /// Whether it was shown.
    pub outcome: DisclosureOutcome,
}
