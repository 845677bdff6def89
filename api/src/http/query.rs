//! The query of a URL, read strictly: every parameter is known, comes once, and reads as what it must be.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use projections::read_models::Page;
use schemars::JsonSchema;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::describe::{Draft, ProblemKind, Reads};
use super::ids::safe_name;
use super::problem::Problem;
use super::read;
use crate::state::AppState;

/// The parameters of a query, which are the fields of `T`.
pub(super) struct Query<T>(pub(super) T);

/// Which part of a list.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// How many; 50 without it.
    #[schemars(range(min = 1, max = Page::LIMIT_MAX))]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl PageQuery {
    /// The page.
    pub(super) fn page(&self) -> Result<Page, Problem> {
        read::page(self.limit, self.after.as_deref())
    }
}

impl<T: JsonSchema> Reads for Query<T> {
    fn describe(draft: &mut Draft<'_>) {
        draft.query::<T>();
        draft.refuses(&[ProblemKind::Refused]);
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        parse(parts.uri.query()).map(Self)
    }
}

fn parse<T: DeserializeOwned>(query: Option<&str>) -> Result<T, Problem> {
    let mut parameters: Vec<(String, Text)> = Vec::new();
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = decode(name).unwrap_or_default();
        if parameters.iter().any(|(given, _)| *given == name) {
            let reason = "a parameter is given more than once";
            return Err(Problem::unprocessable("repeated-parameter", reason).at(safe_name(&name)));
        }
        parameters.push((name, Text(decode(value))));
    }
    let fields = MapDeserializer::new(parameters.into_iter());
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let path = error.path().to_string();
        parameter_problem(&path, &error.into_inner().to_string())
    })
}

/// Makes a problem of serde's message without repeating what was sent.
fn parameter_problem(parameter: &str, message: &str) -> Problem {
    if message.starts_with("unknown field") {
        let known = message.rsplit_once(", expected ").map_or("none", |(_, known)| known);
        let known = known.trim_start_matches("one of ").replace('`', "");
        let reason = format!("unknown parameter; this operation takes {known}");
        return Problem::unprocessable("unknown-parameter", reason);
    }
    if let Some(name) = message.strip_prefix("missing field `") {
        let name = name.trim_end_matches('`').to_owned();
        return Problem::unprocessable("missing-parameter", "the parameter is needed").at(name);
    }
    Problem::unprocessable("invalid-parameter", message).at(parameter)
}

/// A value of a query: what it is depends on what is expected. None if its escapes cannot be undone.
struct Text(Option<String>);

impl Text {
    fn text<E: serde::de::Error>(self) -> Result<String, E> {
        self.0
            .ok_or_else(|| E::custom("cannot be read: it is no UTF-8, or an escape is incomplete"))
    }
}

impl<'de> IntoDeserializer<'de, Error> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($function:ident $visit:ident $type:ty),*) => {$(
        fn $function<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let number = self.text::<Error>()?.parse::<$type>();
            let number = number.map_err(|_| Error::custom("expected a whole number"))?;
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Text {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text::<Error>()?.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Error::custom("expected true or false")),
        }
    }

    numbers!(deserialize_u8 visit_u8 u8, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64);

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// An instant of a query. Its refusal does not repeat what was sent, as that of the library does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant(pub(super) jiff::Timestamp);

impl<'de> serde::Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = Instant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Instant, E> {
                let expected = "expected an RFC 3339 time, as in 2026-03-02T09:30:00Z";
                text.parse().map(Instant).map_err(|_| E::custom(expected))
            }
        }
        deserializer.deserialize_str(Form)
    }
}

impl JsonSchema for Instant {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        jiff::Timestamp::json_schema(generator)
    }
}

/// Undoes percent-encoding. A plus stays a plus: in a time it is the sign of the offset.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Probe {
        from: Option<Instant>,
        limit: Option<u32>,
        after: Option<String>,
        of: Option<domain::PatientId>,
    }

    #[test]
    fn queries_are_read_strictly() {
        let read = |text: &str| parse::<Probe>(Some(text));
        let id = Uuid::from_u128(7);
        let query = read(&format!("from=2026-03-02T09%3A30%3A00%2B01:00&limit=5&of={id}"));
        let query = query.unwrap_or_else(|problem| panic!("{}", problem.detail));
        assert_eq!(
            query.from.map(|from| from.0.to_string()).as_deref(),
            Some("2026-03-02T08:30:00Z")
        );
        assert_eq!((query.limit, query.after), (Some(5), None));
        assert_eq!(query.of.map(|id| id.as_uuid()), Some(id));
        for (text, code, field) in [
            ("name=Meyer", "unknown-parameter", None),
            ("limit=1&limit=2", "repeated-parameter", Some("limit")),
            ("limit=%2", "invalid-parameter", Some("limit")),
            ("limit=%ff", "invalid-parameter", Some("limit")),
            ("limit=Meyer", "invalid-parameter", Some("limit")),
            ("limit=-1", "invalid-parameter", Some("limit")),
            ("from=Meyer", "invalid-parameter", Some("from")),
            ("of=Meyer", "invalid-parameter", Some("of")),
        ] {
            let problem = read(text).expect_err(text);
            assert_eq!((problem.code.as_ref(), problem.field.as_deref()), (code, field), "{text}");
            assert!(!problem.detail.contains("Meyer"), "{}", problem.detail);
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only parsed")]
        struct Needed {
            position: u64,
        }
        let problem = parse::<Needed>(None).expect_err("it is needed");
        assert_eq!(
            (problem.code.as_ref(), problem.field.as_deref()),
            ("missing-parameter", Some("position"))
        );
    }
}
