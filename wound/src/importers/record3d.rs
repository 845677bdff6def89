//! Record3D: an export of its frames as pictures and EXR depth.

use serde::Deserialize;

use crate::capture::{Frame, FrameParts, Intrinsics};
use crate::decode;
use crate::error::CaptureError;

use super::sizes::expect_size;

/// The most bytes `metadata.json` may have: ten thousand frames have two million.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;
const DOCUMENT: &str = "metadata.json";
const IMAGE: &str = "rgb/N.jpg";
const DEPTH: &str = "depth/N.exr";

/// One frame of a Record3D export.
pub struct Record3dFrame<'a> {
    /// `rgb/N.jpg`, as large as `w` × `h`; upright where the phone was held upright.
    pub image: &'a [u8],
    /// `depth/N.exr`, metres, turned like the picture.
    pub depth: &'a [u8],
    /// `metadata.json`.
    pub document: &'a [u8],
    /// N, from 0.
    pub number: usize,
}

/// What we read of `metadata.json`; poses, times and all its other keys are left where they are.
#[derive(Deserialize)]
struct Document {
    /// Size of the pictures.
    w: Option<u32>,
    h: Option<u32>,
    /// Size of the depth maps.
    dw: Option<u32>,
    dh: Option<u32>,
    /// Column-major 3 × 3, at the pictures' size, of the first frame.
    #[serde(rename = "K")]
    camera: Option<[f64; 9]>,
    /// fx, fy, cx, cy of each frame; older versions do not write them.
    #[serde(rename = "perFrameIntrinsicCoeffs", default)]
    cameras: Vec<[f64; 4]>,
}

/// Reads a frame of a Record3D export.
///
/// # Errors
/// Whatever is wrong with it, naming the file's part.
pub fn record3d(files: &Record3dFrame<'_>) -> Result<Frame, CaptureError> {
    if files.document.len() > DOCUMENT_BYTES_MAX {
        return Err(CaptureError::TooLarge { bytes: files.document.len() });
    }
    let document: Document = serde_json::from_slice(files.document)
        .map_err(|source| CaptureError::Document { entry: DOCUMENT, source })?;
    let intrinsics = match (document.cameras.get(files.number), &document.camera) {
        (Some([fx, fy, cx, cy]), _) => Intrinsics { fx: *fx, fy: *fy, cx: *cx, cy: *cy },
        (None, Some(matrix)) => column_major(matrix)?,
        (None, None) => return Err(CaptureError::Intrinsics { reason: "missing" }),
    };
    let image = decode::rgb_picture(IMAGE, files.image)?;
    // Another size than the camera is for, or turned against it.
    expect_size(IMAGE, image.dimensions(), document.w.zip(document.h))?;
    let depth = decode::depth_exr(DEPTH, files.depth)?;
    expect_size(DEPTH, (depth.width(), depth.height()), document.dw.zip(document.dh))?;
    // Its times count from the recording's start, so they do not say when the frame was taken.
    Frame::try_new(FrameParts {
        image,
        depth,
        confidence: None,
        intrinsics,
        captured_at: None,
        body_axis: None,
    })
}

/// The camera in a column-major matrix.
pub(super) fn column_major(matrix: &[f64; 9]) -> Result<Intrinsics, CaptureError> {
    let [a, b, c, d, e, f, g, h, i] = *matrix;
    Intrinsics::from_row_major(&[a, d, g, b, e, h, c, f, i])
}
