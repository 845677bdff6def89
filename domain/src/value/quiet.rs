//! Deserialisation whose errors do not repeat what they were given.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// Reads a string and parses it. A wrong type or a refused value gives an error without the value.
pub(crate) fn string<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Quiet<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Quiet<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
            Err(E::custom("invalid type: boolean, expected a string"))
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
            Err(E::custom("invalid type: number, expected a string"))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
            Err(E::custom("invalid type: number, expected a string"))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
            Err(E::custom("invalid type: number, expected a string"))
        }
    }

    deserializer.deserialize_str(Quiet(PhantomData))
}

/// A point in time. Its error does not quote what was given, as that of `jiff` does.
struct Moment(Timestamp);

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = text.parse().map(Self);
        moment.map_err(|_| "this is not a point in time: write it as 2026-01-31T12:00:00Z")
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string(deserializer)
    }
}

/// Reads a point in time.
pub(crate) fn timestamp<'de, D: Deserializer<'de>>(de: D) -> Result<Timestamp, D::Error> {
    Moment::deserialize(de).map(|moment| moment.0)
}

/// Reads a point in time that may be missing.
pub(crate) fn timestamp_option<'de, D: Deserializer<'de>>(
    de: D,
) -> Result<Option<Timestamp>, D::Error> {
    Option::<Moment>::deserialize(de).map(|moment| moment.map(|moment| moment.0))
}

/// A local time. An offset is refused: `jiff` would ignore it, and it may contradict the zone.
struct Local(DateTime);

impl FromStr for Local {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let local = text
            .split_once('T')
            .filter(|(_, time)| time.bytes().all(|b| b.is_ascii_digit() || b":.".contains(&b)))
            .and_then(|_| text.parse().ok());
        local.map(Self).ok_or(
            "this is not a local time: write it as 2026-01-31T12:00, without offset; the zone stands in `zone`",
        )
    }
}

/// Reads a local time.
pub(crate) fn local_time<'de, D: Deserializer<'de>>(de: D) -> Result<DateTime, D::Error> {
    string(de).map(|local: Local| local.0)
}

/// Serialises a type as its `Display` text and deserialises it by `FromStr`, quietly. What is known of the text besides is
/// for the API document.
macro_rules! serde_as_string {
    ($type:ident, $known:tt) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::value::string(deserializer)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::schema::text(serde_json::json!($known))
            }
        }
    };
}
pub(crate) use serde_as_string;

/// Completes a value made of parts: read through `Deref`, made only by `TryFrom` of its parts, with a
/// `Debug` that shows no content. The type must have an `fn check(&Parts) -> Result<(), Error>`.
macro_rules! validated {
    ($value:ident($parts:ident), $error:ty) => {
        impl TryFrom<$parts> for $value {
            type Error = $error;

            fn try_from(parts: $parts) -> Result<Self, $error> {
                Self::check(&parts)?;
                Ok(Self(parts))
            }
        }

        impl From<$value> for $parts {
            fn from(value: $value) -> $parts {
                value.0
            }
        }

        impl std::ops::Deref for $value {
            type Target = $parts;

            fn deref(&self) -> &$parts {
                &self.0
            }
        }

        impl std::fmt::Debug for $value {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($value), "(…)"))
            }
        }

        impl std::fmt::Debug for $parts {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($parts), "(…)"))
            }
        }

        #[cfg(feature = "schema")]
        $crate::schema::made_of!($value($parts));
    };
}
pub(crate) use validated;

/// The text of a deserialisation error without any of the input in it.
///
/// `serde_json` quotes what it met (`invalid type: string "…", expected …`, "unknown variant `…`"), which
/// may be PHI. The line, the column, the field names this crate declares and the reason are kept.
pub fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    for (met, end, plain) in [
        ("unknown variant `", "`, expected", "unknown value, expected"),
        ("unknown variant `", "`, there are no", "unknown value, there are no"),
        ("unknown field `", "`, expected", "unknown field, expected"),
        ("unknown field `", "`, there are no", "unknown field, there are no"),
        ("invalid type: string \"", "\", expected", "invalid type: string, expected"),
        ("invalid value: string \"", "\", expected", "invalid value: string, expected"),
        ("invalid type: integer `", "`, expected", "invalid type: integer, expected"),
        ("invalid value: integer `", "`, expected", "invalid value: integer, expected"),
        ("invalid type: floating point `", "`, expected", "invalid type: number, expected"),
        ("invalid value: floating point `", "`, expected", "invalid value: number, expected"),
        ("invalid type: boolean `", "`, expected", "invalid type: boolean, expected"),
        ("invalid value: character `", "`, expected", "invalid value: character, expected"),
    ] {
        // The input may contain the closing text itself, so the last one counts.
        if rest.starts_with(met)
            && let Some(at) = rest.rfind(end)
        {
            out.push_str(plain);
            rest = &rest[at + end.len()..];
            break;
        }
    }
    out.push_str(rest);
    out
}
