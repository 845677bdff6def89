//! What happened to a patient's record.

use serde::{Deserialize, Serialize};

use super::{Contacts, Demographics};
use crate::stream::domain_event;
use crate::value::{Identifier, Line, Note, coded};

/// What happened to a patient's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PatientEvent {
    /// The patient was registered.
    PatientRegistered(PatientRegistered),
    /// Name, gender, birth or death were edited.
    PatientDemographicsEdited(PatientDemographicsEdited),
    /// Contacts or addresses were edited.
    PatientContactsEdited(PatientContactsEdited),
    /// Identifiers were edited.
    PatientIdentifiersEdited(PatientIdentifiersEdited),
    /// The record was taken out of use.
    PatientDeactivated(PatientDeactivated),
}

domain_event!(PatientEvent {
    PatientRegistered: "1",
    PatientDemographicsEdited: "1",
    PatientContactsEdited: "1",
    PatientIdentifiersEdited: "1",
    PatientDeactivated: "1",
});

/// The patient was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientRegistered {
    /// Who the patient is.
    pub demographics: Demographics,
    /// The patient's identifiers.
    pub identifiers: Vec<Identifier>,
    /// How to reach the patient.
    pub contacts: Contacts,
}

/// Name, gender, birth or death were edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientDemographicsEdited {
    /// As it stood before.
    pub before: Demographics,
    /// As it stands now.
    pub after: Demographics,
    /// Why.
    pub reason: Line<200>,
}

/// Contacts or addresses were edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientContactsEdited {
    /// As they stood before.
    pub before: Contacts,
    /// As they stand now.
    pub after: Contacts,
    /// Why.
    pub reason: Line<200>,
}

/// Identifiers were edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientIdentifiersEdited {
    /// As they stood before.
    pub before: Vec<Identifier>,
    /// As they stand now.
    pub after: Vec<Identifier>,
    /// Why.
    pub reason: Line<200>,
}

coded! {
    /// Why a patient's record was taken out of use.
    DeactivationReason {
        /// The patient died.
        Deceased = "deceased",
        /// The same person has another record.
        Duplicate = "duplicate",
        /// The patient moved to another clinic.
        MovedAway = "moved-away",
        /// The patient asked for it.
        PatientRequest = "patient-request",
        /// The record should never have been made.
        EnteredInError = "entered-in-error",
        /// Something else, said in the note.
        Other = "other",
    }
}

/// The record was taken out of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientDeactivated {
    /// Why.
    pub reason: DeactivationReason,
    /// More about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}
