//! Errors as RFC 9457 problem details: one shape for every refusal, and never a value of the caller's.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::trace;

/// The media type of a problem (RFC 9457).
pub(super) const PROBLEM: &str = "application/problem+json";

/// A refusal or a failure on its way to the caller. Boxed, because every answer may be one.
#[derive(Debug, Clone)]
pub struct Problem(Box<ProblemDetails>);

impl std::ops::Deref for Problem {
    type Target = ProblemDetails;

    fn deref(&self) -> &ProblemDetails {
        &self.0
    }
}

impl std::ops::DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut ProblemDetails {
        &mut self.0
    }
}

/// What went wrong, as a program and a person can read it (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemDetails {
    /// Identifies the kind of problem: `urn:coherency:problem:` and the code.
    #[serde(rename = "type")]
    #[schemars(example = &"urn:coherency:problem:claim-conflict")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: &'static str,
    /// The HTTP status.
    #[schemars(example = 409_u16)]
    pub status: u16,
    /// The stable code, in kebab-case. Programs decide by this.
    #[schemars(example = &"claim-conflict")]
    pub code: Cow<'static, str>,
    /// What is wrong with this request and what to do about it. It quotes none of the request's values.
    pub detail: String,
    /// The field of the body, or the header or parameter, that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// One entry for each thing that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Every claim that stands in the way (`claim-conflict` only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<ConflictView>,
    /// The version the resource has now (`version-conflict` only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
    /// This occurrence: `urn:uuid:` and the request's id, as in `X-Request-Id` and the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    headers: HeaderMap,
}

/// The code of a problem, put into its response for the metrics.
#[derive(Debug, Clone)]
pub struct Code(pub Cow<'static, str>);

/// One thing that is wrong with a request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FieldError {
    /// Where, as in `identifiers[0].system`.
    pub field: String,
    /// Why.
    pub reason: String,
}

/// A claim that another record holds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConflictView {
    /// `practitioner`, `room`, `patient` for time; the kind of key for what must be unique.
    #[schemars(example = &"practitioner")]
    pub kind: String,
    /// The resource that is taken, when time is claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<Uuid>,
    /// From when it is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<jiff::Timestamp>,
    /// Until when it is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<jiff::Timestamp>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let code = code.into();
        Self(Box::new(ProblemDetails {
            kind: format!("urn:coherency:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
            errors: Vec::new(),
            conflicts: Vec::new(),
            current_version: None,
            instance: None,
            headers: HeaderMap::new(),
        }))
    }

    /// Blames a field, header or parameter.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        let field = field.into();
        let reason = self.detail.clone();
        self.errors.push(FieldError { field: field.clone(), reason });
        self.field.get_or_insert(field);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// 400: the request cannot be read.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "The request cannot be read", detail)
    }

    /// 401: we do not know who is calling.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        const CHALLENGE: HeaderValue =
            HeaderValue::from_static(r#"Bearer realm="ledger", error="invalid_token""#);
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Not authenticated", detail)
            .with_header(WWW_AUTHENTICATE, CHALLENGE)
    }

    /// 403: we know who is calling, and they may not.
    pub fn denied(permission: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "denied",
            "Not permitted",
            format!("none of your roles has the permission {permission}"),
        )
    }

    /// 404: there is no such thing, as far as the caller may know.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            format!("there is no {what} with this id"),
        )
    }

    /// 404 for a path that there is not.
    pub fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "Not found",
            "there is no such path; /openapi.json lists them all",
        )
    }

    /// 405, with the methods there are.
    pub fn method_not_allowed(allow: &str) -> Self {
        let problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Method not allowed",
            "this path takes other methods; they are in the header Allow",
        );
        match HeaderValue::from_str(allow) {
            Ok(allow) => problem.with_header(axum::http::header::ALLOW, allow),
            Err(_) => problem,
        }
    }

    /// 410: it was there.
    pub fn erased() -> Self {
        Self::new(
            StatusCode::GONE,
            "erased",
            "Erased",
            "the record was erased; that it existed can still be proved, what it said cannot be read",
        )
    }

    /// 422: readable, and wrong.
    pub fn unprocessable(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The request is refused", detail)
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable", detail)
            .retry_after(Duration::from_secs(2))
    }

    /// 503: what is taken cannot be told. It is the same for a name or a time that is free and for one that is not.
    pub fn claims_damaged() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "claims-damaged",
            "What is taken cannot be told",
            "what is stored of taken times, numbers and log-in names does not match the log here, so nothing was done; the operator \
             must run `ledger claims rebuild`, then send the request again",
        )
        .retry_after(Duration::from_secs(60))
    }

    /// 503: too much at once.
    pub fn overloaded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "Too many requests at once",
            "nothing was done; send the request again after the time in Retry-After",
        )
        .retry_after(Duration::from_secs(1))
    }

    /// 500: our fault. What happened stands in the log under the request's id.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "the server failed; its log has the details under this request's id",
        )
    }

    /// The status as a type.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        if self.instance.is_none() {
            self.instance = trace::current().map(|id| format!("urn:uuid:{id}"));
        }
        let status = self.status();
        // Nothing is logged here: the reason was logged where it failed, and the line of the request says the code.
        // Neither holds the detail or the field: an unknown one is the sender's own text.
        let body = serde_json::to_vec(&*self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.extensions_mut().insert(Code(self.0.code.clone()));
        response.headers_mut().extend(self.0.headers);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        response
    }
}
