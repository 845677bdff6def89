//! The directory's entry of a location: a site, or a room or the like at one.
//!
//! A location is at a site and a site is at none, and what kind a location is never changes: so no location is above itself.
//! Its events are about no person and are not sealed (ADR 51).

mod command;
mod error;
mod event;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::{
    DeactivateLocation, EditLocation, LocationCommand, ReactivateLocation, RegisterLocation,
};
pub use error::LocationError;
pub use event::{
    ClosingReason, LocationDeactivated, LocationEdited, LocationEvent, LocationReactivated,
    LocationRegistered,
};

use crate::clock::Now;
use crate::ids::typed_id;
use crate::stream::{ClaimChange, MediaRef, Reliance, Standing, Stream, aggregate};
use crate::value::{Address, Line, VisitTime, coded};

typed_id! {
    /// A site, a room or another place.
    LocationId;
    /// A room whose time is booked: a location, by the same UUID.
    RoomId;
}

coded! {
    /// What kind of place a location is.
    LocationKind {
        /// Where the clinic is: a house, a campus, a surgery.
        Site = "site",
        /// A room at a site. Its time is booked.
        Room = "room",
        /// A vehicle in which patients are seen. Its time is booked like that of a room.
        Vehicle = "vehicle",
    }
}

impl LocationKind {
    /// The code of FHIR's `Location.physicalType`, of the system
    /// `http://terminology.hl7.org/CodeSystem/location-physical-type`.
    pub const fn physical_type(self) -> &'static str {
        match self {
            Self::Site => "si",
            Self::Room => "ro",
            Self::Vehicle => "ve",
        }
    }
}

/// What is said of a location, but for its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// What it is called.
    pub name: Line<100>,
    /// The site it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<LocationId>,
    /// Its postal address, if it is not its site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The IANA zone of the clock on its wall, if it is not its site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Line<64>>,
}

/// A location's entry as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    kind: Option<LocationKind>,
    place: Option<Place>,
    active: bool,
}

aggregate!(Location, "location", LocationCommand, LocationEvent, LocationError);

impl Location {
    /// What kind of place it is; none before it is registered.
    pub fn kind(&self) -> Option<LocationKind> {
        self.kind
    }

    /// What is said of it.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Whether the location is registered and in use.
    pub fn is_active(&self) -> bool {
        self.active
    }

    fn fold(&mut self, event: LocationEvent) {
        match event {
            LocationEvent::LocationRegistered(event) => {
                self.kind = Some(event.kind);
                self.place = Some(event.place);
                self.active = true;
            }
            LocationEvent::LocationEdited(event) => self.place = Some(event.after),
            LocationEvent::LocationDeactivated(_) => self.active = false,
            LocationEvent::LocationReactivated(_) => self.active = true,
        }
    }

    /// One that is out of use may be edited all the same: an entry that was wrong stays wrong otherwise.
    fn registered(&self) -> Result<(LocationKind, &Place), LocationError> {
        self.kind.zip(self.place.as_ref()).ok_or(LocationError::NotRegistered)
    }

    fn register(&self, command: RegisterLocation) -> Result<LocationEvent, LocationError> {
        if self.kind.is_some() {
            return Err(LocationError::AlreadyRegistered);
        }
        let RegisterLocation { kind, name, parent_id, address, zone } = command;
        let place = checked(kind, Place { name, parent_id, address, zone })?;
        Ok(LocationEvent::LocationRegistered(LocationRegistered { kind, place }))
    }

    fn edit(&self, command: EditLocation) -> Result<LocationEvent, LocationError> {
        let (kind, before) = self.registered()?;
        let (after, reason) = command.into_parts();
        let after = checked(kind, after)?;
        if after == *before {
            return Err(LocationError::NothingChanged);
        }
        let before = before.clone();
        let edited = LocationEdited { before, after, reason };
        Ok(LocationEvent::LocationEdited(Box::new(edited)))
    }

    fn deactivate(&self, command: DeactivateLocation) -> Result<LocationEvent, LocationError> {
        self.registered()?;
        if !self.active {
            return Err(LocationError::AlreadyInactive);
        }
        let DeactivateLocation { reason, note } = command;
        if reason == ClosingReason::Other && note.is_none() {
            return Err(LocationError::NoteRequired);
        }
        Ok(LocationEvent::LocationDeactivated(LocationDeactivated { reason, note }))
    }

    fn reactivate(&self, command: ReactivateLocation) -> Result<LocationEvent, LocationError> {
        self.registered()?;
        if self.active {
            return Err(LocationError::AlreadyActive);
        }
        Ok(LocationEvent::LocationReactivated(LocationReactivated { reason: command.reason }))
    }
}

/// A place that may be kept, with its zone under the name that the database of zones has for it.
fn checked(kind: LocationKind, mut place: Place) -> Result<Place, LocationError> {
    match (kind, place.parent_id, &place.zone) {
        (LocationKind::Site, Some(_), _) => return Err(LocationError::SiteWithParent),
        (_, None, None) => return Err(LocationError::ZoneRequired),
        _ => {}
    }
    if let Some(zone) = &place.zone {
        place.zone = Some(VisitTime::zone_named(zone).ok_or(LocationError::UnknownZone)?);
    }
    Ok(place)
}

impl Stream for Location {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = false;
    const KEEPS_SNAPSHOTS: bool = false;

    fn decide(
        &self,
        command: LocationCommand,
        _now: &Now,
    ) -> Result<Vec<LocationEvent>, LocationError> {
        let event = match command {
            LocationCommand::Register(command) => self.register(command),
            LocationCommand::Edit(command) => self.edit(command),
            LocationCommand::Deactivate(command) => self.deactivate(command),
            LocationCommand::Reactivate(command) => self.reactivate(command),
        }?;
        Ok(vec![event])
    }

    /// No data key: a place is no person.
    fn subject(&self, _id: Uuid) -> Option<Uuid> {
        None
    }

    fn claims(_id: Uuid, _event: &LocationEvent) -> Vec<ClaimChange> {
        vec![]
    }

    fn media(_event: &LocationEvent) -> Vec<MediaRef> {
        vec![]
    }

    /// A location on the site that it comes to be at.
    fn relies_on(event: &LocationEvent) -> Vec<Reliance<LocationError>> {
        let parent = match event {
            LocationEvent::LocationRegistered(event) => event.place.parent_id,
            LocationEvent::LocationEdited(event) => {
                let (before, after) = (event.before.parent_id, event.after.parent_id);
                after.filter(|_| after != before)
            }
            LocationEvent::LocationDeactivated(_) | LocationEvent::LocationReactivated(_) => None,
        };
        let reliance = |parent: LocationId| Reliance {
            stream_type: Location::STREAM_TYPE,
            id: parent.as_uuid(),
            refusal: |standing| match standing {
                Standing::Unknown => Some(LocationError::UnknownParent),
                Standing::Inactive => Some(LocationError::InactiveParent),
                Standing::InUse(kind) if kind == LocationKind::Site.as_str() => None,
                Standing::InUse(_) => Some(LocationError::ParentIsNoSite),
            },
        };
        parent.map(reliance).into_iter().collect()
    }

    fn standing(&self) -> Standing {
        match self.kind {
            None => Standing::Unknown,
            Some(_) if !self.active => Standing::Inactive,
            Some(kind) => Standing::InUse(kind.as_str()),
        }
    }
}
