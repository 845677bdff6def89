//! How answers look: receipts for commands, documents with an entity tag for reads.

use axum::Json;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use commands::Receipt;
use projections::read_models::Listing;
use serde::Serialize;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::records::Shown;

/// The position of the last event of an answer: pass it back as `Ledger-Min-Position` to read it.
pub(super) const LEDGER_POSITION: HeaderName = HeaderName::from_static("ledger-position");
/// `true` when the command had been done before, and this is its first answer again.
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// 201 with the place of what was created.
pub(super) fn created(receipt: &Receipt, location: &str) -> Response {
    let mut response = (StatusCode::CREATED, Json(receipt)).into_response();
    if let Ok(value) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, value);
    }
    with_receipt_headers(response, receipt)
}

/// 200 for a command on what was there.
pub(super) fn done(receipt: &Receipt) -> Response {
    with_receipt_headers(Json(receipt).into_response(), receipt)
}

fn with_receipt_headers(mut response: Response, receipt: &Receipt) -> Response {
    let headers = response.headers_mut();
    tag(headers, receipt.version);
    if let Some(position) = receipt.position {
        headers.insert(LEDGER_POSITION, HeaderValue::from(position));
    }
    if receipt.replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// 200 with a document and its version as the entity tag.
///
/// # Errors
///
/// 500 when the document does not serialise.
pub(super) fn document(document: &impl Serialize, version: u64) -> Result<Response, Problem> {
    let mut response = Json(shown(document)?).into_response();
    tag(response.headers_mut(), version);
    Ok(response)
}

/// A page of documents.
#[derive(Serialize)]
struct Page {
    items: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// 200 with a page of documents and where the next one begins.
///
/// # Errors
///
/// 500 when a document does not serialise.
pub(super) fn page<T: Serialize>(listing: &Shown<Listing<T>>) -> Result<Response, Problem> {
    let items = listing.items.iter().map(shown).collect::<Result<_, _>>()?;
    let next = listing.next.as_ref().map(ToString::to_string);
    Ok(Json(Page { items, next }).into_response())
}

/// 200 with something of a patient that may be shown, and its version as the entity tag.
///
/// # Errors
///
/// 500 when it does not serialise.
pub(super) fn record<T: Serialize>(record: &Shown<T>, version: u64) -> Result<Response, Problem> {
    document(&**record, version)
}

/// A stored document as a client sees it: `id` for the store's `_id`, and without what the store keeps
/// for its own searching and sorting.
fn shown(document: &impl Serialize) -> Result<Value, Problem> {
    let Ok(Value::Object(stored)) = serde_json::to_value(document) else {
        return Err(Problem::internal());
    };
    let mut shown = Map::new();
    for (name, value) in stored {
        match name.as_str() {
            "_id" => shown.insert("id".to_owned(), value),
            "matching" | "sort_key" => None,
            _ => shown.insert(name, value),
        };
    }
    Ok(Value::Object(shown))
}

fn tag(headers: &mut HeaderMap, version: u64) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        headers.insert(ETAG, value);
    }
}
