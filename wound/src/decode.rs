//! Pictures from bytes, with the size checked before any pixel is decoded, so that a small file
//! cannot ask for a large memory.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbImage};

use crate::capture::{DepthMap, check_image_size};
use crate::error::{CaptureError, DecodeError};
use crate::limits::{DEPTH_SIDE_MAX, IMAGE_SIDE_MAX};

/// What a decoder may allocate for one picture.
const ALLOCATION_MAX: u64 = 256 << 20;

/// Decodes a JPEG into 8-bit RGB.
///
/// # Errors
/// Damaged bytes, or a size out of bounds.
pub fn rgb_jpeg(entry: &'static str, bytes: &[u8]) -> Result<RgbImage, CaptureError> {
    rgb(entry, bytes, ImageFormat::Jpeg)
}

/// Decodes a JPEG or PNG, told by its first bytes, into 8-bit RGB.
///
/// # Errors
/// Damaged bytes, or a size out of bounds.
pub fn rgb_picture(entry: &'static str, bytes: &[u8]) -> Result<RgbImage, CaptureError> {
    let format = if bytes.starts_with(b"\x89PNG") { ImageFormat::Png } else { ImageFormat::Jpeg };
    rgb(entry, bytes, format)
}

fn rgb(entry: &'static str, bytes: &[u8], format: ImageFormat) -> Result<RgbImage, CaptureError> {
    let (width, height) = dimensions(entry, bytes, format)?;
    check_image_size(entry, width, height)?;
    Ok(decode(entry, bytes, format)?.into_rgb8())
}

/// Decodes a 16-bit PNG of millimetres into a depth map; 0 and 65535 mean "nothing measured".
///
/// # Errors
/// Damaged bytes, another kind of pixel, or a size out of bounds.
pub fn depth_png(entry: &'static str, bytes: &[u8]) -> Result<DepthMap, CaptureError> {
    check_depth_size(entry, bytes)?;
    let DynamicImage::ImageLuma16(picture) = decode(entry, bytes, ImageFormat::Png)? else {
        return Err(pixels(entry, "16-bit grey"));
    };
    let (width, height) = picture.dimensions();
    let metres = picture
        .into_raw()
        .into_iter()
        .map(|mm| if mm == u16::MAX { 0.0 } else { f32::from(mm) / 1000.0 })
        .collect();
    DepthMap::try_new(width, height, metres)
}

/// Decodes an EXR file of metres into a depth map: one channel of half or single floats, in scan
/// lines, without loss. What is no distance (0, negative, infinite, no number) means "nothing
/// measured".
///
/// # Errors
/// Damaged bytes, another kind of file or pixel, or a size out of bounds.
pub fn depth_exr(entry: &'static str, bytes: &[u8]) -> Result<DepthMap, CaptureError> {
    use exr::meta::BlockDescription;
    use exr::prelude::{Compression, FlatSamples, ReadChannels as _, ReadLayers as _};

    let exr_error = |source| CaptureError::Decode { entry, source: DecodeError::Exr(source) };
    // Reads the header only.
    let file = exr::block::read(Cursor::new(bytes), true).map_err(exr_error)?;
    let [header] = file.headers() else { return Err(pixels(entry, "one layer")) };
    let (width, height) = (header.layer_size.width(), header.layer_size.height());
    let sides = 1..=DEPTH_SIDE_MAX as usize;
    if !sides.contains(&width) || !sides.contains(&height) {
        let side = |pixels| u32::try_from(pixels).unwrap_or(u32::MAX);
        return Err(CaptureError::Size { entry, width: side(width), height: side(height) });
    }
    let [channel] = header.channels.list.as_slice() else {
        return Err(pixels(entry, "one channel"));
    };
    let plain = header.blocks == BlockDescription::ScanLines
        && !header.deep
        && channel.sampling == exr::math::Vec2(1, 1)
        && matches!(
            header.compression,
            Compression::Uncompressed | Compression::RLE | Compression::ZIP1 | Compression::ZIP16
        );
    if !plain {
        return Err(pixels(entry, "plain scan lines, uncompressed or zipped"));
    }
    let image = exr::image::read::read()
        .no_deep_data()
        .largest_resolution_level()
        .all_channels()
        .first_valid_layer()
        .all_attributes()
        .non_parallel()
        .pedantic()
        .from_chunks(file)
        .map_err(exr_error)?;
    let metres = match image.layer_data.channel_data.list.into_iter().next() {
        Some(channel) => match channel.sample_data {
            FlatSamples::F16(values) => values.into_iter().map(f32::from).collect(),
            FlatSamples::F32(values) => values,
            FlatSamples::U32(_) => return Err(pixels(entry, "floats")),
        },
        None => return Err(pixels(entry, "one channel")),
    };
    DepthMap::try_new(width as u32, height as u32, metres)
}

/// Decodes an 8-bit PNG of confidence values and says how large it was.
///
/// # Errors
/// Damaged bytes, another kind of pixel, or a size out of bounds.
pub fn confidence_png(
    entry: &'static str,
    bytes: &[u8],
) -> Result<(u32, u32, Vec<u8>), CaptureError> {
    check_depth_size(entry, bytes)?;
    let DynamicImage::ImageLuma8(picture) = decode(entry, bytes, ImageFormat::Png)? else {
        return Err(pixels(entry, "8-bit grey"));
    };
    let (width, height) = picture.dimensions();
    Ok((width, height, picture.into_raw()))
}

fn pixels(entry: &'static str, expected: &'static str) -> CaptureError {
    CaptureError::Decode { entry, source: DecodeError::Pixels { expected } }
}

fn check_depth_size(entry: &'static str, bytes: &[u8]) -> Result<(), CaptureError> {
    let (width, height) = dimensions(entry, bytes, ImageFormat::Png)?;
    if width > DEPTH_SIDE_MAX || height > DEPTH_SIDE_MAX {
        return Err(CaptureError::Size { entry, width, height });
    }
    Ok(())
}

fn dimensions(
    entry: &'static str,
    bytes: &[u8],
    format: ImageFormat,
) -> Result<(u32, u32), CaptureError> {
    ImageReader::with_format(Cursor::new(bytes), format)
        .into_dimensions()
        .map_err(|source| CaptureError::Decode { entry, source: source.into() })
}

fn decode(
    entry: &'static str,
    bytes: &[u8],
    format: ImageFormat,
) -> Result<DynamicImage, CaptureError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(IMAGE_SIDE_MAX);
    limits.max_image_height = Some(IMAGE_SIDE_MAX);
    limits.max_alloc = Some(ALLOCATION_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.decode().map_err(|source| CaptureError::Decode { entry, source: source.into() })
}
