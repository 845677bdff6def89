//! Handlers that describe themselves: what a handler takes and gives says who may use it, what it reads of a request, and
//! what it answers. The guard and the API document are made of that, so neither can say anything else than the code does.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::operations::{Access, Concerns};
use super::problem::Problem;
use super::schemas::Schemas;

/// The first argument of every handler: who is calling.
pub(super) trait Caller {
    /// Who may.
    const ACCESS: Access;

    /// Which headers are read of them.
    fn describe(_: &mut Draft<'_>) {}
}

/// Any other argument of a handler: what of the request it reads.
pub(super) trait Reads {
    /// Says so.
    fn describe(draft: &mut Draft<'_>);
}

/// What a handler answers with if all is well.
pub(super) trait Answers {
    /// Says so.
    fn describe(draft: &mut Draft<'_>);
}

/// A handler whose arguments and answer describe themselves. `Args` are its arguments.
pub(super) trait Described<Args> {
    /// Who may use it.
    const ACCESS: Access;

    /// What it reads and answers.
    fn describe(draft: &mut Draft<'_>);
}

macro_rules! described {
    ($($argument:ident)*) => {
        impl<F, By, $($argument,)* Fut, Answer> Described<(By, $($argument,)*)> for F
        where
            F: Fn(By, $($argument),*) -> Fut,
            Fut: Future<Output = Result<Answer, Problem>>,
            By: Caller,
            $($argument: Reads,)*
            Answer: Answers,
        {
            const ACCESS: Access = By::ACCESS;

            fn describe(draft: &mut Draft<'_>) {
                By::describe(draft);
                $($argument::describe(draft);)*
                Answer::describe(draft);
            }
        }
    };
}

described!();
described!(A);
described!(A B);
described!(A B C);
described!(A B C D);
described!(A B C D E);

/// Why an operation may be refused: the status, the name of its description in the document, when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ProblemKind {
    /// The request cannot be read.
    BadRequest,
    /// No usable access token was sent.
    Unauthenticated,
    /// None of the caller's roles permits this.
    Denied,
    /// There is no such thing.
    NotFound,
    /// The body came too slowly.
    BodyTooSlow,
    /// Something is taken, or things do not stand that way.
    Conflict,
    /// The record was erased.
    Gone,
    /// It changed since the version seen.
    VersionConflict,
    /// The body is too large.
    TooLarge,
    /// The body has another format.
    UnsupportedMediaType,
    /// Readable, and wrong.
    Refused,
    /// The caller has too much under way.
    TooMany,
    /// Our fault.
    Internal,
    /// Not now.
    Unavailable,
    /// It took too long.
    Timeout,
}

impl ProblemKind {
    /// All of them.
    pub(super) const ALL: [ProblemKind; 15] = [
        ProblemKind::BadRequest,
        ProblemKind::Unauthenticated,
        ProblemKind::Denied,
        ProblemKind::NotFound,
        ProblemKind::BodyTooSlow,
        ProblemKind::Conflict,
        ProblemKind::Gone,
        ProblemKind::VersionConflict,
        ProblemKind::TooLarge,
        ProblemKind::UnsupportedMediaType,
        ProblemKind::Refused,
        ProblemKind::TooMany,
        ProblemKind::Internal,
        ProblemKind::Unavailable,
        ProblemKind::Timeout,
    ];

    /// Its status, its name in the document, and when it comes.
    pub(super) fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            ProblemKind::BadRequest => {
                (StatusCode::BAD_REQUEST, "BadRequest", "The request cannot be read")
            }
            ProblemKind::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "Unauthenticated", "No usable access token was sent")
            }
            ProblemKind::Denied => {
                (StatusCode::FORBIDDEN, "Denied", "None of the caller's roles permits this")
            }
            ProblemKind::NotFound => (
                StatusCode::NOT_FOUND,
                "NotFound",
                "There is no such thing, as far as the caller may know",
            ),
            ProblemKind::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "BodyTooSlow",
                "The body came too slowly; nothing was done",
            ),
            ProblemKind::Conflict => (
                StatusCode::CONFLICT,
                "Conflict",
                "Something is taken, or things do not stand that way",
            ),
            ProblemKind::Gone => (StatusCode::GONE, "Gone", "The record was erased"),
            ProblemKind::VersionConflict => (
                StatusCode::PRECONDITION_FAILED,
                "VersionConflict",
                "It changed since the version seen",
            ),
            ProblemKind::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", "The body is too large")
            }
            ProblemKind::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "The body has another format",
            ),
            ProblemKind::Refused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Refused", "The request is readable, and wrong")
            }
            ProblemKind::TooMany => {
                (StatusCode::TOO_MANY_REQUESTS, "TooMany", "The caller has too much under way")
            }
            ProblemKind::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal",
                "The server failed; its log has the details under the request's id",
            ),
            ProblemKind::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "Not now; see Retry-After")
            }
            ProblemKind::Timeout => {
                (StatusCode::GATEWAY_TIMEOUT, "Timeout", "It took too long, and may have been done")
            }
        }
    }
}

/// Why a body may be refused.
pub(super) const BODY_PROBLEMS: [ProblemKind; 4] = [
    ProblemKind::BodyTooSlow,
    ProblemKind::TooLarge,
    ProblemKind::UnsupportedMediaType,
    ProblemKind::Refused,
];

/// The description of one operation while it is built from its parts.
pub(super) struct Draft<'a> {
    path: &'static str,
    schemas: &'a mut Schemas,
    named: usize,
    /// Whose record it is about.
    pub(super) concerns: Concerns,
    /// Whether it takes its body in by itself.
    pub(super) takes_upload: bool,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(path: &'static str, schemas: &'a mut Schemas) -> Self {
        Self {
            path,
            schemas,
            named: 0,
            concerns: Concerns::Nobody,
            takes_upload: false,
            parameters: Vec::new(),
            body: None,
            answers: Map::new(),
        }
    }

    /// The next parameter of the path, which has this form.
    pub(super) fn in_path(&mut self, description: &str, schema: Value) {
        let name = self.path.split('{').skip(1).nth(self.named).unwrap_or_default();
        let name = name.split('}').next().unwrap_or_default().trim_start_matches('*');
        self.named += 1;
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description, "schema": schema,
        }));
    }

    /// A header that is read where it is sent.
    pub(super) fn header(&mut self, name: &str, description: &str, schema: Value) {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": description,
            "schema": schema,
        }));
    }

    /// The parameters of the query, which are the fields of `T`.
    pub(super) fn query<T: JsonSchema>(&mut self) {
        let schema = self.schemas.read_inline::<T>();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, mut schema) in schema["properties"].as_object().cloned().unwrap_or_default() {
            let description =
                schema.as_object_mut().and_then(|schema| schema.remove("description"));
            self.parameters.push(json!({
                "name": name, "in": "query", "required": required.contains(&json!(name)),
                "description": description, "schema": without_null(schema),
            }));
        }
    }

    /// A body of JSON. It may be left out where every field may.
    pub(super) fn body<T: JsonSchema>(&mut self) {
        let schema = self.schemas.read::<T>();
        let needed = self.schemas.requires_something::<T>();
        self.body = Some(json!({
            "required": needed, "content": { "application/json": { "schema": schema } },
        }));
    }

    /// A body of bytes, of one of these media types.
    pub(super) fn upload(&mut self, media_types: &[&str], description: String) {
        let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
        let content: Map<_, _> =
            media_types.iter().map(|kind| ((*kind).to_owned(), bytes.clone())).collect();
        self.takes_upload = true;
        self.body =
            Some(json!({ "required": true, "description": description, "content": content }));
    }

    /// An answer of JSON, with these headers.
    pub(super) fn answer<T: JsonSchema>(
        &mut self,
        status: StatusCode,
        media_type: &str,
        description: &str,
        headers: &[(&str, &str, Value)],
    ) {
        let schema = self.schemas.written::<T>();
        self.answer_of(status, media_type, description, schema, headers);
    }

    /// An answer of another media type, with these headers.
    pub(super) fn answer_of(
        &mut self,
        status: StatusCode,
        media_type: &str,
        description: &str,
        schema: Value,
        headers: &[(&str, &str, Value)],
    ) {
        let headers: Map<_, _> = headers
            .iter()
            .map(|(name, description, schema)| {
                let header = json!({ "description": description, "schema": schema });
                ((*name).to_owned(), header)
            })
            .collect();
        let mut answer = json!({
            "description": description, "content": { media_type: { "schema": schema } },
        });
        if !headers.is_empty() {
            answer["headers"] = Value::Object(headers);
        }
        self.answers.insert(status.as_str().to_owned(), answer);
    }

    /// Why it may be refused.
    pub(super) fn refuses(&mut self, refusals: &[ProblemKind]) {
        for refusal in refusals {
            let (status, name, _) = refusal.parts();
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            self.answers.entry(status.as_str()).or_insert(reference);
        }
    }

    /// What was told, as the document has it.
    pub(super) fn finish(self) -> Map<String, Value> {
        let mut operation = Map::new();
        if !self.parameters.is_empty() {
            operation.insert("parameters".to_owned(), self.parameters.into());
        }
        if let Some(body) = self.body {
            operation.insert("requestBody".to_owned(), body);
        }
        operation.insert("responses".to_owned(), Value::Object(self.answers));
        operation
    }
}

/// A parameter is there or not; there is no way to write that it is null.
fn without_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema["type"].as_array() {
        let kinds: Vec<_> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
        schema["type"] = match <[Value; 1]>::try_from(kinds) {
            Ok([kind]) => kind,
            Err(kinds) => kinds.into(),
        };
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let mut choices = choices.iter().filter(|choice| choice["type"] != "null");
        if let (Some(only), None) = (choices.next().cloned(), choices.next()) {
            return only;
        }
    }
    schema
}

/// The state is no part of the request.
impl Reads for axum::extract::State<crate::state::AppState> {
    fn describe(_: &mut Draft<'_>) {}
}

/// Which route was taken is no part of the request.
impl Reads for axum::extract::MatchedPath {
    fn describe(_: &mut Draft<'_>) {}
}
