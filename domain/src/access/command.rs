//! What may be asked of an access.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::AccessOutcome;
use crate::disclosure::{Repeats, is_one, one};
use crate::value::Code;

/// What may be asked of an access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessCommand {
    /// Records a look.
    Record(RecordAccess),
}

/// Records a look at what is no patient's record, before it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordAccess {
    /// What is looked at, such as `patient-search`, or the permission that was asked for, such as `read-accounts`.
    pub resource: Code,
    /// The ids that were asked for.
    #[serde(default)]
    pub what: Vec<Code>,
    /// What comes of it.
    pub outcome: AccessOutcome,
    /// For how many looks alike it stands.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: NonZeroU32,
    /// How it relates to looks alike; not at all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
}
