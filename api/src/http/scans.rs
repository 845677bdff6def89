//! Handing in a scan: checked before it is stored, stored before it is recorded.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use commands::Receipt;
use domain::wound::{CaptureRef, MediaType, RecordScan};
use domain::{ScanId, WoundId};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use wound::error::CaptureError;
use wound::limits::UPLOAD_BYTES_MAX;
use wound::upload::{Accepted, MEDIA_TYPES, accept};

use super::answer::Created;
use super::caller::Command;
use super::describe::{Draft, Reads};
use super::intake::{Received, Upload, Uploaded};
use super::path::Id;
use super::problem::Problem;
use super::routes::Routes;
use crate::state::AppState;

/// RFC 9530: the digest of the content as it was sent.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// RFC 3230, which it replaces; still sent by many.
const DIGEST: HeaderName = HeaderName::from_static("digest");
/// When the capture was taken, where the capture does not say so itself (PLY).
const CAPTURED_AT: HeaderName = HeaderName::from_static("captured-at");

pub(super) fn add(routes: &mut Routes) {
    routes.tag("wounds").post(
        "/v1/wounds/{id}/scans",
        "hand_in",
        hand_in,
        "Hands in a scan of a wound. A capture bundle, or a surface as PLY. The capture is decoded and checked first; then it \
         is encrypted and stored; then the event that names it is recorded. The measurement follows as an event of its own, \
         seen in the wound's document. A bundle is stored as it was sent, or refused where it says more than a capture may \
         (EXIF, a comment, an owner). A PLY is written again before it is stored, with vertices, faces and colours and nothing \
         else; the recorded digest and size are of that.",
    );
}

/// A capture.
struct Handed;

impl Upload for Handed {
    const MEDIA_TYPES: &'static [&'static str] = &MEDIA_TYPES;
    const BYTES_MAX: usize = UPLOAD_BYTES_MAX;
    const DESCRIPTION: &'static str = "The capture";
}

/// The SHA-256 digests that came with the body, each with the header that said so.
struct Declared(Vec<(&'static str, [u8; 32])>);

impl Reads for Declared {
    fn describe(draft: &mut Draft<'_>) {
        let text = || json!({ "type": "string", "format": "http-digest" });
        draft.header(
            "Content-Digest",
            "RFC 9530: `sha-256=:…:`; when given, it is checked",
            text(),
        );
        draft.header("Digest", "RFC 3230, which it replaces: `sha-256=…`; checked, too", text());
    }
}

impl FromRequestParts<AppState> for Declared {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        declared_digests(&parts.headers).map(Self)
    }
}

/// When the capture was taken, as a header says it: it counts where the capture does not say so itself.
struct CapturedAt(Option<Timestamp>);

impl Reads for CapturedAt {
    fn describe(draft: &mut Draft<'_>) {
        draft.header(
            "Captured-At",
            "When the capture was taken, where it does not say so itself",
            json!({ "type": "string", "format": "date-time" }),
        );
    }
}

impl FromRequestParts<AppState> for CapturedAt {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        header_time(&parts.headers).map(Self)
    }
}

async fn hand_in(
    by: Command<RecordScan>,
    State(state): State<AppState>,
    Id(wound): Id<WoundId>,
    Declared(declared): Declared,
    CapturedAt(said): CapturedAt,
    upload: Uploaded<Handed>,
) -> Result<Created, Problem> {
    let id = wound.as_uuid();
    let kind = upload.media_type;
    let Received { bytes, permit: _permit } = upload.receive().await?;
    if bytes.is_empty() {
        return Err(Problem::unprocessable("capture-empty", "the body is empty"));
    }

    let content = bytes.clone();
    let sent = blocking(move || <[u8; 32]>::from(Sha256::digest(&content))).await?;
    for (name, declared) in declared {
        if declared != sent {
            let reason = "the body's SHA-256 is another: the capture was damaged on its way";
            return Err(Problem::unprocessable("digest-mismatch", reason).at(name));
        }
    }
    metrics::histogram!("ledger_scan_bytes").record(bytes_as_f64(bytes.len()));

    let Taken { bytes, captured_at, digest } = take(kind, bytes, sent).await?;

    let scan_id = ScanId::from_uuid(by.new_id("scan", None));
    let coming = state.records.capture_to_come(&by.asking(), wound, scan_id, digest).await?;
    let captured_at =
        captured_at.or(said).or(coming.captured_at).unwrap_or_else(|| state.clock.now());
    let command = command(scan_id, kind, coming.id, digest, bytes.len(), captured_at)?;

    // What is refused is not stored; and what is stored and then refused all the same stays until it is swept: another
    // command may have named it meanwhile.
    if let Some(receipt) = by.check(id, command.clone()).await? {
        return Ok(created(receipt, id, scan_id));
    }
    state.records.store_capture(&coming, &bytes).await?;
    Ok(created(by.execute(id, command).await?, id, scan_id))
}

fn created(receipt: Receipt, wound: Uuid, scan: ScanId) -> Created {
    Created { receipt, at: format!("/v1/wounds/{wound}/scans/{scan}") }
}

fn command(
    scan_id: ScanId,
    kind: &str,
    blob_id: Uuid,
    digest: [u8; 32],
    size: usize,
    captured_at: Timestamp,
) -> Result<RecordScan, Problem> {
    let invalid_capture = |error: domain::wound::CaptureRefError| {
        Problem::unprocessable("capture-refused", error.to_string())
    };
    let kind = MediaType::new(kind).map_err(invalid_capture)?;
    let capture =
        CaptureRef::new(blob_id, digest.into(), size as u64, kind).map_err(invalid_capture)?;
    Ok(RecordScan { scan_id, capture, captured_at })
}

/// What is stored of a capture.
struct Taken {
    bytes: Bytes,
    /// When it says it was taken.
    captured_at: Option<Timestamp>,
    /// SHA-256 of `bytes`.
    digest: [u8; 32],
}

/// Decodes the capture, to see that it is one and holds nothing else; `sent` is the digest of the bytes
/// that came.
async fn take(kind: &'static str, bytes: Bytes, sent: [u8; 32]) -> Result<Taken, Problem> {
    let check = move || {
        let Accepted { rewritten, captured_at } = accept(kind, &bytes)?;
        Ok(match rewritten {
            None => Taken { bytes, captured_at, digest: sent },
            Some(rewritten) => {
                let digest = Sha256::digest(&rewritten).into();
                Taken { bytes: Bytes::from(rewritten), captured_at, digest }
            }
        })
    };
    blocking(check).await?.map_err(|error: CaptureError| capture_problem(&error))
}

/// 422 naming the entry and the reason, with the reasons below it. None of them quotes the capture; the
/// JSON reader's would, so of that only the position is reported.
fn capture_problem(error: &CaptureError) -> Problem {
    let detail = match error {
        CaptureError::Document { source, .. } => {
            format!("{error}, at line {} column {}", source.line(), source.column())
        }
        other => audit::chain(other),
    };
    Problem::unprocessable(error.code(), detail).at(error.field().unwrap_or("capture"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        tracing::error!("a capture could not be checked: its task ended");
        Problem::internal()
    })
}

/// The SHA-256 digests that came with the body, each with the header that said so. Digests of other
/// algorithms are for others.
fn declared_digests(headers: &HeaderMap) -> Result<Vec<(&'static str, [u8; 32])>, Problem> {
    let mut digests = Vec::new();
    for (header, name) in [(CONTENT_DIGEST, "Content-Digest"), (DIGEST, "Digest")] {
        let malformed = || {
            let form = "give the SHA-256 of the body, as in sha-256=:<base64>:";
            Problem::bad_request("invalid-digest", form).at(name)
        };
        for value in headers.get_all(&header) {
            let value = value.to_str().map_err(|_| malformed())?;
            for member in value.split(',') {
                let (algorithm, digest) = member.split_once('=').ok_or_else(malformed)?;
                if !algorithm.trim().eq_ignore_ascii_case("sha-256") {
                    continue;
                }
                // RFC 9530 writes a byte sequence between colons, RFC 3230 does not.
                let digest = digest.trim().trim_matches(':');
                let bytes = STANDARD.decode(digest).map_err(|_| malformed())?;
                digests.push((name, bytes.try_into().map_err(|_| malformed())?));
            }
        }
    }
    Ok(digests)
}

fn header_time(headers: &HeaderMap) -> Result<Option<Timestamp>, Problem> {
    let Some(value) = headers.get(&CAPTURED_AT) else { return Ok(None) };
    let time = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let form = "give an RFC 3339 time, as in 2026-03-02T09:30:00Z";
    time.map(Some)
        .ok_or_else(|| Problem::bad_request("invalid-captured-at", form).at("Captured-At"))
}

#[expect(clippy::cast_precision_loss, reason = "a histogram is of floats, a size below 2^53")]
fn bytes_as_f64(bytes: usize) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn digests(name: &HeaderName, value: &str) -> Result<usize, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        declared_digests(&headers).map(|found| found.len()).map_err(|_| "refused")
    }

    #[test]
    fn digests_are_read_in_both_spellings() {
        let sha = STANDARD.encode([7; 32]);
        assert_eq!(digests(&CONTENT_DIGEST, &format!("sha-256=:{sha}:")), Ok(1));
        assert_eq!(digests(&DIGEST, &format!("SHA-256={sha}")), Ok(1));
        assert_eq!(digests(&CONTENT_DIGEST, &format!("md5=:abcd:, sha-256=:{sha}:")), Ok(1));
        assert_eq!(digests(&CONTENT_DIGEST, "sha-512=:abcd:"), Ok(0));
        for bad in ["sha-256=:short:", "sha-256", "sha-256=:!!:"] {
            assert_eq!(digests(&CONTENT_DIGEST, bad), Err("refused"), "{bad}");
        }
    }
}
