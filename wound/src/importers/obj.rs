//! Wavefront OBJ meshes, as scanner programs export them: vertices and faces, and colours behind
//! the vertices where there are any. Materials, textures, normals, groups and comments are passed
//! over.

use crate::capture::Surface;
use crate::error::{CaptureError, ObjError};
use crate::limits::{CORNERS_MAX, PLY_ELEMENTS_MAX};

/// Reads a mesh. OBJ has no unit; a span of 10 and more is taken to be millimetres, less to be
/// metres.
///
/// # Errors
/// Whatever is wrong with the file, with its line.
pub fn obj(bytes: &[u8]) -> Result<Surface, CaptureError> {
    parse(bytes).map_err(CaptureError::Obj)
}

fn parse(bytes: &[u8]) -> Result<Surface, ObjError> {
    let mut surface = Surface {
        vertices: Vec::new(),
        vertex_colours: None,
        faces: Vec::new(),
        face_colours: None,
    };
    let mut colours = Vec::new();
    // Lines that are passed over may hold any bytes.
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("v") => {
                let numbers: Vec<f64> = words.map_while(|word| word.parse().ok()).take(7).collect();
                match numbers.as_slice() {
                    // A fourth number is a weight, which scans do not use.
                    [x, y, z] | [x, y, z, _] => surface.vertices.push([*x, *y, *z]),
                    [x, y, z, red, green, blue, ..] => {
                        surface.vertices.push([*x, *y, *z]);
                        let byte = |share: &f64| (share * 255.0).round().clamp(0.0, 255.0) as u8;
                        colours.push([red, green, blue].map(byte));
                    }
                    _ => return Err(ObjError::Line { line }),
                }
            }
            Some("f") => face(words, line, &mut surface)?,
            _ => {}
        }
        if surface.vertices.len() > PLY_ELEMENTS_MAX || surface.faces.len() > 2 * PLY_ELEMENTS_MAX {
            return Err(ObjError::TooMany);
        }
    }
    surface.vertex_colours = (colours.len() == surface.vertices.len()).then_some(colours);
    if surface.scale_to_metres() { Ok(surface) } else { Err(ObjError::Degenerate) }
}

/// A polygon becomes a fan of triangles. Its corners may only name vertices above it.
fn face<'a>(
    words: impl Iterator<Item = &'a str>,
    line: usize,
    surface: &mut Surface,
) -> Result<(), ObjError> {
    let count = surface.vertices.len() as i64;
    let mut corners = Vec::new();
    for word in words {
        // Behind a slash are the texture's and the normal's places.
        let place = word.split('/').next().unwrap_or_default();
        let place: i64 = place.parse().map_err(|_| ObjError::Line { line })?;
        // From 1, or backwards from -1.
        let index = if place < 0 { count.saturating_add(place) } else { place - 1 };
        if !(0..count).contains(&index) || corners.len() >= CORNERS_MAX {
            return Err(ObjError::Face { line });
        }
        corners.push(u32::try_from(index).map_err(|_| ObjError::Face { line })?);
    }
    if corners.len() < 3 {
        return Err(ObjError::Face { line });
    }
    surface.faces.extend(corners[1..].windows(2).map(|pair| [corners[0], pair[0], pair[1]]));
    Ok(())
}
