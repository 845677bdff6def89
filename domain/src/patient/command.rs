//! What may be asked of a patient's record.

use serde::{Deserialize, Serialize};

use super::event::DeactivationReason;
use crate::value::{Address, ContactPoint, Gender, HumanName, Identifier, Line, Note, PartialDate};

/// What may be asked of a patient's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatientCommand {
    /// Registers a patient.
    Register(RegisterPatient),
    /// Replaces name, gender, birth and death.
    EditDemographics(EditDemographics),
    /// Replaces contacts and addresses.
    EditContacts(EditContacts),
    /// Replaces the identifiers.
    EditIdentifiers(EditIdentifiers),
    /// Takes the record out of use.
    Deactivate(DeactivatePatient),
}

/// Registers a patient. A name or an identifier is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterPatient {
    /// The name.
    #[serde(default)]
    pub name: Option<HumanName>,
    /// Other names, such as the one before marriage.
    #[serde(default)]
    pub other_names: Vec<HumanName>,
    /// The administrative gender.
    #[serde(default)]
    pub gender: Gender,
    /// The birth date, as far as it is known.
    #[serde(default)]
    pub birth_date: Option<PartialDate>,
    /// The date of death, if the patient has died.
    #[serde(default)]
    pub deceased: Option<PartialDate>,
    /// Identifiers; each may belong to one patient only.
    #[serde(default)]
    pub identifiers: Vec<Identifier>,
    /// Telephone numbers, e-mail addresses and the like.
    #[serde(default)]
    pub contacts: Vec<ContactPoint>,
    /// Postal addresses.
    #[serde(default)]
    pub addresses: Vec<Address>,
}

/// Replaces name, gender, birth and death.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditDemographics {
    /// The name.
    #[serde(default)]
    pub name: Option<HumanName>,
    /// Other names, such as the one before marriage.
    #[serde(default)]
    pub other_names: Vec<HumanName>,
    /// The administrative gender.
    pub gender: Gender,
    /// The birth date, as far as it is known.
    #[serde(default)]
    pub birth_date: Option<PartialDate>,
    /// The date of death, if the patient has died.
    #[serde(default)]
    pub deceased: Option<PartialDate>,
    /// Why the edit is made.
    pub reason: Line<200>,
}

/// Replaces contacts and addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditContacts {
    /// Telephone numbers, e-mail addresses and the like.
    #[serde(default)]
    pub contacts: Vec<ContactPoint>,
    /// Postal addresses.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// Why the edit is made.
    pub reason: Line<200>,
}

/// Replaces the identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditIdentifiers {
    /// Identifiers; each may belong to one patient only.
    pub identifiers: Vec<Identifier>,
    /// Why the edit is made.
    pub reason: Line<200>,
}

/// Takes the record out of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeactivatePatient {
    /// Why.
    pub reason: DeactivationReason,
    /// More about why.
    #[serde(default)]
    pub note: Option<Note>,
}
