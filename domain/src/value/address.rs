//! Postal addresses.

use serde::{Deserialize, Serialize};

use super::code::coded;
use super::quiet::validated;
use super::text::Line;

coded! {
    /// What an address is used for, as in FHIR.
    AddressUse {
        /// A home.
        Home = "home",
        /// A place of work.
        Work = "work",
        /// For a time.
        Temp = "temp",
        /// No longer in use.
        Old = "old",
        /// For bills.
        Billing = "billing",
    }
}

/// Why an address was refused. It does not repeat the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No part is given.
    #[error("the address is empty: give at least a line, a city, a postal code or a country")]
    Empty,
    /// More lines than an address may have.
    #[error("the address has too many lines: at most {max} are allowed")]
    TooManyLines {
        /// The limit.
        max: usize,
    },
}

/// A postal address, kept as it was given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AddressParts", into = "AddressParts")]
pub struct Address(AddressParts);

/// The parts of an [`Address`].
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddressParts {
    /// Street, house number, post box and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = Address::MAX_LINES)))]
    pub lines: Vec<Line<200>>,
    /// The city, town or village.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Line<100>>,
    /// The district or county.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub district: Option<Line<100>>,
    /// The state or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Line<100>>,
    /// The postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<Line<20>>,
    /// The country, by name or by ISO 3166 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Line<100>>,
    /// What it is used for.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub address_use: Option<AddressUse>,
}

validated!(Address(AddressParts), AddressError);

impl Address {
    /// The most lines.
    pub const MAX_LINES: usize = 6;

    fn check(parts: &AddressParts) -> Result<(), AddressError> {
        let given = !parts.lines.is_empty()
            || [&parts.city, &parts.district, &parts.state, &parts.country]
                .iter()
                .any(|part| part.is_some())
            || parts.postal_code.is_some();
        if !given {
            return Err(AddressError::Empty);
        }
        if parts.lines.len() > Self::MAX_LINES {
            return Err(AddressError::TooManyLines { max: Self::MAX_LINES });
        }
        Ok(())
    }
}
