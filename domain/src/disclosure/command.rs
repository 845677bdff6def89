//! What may be asked of a disclosure.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::DisclosureOutcome;
use super::repeats::{Repeats, is_one, one};
use crate::patient::PatientId;
use crate::value::Code;

/// What may be asked of a disclosure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisclosureCommand {
    /// Records a look at a record.
    Record(RecordDisclosure),
}

/// Records a look at a record, before it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordDisclosure {
    /// Whose record.
    pub patient_id: PatientId,
    /// The kind of view, such as `patient`, `wound` or `patient-search`.
    pub resource: Code,
    /// The ids of the documents.
    #[serde(default)]
    pub what: Vec<Code>,
    /// Whether it is shown.
    pub outcome: DisclosureOutcome,
    /// For how many looks alike it stands.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: NonZeroU32,
    /// How it relates to looks alike; not at all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
}
