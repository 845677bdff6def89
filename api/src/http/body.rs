//! Request bodies: JSON read strictly, straight into its type, with the field and the reason named when it is wrong.

use std::borrow::Cow;
use std::cell::RefCell;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::describe::{BODY_PROBLEMS, Draft, Reads};
use super::ids::{GivenId, RESERVED, RESERVED_REASON, reserved_in, safe_name};
use super::problem::Problem;
use super::schemas::uuid;
use crate::state::AppState;

/// Largest JSON body.
pub const MAX_JSON_BYTES: usize = 1024 * 1024;
/// Largest body of a request without an access token: a name and a password.
pub const MAX_PUBLIC_BYTES: usize = 4096;

/// A body.
pub(super) struct Body<T>(pub(super) T);

/// A body that may name the id of what is to be created.
pub(super) struct New<T> {
    /// The id, if the client chose one.
    pub(super) id: Option<GivenId>,
    /// The rest.
    pub(super) body: T,
}

/// No body, or one without fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<T: JsonSchema> Reads for Body<T> {
    fn describe(draft: &mut Draft<'_>) {
        draft.body::<T>();
        draft.refuses(&BODY_PROBLEMS);
    }
}

impl<T: JsonSchema> Reads for New<T> {
    fn describe(draft: &mut Draft<'_>) {
        draft.body::<Self>();
        draft.refuses(&BODY_PROBLEMS);
    }
}

/// What `T` looks like, and the id.
impl<T: JsonSchema> JsonSchema for New<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        let mut id = uuid();
        id["description"] = "The id to take; without it the server chooses one".into();
        if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            fields.insert("id".to_owned(), id);
        }
        schema
    }
}

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        understand(&taken(request, state).await?, |body| T::deserialize(body)).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<AppState> for New<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        new(&taken(request, state).await?)
    }
}

fn new<T: DeserializeOwned>(bytes: &[u8]) -> Result<New<T>, Problem> {
    let id = RefCell::new(None);
    let body = understand(bytes, |body| T::deserialize(WithId { body, id: &id }))?;
    Ok(New { id: id.into_inner(), body })
}

/// The bytes of a body of JSON.
async fn taken(request: Request, state: &AppState) -> Result<Bytes, Problem> {
    let headers = request.headers().clone();
    // It is in memory already, and no larger than it may be (`limits::admit`).
    let bytes = Bytes::from_request(request, state).await.map_err(|_| {
        Problem::bad_request("body-unreadable", "the body ended early or could not be read")
    })?;
    // A command without fields may be sent without a body at all.
    if bytes.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if media_type(&headers).is_none_or(|kind| kind != "application/json") {
        return Err(unsupported(&["application/json"]));
    }
    Ok(bytes)
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

/// The media type of a request in lower case, without its parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The reader of a body, which keeps track of where it is.
type Reader<'a, 'b> = serde_path_to_error::Deserializer<
    'a,
    'b,
    &'a mut serde_json::Deserializer<serde_json::de::SliceRead<'a>>,
>;

/// Reads a body of JSON: an object, complete, without a reserved id.
fn understand<T>(
    bytes: &[u8],
    read: impl FnOnce(Reader<'_, '_>) -> Result<T, serde_json::Error>,
) -> Result<T, Problem> {
    let reserved = reserved_in(bytes).map_err(|error| {
        Problem::bad_request("malformed-json", format!("the body is not JSON: {error}"))
    })?;
    if let Some(field) = reserved {
        return Err(Problem::unprocessable(RESERVED, RESERVED_REASON).at(field));
    }
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::unprocessable("invalid-body", "the body must be a JSON object"));
    }
    let mut track = serde_path_to_error::Track::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let body = read(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    body.map_err(|error| field_problem(&path_of(&track.path()), &error, bytes))
}

/// 422 naming the field and the reason.
fn field_problem(path: &str, error: &serde_json::Error, bytes: &[u8]) -> Problem {
    // Line and column add nothing where the field is named.
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    if let Some(name) = message.strip_prefix("duplicate field `") {
        let name = safe_name(name.trim_end_matches('`'));
        let field = if path.is_empty() || path == name || path.ends_with(&format!(".{name}")) {
            if path.is_empty() { name } else { path.to_owned() }
        } else {
            format!("{path}.{name}")
        };
        let reason = "the field is given twice";
        return Problem::unprocessable("duplicate-field", reason).at(field);
    }
    let value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let (field, reason) = explain(path, message, &value);
    invalid(field, &reason)
}

/// Reads an object and takes the field `id` out of it on the way.
struct WithId<'a, D> {
    body: D,
    id: &'a RefCell<Option<GivenId>>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for WithId<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.body.deserialize_map(WithId { body: visitor, id: self.id })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for WithId<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.body.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.body.visit_map(WithId { body: entries, id: self.id })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithId<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.body.next_key::<String>()? {
            if name != "id" {
                let name: StringDeserializer<A::Error> = StringDeserializer::new(name);
                return seed.deserialize(name).map(Some);
            }
            let id: GivenId = self.body.next_value()?;
            if self.id.replace(Some(id)).is_some() {
                return Err(A::Error::duplicate_field("id"));
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.body.next_value_seed(seed)
    }
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
    // What it lists are our own codes, one of which may be a part of what was sent or the reverse.
    if message.starts_with("unknown code: use one of ") {
        return (here, message.to_owned());
    }
    // The message of one of our value types. Those repeat no input; those of a library may, if only a letter.
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
        understand(body.as_bytes(), |body| Put::deserialize(body))
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
    fn an_id_is_taken_out_of_the_body() {
        let read = |body: &str| new::<Put>(body.as_bytes());
        let id = "018f2a7e-0000-7000-8000-000000000001";
        let chosen = read(&format!(r#"{{"items":[{{"count":1}}],"id":"{id}"}}"#)).expect("good");
        assert_eq!(chosen.id.map(|id| id.as_uuid().to_string()).as_deref(), Some(id));
        assert_eq!(chosen.body.items.len(), 1);
        assert!(read(r#"{"items":[]}"#).expect("good").id.is_none());
        for (body, field, code) in [
            (r#"{"id":"Jane Doe","items":[]}"#, "id", "invalid-body"),
            (r#"{"id":71,"items":[]}"#, "id", "invalid-body"),
            (r#"{"id":"00000000-0000-0000-0000-000000000000","items":[]}"#, "id", RESERVED),
            (r#"{"items":[],"extra":1}"#, "extra", "invalid-body"),
            (r#"{"items":[{"count":"Jane Doe"}]}"#, "items[0].count", "invalid-body"),
            (r#"{}"#, "items", "invalid-body"),
        ] {
            let problem = read(body).err().expect(body);
            assert_eq!(
                (problem.field.as_deref(), problem.code.as_ref()),
                (Some(field), code),
                "{body}"
            );
            assert!(!problem.detail.contains("Jane"), "{}", problem.detail);
        }
        let twice = format!(r#"{{"id":"{id}","items":[],"id":"{id}"}}"#);
        assert_eq!(read(&twice).err().expect("twice").code, "duplicate-field");
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
