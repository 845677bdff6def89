//! Stray Scanner: a folder with a video, depth maps, confidence maps and tables of numbers.

use super::sizes::confidence;
use crate::capture::{Frame, FrameParts, Intrinsics};
use crate::decode;
use crate::error::CaptureError;

/// The most bytes `camera_matrix.csv` may have.
const MATRIX_BYTES_MAX: usize = 4 << 10;
/// The most columns `odometry.csv` may have.
const COLUMNS_MAX: usize = 64;
const MATRIX: &str = "camera_matrix.csv";
const ODOMETRY: &str = "odometry.csv";

/// One frame of a Stray Scanner folder.
pub struct StrayFrame<'a> {
    /// The frame's picture, JPEG or PNG, taken out of `rgb.mp4` unturned and at its full size.
    pub image: &'a [u8],
    /// `depth/NNNNNN.png`, 16-bit millimetres.
    pub depth: &'a [u8],
    /// `confidence/NNNNNN.png`, 0 to 2, if it is there.
    pub confidence: Option<&'a [u8]>,
    /// `camera_matrix.csv`: row-major 3 × 3, at the video's size.
    pub camera_matrix: &'a [u8],
    /// `odometry.csv`, if it is there; newer versions write each frame's camera into it.
    pub odometry: Option<&'a [u8]>,
    /// NNNNNN, from 0.
    pub number: u32,
}

/// Reads a frame of a Stray Scanner folder.
///
/// # Errors
/// Whatever is wrong with it, naming the file's part.
pub fn stray(files: &StrayFrame<'_>) -> Result<Frame, CaptureError> {
    // The matrix must be sound even where the frame has a camera of its own.
    let common = camera_matrix(files.camera_matrix)?;
    let own = files.odometry.map(|table| camera_of(table, files.number)).transpose()?.flatten();
    let image = decode::rgb_picture("rgb/NNNNNN", files.image)?;
    let depth = decode::depth_png("depth/NNNNNN.png", files.depth)?;
    let confidence = confidence(&depth, "confidence/NNNNNN.png", files.confidence)?;
    // Its clock counts from the phone's start, so it does not say when the frame was taken.
    Frame::try_new(FrameParts {
        image,
        depth,
        confidence,
        intrinsics: own.unwrap_or(common),
        captured_at: None,
        body_axis: None,
    })
}

fn text<'a>(entry: &'static str, bytes: &'a [u8]) -> Result<&'a str, CaptureError> {
    std::str::from_utf8(bytes).map_err(|_| CaptureError::Table { entry, row: 0 })
}

fn number(word: &str) -> Option<f64> {
    word.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

fn camera_matrix(bytes: &[u8]) -> Result<Intrinsics, CaptureError> {
    if bytes.len() > MATRIX_BYTES_MAX {
        return Err(CaptureError::TooLarge { bytes: bytes.len() });
    }
    let mut matrix = [0.0; 9];
    let mut rows = text(MATRIX, bytes)?.lines();
    for row in 0..3 {
        let damaged = CaptureError::Table { entry: MATRIX, row };
        let words: Vec<&str> = rows.next().unwrap_or_default().split(',').collect();
        let [a, b, c] = words.as_slice() else { return Err(damaged) };
        let numbers = [number(a), number(b), number(c)];
        let [Some(a), Some(b), Some(c)] = numbers else { return Err(damaged) };
        matrix[3 * row..3 * row + 3].copy_from_slice(&[a, b, c]);
    }
    Intrinsics::from_row_major(&matrix)
}

/// The camera in a frame's row; `None` where the table has no such columns or no such row.
fn camera_of(bytes: &[u8], frame: u32) -> Result<Option<Intrinsics>, CaptureError> {
    let mut rows = text(ODOMETRY, bytes)?.lines().enumerate();
    let Some((_, head)) = rows.next() else { return Ok(None) };
    let names: Vec<&str> = head.split(',').map(str::trim).take(COLUMNS_MAX).collect();
    let column = |name| names.iter().position(|it| *it == name);
    let [Some(number_at), Some(fx), Some(fy), Some(cx), Some(cy)] =
        ["frame", "fx", "fy", "cx", "cy"].map(column)
    else {
        return Ok(None);
    };
    for (row, line) in rows {
        let words: Vec<&str> = line.split(',').map(str::trim).take(COLUMNS_MAX).collect();
        if words.get(number_at).and_then(|word| word.parse::<u32>().ok()) != Some(frame) {
            continue;
        }
        let camera = [fx, fy, cx, cy].map(|at| words.get(at).copied().and_then(number));
        let [Some(fx), Some(fy), Some(cx), Some(cy)] = camera else {
            return Err(CaptureError::Table { entry: ODOMETRY, row });
        };
        return Ok(Some(Intrinsics { fx, fy, cx, cy }));
    }
    Ok(None)
}
