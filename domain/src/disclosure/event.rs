//! What was seen of a record.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::DisclosureOutcome;
use super::repeats::{Repeats, is_one, one};
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
    /// For how many looks alike it stands.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: NonZeroU32,
    /// How it relates to looks alike; not at all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
}
