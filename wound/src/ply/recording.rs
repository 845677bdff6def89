//! Depth frames in PLY files, as TrueDepth recorders write them: no `vertex`, but the elements
//! `metadata` (a JSON text, byte by byte), `color` and `depth` (a row for each pixel).

use super::body::{Body, skip};
use super::header::{Element, Header};
use crate::error::PlyError;
use crate::limits::DEPTH_SIDE_MAX;

/// The most bytes of JSON that are read.
const METADATA_BYTES_MAX: usize = 1 << 20;
const PIXELS_MAX: usize = (DEPTH_SIDE_MAX * DEPTH_SIDE_MAX) as usize;

/// What such a file holds, not yet understood.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// The JSON text.
    pub(crate) metadata: Vec<u8>,
    /// Red, green and blue of each pixel.
    pub(crate) colours: Vec<[f32; 3]>,
    /// The depth of each pixel.
    pub(crate) depths: Vec<f32>,
}

/// Whether these bytes begin like a PLY file with depth in place of vertices.
pub(crate) fn is_recording(bytes: &[u8]) -> bool {
    Header::parse(bytes).is_ok_and(|(header, _)| {
        let has = |name| header.elements.iter().any(|element| element.name == name);
        has("depth") && !has("vertex")
    })
}

/// Reads the file's three elements; others are passed over.
///
/// # Errors
/// The file is damaged, or has more than a frame has.
pub(crate) fn read(bytes: &[u8]) -> Result<Recording, PlyError> {
    let (header, start) = Header::parse(bytes)?;
    let mut body = Body::new(&bytes[start..], header.encoding);
    let mut recording = Recording::default();
    for element in &header.elements {
        match element.name.as_str() {
            "metadata" => {
                let [column] = columns(element, ["char"])?;
                rows(&mut body, element, METADATA_BYTES_MAX, |row| {
                    recording.metadata.push(row[column] as u8);
                })?;
            }
            "color" => {
                let at = columns(element, ["r", "g", "b"])?;
                rows(&mut body, element, PIXELS_MAX, |row| {
                    recording.colours.push(at.map(|column| row[column] as f32));
                })?;
            }
            "depth" => {
                let [column] = columns(element, ["d"])?;
                rows(&mut body, element, PIXELS_MAX, |row| {
                    recording.depths.push(row[column] as f32);
                })?;
            }
            _ => skip(&mut body, element)?,
        }
    }
    Ok(recording)
}

fn columns<const N: usize>(element: &Element, names: [&str; N]) -> Result<[usize; N], PlyError> {
    let found = names.map(|name| element.scalar(name));
    if found.iter().any(Option::is_none) {
        return Err(PlyError::Header { reason: "an element lacks a property that depth needs" });
    }
    Ok(found.map(Option::unwrap_or_default))
}

fn rows(
    body: &mut Body<'_>,
    element: &Element,
    count_max: usize,
    mut take: impl FnMut(&[f64]),
) -> Result<(), PlyError> {
    if element.count > count_max {
        return Err(PlyError::TooMany);
    }
    let (mut values, mut lists) = (Vec::new(), Vec::new());
    for row in 0..element.count {
        let damaged = PlyError::Damaged { element: "other", row };
        body.row(element, &mut values, &mut lists).ok_or(damaged)?;
        take(&values);
    }
    Ok(())
}
