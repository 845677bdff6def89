//! Identifiers with the system that issued them, such as a medical record number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::code::{Code, coded};
use super::quiet::{serde_as_string, validated};
use super::text::Line;

/// Why an identifier was refused. It does not repeat the identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// The system is not an absolute URI.
    #[error(
        "the identifier's system is not an absolute URI of at most 255 characters: give one, such as http://clinic.example/mrn or urn:oid:2.16.840.1"
    )]
    System,
}

/// The system that issued an identifier or defined a code: an absolute URI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemUri(String);

impl SystemUri {
    /// The greatest length of a URI, in characters.
    pub const MAX: usize = 255;

    /// Checks a URI: a scheme, a colon and more, without white space or `|`.
    pub fn new(uri: &str) -> Result<Self, IdentifierError> {
        let (scheme, rest) = uri.split_once(':').ok_or(IdentifierError::System)?;
        let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        // `|` separates a system from a value in claims and in searches.
        let rest_fits = !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_graphic() && !b"|\"<>\\^`{}".contains(&b));
        if scheme_fits && rest_fits && uri.len() <= Self::MAX {
            Ok(Self(uri.to_owned()))
        } else {
            Err(IdentifierError::System)
        }
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SystemUri {
    type Err = IdentifierError;

    fn from_str(uri: &str) -> Result<Self, IdentifierError> {
        Self::new(uri)
    }
}

impl fmt::Display for SystemUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_string!(SystemUri, {
    "maxLength": SystemUri::MAX,
    "pattern": r#"^[A-Za-z][A-Za-z0-9+.-]*:[!#-;=?-\[\]_a-z~]+$"#,
    "examples": ["http://clinic.example/mrn"],
});

coded! {
    /// What an identifier is used for, as in FHIR.
    IdentifierUse {
        /// The usual one.
        Usual = "usual",
        /// The one on documents.
        Official = "official",
        /// For a time.
        Temp = "temp",
        /// Issued by another party for its own use.
        Secondary = "secondary",
        /// No longer in use.
        Old = "old",
    }
}

/// An identifier of a patient, unique within its system.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IdentifierParts", into = "IdentifierParts")]
pub struct Identifier(IdentifierParts);

/// The parts of an [`Identifier`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IdentifierParts {
    /// The system that issued it.
    pub system: SystemUri,
    /// The identifier itself.
    pub value: Line<128>,
    /// What it is used for.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub identifier_use: Option<IdentifierUse>,
    /// What kind of identifier it is, as in HL7 v2 table 0203: `MR`, `SS`, `DL`, `PPN` and others.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Code>,
    /// Who issued it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Line<200>>,
}

validated!(Identifier(IdentifierParts), IdentifierError);

impl Identifier {
    /// Every part is valid by itself, and they are free of each other.
    fn check(_: &IdentifierParts) -> Result<(), IdentifierError> {
        Ok(())
    }

    /// The key of the claim that makes it unique: `system|value`.
    pub fn claim_key(&self) -> String {
        format!("{}|{}", self.system, self.value)
    }
}
