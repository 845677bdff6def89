//! How answers look: receipts for commands, documents with an entity tag for reads, files.

use std::marker::PhantomData;

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use commands::Receipt;
use projections::read_models::Listing;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::describe::{Answers, Draft};
use super::problem::Problem;
use crate::records::Shown;

/// The position of the last event of an answer: pass it back as `Ledger-Min-Position` to read it.
pub(super) const LEDGER_POSITION: HeaderName = HeaderName::from_static("ledger-position");
/// `true` when the command had been done before, and this is its first answer again.
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const JSON: &str = "application/json";

fn text() -> Value {
    json!({ "type": "string" })
}

/// 201 with the place of what was created.
pub(super) struct Created {
    pub(super) receipt: Receipt,
    /// Its path.
    pub(super) at: String,
}

/// 200 for a command on what was there.
pub(super) struct Done(pub(super) Receipt);

/// The headers of a receipt, as the document has them.
fn receipt_headers() -> [(&'static str, &'static str, Value); 3] {
    let position = json!({ "type": "integer" });
    let replayed = json!({ "type": "string", "enum": ["true"] });
    [
        ("ETag", "The version after the command, for `If-Match`", text()),
        ("Ledger-Position", "Give it as `Ledger-Min-Position` to read your own write", position),
        (
            "Idempotency-Replayed",
            "The command had been done before; this is its answer again",
            replayed,
        ),
    ]
}

impl Answers for Created {
    fn describe(draft: &mut Draft<'_>) {
        let mut headers = vec![("Location", "Where it is found", text())];
        headers.extend(receipt_headers());
        draft.answer::<Receipt>(StatusCode::CREATED, JSON, "Recorded: the receipt", &headers);
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(&self.receipt)).into_response();
        if let Ok(value) = HeaderValue::from_str(&self.at) {
            response.headers_mut().insert(LOCATION, value);
        }
        with_receipt_headers(response, &self.receipt)
    }
}

impl Answers for Done {
    fn describe(draft: &mut Draft<'_>) {
        draft.answer::<Receipt>(StatusCode::OK, JSON, "Recorded: the receipt", &receipt_headers());
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        with_receipt_headers(Json(&self.0).into_response(), &self.0)
    }
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

/// 200 with something that is no person's record.
pub(super) struct Plain<T>(pub(super) T);

impl<T: JsonSchema> Answers for Plain<T> {
    fn describe(draft: &mut Draft<'_>) {
        draft.answer::<T>(StatusCode::OK, JSON, "What was asked for", &[]);
    }
}

impl<T: Serialize> IntoResponse for Plain<T> {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

/// 200 with a document that is no person's record, and its version as the entity tag.
pub(super) struct Document<T> {
    pub(super) document: T,
    pub(super) version: u64,
}

const ETAG_DESCRIPTION: (&str, &str) = ("ETag", "The version, for `If-Match`");

impl<T: JsonSchema> Answers for Document<T> {
    fn describe(draft: &mut Draft<'_>) {
        let (name, description) = ETAG_DESCRIPTION;
        let headers = [(name, description, text())];
        draft.answer::<T>(StatusCode::OK, JSON, "What was asked for", &headers);
    }
}

impl<T: Serialize> IntoResponse for Document<T> {
    fn into_response(self) -> Response {
        match to_json(&self.document) {
            Ok(document) => tagged(document, self.version),
            Err(problem) => problem.into_response(),
        }
    }
}

/// 200 with something of a patient that may be shown, and its version as the entity tag.
pub(super) struct Record<T> {
    pub(super) record: Shown<T>,
    pub(super) version: u64,
}

impl<T: JsonSchema> Answers for Record<T> {
    fn describe(draft: &mut Draft<'_>) {
        Document::<T>::describe(draft);
    }
}

impl<T: Serialize> IntoResponse for Record<T> {
    fn into_response(self) -> Response {
        Document { document: &*self.record, version: self.version }.into_response()
    }
}

/// 200 with a page of documents and where the next one begins.
pub(super) struct PageOf<T>(pub(super) Shown<Listing<T>>);

/// A page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
struct Page<T> {
    /// The documents.
    items: Vec<T>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T: JsonSchema> Answers for PageOf<T> {
    fn describe(draft: &mut Draft<'_>) {
        draft.answer::<Page<T>>(StatusCode::OK, JSON, "A page of them", &[]);
    }
}

impl<T: Serialize> IntoResponse for PageOf<T> {
    fn into_response(self) -> Response {
        page(&self.0.items, self.0.next.as_ref().map(ToString::to_string))
    }
}

/// 200 with a page of what is no person's record.
pub(super) struct Entries<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl<T> Entries<T> {
    /// The page, with a view of each entry.
    pub(super) fn of<E>(listing: Listing<E>, view: impl Fn(E) -> T) -> Self {
        let next = listing.next.as_ref().map(ToString::to_string);
        Self { items: listing.items.into_iter().map(view).collect(), next }
    }
}

impl<T: JsonSchema> Answers for Entries<T> {
    fn describe(draft: &mut Draft<'_>) {
        draft.answer::<Page<T>>(StatusCode::OK, JSON, "A page of them", &[]);
    }
}

impl<T: Serialize> IntoResponse for Entries<T> {
    fn into_response(self) -> Response {
        page(&self.items, self.next)
    }
}

fn page<T: Serialize>(items: &[T], next: Option<String>) -> Response {
    let items: Result<Vec<_>, _> = items.iter().map(to_json).collect();
    match items {
        Ok(items) => Json(Page { items, next }).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// What kind of file an answer is.
pub(super) trait Kind {
    /// Its media type.
    const MEDIA_TYPE: &'static str;
    /// Who may cache it, and for how long; without it, no one.
    const CACHE_CONTROL: Option<&'static str> = None;
    /// Whether it is text.
    const IS_TEXT: bool = false;
    /// What it is.
    const DESCRIPTION: &'static str;
}

/// 200 with a file.
pub(super) struct File<K> {
    bytes: Vec<u8>,
    kind: PhantomData<K>,
}

impl<K> File<K> {
    pub(super) fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), kind: PhantomData }
    }
}

impl<K: Kind> Answers for File<K> {
    fn describe(draft: &mut Draft<'_>) {
        let media_type = K::MEDIA_TYPE.split(';').next().unwrap_or(K::MEDIA_TYPE);
        let schema =
            if K::IS_TEXT { text() } else { json!({ "type": "string", "format": "binary" }) };
        draft.answer_of(StatusCode::OK, media_type, K::DESCRIPTION, schema, &[]);
    }
}

impl<K: Kind> IntoResponse for File<K> {
    fn into_response(self) -> Response {
        let mut response = self.bytes.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(K::MEDIA_TYPE));
        if let Some(cache_control) = K::CACHE_CONTROL {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
        }
        response
    }
}

/// A stored document as a client sees it: `id` for the store's `_id`, and without what the store keeps
/// for its own searching and sorting.
fn to_json(document: &impl Serialize) -> Result<Value, Problem> {
    let Ok(Value::Object(stored)) = serde_json::to_value(document) else {
        tracing::error!("a document is no JSON object");
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

fn tagged(document: Value, version: u64) -> Response {
    let mut response = Json(document).into_response();
    tag(response.headers_mut(), version);
    response
}

fn tag(headers: &mut HeaderMap, version: u64) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        headers.insert(ETAG, value);
    }
}
