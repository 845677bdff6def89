//! Codes: closed lists of our own, and bounded codes of other systems.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::identifier::SystemUri;
use super::quiet::serde_as_string;
use super::text::Line;

/// A code that is not on its list. It does not repeat the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown code: use one of {allowed}")]
pub struct UnknownCode {
    /// The codes on the list.
    pub allowed: &'static str,
}

/// A closed list of codes: an enum that reads and writes its codes, quietly.
macro_rules! coded {
    ($(#[doc = $doc:literal])* $name:ident {
        $(#[$first_meta:meta])* $first:ident = $first_code:literal,
        $($(#[$variant_meta:meta])* $variant:ident = $code:literal,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[$first_meta])* $first,
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// Every code of the list.
            pub const ALL: &'static [Self] = &[Self::$first, $(Self::$variant),*];

            /// The code as it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_code,
                    $(Self::$variant => $code,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::value::UnknownCode;

            fn from_str(code: &str) -> Result<Self, Self::Err> {
                match code {
                    $first_code => Ok(Self::$first),
                    $($code => Ok(Self::$variant),)*
                    _ => Err($crate::value::UnknownCode {
                        allowed: concat!($first_code $(, ", ", $code)*),
                    }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::value::string(deserializer)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": concat!($($doc),*).trim(),
                    "type": "string",
                    "enum": Self::ALL,
                })
            }
        }
    };
}
pub(crate) use coded;

/// Text that cannot be a code. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a code: give 1 to 64 visible ASCII characters without white space")]
pub struct CodeError;

/// A code of another system: 1 to 64 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(String);

impl Code {
    /// The greatest length of a code.
    pub const MAX: usize = 64;

    /// Checks a code.
    pub fn new(code: &str) -> Result<Self, CodeError> {
        let fits = (1..=Self::MAX).contains(&code.len());
        if fits && code.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(code.to_owned()))
        } else {
            Err(CodeError)
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(code: &str) -> Result<Self, CodeError> {
        Self::new(code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_string!(Code, { "minLength": 1, "maxLength": Code::MAX, "pattern": "^[!-~]+$" });

/// A code with the system it is from and what it says there, as in a FHIR `Coding`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Coding {
    /// The system the code is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemUri>,
    /// The code.
    pub code: Code,
    /// What the code says, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Line<200>>,
}

/// Shows no content: the code may be a diagnosis.
impl fmt::Debug for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Coding(…)")
    }
}
