//! Parts of one capture that must be as large as each other.

use crate::capture::DepthMap;
use crate::decode;
use crate::error::CaptureError;

/// Confidence values, as large as the depth map they belong to.
pub(super) fn confidence(
    depth: &DepthMap,
    entry: &'static str,
    picture: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, CaptureError> {
    let Some(picture) = picture else { return Ok(None) };
    let (width, height, values) = decode::confidence_png(entry, picture)?;
    expect_size(entry, (width, height), Some((depth.width(), depth.height())))?;
    Ok(Some(values))
}

/// Refuses a part of another size than expected.
pub(super) fn expect_size(
    entry: &'static str,
    found: (u32, u32),
    expected: Option<(u32, u32)>,
) -> Result<(), CaptureError> {
    if expected.is_none_or(|expected| expected == found) {
        Ok(())
    } else {
        Err(CaptureError::Size { entry, width: found.0, height: found.1 })
    }
}
