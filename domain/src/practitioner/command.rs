//! What may be asked of a practitioner's entry in the directory.

use serde::{Deserialize, Serialize};

use super::event::LeavingReason;
use super::{Profile, Qualification};
use crate::value::{ContactPoint, HumanName, Identifier, Line, Note};

/// What may be asked of a practitioner's entry in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PractitionerCommand {
    /// Registers a practitioner.
    Register(RegisterPractitioner),
    /// Replaces name, qualifications and contacts.
    Edit(EditPractitioner),
    /// Replaces the identifiers.
    EditIdentifiers(EditPractitionerIdentifiers),
    /// Takes the practitioner out of use.
    Deactivate(DeactivatePractitioner),
    /// Brings the practitioner back into use.
    Reactivate(ReactivatePractitioner),
}

/// Registers a practitioner. A name or an identifier is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterPractitioner {
    /// The name.
    #[serde(default)]
    pub name: Option<HumanName>,
    /// Identifiers, such as a licence number; each may belong to one practitioner only.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = super::MAX_ENTRIES)))]
    pub identifiers: Vec<Identifier>,
    /// What the practitioner is qualified for.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = super::MAX_ENTRIES)))]
    pub qualifications: Vec<Qualification>,
    /// How to reach the practitioner at work.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = super::MAX_ENTRIES)))]
    pub contacts: Vec<ContactPoint>,
}

/// Replaces name, qualifications and contacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditPractitioner {
    /// The name.
    #[serde(default)]
    pub name: Option<HumanName>,
    /// What the practitioner is qualified for.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = super::MAX_ENTRIES)))]
    pub qualifications: Vec<Qualification>,
    /// How to reach the practitioner at work.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = super::MAX_ENTRIES)))]
    pub contacts: Vec<ContactPoint>,
    /// Why the edit is made.
    pub reason: Line<200>,
}

impl EditPractitioner {
    pub(super) fn into_parts(self) -> (Profile, Line<200>) {
        let EditPractitioner { name, qualifications, contacts, reason } = self;
        (Profile { name, qualifications, contacts }, reason)
    }
}

/// Replaces the identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditPractitionerIdentifiers {
    /// Identifiers; each may belong to one practitioner only.
    #[cfg_attr(feature = "schema", schemars(length(max = super::MAX_ENTRIES)))]
    pub identifiers: Vec<Identifier>,
    /// Why the edit is made.
    pub reason: Line<200>,
}

/// Takes the practitioner out of use: nothing more is booked with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeactivatePractitioner {
    /// Why.
    pub reason: LeavingReason,
    /// More about why.
    #[serde(default)]
    pub note: Option<Note>,
}

/// Brings the practitioner back into use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReactivatePractitioner {
    /// Why.
    pub reason: Line<200>,
}
