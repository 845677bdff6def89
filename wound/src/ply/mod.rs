//! Surfaces from PLY files: vertex clouds and meshes, ASCII or binary, with colours per vertex or
//! per face.
//!
//! A reader of our own, because the file comes from outside: counts are checked against the bytes
//! that are there before anything is reserved, and a file whose depth sits in elements other than
//! `vertex` (`recording`) is distinguished from a damaged one.

mod body;
mod header;
pub(super) mod recording;
mod write;

pub use self::write::write;

use self::body::{Body, skip};
use self::header::{Element, Header, Property};
use crate::capture::Surface;
use crate::error::{CaptureError, PlyError};
use crate::limits::{CAPTURE_BYTES_MAX, CORNERS_MAX, PLY_ELEMENTS_MAX};

/// Reads a surface. PLY has no unit; a span of 10 and more is taken to be millimetres, less to be
/// metres.
///
/// # Errors
/// Whatever is wrong with the file, named.
pub fn read(bytes: &[u8]) -> Result<Surface, CaptureError> {
    if bytes.len() > CAPTURE_BYTES_MAX {
        return Err(CaptureError::TooLarge { bytes: bytes.len() });
    }
    parse(bytes).map_err(CaptureError::Ply)
}

fn parse(bytes: &[u8]) -> Result<Surface, PlyError> {
    let (header, start) = Header::parse(bytes)?;
    let vertex = header.elements.iter().find(|element| element.name == "vertex");
    let vertex = vertex.ok_or(PlyError::NoVertex)?;
    if vertex.count == 0 {
        return Err(PlyError::NoVertex);
    }
    if !["x", "y", "z"].iter().all(|name| vertex.scalar(name).is_some()) {
        return Err(PlyError::NoCoordinates);
    }
    let mut body = Body::new(&bytes[start..], header.encoding);
    let mut surface = Surface {
        vertices: Vec::new(),
        vertex_colours: None,
        faces: Vec::new(),
        face_colours: None,
    };
    for element in &header.elements {
        match element.name.as_str() {
            "vertex" => read_vertices(&mut body, element, &mut surface)?,
            "face" => read_faces(&mut body, element, &mut surface)?,
            _ => skip(&mut body, element)?,
        }
    }
    let count = surface.vertices.len();
    if surface.faces.iter().flatten().any(|index| *index as usize >= count) {
        let bad = |face: &[u32; 3]| face.iter().any(|index| *index as usize >= count);
        return Err(PlyError::Face { row: surface.faces.iter().position(bad).unwrap_or(0) });
    }
    if surface.scale_to_metres() { Ok(surface) } else { Err(PlyError::Degenerate) }
}

fn colour_columns(element: &Element) -> Option<[usize; 3]> {
    Some([element.scalar("red")?, element.scalar("green")?, element.scalar("blue")?])
}

/// A colour from columns that hold 0–255, or 0–1 in a float column.
fn colour(element: &Element, columns: [usize; 3], row: &[f64]) -> [u8; 3] {
    columns.map(|column| {
        let scale = if element.properties[column].is_float() { 255.0 } else { 1.0 };
        (row[column] * scale).round().clamp(0.0, 255.0) as u8
    })
}

fn read_vertices(
    body: &mut Body<'_>,
    element: &Element,
    surface: &mut Surface,
) -> Result<(), PlyError> {
    let columns = ["x", "y", "z"].map(|name| element.scalar(name).unwrap_or_default());
    let colours = colour_columns(element);
    // No more is reserved than the bytes can hold, whatever the header says.
    surface.vertices.reserve(element.count.min(body.rows_left_max(element)));
    let mut values = Vec::new();
    let mut painted = Vec::new();
    for row in 0..element.count {
        let damaged = PlyError::Damaged { element: "vertex", row };
        body.row(element, &mut values, &mut Vec::new()).ok_or(damaged)?;
        surface.vertices.push(columns.map(|column| values[column]));
        if let Some(colours) = colours {
            painted.push(colour(element, colours, &values));
        }
    }
    surface.vertex_colours = colours.map(|_| painted);
    Ok(())
}

fn read_faces(
    body: &mut Body<'_>,
    element: &Element,
    surface: &mut Surface,
) -> Result<(), PlyError> {
    let corners = element.list(&["vertex_indices", "vertex_index"]);
    if corners.is_none() && element.count > 0 {
        return Err(PlyError::Header { reason: "element `face` has no list of vertices" });
    }
    let colours = colour_columns(element);
    let mut painted = Vec::new();
    let (mut values, mut lists) = (Vec::new(), Vec::new());
    for row in 0..element.count {
        let damaged = PlyError::Damaged { element: "face", row };
        body.row(element, &mut values, &mut lists).ok_or(damaged)?;
        let of_row = lists.iter().find(|(column, _)| Some(*column) == corners);
        let indices = of_row.map_or(&[][..], |(_, indices)| indices.as_slice());
        if !(3..=CORNERS_MAX).contains(&indices.len()) {
            return Err(PlyError::Face { row });
        }
        // A polygon becomes a fan of triangles.
        for pair in indices[1..].windows(2) {
            let triangle = [indices[0], pair[0], pair[1]];
            if triangle.iter().any(|index| !(0.0..f64::from(u32::MAX)).contains(index)) {
                return Err(PlyError::Face { row });
            }
            surface.faces.push(triangle.map(|index| index as u32));
            if let Some(colours) = colours {
                painted.push(colour(element, colours, &values));
            }
        }
        if surface.faces.len() > 2 * PLY_ELEMENTS_MAX {
            return Err(PlyError::TooMany);
        }
    }
    surface.face_colours = colours.map(|_| painted);
    Ok(())
}

impl Property {
    fn is_float(&self) -> bool {
        self.kind.is_float()
    }
}
