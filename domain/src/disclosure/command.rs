//! What may be asked of a disclosure.

use serde::{Deserialize, Serialize};

use super::DisclosureOutcome;
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
}
