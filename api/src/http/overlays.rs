//! What a measurement saw, as a picture: drawn when asked for, from the capture and the recorded outline.

use axum::extract::State;
use commands::policy::may;
use domain::{ScanId, WoundId};
use wound::capture::Capture;
use wound::{overlay, pipeline};

use super::answer::{File, Kind};
use super::path::Ids;
use super::problem::Problem;
use super::routes::Routes;
use crate::records::Look;
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes.tag("wounds").get(
        "/v1/wounds/{id}/scans/{scan_id}/overlay.png",
        "overlay",
        picture,
        "A picture of a measured scan. The photograph with the outline and a bar of one centimetre, and beside it how deep \
         the wound lies. It shows the measurement that counts: the last one confirmed, or else the last. 404 where there is \
         none, where its outline is not kept any more (the newest 100 scans' are), and for a surface, which has no \
         photograph.",
    );
}

/// A picture of a measured scan.
struct Picture;

impl Kind for Picture {
    const MEDIA_TYPE: &'static str = "image/png";
    const DESCRIPTION: &'static str = "The picture";
}

async fn picture(
    look: Look<may::ReadWounds>,
    State(state): State<AppState>,
    Ids(id, scan_id): Ids<WoundId, ScanId>,
) -> Result<File<Picture>, Problem> {
    let wound = state.records.wound(&look, id).await?;
    let scan = wound.scans.iter().find(|scan| scan.id == scan_id);
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
    Ok(File::of(picture.ok_or_else(none)?))
}
