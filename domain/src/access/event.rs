//! What was looked at.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::AccessOutcome;
use crate::disclosure::{Repeats, is_one, one};
use crate::stream::domain_event;
use crate::value::Code;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessEvent {
    /// Somebody looked at something, or was kept from it.
    AccessRecorded(AccessRecorded),
}

domain_event!(AccessEvent { AccessRecorded: "1" });

/// Somebody looked at something, or was kept from it. Who and what for stand in the signed statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRecorded {
    /// What was looked at, such as `patient-search`, or the permission that was asked for, such as `read-accounts`.
    pub resource: Code,
    /// The ids that were asked for.
    pub what: Vec<Code>,
    /// What came of it.
    pub outcome: AccessOutcome,
    /// For how many looks alike it stands.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: NonZeroU32,
    /// How it relates to looks alike; not at all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
}
