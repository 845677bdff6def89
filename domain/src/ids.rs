//! Ids: one newtype for each kind of thing, so that a room is never taken for a patient. Each is declared where the thing
//! is; here is how.
//!
//! An id is minted outside (`UUIDv7`, or derived for imports); here it is only carried.

use uuid::Uuid;

/// Text that is not an id. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an id: give a UUID, as in 018f2a7e-0000-7000-8000-000000000000")]
pub struct InvalidId;

/// The ids that the system keeps for itself: the actors without an account, and the streams there is one of.
const KEPT: [u128; 2] =
    [0x0000_0000_0000_8000_8000_0000_0000_0000, 0x6d6f_6465_6c73_8000_8000_0000_0000_0000];

/// How many ids are kept from each of these on.
const KEPT_BITS: u32 = 16;

/// Whether nothing may be called so: nil and max, which programs take for "nothing" and "everything", and the system's
/// own ids.
#[must_use]
pub fn is_reserved(id: Uuid) -> bool {
    let number = id.as_u128();
    id.is_nil() || id.is_max() || KEPT.iter().any(|kept| kept >> KEPT_BITS == number >> KEPT_BITS)
}

/// Declares ids, each a UUID of its own type.
macro_rules! typed_id {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// The id with this UUID.
            pub const fn from_uuid(uuid: uuid::Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID of this id.
            pub const fn as_uuid(&self) -> uuid::Uuid {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ids::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                uuid::Uuid::try_parse(text).map(Self).map_err(|_| $crate::ids::InvalidId)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    $crate::value::string(deserializer)
                } else {
                    <uuid::Uuid as serde::Deserialize>::deserialize(deserializer).map(Self)
                }
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": "uuid" })
            }
        }

        impl From<uuid::Uuid> for $name {
            fn from(uuid: uuid::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for uuid::Uuid {
            fn from(id: $name) -> uuid::Uuid {
                id.0
            }
        }
    )*};
}

pub(crate) use typed_id;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelRegistry;

    #[test]
    fn nil_max_and_the_systems_own_are_kept_and_their_neighbours_are_not() {
        for id in [
            Uuid::nil(),
            Uuid::max(),
            ModelRegistry::ID,
            Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0001),
            Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_ffff),
        ] {
            assert!(is_reserved(id), "{id}");
        }
        for id in [
            Uuid::from_u128(1),
            Uuid::from_u128(u128::MAX - 1),
            Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0001_0000),
            Uuid::from_u128(0x0000_0000_0000_8000_7fff_ffff_ffff_ffff),
            Uuid::from_u128(0x018f_2a7e_0000_7000_8000_0000_0000_0000),
        ] {
            assert!(!is_reserved(id), "{id}");
        }
    }
}
