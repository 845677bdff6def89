//! What happened to a location's entry in the directory.
//!
//! These events are stored in the clear, because a place is no person: no name of a person belongs into them.

use serde::{Deserialize, Serialize};

use super::{LocationKind, Place};
use crate::stream::domain_event;
use crate::value::{Line, Note, coded};

/// What happened to a location's entry in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocationEvent {
    /// The location was registered.
    LocationRegistered(LocationRegistered),
    /// Name, site, address or time zone were edited.
    LocationEdited(Box<LocationEdited>),
    /// The location was taken out of use.
    LocationDeactivated(LocationDeactivated),
    /// The location was brought back into use.
    LocationReactivated(LocationReactivated),
}

domain_event!(LocationEvent {
    LocationRegistered: "1",
    LocationEdited: "1",
    LocationDeactivated: "1",
    LocationReactivated: "1",
});

/// The location was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationRegistered {
    /// What kind of place it is.
    pub kind: LocationKind,
    /// What is said of it.
    pub place: Place,
}

/// Name, site, address or time zone were edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationEdited {
    /// As they stood before.
    pub before: Place,
    /// As they stand now.
    pub after: Place,
    /// Why.
    pub reason: Line<200>,
}

coded! {
    /// Why a location was taken out of use.
    ClosingReason {
        /// It is closed for good.
        Closed = "closed",
        /// It is closed for a time, for repair or cleaning.
        Maintenance = "maintenance",
        /// The same place has another entry.
        Duplicate = "duplicate",
        /// The entry should never have been made.
        EnteredInError = "entered-in-error",
        /// Something else, said in the note.
        Other = "other",
    }
}

/// The location was taken out of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationDeactivated {
    /// Why.
    pub reason: ClosingReason,
    /// More about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// The location was brought back into use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationReactivated {
    /// Why.
    pub reason: Line<200>,
}
