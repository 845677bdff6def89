//! What happened to a practitioner's entry in the directory.

use serde::{Deserialize, Serialize};

use super::Profile;
use crate::stream::domain_event;
use crate::value::{Identifier, Line, Note, coded};

/// What happened to a practitioner's entry in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PractitionerEvent {
    /// The practitioner was registered.
    PractitionerRegistered(PractitionerRegistered),
    /// Name, qualifications or contacts were edited.
    PractitionerEdited(PractitionerEdited),
    /// Identifiers were edited.
    PractitionerIdentifiersEdited(PractitionerIdentifiersEdited),
    /// The practitioner was taken out of use.
    PractitionerDeactivated(PractitionerDeactivated),
    /// The practitioner was brought back into use.
    PractitionerReactivated(PractitionerReactivated),
}

domain_event!(PractitionerEvent {
    PractitionerRegistered: "1",
    PractitionerEdited: "1",
    PractitionerIdentifiersEdited: "1",
    PractitionerDeactivated: "1",
    PractitionerReactivated: "1",
});

/// The practitioner was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PractitionerRegistered {
    /// Who the practitioner is.
    pub profile: Profile,
    /// The practitioner's identifiers.
    pub identifiers: Vec<Identifier>,
}

/// Name, qualifications or contacts were edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PractitionerEdited {
    /// As they stood before.
    pub before: Profile,
    /// As they stand now.
    pub after: Profile,
    /// Why.
    pub reason: Line<200>,
}

/// Identifiers were edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PractitionerIdentifiersEdited {
    /// As they stood before.
    pub before: Vec<Identifier>,
    /// As they stand now.
    pub after: Vec<Identifier>,
    /// Why.
    pub reason: Line<200>,
}

coded! {
    /// Why a practitioner was taken out of use.
    LeavingReason {
        /// The practitioner works elsewhere now.
        Left = "left",
        /// The practitioner is away for a time.
        OnLeave = "on-leave",
        /// The practitioner may not treat patients, or not now.
        NotLicensed = "not-licensed",
        /// The practitioner has retired.
        Retired = "retired",
        /// The practitioner died.
        Deceased = "deceased",
        /// The same person has another entry.
        Duplicate = "duplicate",
        /// The entry should never have been made.
        EnteredInError = "entered-in-error",
        /// Something else, said in the note.
        Other = "other",
    }
}

/// The practitioner was taken out of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PractitionerDeactivated {
    /// Why.
    pub reason: LeavingReason,
    /// More about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// The practitioner was brought back into use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PractitionerReactivated {
    /// Why.
    pub reason: Line<200>,
}
