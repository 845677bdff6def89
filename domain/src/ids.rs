//! Ids: one newtype for each kind of thing, so that a room is never taken for a patient.
//!
//! An id is minted outside (`UUIDv7`, or derived for imports); here it is only carried.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// Text that is not an id. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an id: give a UUID, as in 018f2a7e-0000-7000-8000-000000000000")]
pub struct InvalidId;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID of this id.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    crate::value::string(deserializer)
                } else {
                    Uuid::deserialize(deserializer).map(Self)
                }
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }
    )*};
}

ids! {
    /// A person or a service that acts.
    AccountId;
    /// A booked or recorded visit.
    AppointmentId;
    /// One look at a record.
    DisclosureId;
    /// A legal hold on a record.
    HoldId;
    /// One measurement of a scan.
    MeasurementId;
    /// A patient.
    PatientId;
    /// A practitioner whose time is booked.
    PractitionerId;
    /// A room whose time is booked.
    RoomId;
    /// One capture of a wound.
    ScanId;
    /// An episode of a wound, from opening to closing.
    WoundId;
}
