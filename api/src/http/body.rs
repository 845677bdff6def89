//! Request bodies: JSON read strictly, with the field and the reason named when it is wrong.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::ids::{GivenId, RESERVED, RESERVED_REASON, reserved_in};
use super::problem::Problem;

/// Largest JSON body.
pub const MAX_JSON_BYTES: usize = 1024 * 1024;
/// Largest body of a request without an access token: a name and a password.
pub const MAX_PUBLIC_BYTES: usize = 4096;

/// A JSON object out of a request, not yet understood.
pub struct Fields(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        // It is in memory already, and no larger than it may be (`limits::admit`).
        let bytes = Bytes::from_request(request, state).await.map_err(|_| {
            Problem::bad_request("body-unreadable", "the body ended early or could not be read")
        })?;
        // A command without fields may be sent without a body at all.
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        if !is_json(&headers) {
            return Err(unsupported(&["application/json"]));
        }
        Self::parse(&bytes)
    }
}

/// 415, naming the media types that would be taken.
pub fn unsupported(accepted: &[&'static str]) -> Problem {
    let accepted = accepted.join(", ");
    let problem = Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "Unsupported media type",
        format!("this operation takes {accepted}"),
    )
    .at("Content-Type");
    match HeaderValue::from_str(&accepted) {
        Ok(accepted) => problem.with_header(ACCEPT, accepted),
        Err(_) => problem,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| kind == "application/json")
}

/// The media type of a request in lower case, without its parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

impl Fields {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let parsed = Strict::deserialize(&mut reader).and_then(|value| {
            reader.end()?;
            Ok(value)
        });
        match parsed {
            Ok(Strict(Value::Object(map))) => {
                let body = Value::Object(map);
                if let Some(field) = reserved_in(&body) {
                    let refused = Problem::unprocessable(RESERVED, RESERVED_REASON);
                    return Err(refused.at(field));
                }
                let Value::Object(map) = body else { return Ok(Self(Map::new())) };
                Ok(Self(map))
            }
            Ok(_) => Err(Problem::unprocessable("invalid-body", "the body must be a JSON object")),
            Err(error) if error.is_data() => {
                // The only thing `Strict` itself refuses.
                Err(Problem::unprocessable(
                    "duplicate-field",
                    format!(
                        "an object gives the same field twice, before line {} column {}",
                        error.line(),
                        error.column()
                    ),
                ))
            }
            Err(error) => Err(Problem::bad_request(
                "malformed-json",
                format!("the body is not JSON: {error}"),
            )),
        }
    }

    /// Takes the optional client-chosen id of what is to be created out of the body.
    ///
    /// # Errors
    ///
    /// When `id` is there and is no UUID.
    pub fn take_id(&mut self) -> Result<Option<GivenId>, Problem> {
        match self.0.remove("id") {
            None => Ok(None),
            Some(Value::String(text)) => GivenId::parse(&text).map(Some).map_err(|_| bad_id()),
            Some(_) => Err(bad_id()),
        }
    }

    /// The body as `T`.
    ///
    /// # Errors
    ///
    /// 422 naming the field and the reason.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Problem> {
        understand(&Value::Object(self.0))
    }

    /// Refuses a body where none has a meaning.
    ///
    /// # Errors
    ///
    /// 422 naming the first field.
    pub fn nothing(self) -> Result<(), Problem> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(safe_name(&name), "this operation takes no fields")),
        }
    }
}

fn bad_id() -> Problem {
    invalid("id".to_owned(), "expected a UUID")
}

/// `value` as `T`.
fn understand<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = path_of(error.path());
        let message = error.inner().to_string();
        let (field, reason) = explain(&path, &message, value);
        invalid(field, &reason)
    })
}

fn invalid(field: String, reason: &str) -> Problem {
    let detail = if field.is_empty() {
        format!("the body is not as expected: {reason}")
    } else {
        format!("`{field}`: {reason}")
    };
    let mut problem = Problem::unprocessable("invalid-body", reason);
    problem = problem.at(if field.is_empty() { "(body)".to_owned() } else { field });
    problem.detail = detail;
    problem
}

fn path_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path.iter().take(16) {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } => {
                let name = safe_name(key);
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&name);
            }
            // The variant of a value; the caller sees it as the field that holds it.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}

/// A field's name as it may be repeated: a caller could have put anything there.
pub(super) fn safe_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= 40 && name.chars().all(plain) {
        name.to_owned()
    } else {
        "(unnamed)".to_owned()
    }
}

/// Makes a field and a reason of serde's message without repeating any of the caller's values.
fn explain(path: &str, message: &str, value: &Value) -> (String, String) {
    let here = path.to_owned();
    let below = |name: &str| {
        let name = safe_name(name);
        if path.is_empty() { name } else { format!("{path}.{name}") }
    };
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let name = rest.split('`').next().unwrap_or_default();
        // The path leads to the unknown field itself, or to what holds it.
        let is_last = path.rsplit('.').next() == Some(safe_name(name).as_str());
        let field = if is_last { here } else { below(name) };
        return (
            field,
            match expected {
                Some(expected) => format!("unknown field; expected {expected}"),
                None => "unknown field; none is expected here".to_owned(),
            },
        );
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        return (below(rest.split('`').next().unwrap_or_default()), "is required".to_owned());
    }
    if message.starts_with("unknown variant `") {
        return (
            here,
            match expected {
                Some(expected) => format!("is not an accepted value; expected {expected}"),
                None => "is not an accepted value".to_owned(),
            },
        );
    }
    for (start, verb) in [("invalid type: ", "has the wrong type"), ("invalid value: ", "is wrong")]
    {
        if message.starts_with(start) {
            return (
                here,
                match expected {
                    Some(expected) => format!("{verb}; expected {expected}"),
                    None => verb.to_owned(),
                },
            );
        }
    }
    if message.starts_with("invalid length ") {
        return (here, message.to_owned());
    }
    // The message of a value type of ours. They repeat nothing; those of a library may, be it a letter.
    if message.starts_with("failed to parse") || repeats(message, value) {
        return (here, "is not a valid value".to_owned());
    }
    (here, message.to_owned())
}

/// Whether `message` contains a value out of `value`, longer than a letter or two.
fn repeats(message: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() > 2 && message.contains(text.as_str()),
        Value::Number(number) => {
            let text = number.to_string();
            text.len() > 2 && message.contains(&text)
        }
        Value::Array(items) => items.iter().any(|item| repeats(message, item)),
        Value::Object(map) => map.values().any(|item| repeats(message, item)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// A JSON value that gives no field twice: which of the two was meant nobody could say later.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a field is given twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    struct Inner {
        #[expect(dead_code, reason = "only parsed")]
        count: u32,
        #[expect(dead_code, reason = "only parsed")]
        kind: Option<Kind>,
        #[expect(dead_code, reason = "only parsed")]
        when: Option<jiff::Timestamp>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Put {
        items: Vec<Inner>,
    }

    fn put(body: &str) -> Result<Put, Problem> {
        Fields::parse(body.as_bytes())?.read()
    }

    #[test]
    fn a_good_body_is_a_command() {
        let command = put(r#"{"items":[{"count":1,"kind":"plain"}]}"#).expect("good");
        assert_eq!(command.items.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_and_never_repeated() {
        let cases = [
            (r#"{"items":[{"count":"Jane Doe"}]}"#, "items[0].count", "has the wrong type"),
            (r#"{"items":[{"count":-71}]}"#, "items[0].count", "is wrong; expected u32"),
            (r#"{"items":[{"kind":"plain"}]}"#, "items[0].count", "is required"),
            (r#"{"items":[{"count":1,"kind":"Jane Doe"}]}"#, "items[0].kind", "accepted value"),
            (r#"{"items":[{"count":1,"when":"Jane Doe"}]}"#, "items[0].when", "not a valid value"),
            (r#"{"items":[{"count":1,"extra":1}]}"#, "items[0].extra", "unknown field"),
            (r#"{"items":[],"extra":1}"#, "extra", "unknown field"),
            (r#"{"items":[],"Jane Doe":1}"#, "(unnamed)", "unknown field"),
            (r"{}", "items", "is required"),
        ];
        for (body, field, reason) in cases {
            let problem = put(body).expect_err(body);
            let text = serde_json::to_string(&*problem).expect("json");
            assert_eq!(problem.status, 422, "{body}");
            assert_eq!(problem.field.as_deref(), Some(field), "{body}: {text}");
            assert!(problem.detail.contains(reason), "{body}: {text}");
            assert!(!text.contains("Jane") && !text.contains("71"), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_or_is_ambiguous_is_refused() {
        for (body, status, code) in [
            ("{", 400, "malformed-json"),
            (r#"{"items":[]} trailing"#, 400, "malformed-json"),
            ("[]", 422, "invalid-body"),
            (r#"{"items":[],"items":[]}"#, 422, "duplicate-field"),
            (r#"{"items":[{"count":1,"count":2}]}"#, 422, "duplicate-field"),
        ] {
            let problem = put(body).expect_err(body);
            assert_eq!((problem.status, problem.code.as_ref()), (status, code), "{body}");
        }
        let deep = "[".repeat(1000);
        assert_eq!(put(&deep).expect_err("deep").code, "malformed-json");
    }
}
