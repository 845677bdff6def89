//! The OpenAPI document: what the handlers say of themselves, and what holds for all of them.

use serde_json::{Map, Value, json};

use super::describe::ProblemKind;
use super::problem::{PROBLEM, ProblemDetails};
use super::routes::Routes;

const SCHEME: &str = "access_token";

const DESCRIPTION: &str = "The clinical record of a clinic, kept as a ledger. Every command is answered with a receipt: the \
    signed events, their proofs, and the checkpoint that covers them.\n\n\
    * **Repeating**: send `Idempotency-Key` with a command; the same request is then done once.\n\
    * **Not overwriting**: send `If-Match` with the `ETag` you saw.\n\
    * **Reading your own write**: send `Ledger-Min-Position` with the receipt's `position`.\n\
    * **Why**: send `Purpose-Of-Use`. Every look at a record is recorded before it is answered.\n\
    * **Errors** are RFC 9457 problem details; decide by `code`.";

const TAGS: [(&str, &str); 10] = [
    ("sessions", "Logging in"),
    ("accounts", "Accounts and their roles"),
    ("patients", "Registration and edits"),
    ("custody", "Legal holds and erasure"),
    ("directory", "Practitioners, sites and rooms"),
    ("appointments", "Booking, and what became of it"),
    ("wounds", "Episodes, scans and measurements"),
    ("models", "The models that measure wounds, with their cards"),
    ("log", "Receipts, checkpoints, keys, proofs and tiles"),
    ("operation", "For operators of the server"),
];

/// The document of these routes.
pub(super) fn document(routes: &mut Routes) -> Value {
    let (paths, schemas) = routes.document::<ProblemDetails>();
    let tags: Vec<_> = TAGS
        .iter()
        .map(|(name, description)| json!({ "name": name, "description": description }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Coherency Ledger",
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/", "description": "This server" }],
        "tags": tags,
        "security": [{ SCHEME: [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": refusals(),
            "securitySchemes": {
                SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The access token of POST /v1/sessions",
                },
            },
        },
    })
}

fn refusals() -> Map<String, Value> {
    ProblemKind::ALL
        .into_iter()
        .map(|refusal| {
            let (_, name, description) = refusal.parts();
            let problem = json!({ "$ref": "#/components/schemas/Problem" });
            let mut response = json!({
                "description": description, "content": { PROBLEM: { "schema": problem } },
            });
            if matches!(
                refusal,
                ProblemKind::TooMany | ProblemKind::Unavailable | ProblemKind::Timeout
            ) {
                response["headers"] = json!({ "Retry-After": {
                    "description": "Seconds until another try makes sense",
                    "schema": { "type": "integer" },
                } });
            }
            (name.to_owned(), response)
        })
        .collect()
}
