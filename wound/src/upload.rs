//! A capture that is handed in over a network: which media types are taken, and what of it is kept.

use jiff::Timestamp;

use crate::error::CaptureError;
use crate::{bundle, ply};

/// The media types that are taken.
pub const MEDIA_TYPES: [&str; 2] = [bundle::MEDIA_TYPE, bundle::PLY_MEDIA_TYPE];

/// A capture that was decoded and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What is to be kept in its place, where it could say more than a capture may; otherwise it is kept as it came.
    pub rewritten: Option<Vec<u8>>,
    /// When it says it was taken.
    pub captured_at: Option<Timestamp>,
}

/// Decodes a capture, to see that it is one and holds nothing else.
///
/// # Errors
/// Another media type, or whatever is wrong with the bytes.
pub fn accept(media_type: &str, bytes: &[u8]) -> Result<Accepted, CaptureError> {
    match media_type {
        bundle::MEDIA_TYPE => {
            let captured_at = bundle::read(bytes)?.captured_at();
            Ok(Accepted { rewritten: None, captured_at })
        }
        // Its comments, further properties and elements can say anything.
        bundle::PLY_MEDIA_TYPE => {
            let rewritten = Some(ply::write(&ply::read(bytes)?)?);
            Ok(Accepted { rewritten, captured_at: None })
        }
        _ => Err(CaptureError::MediaType),
    }
}
