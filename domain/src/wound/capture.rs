//! What an event says about a capture: where it lies, and what it must be.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::value::{Digest, serde_as_string};

/// Why a reference to a capture was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureRefError {
    /// Not a media type.
    #[error("this is not a media type: give one such as application/ply")]
    MediaType,
    /// Empty or too large.
    #[error("the size of the capture is out of range: 1 to {max} bytes are possible")]
    Size {
        /// The limit, in bytes.
        max: u64,
    },
}

/// A media type without parameters, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType(String);

impl MediaType {
    /// Lowers and checks a media type.
    pub fn new(media_type: &str) -> Result<Self, CaptureRefError> {
        let media_type = media_type.to_ascii_lowercase();
        let token = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        match media_type.split_once('/') {
            Some((kind, subtype)) if token(kind) && token(subtype) && media_type.len() <= 100 => {
                Ok(Self(media_type))
            }
            _ => Err(CaptureRefError::MediaType),
        }
    }

    /// The media type.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MediaType {
    type Err = CaptureRefError;

    fn from_str(media_type: &str) -> Result<Self, CaptureRefError> {
        Self::new(media_type)
    }
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_string!(MediaType, { "maxLength": 100, "examples": ["application/ply"] });

/// Where a capture lies, and what it must be: made by [`CaptureRef::new`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CaptureParts", into = "CaptureParts")]
pub struct CaptureRef(CaptureParts);

/// The parts of a [`CaptureRef`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureParts {
    /// The encrypted object that holds it.
    pub blob_id: Uuid,
    /// The SHA-256 of the capture before encryption.
    pub sha256: Digest,
    /// Its size in bytes before encryption.
    pub size: u64,
    /// Its media type.
    pub media_type: MediaType,
}

impl CaptureRef {
    /// The largest capture, in bytes.
    pub const MAX_SIZE: u64 = 256 * 1024 * 1024;

    /// Checks the parts of a reference.
    pub fn new(
        blob_id: Uuid,
        sha256: Digest,
        size: u64,
        media_type: MediaType,
    ) -> Result<Self, CaptureRefError> {
        Self::try_from(CaptureParts { blob_id, sha256, size, media_type })
    }
}

impl TryFrom<CaptureParts> for CaptureRef {
    type Error = CaptureRefError;

    fn try_from(parts: CaptureParts) -> Result<Self, CaptureRefError> {
        if !(1..=Self::MAX_SIZE).contains(&parts.size) {
            return Err(CaptureRefError::Size { max: Self::MAX_SIZE });
        }
        Ok(Self(parts))
    }
}

impl From<CaptureRef> for CaptureParts {
    fn from(capture: CaptureRef) -> Self {
        capture.0
    }
}

impl std::ops::Deref for CaptureRef {
    type Target = CaptureParts;

    fn deref(&self) -> &CaptureParts {
        &self.0
    }
}
