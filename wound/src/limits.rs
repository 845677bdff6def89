//! How large what comes in may be.

/// The most bytes a capture may have, in any format.
pub const CAPTURE_BYTES_MAX: usize = 64 << 20;
/// The most bytes a capture may have that is handed in over a network.
pub const UPLOAD_BYTES_MAX: usize = 32 << 20;
/// The most pixels a colour image may have: 16 million, which takes a phone's 12 megapixels.
pub const IMAGE_PIXELS_MAX: u64 = 16_000_000;
/// The longest side of a colour image, in pixels.
pub const IMAGE_SIDE_MAX: u32 = 8192;
/// The shortest side of a colour image, in pixels.
pub const IMAGE_SIDE_MIN: u32 = 64;
/// The longest side of a depth map, in pixels.
pub const DEPTH_SIDE_MAX: u32 = 2048;
/// The shortest side of a depth map, in pixels.
pub const DEPTH_SIDE_MIN: u32 = 24;
/// The most vertices and faces that are read.
pub const PLY_ELEMENTS_MAX: usize = 2_000_000;
/// A face with more corners than this is no face of a scan.
pub(crate) const CORNERS_MAX: usize = 64;
/// Nothing farther than this is depth of a wound capture; larger values mean "unknown".
pub const DEPTH_METRES_MAX: f32 = 10.0;
