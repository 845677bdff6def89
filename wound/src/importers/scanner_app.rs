//! 3D Scanner App: a folder with the frames of a scan.

use serde::Deserialize;

use super::sizes::confidence;
use crate::capture::{Frame, FrameParts, Intrinsics};
use crate::decode;
use crate::error::CaptureError;

/// The most bytes a frame's description may have.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// One frame of a 3D Scanner App export.
pub struct ScannerAppFrame<'a> {
    /// `frame_N.jpg`.
    pub image: &'a [u8],
    /// `frame_N.json`.
    pub document: &'a [u8],
    /// `depth_N.png`, 16-bit millimetres.
    pub depth: &'a [u8],
    /// `conf_N.png`, if it was exported.
    pub confidence: Option<&'a [u8]>,
}

/// What we read of `frame_N.json`; its many other keys are left where they are.
#[derive(Deserialize)]
struct ScannerAppDocument {
    /// Row-major 3 × 3, at the image's size.
    intrinsics: Option<[f64; 9]>,
}

/// Reads a frame of a 3D Scanner App export.
///
/// # Errors
/// Whatever is wrong with it, naming the file's part.
pub fn scanner_app(files: &ScannerAppFrame<'_>) -> Result<Frame, CaptureError> {
    let entry = "frame.json";
    if files.document.len() > DOCUMENT_BYTES_MAX {
        return Err(CaptureError::TooLarge { bytes: files.document.len() });
    }
    let document: ScannerAppDocument = serde_json::from_slice(files.document)
        .map_err(|source| CaptureError::Document { entry, source })?;
    let matrix = document.intrinsics.ok_or(CaptureError::Intrinsics { reason: "missing" })?;
    let intrinsics = Intrinsics::from_row_major(&matrix)?;
    let image = decode::rgb_jpeg("frame.jpg", files.image)?;
    let depth = decode::depth_png("depth.png", files.depth)?;
    let confidence = confidence(&depth, "conf.png", files.confidence)?;
    // Its clock counts from the phone's start, so it does not say when the frame was taken.
    Frame::try_new(FrameParts {
        image,
        depth,
        confidence,
        intrinsics,
        captured_at: None,
        body_axis: None,
    })
}
