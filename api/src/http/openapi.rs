//! The OpenAPI document: what the handlers declare, and what holds for all of them.

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Type};

use super::operations::{self, Access, OPERATIONS};
use super::problem;

const SCHEME: &str = "access_token";

/// What stands at the top of the document.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Coherency Ledger",
        description = "The clinical record of a clinic, kept as a ledger. Every command is answered with a \
            receipt: the signed events, their proofs, and the checkpoint that covers them.\n\n\
            * **Repeating**: send `Idempotency-Key` with a command; the same request is then done once.\n\
            * **Not overwriting**: send `If-Match` with the `ETag` you saw.\n\
            * **Reading your own write**: send `Ledger-Min-Position` with the receipt's `position`.\n\
            * **Why**: send `Purpose-Of-Use`. Every look at a record is recorded before it is answered.\n\
            * **Errors** are RFC 9457 problem details; decide by `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "sessions", description = "Logging in"),
        (name = "accounts", description = "Accounts and their roles"),
        (name = "patients", description = "Registration and edits"),
        (name = "custody", description = "Legal holds and erasure"),
        (name = "appointments", description = "Booking, and what became of it"),
        (name = "wounds", description = "Episodes, scans and measurements"),
        (name = "models", description = "The models that measure wounds, with their cards"),
        (name = "log", description = "Receipts, checkpoints, keys, proofs and tiles"),
        (name = "operation", description = "For whoever keeps the server running"),
    ),
    components(schemas(problem::ProblemDetails, problem::FieldError, problem::ConflictView)),
)]
pub(super) struct Base;

/// Problems any operation may answer with: the status, the component's name, when.
const COMMON: &[(StatusCode, &str, &str)] = &[
    (StatusCode::BAD_REQUEST, "BadRequest", "The request cannot be read"),
    (StatusCode::UNAUTHORIZED, "Unauthenticated", "No usable access token was sent"),
    (StatusCode::FORBIDDEN, "Denied", "None of the caller's roles permits this"),
    (StatusCode::NOT_FOUND, "NotFound", "There is no such thing, as far as the caller may know"),
    (StatusCode::REQUEST_TIMEOUT, "BodyTooSlow", "The body came too slowly; nothing was done"),
    (StatusCode::CONFLICT, "Conflict", "Something is taken, or things do not stand that way"),
    (StatusCode::GONE, "Gone", "The record was erased"),
    (StatusCode::PRECONDITION_FAILED, "VersionConflict", "It changed since the version seen"),
    (StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", "The body is too large"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "The body has another format"),
    (StatusCode::UNPROCESSABLE_ENTITY, "Refused", "The request is readable, and wrong"),
    (StatusCode::TOO_MANY_REQUESTS, "TooMany", "The account has too much under way"),
    (StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "Not now; see Retry-After"),
    (StatusCode::GATEWAY_TIMEOUT, "Timeout", "It took too long, and may have been done"),
];

/// Completes the document the handlers have declared.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token of POST /v1/sessions"));
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme.build()));
    for (_, name, description) in COMMON {
        components
            .responses
            .insert((*name).to_owned(), RefOr::T(problem_response(name, description)));
    }
    document.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
    // The router's mark for "the rest of the path" is not OpenAPI's.
    let paths = std::mem::take(&mut document.paths.paths);
    for (path, mut item) in paths {
        for (method, operation) in methods(&mut item) {
            // Handlers are called alike in several modules; ids are unique in a document.
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            if let Some(id) = &mut operation.operation_id {
                *id = format!("{tag}.{id}");
            }
            let listed = OPERATIONS
                .iter()
                .find(|listed| listed.path == path.as_str() && listed.method.as_str() == method);
            if let Some(listed) = listed {
                describe(operation, listed);
            }
        }
        document.paths.paths.insert(path.replace("{*", "{"), item);
    }
    document
}

fn methods(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("GET", item.get.as_mut()),
        ("PUT", item.put.as_mut()),
        ("POST", item.post.as_mut()),
        ("DELETE", item.delete.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

fn describe(operation: &mut Operation, listed: &operations::Operation) {
    let reads = listed.method == axum::http::Method::GET;
    let in_v1 = listed.path.starts_with("/v1/");
    let by_id = listed.path.contains('{');
    let of_patients = ["/v1/patients", "/v1/appointments", "/v1/wounds"]
        .iter()
        .any(|prefix| listed.path.starts_with(prefix));
    for (status, name, _) in COMMON {
        let applies = match *status {
            StatusCode::UNAUTHORIZED => listed.access != Access::Public,
            StatusCode::FORBIDDEN => matches!(listed.access, Access::Needs(_)),
            StatusCode::NOT_FOUND => by_id,
            StatusCode::GONE => of_patients,
            StatusCode::TOO_MANY_REQUESTS => listed.access != Access::Public,
            // Of a read: there is no such position.
            StatusCode::CONFLICT if reads => of_patients,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
                !reads && !listed.path.ends_with("/search") && !listed.path.ends_with("/sessions")
            }
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE => !reads,
            _ => true,
        };
        if in_v1 && applies {
            let response = RefOr::Ref(Ref::from_response_name(*name));
            operation.responses.responses.entry(status.as_str().to_owned()).or_insert(response);
        }
    }
    let permission = match listed.access {
        Access::Public => json!("none: open to all"),
        Access::Authenticated => json!("any account"),
        Access::Needs(permission) => {
            let roles: Vec<_> = permission.roles().iter().map(|role| role.as_str()).collect();
            json!({ "permission": permission.as_str(), "roles": roles })
        }
    };
    let extensions = ExtensionsBuilder::new().add("x-permission", permission).build();
    operation.extensions.get_or_insert_default().merge(extensions);
}

fn problem_response(name: &str, description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let mut response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content);
    if ["TooMany", "Unavailable", "Timeout"].contains(&name) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
        let header = HeaderBuilder::new()
            .schema(Some(seconds))
            .description(Some("Seconds until another try makes sense"))
            .build();
        response = response.header("Retry-After", header);
    }
    response.build()
}
