//! A picture and a depth map that nothing else is known about.

use super::sizes::confidence;
use crate::capture::{Frame, FrameParts, Intrinsics};
use crate::decode;
use crate::error::CaptureError;

/// A picture and its depth, without a description of the camera.
pub struct Pair<'a> {
    /// The picture, JPEG or PNG.
    pub image: &'a [u8],
    /// 16-bit PNG, millimetres, turned like the picture.
    pub depth: &'a [u8],
    /// 8-bit PNG, 0 to 2, if there is one.
    pub confidence: Option<&'a [u8]>,
    /// The camera, in pixels of the picture, given by the user.
    pub intrinsics: Option<Intrinsics>,
}

/// Reads a picture and its depth. They are decoded first, so that intrinsics are only asked for
/// where they would help.
///
/// # Errors
/// Whatever is wrong with the files, or that the intrinsics are not given.
pub fn pair(files: &Pair<'_>) -> Result<Frame, CaptureError> {
    let image = decode::rgb_picture("the picture", files.image)?;
    let depth = decode::depth_png("the depth map", files.depth)?;
    let confidence = confidence(&depth, "the confidence map", files.confidence)?;
    let reason = "none come with the picture and its depth, and no length can be told without: give \
        --intrinsics fx,fy,cx,cy in pixels of the picture";
    let intrinsics = files.intrinsics.ok_or(CaptureError::Intrinsics { reason })?;
    Frame::try_new(FrameParts {
        image,
        depth,
        confidence,
        intrinsics,
        captured_at: None,
        body_axis: None,
    })
}
