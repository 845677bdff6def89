//! What a picture's file may hold beside its pixels: nothing that says who took it, where, or with
//! what.
//!
//! Only parts with a known, numeric content are let through. Everything else is refused without
//! looking at it: EXIF, XMP, IPTC, comments, colour profiles (they name devices), second pictures
//! behind the first one, bytes behind the end.

use crate::error::CaptureError;

/// Chunks of a PNG that hold pixels, or numbers about how to show them, and the most bytes each has.
const PNG_CHUNKS: [(&[u8; 4], usize); 8] = [
    (b"IHDR", 13),
    (b"IDAT", usize::MAX),
    (b"IEND", 0),
    (b"gAMA", 4),
    (b"cHRM", 32),
    (b"sRGB", 1),
    (b"sBIT", 4),
    (b"pHYs", 9),
];
const PNG_SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// JFIF's own segment has this length when it holds no small picture.
const JFIF_BYTES: usize = 14;
/// Adobe's segment, which tells the colour transform, has this length.
const ADOBE_BYTES: usize = 12;

/// Refuses a JPEG with anything but one picture's tables and pixels.
///
/// # Errors
/// It holds something else.
pub(super) fn refuse_in_jpeg(entry: &'static str, jpeg: &[u8]) -> Result<(), CaptureError> {
    if jpeg_is_bare(jpeg) { Ok(()) } else { Err(CaptureError::Metadata { entry }) }
}

/// Refuses a PNG with anything but pixels.
///
/// # Errors
/// It holds something else.
pub(super) fn refuse_in_png(entry: &'static str, png: &[u8]) -> Result<(), CaptureError> {
    if png_is_bare(png) == Some(true) { Ok(()) } else { Err(CaptureError::Metadata { entry }) }
}

fn jpeg_is_bare(jpeg: &[u8]) -> bool {
    let Some(mut rest) = jpeg.strip_prefix(&[0xFF, 0xD8]) else { return false };
    loop {
        let [0xFF, marker, after @ ..] = rest else { return false };
        match marker {
            // The end, and nothing behind it.
            0xD9 => return after.is_empty(),
            // JFIF, Adobe's transform, frames, tables, restarts and scans.
            0xE0 | 0xEE | 0xC0..=0xC4 | 0xDA | 0xDB | 0xDD => {}
            _ => return false,
        }
        let [high, low, ..] = after else { return false };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(content) = after.get(2..length) else { return false };
        let known = match marker {
            0xE0 => content.len() == JFIF_BYTES && content.starts_with(b"JFIF\0"),
            0xEE => content.len() == ADOBE_BYTES && content.starts_with(b"Adobe"),
            _ => true,
        };
        if !known {
            return false;
        }
        rest = &after[length..];
        if *marker == 0xDA {
            rest = after_scan(rest);
        }
    }
}

/// Skips a scan's coded pixels: up to the next marker that is no restart and no escaped 0xFF.
fn after_scan(pixels: &[u8]) -> &[u8] {
    let marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7);
    let end = pixels.windows(2).position(marker).unwrap_or(pixels.len());
    &pixels[end..]
}

fn png_is_bare(png: &[u8]) -> Option<bool> {
    let mut rest = png.strip_prefix(PNG_SIGNATURE)?;
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if !PNG_CHUNKS.iter().any(|(name, bytes_max)| kind == *name && length <= *bytes_max) {
            return Some(false);
        }
        // Four more bytes are its checksum.
        rest = after.get(length.checked_add(4)?..)?;
        if kind == b"IEND" {
            return Some(rest.is_empty());
        }
    }
}
