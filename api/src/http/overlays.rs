//! What a measurement saw, as a picture: drawn when asked for, from the capture and the recorded outline.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use wound::capture::Capture;
use wound::{overlay, pipeline};

use super::call::Call;
use super::path::Ids;
use super::problem::Problem;
use super::schema;
use crate::state::AppState;

/// A picture of a measured scan: the photograph with the outline and a bar of one centimetre, and beside it how
/// deep the wound lies.
///
/// It shows the measurement that counts: the last one confirmed, or else the last. 404 where there is none, where its
/// outline is not kept any more (the newest 100 scans' are), and for a surface, which has no photograph.
#[utoipa::path(
    get, path = "/v1/wounds/{id}/scans/{scan_id}/overlay.png", tag = "wounds",
    params(schema::ScanPath, schema::PurposeOfUse, schema::LedgerMinPosition),
    responses(
        (status = 200, description = "The picture", body = schema::CaptureBytes, content_type = "image/png"),
    )
)]
pub(super) async fn overlay(
    State(state): State<AppState>,
    call: Call,
    Ids(id, scan_id): Ids,
) -> Result<Response, Problem> {
    const PNG: HeaderValue = HeaderValue::from_static("image/png");
    let wound = state.records.wound(&call.look(), id.into()).await?;
    let scan = wound.scans.iter().find(|scan| scan.id == scan_id.into());
    let scan = scan.ok_or_else(|| Problem::not_found("scan"))?;
    let none = || Problem::not_found("picture of a measurement");
    let outline = scan.current().map(|it| it.figures.outline.clone()).unwrap_or_default();
    if outline.is_empty() {
        return Err(none());
    }
    // Decoding takes far more memory than the bytes do.
    let Ok(_permit) = state.gate.decoding.acquire().await else {
        return Err(Problem::overloaded());
    };
    let (scan, bytes) = state.records.capture(&wound, scan.id).await?;
    let media_type = scan.capture.media_type;
    let drawn = tokio::task::spawn_blocking(move || match pipeline::decode(&bytes, &media_type) {
        Ok(Capture::Frame(frame)) => overlay::overlay(&frame, &outline),
        Ok(Capture::Surface(_)) | Err(_) => None,
    });
    let picture = drawn.await.map_err(|_| {
        tracing::error!("a picture could not be drawn: its task ended");
        Problem::internal()
    })?;
    Ok(([(CONTENT_TYPE, PNG)], picture.ok_or_else(none)?).into_response())
}
