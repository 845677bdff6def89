//! Our one-file capture bundle: an uncompressed tar with a fixed set of entries.
//!
//! | entry | content |
//! | --- | --- |
//! | `capture.json` | format version, sizes, intrinsics at the image's size, time, body axis |
//! | `image.jpg` | the colour image, baseline or progressive JPEG without metadata |
//! | `depth.png` | 16-bit grey, millimetres along the optical axis, 0 = nothing measured |
//! | `confidence.png` | 8-bit grey, 0 low, 1 medium, 2 high; optional |
//!
//! Anything else in the archive is refused: another entry, a key that `capture.json` does not know,
//! EXIF, a comment, a colour profile, a text chunk, the name of the file's owner, bytes between
//! and behind the entries. So there is no place where a position or a device could hide.
//! `docs/captures.md` describes the format for those who write it.

use std::io::{Cursor, Read};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde::{Deserialize, Serialize};

use crate::capture::{Frame, FrameParts, Intrinsics};
use crate::error::CaptureError;
use crate::limits::CAPTURE_BYTES_MAX;
use crate::{decode, metadata};

/// The media type of a bundle.
pub const MEDIA_TYPE: &str = "application/vnd.coherency.capture+tar";
/// The media type of a PLY surface.
pub const PLY_MEDIA_TYPE: &str = "application/ply";

const DOCUMENT: &str = "capture.json";
const IMAGE: &str = "image.jpg";
const DEPTH: &str = "depth.png";
const CONFIDENCE: &str = "confidence.png";
const FORMAT: &str = "coherency-capture";
const VERSION: u32 = 1;
const DOCUMENT_BYTES_MAX: u64 = 64 << 10;
const ENTRIES_MAX: usize = 4;
const TAR_BLOCK: usize = 512;
/// Where a tar header holds a link's target, the names of user and group, and what follows the
/// numbers of devices.
const LINK: std::ops::Range<usize> = 157..257;
const OWNER: std::ops::Range<usize> = 265..329;
const PREFIX: std::ops::Range<usize> = 345..512;
/// JPEG quality of written images: no visible loss, a tenth of the raw size.
const QUALITY: u8 = 92;

/// `capture.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    captured_at: Option<jiff::Timestamp>,
    image: Size,
    depth: DepthSize,
    intrinsics: Option<Intrinsics>,
    /// Head to toe in the image, x right, y down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_axis: Option<[f64; 2]>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    width: u32,
    height: u32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DepthSize {
    width: u32,
    height: u32,
    unit: DepthUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum DepthUnit {
    #[serde(rename = "mm")]
    Millimetres,
}

/// Writes a frame as a bundle. The same frame gives the same bytes.
///
/// # Errors
/// When a picture cannot be encoded or the archive not be written, which memory alone prevents.
pub fn write(frame: &Frame) -> Result<Vec<u8>, CaptureError> {
    let (width, height) = frame.image().dimensions();
    let depth = frame.depth();
    let document = Document {
        format: FORMAT.to_owned(),
        version: VERSION,
        captured_at: frame.captured_at(),
        image: Size { width, height },
        depth: DepthSize {
            width: depth.width(),
            height: depth.height(),
            unit: DepthUnit::Millimetres,
        },
        intrinsics: Some(*frame.intrinsics()),
        body_axis: frame.body_axis(),
    };
    let document = serde_json::to_vec_pretty(&document)
        .map_err(|source| CaptureError::Document { entry: DOCUMENT, source })?;
    let mut picture = Vec::new();
    JpegEncoder::new_with_quality(&mut picture, QUALITY)
        .encode_image(frame.image())
        .map_err(|source| CaptureError::Decode { entry: IMAGE, source: source.into() })?;
    // The encoder takes 16-bit pixels in the machine's own byte order.
    let millimetres: Vec<u8> = depth
        .metres()
        .iter()
        .flat_map(|metres| ((metres * 1000.0).round() as u16).to_ne_bytes())
        .collect();
    let depth_picture = png(DEPTH, &millimetres, depth, ExtendedColorType::L16)?;

    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, DOCUMENT, &document)?;
    append(&mut archive, IMAGE, &picture)?;
    append(&mut archive, DEPTH, &depth_picture)?;
    if let Some(confidence) = frame.confidence() {
        let picture = png(CONFIDENCE, confidence, depth, ExtendedColorType::L8)?;
        append(&mut archive, CONFIDENCE, &picture)?;
    }
    archive.into_inner().map_err(CaptureError::Archive)
}

fn png(
    entry: &'static str,
    pixels: &[u8],
    depth: &crate::capture::DepthMap,
    kind: ExtendedColorType,
) -> Result<Vec<u8>, CaptureError> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(pixels, depth.width(), depth.height(), kind)
        .map_err(|source| CaptureError::Decode { entry, source: source.into() })?;
    Ok(bytes)
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    bytes: &[u8],
) -> Result<(), CaptureError> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(0);
    archive.append_data(&mut header, name, bytes).map_err(CaptureError::Archive)
}

/// The entries of an archive, not yet understood.
#[derive(Default)]
struct Entries {
    document: Option<Vec<u8>>,
    image: Option<Vec<u8>>,
    depth: Option<Vec<u8>>,
    confidence: Option<Vec<u8>>,
}

/// Reads a bundle.
///
/// # Errors
/// Whatever is wrong with it, naming the entry and the reason.
pub fn read(bytes: &[u8]) -> Result<Frame, CaptureError> {
    let entries = unpack(bytes)?;
    let document = entries.document.ok_or(CaptureError::Missing { entry: DOCUMENT })?;
    let document: Document = serde_json::from_slice(&document)
        .map_err(|source| CaptureError::Document { entry: DOCUMENT, source })?;
    if document.format != FORMAT {
        return Err(CaptureError::Unsupported { entry: DOCUMENT, field: "format" });
    }
    if document.version != VERSION {
        return Err(CaptureError::Unsupported { entry: DOCUMENT, field: "version" });
    }
    let intrinsics = document.intrinsics.ok_or(CaptureError::Intrinsics { reason: "missing" })?;
    let picture = entries.image.ok_or(CaptureError::Missing { entry: IMAGE })?;
    let depth_picture = entries.depth.ok_or(CaptureError::Missing { entry: DEPTH })?;

    let image = decode::rgb_jpeg(IMAGE, &picture)?;
    metadata::refuse_in_jpeg(IMAGE, &picture)?;
    expect_size(IMAGE, image.dimensions(), (document.image.width, document.image.height))?;
    let depth = decode::depth_png(DEPTH, &depth_picture)?;
    metadata::refuse_in_png(DEPTH, &depth_picture)?;
    let said = (document.depth.width, document.depth.height);
    expect_size(DEPTH, (depth.width(), depth.height()), said)?;
    let confidence = match entries.confidence {
        None => None,
        Some(picture) => {
            let (width, height, values) = decode::confidence_png(CONFIDENCE, &picture)?;
            metadata::refuse_in_png(CONFIDENCE, &picture)?;
            expect_size(CONFIDENCE, (width, height), said)?;
            Some(values)
        }
    };
    Frame::try_new(FrameParts {
        image,
        depth,
        confidence,
        intrinsics,
        captured_at: document.captured_at,
        body_axis: document.body_axis,
    })
}

fn expect_size(
    entry: &'static str,
    found: (u32, u32),
    said: (u32, u32),
) -> Result<(), CaptureError> {
    if found == said {
        Ok(())
    } else {
        Err(CaptureError::Size { entry, width: found.0, height: found.1 })
    }
}

fn unpack(bytes: &[u8]) -> Result<Entries, CaptureError> {
    if bytes.len() > CAPTURE_BYTES_MAX {
        return Err(CaptureError::TooLarge { bytes: bytes.len() });
    }
    let mut entries = Entries::default();
    let (mut count, mut end) = (0, 0);
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    // Raw: extension headers (long names, attributes) are entries too, and refused as such.
    let raw = archive.entries().map_err(CaptureError::Archive)?.raw(true);
    for (index, entry) in raw.enumerate() {
        let mut entry = entry.map_err(CaptureError::Archive)?;
        let refuse = |reason| Err(CaptureError::Entry { index, reason });
        if index >= ENTRIES_MAX {
            return refuse("there are more entries than a capture has");
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return refuse("it is not a plain file");
        }
        if !nameless(entry.header()) {
            return refuse("its header names an owner, a link or a folder");
        }
        let name = entry.path_bytes().into_owned();
        let (slot, limit) = match std::str::from_utf8(&name) {
            Ok(DOCUMENT) => (&mut entries.document, DOCUMENT_BYTES_MAX),
            Ok(IMAGE) => (&mut entries.image, CAPTURE_BYTES_MAX as u64),
            Ok(DEPTH) => (&mut entries.depth, CAPTURE_BYTES_MAX as u64),
            Ok(CONFIDENCE) => (&mut entries.confidence, CAPTURE_BYTES_MAX as u64),
            _ => return refuse("its name is none of those a capture has"),
        };
        if slot.is_some() {
            return refuse("it is there twice");
        }
        let size = entry.size();
        if size > limit || size > bytes.len() as u64 {
            return refuse("it is too large");
        }
        let mut content = Vec::with_capacity(size as usize);
        entry.read_to_end(&mut content).map_err(CaptureError::Archive)?;
        if content.len() as u64 != size {
            return refuse("it ends early");
        }
        // Between its content and the next entry there are only zeros.
        let start = entry.raw_file_position() as usize + content.len();
        end = start.next_multiple_of(TAR_BLOCK);
        if !zeros(bytes.get(start..end).unwrap_or_default()) {
            return refuse("something is hidden behind its content");
        }
        *slot = Some(content);
        count = index + 1;
    }
    if !zeros(bytes.get(end..).unwrap_or_default()) {
        let reason = "something follows the last entry";
        return Err(CaptureError::Entry { index: count, reason });
    }
    Ok(entries)
}

/// Whether a header names nothing but its entry: neither link nor owner nor device.
fn nameless(header: &tar::Header) -> bool {
    let bytes = header.as_bytes();
    let filled = |field: std::ops::Range<usize>| !zeros(&bytes[field]);
    !(filled(LINK) || filled(OWNER) || filled(PREFIX))
}

fn zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
