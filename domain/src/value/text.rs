//! Bounded text: one line, or a note of several.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;

/// Why a text was refused. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing but white space.
    #[error("the text is empty: give at least one visible character, or leave the field out")]
    Empty,
    /// Longer than its field allows.
    #[error("the text is too long: at most {max} characters are allowed")]
    TooLong {
        /// The limit, in characters.
        max: usize,
    },
    /// A control character, a line break in a single line, or a character that reorders text.
    #[error(
        "the text holds a character that is not allowed here (control, line break or direction override): remove it"
    )]
    Control,
}

/// Direction overrides and isolates make a text read otherwise than it is stored.
fn reorders(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn check(text: &str, max: usize, allowed: fn(char) -> bool) -> Result<String, TextError> {
    // Normalising can grow a text threefold; bound the work before doing it.
    if text.len() > max.saturating_mul(8) {
        return Err(TextError::TooLong { max });
    }
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.chars().any(|c| (c.is_control() && !allowed(c)) || reorders(c) || c == '\u{2028}') {
        return Err(TextError::Control);
    }
    if text.chars().count() > max {
        return Err(TextError::TooLong { max });
    }
    Ok(text)
}

macro_rules! text {
    ($type:ident, [$($generic:tt)*], [$($argument:tt)*], $max:expr, $allowed:expr) => {
        impl $($generic)* $type $($argument)* {
            /// Trims, normalises to NFC and checks the text.
            pub fn new(text: &str) -> Result<Self, TextError> {
                check(text, $max, $allowed).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl $($generic)* FromStr for $type $($argument)* {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                Self::new(text)
            }
        }

        impl $($generic)* Deref for $type $($argument)* {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl $($generic)* fmt::Display for $type $($argument)* {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// Shows no content: a text may name a person.
        impl $($generic)* fmt::Debug for $type $($argument)* {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), "(…)"))
            }
        }

        impl $($generic)* serde::Serialize for $type $($argument)* {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        #[cfg(feature = "schema")]
        impl $($generic)* schemars::JsonSchema for $type $($argument)* {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::schema::text(serde_json::json!({ "minLength": 1, "maxLength": $max }))
            }
        }
    };
}

/// One line of at most `MAX` characters: trimmed, NFC, not empty, without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line<const MAX: usize>(String);

text!(Line, [<const MAX: usize>], [<MAX>], MAX, |_| false);

impl<'de, const MAX: usize> serde::Deserialize<'de> for Line<MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::quiet::string(deserializer)
    }
}

/// Free text of at most 2,000 characters, in which lines may break.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Note(String);

impl Note {
    /// The greatest length, in characters.
    pub const MAX: usize = 2_000;
}

text!(Note, [], [], Self::MAX, |c| c == '\n' || c == '\t');

impl<'de> serde::Deserialize<'de> for Note {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::quiet::string(deserializer)
    }
}
