//! Surfaces as PLY files that hold nothing but the surface.

use std::fmt::Write as _;

use crate::capture::Surface;
use crate::error::CaptureError;
use crate::limits::CAPTURE_BYTES_MAX;

/// Writes a surface: binary, little-endian, in metres; coordinates as `float` where that loses
/// nothing, else as `double`; colours where the surface has them. The same surface gives the same
/// bytes, and reading them gives the same surface.
///
/// This is how a PLY is stored: comments, names and values of other properties, other elements and
/// bytes behind the end stay outside, whatever they said.
///
/// # Errors
/// The file would be larger than captures may be.
pub fn write(surface: &Surface) -> Result<Vec<u8>, CaptureError> {
    let exact = |value: &f64| f64::from(*value as f32).to_bits() == value.to_bits();
    let short = surface.vertices.iter().flatten().all(exact);
    let number = if short { "float" } else { "double" };

    let mut header = String::from("ply\nformat binary_little_endian 1.0\n");
    let mut say = |line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = header.write_fmt(line);
        header.push('\n');
    };
    let colours = ["red", "green", "blue"];
    say(format_args!("element vertex {}", surface.vertices.len()));
    for axis in ["x", "y", "z"] {
        say(format_args!("property {number} {axis}"));
    }
    if surface.vertex_colours.is_some() {
        for colour in colours {
            say(format_args!("property uchar {colour}"));
        }
    }
    say(format_args!("element face {}", surface.faces.len()));
    say(format_args!("property list uchar uint vertex_indices"));
    if surface.face_colours.is_some() {
        for colour in colours {
            say(format_args!("property uchar {colour}"));
        }
    }
    say(format_args!("end_header"));

    let coloured = |there: bool| if there { 3 } else { 0 };
    let vertex_bytes = if short { 12 } else { 24 } + coloured(surface.vertex_colours.is_some());
    let face_bytes = 13 + coloured(surface.face_colours.is_some());
    let bytes =
        header.len() + surface.vertices.len() * vertex_bytes + surface.faces.len() * face_bytes;
    if bytes > CAPTURE_BYTES_MAX {
        return Err(CaptureError::TooLarge { bytes });
    }
    let mut file = header.into_bytes();
    file.reserve_exact(bytes - file.len());
    for (index, vertex) in surface.vertices.iter().enumerate() {
        for value in vertex {
            if short {
                file.extend((*value as f32).to_le_bytes());
            } else {
                file.extend(value.to_le_bytes());
            }
        }
        file.extend(colour_at(surface.vertex_colours.as_deref(), index));
    }
    for (index, face) in surface.faces.iter().enumerate() {
        file.push(3);
        file.extend(face.iter().flat_map(|corner| corner.to_le_bytes()));
        file.extend(colour_at(surface.face_colours.as_deref(), index));
    }
    Ok(file)
}

/// A row's colour, nothing where the surface has none; black where the list is too short.
fn colour_at(colours: Option<&[[u8; 3]]>, index: usize) -> impl Iterator<Item = u8> {
    colours.map(|all| all.get(index).copied().unwrap_or_default()).into_iter().flatten()
}
