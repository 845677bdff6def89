//! What may be asked of a location's entry in the directory.

use serde::{Deserialize, Serialize};

use super::event::ClosingReason;
use super::{LocationId, LocationKind, Place};
use crate::value::{Address, Line, Note};

/// What may be asked of a location's entry in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocationCommand {
    /// Registers a location.
    Register(RegisterLocation),
    /// Replaces name, site, address and time zone.
    Edit(EditLocation),
    /// Takes the location out of use.
    Deactivate(DeactivateLocation),
    /// Brings the location back into use.
    Reactivate(ReactivateLocation),
}

/// Registers a location. What kind it is stays as it is: a room never becomes a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterLocation {
    /// What kind of place it is.
    pub kind: LocationKind,
    /// What it is called.
    pub name: Line<100>,
    /// The site it is at; a site is at none.
    #[serde(default)]
    pub parent_id: Option<LocationId>,
    /// Its postal address, if it is not its site's.
    #[serde(default)]
    pub address: Option<Address>,
    /// The IANA zone of the clock on its wall, if it is not its site's.
    #[serde(default)]
    pub zone: Option<Line<64>>,
}

/// Replaces name, site, address and time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditLocation {
    /// What it is called.
    pub name: Line<100>,
    /// The site it is at; a site is at none.
    #[serde(default)]
    pub parent_id: Option<LocationId>,
    /// Its postal address, if it is not its site's.
    #[serde(default)]
    pub address: Option<Address>,
    /// The IANA zone of the clock on its wall, if it is not its site's.
    #[serde(default)]
    pub zone: Option<Line<64>>,
    /// Why the edit is made.
    pub reason: Line<200>,
}

impl EditLocation {
    pub(super) fn into_parts(self) -> (Place, Line<200>) {
        let EditLocation { name, parent_id, address, zone, reason } = self;
        (Place { name, parent_id, address, zone }, reason)
    }
}

/// Takes the location out of use: nothing more is booked there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeactivateLocation {
    /// Why.
    pub reason: ClosingReason,
    /// More about why. It is stored in the clear, for good.
    #[serde(default)]
    pub note: Option<Note>,
}

/// Brings the location back into use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReactivateLocation {
    /// Why.
    pub reason: Line<200>,
}
