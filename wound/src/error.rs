//! Why something is not a capture: one error for all formats, with what each format says beneath it.

use crate::limits::{CAPTURE_BYTES_MAX, PLY_ELEMENTS_MAX};

/// Why bytes are not a capture. Every variant names the entry and the reason.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The media type is not supported.
    #[error("media type is not one of application/vnd.coherency.capture+tar, application/ply")]
    MediaType,
    /// The whole capture is too large.
    #[error("capture has {bytes} bytes; at most {CAPTURE_BYTES_MAX} are taken")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// The container cannot be read.
    #[error("the bundle is not a readable tar archive")]
    Archive(#[source] std::io::Error),
    /// A packed file cannot be unpacked.
    #[error("the gzipped file is damaged")]
    Gzip(#[source] std::io::Error),
    /// The container holds something that does not belong there.
    #[error("entry {index} of the bundle is refused: {reason}")]
    Entry {
        /// Position in the archive; the name is not repeated, it could say anything.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part that every capture needs is missing.
    #[error("{entry} is missing")]
    Missing {
        /// The part.
        entry: &'static str,
    },
    /// A document has a wrong form.
    #[error("{entry} is not as expected")]
    Document {
        /// The document.
        entry: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A table of numbers has a wrong form.
    #[error("{entry}: row {row} is not as expected")]
    Table {
        /// The table.
        entry: &'static str,
        /// From 0, the heading included.
        row: usize,
    },
    /// A document says a version or unit this reader does not know.
    #[error("{entry}: {field} is not supported")]
    Unsupported {
        /// The document.
        entry: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A picture cannot be decoded.
    #[error("{entry} cannot be decoded")]
    Decode {
        /// The picture.
        entry: &'static str,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// A picture carries metadata, which may say where and with which device it was taken.
    #[error(
        "{entry} carries more than pixels (EXIF, a comment, a colour profile or the like), which a \
         capture must not hold"
    )]
    Metadata {
        /// The picture.
        entry: &'static str,
    },
    /// A picture has a size we do not take, or another than the document says.
    #[error("{entry}: size {width}×{height} is refused")]
    Size {
        /// The picture.
        entry: &'static str,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Another number of values than the size says.
    #[error("{entry}: {found} values where {expected} belong")]
    Length {
        /// The part.
        entry: &'static str,
        /// By the size.
        expected: usize,
        /// In the data.
        found: usize,
    },
    /// Image and depth do not show the same field of view.
    #[error("depth {depth:?} has another aspect than image {image:?}")]
    Aspect {
        /// Columns and rows of the image.
        image: (u32, u32),
        /// Columns and rows of the depth map.
        depth: (u32, u32),
    },
    /// The camera's intrinsics are absent or impossible.
    #[error("intrinsics: {reason}")]
    Intrinsics {
        /// What is wrong.
        reason: &'static str,
    },
    /// A confidence value is not 0, 1 or 2.
    #[error("confidence: {value} is none of 0, 1, 2")]
    Confidence {
        /// The value.
        value: u8,
    },
    /// The body axis has no direction.
    #[error("body_axis: must be a direction in the image")]
    BodyAxis,
    /// The surface file is refused.
    #[error("the PLY file is refused")]
    Ply(#[source] PlyError),
    /// The surface file is refused.
    #[error("the OBJ file is refused")]
    Obj(#[source] ObjError),
}

impl CaptureError {
    /// A stable code for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MediaType => "capture-media-type",
            Self::TooLarge { .. } => "capture-too-large",
            Self::Archive(_) | Self::Gzip(_) | Self::Entry { .. } => "capture-archive",
            Self::Missing { .. } => "capture-part-missing",
            Self::Document { .. } | Self::Table { .. } | Self::Unsupported { .. } => {
                "capture-document"
            }
            Self::Decode { .. } | Self::Metadata { .. } => "capture-picture",
            Self::Size { .. } | Self::Length { .. } | Self::Aspect { .. } => "capture-size",
            Self::Intrinsics { .. } => "capture-intrinsics",
            Self::Confidence { .. } => "capture-confidence",
            Self::BodyAxis => "capture-body-axis",
            Self::Ply(_) => "capture-ply",
            Self::Obj(_) => "capture-obj",
        }
    }

    /// The entry or field that is at fault, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Missing { entry }
            | Self::Document { entry, .. }
            | Self::Table { entry, .. }
            | Self::Unsupported { entry, .. }
            | Self::Decode { entry, .. }
            | Self::Metadata { entry }
            | Self::Size { entry, .. }
            | Self::Length { entry, .. } => Some(entry),
            Self::Aspect { .. } => Some("depth"),
            Self::Intrinsics { .. } => Some("intrinsics"),
            Self::Confidence { .. } => Some("confidence"),
            Self::BodyAxis => Some("body_axis"),
            _ => None,
        }
    }
}

/// Why a picture's bytes were refused.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The decoder refuses them.
    #[error("the picture is damaged or has another format")]
    Image(#[from] image::ImageError),
    /// The reader of EXR files refuses them.
    #[error("the EXR file is damaged or of a kind that is not read")]
    Exr(#[source] exr::error::Error),
    /// The picture holds another kind of pixel.
    #[error("the picture has pixels of another kind than {expected}")]
    Pixels {
        /// What was expected.
        expected: &'static str,
    },
}

/// Why a PLY file was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlyError {
    /// The header is not one of a PLY file, or says something impossible.
    #[error("header: {reason}")]
    Header {
        /// What is wrong.
        reason: &'static str,
    },
    /// There is no `vertex` element, so there is no surface.
    #[error(
        "there is no element `vertex`, so no surface; a recording of depth must be imported first"
    )]
    NoVertex,
    /// `vertex` lacks coordinates.
    #[error("element `vertex` has no x, y and z")]
    NoCoordinates,
    /// More elements than we read.
    #[error("more than {PLY_ELEMENTS_MAX} elements")]
    TooMany,
    /// The data end early or hold something that is no number.
    #[error("element {element}: row {row} is damaged or missing")]
    Damaged {
        /// `vertex`, `face` or `other`.
        element: &'static str,
        /// From 0.
        row: usize,
    },
    /// A face names a vertex that is not there, or has too few or too many corners.
    #[error("face {row} names vertices that are not there")]
    Face {
        /// From 0.
        row: usize,
    },
    /// Coordinates are not finite, all the same point, or larger than any body.
    #[error("the vertices span no surface of a body")]
    Degenerate,
}

/// Why an OBJ file was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjError {
    /// A line that begins like a vertex or a face goes on differently.
    #[error("line {line} is no vertex and no face")]
    Line {
        /// From 1.
        line: usize,
    },
    /// A face names a vertex that is not there, or has too few or too many corners.
    #[error("line {line}: the face names vertices that are not there")]
    Face {
        /// From 1.
        line: usize,
    },
    /// More vertices or faces than we read.
    #[error("more than {PLY_ELEMENTS_MAX} vertices or faces")]
    TooMany,
    /// No vertices, or coordinates that are not finite, all the same point, or larger than a body.
    #[error("the vertices span no surface of a body")]
    Degenerate,
}
