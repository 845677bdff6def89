//! The rows of a PLY file, in any of its encodings.

use super::header::{Element, Encoding, Kind};
use crate::error::PlyError;
use crate::limits::CORNERS_MAX;

/// A reader of rows; it never reads past the end and never reserves more than is there.
pub(super) struct Body<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
}

impl<'a> Body<'a> {
    pub(super) fn new(bytes: &'a [u8], encoding: Encoding) -> Self {
        Self { bytes, at: 0, encoding }
    }

    /// How many rows of this element the remaining bytes could hold at most.
    pub(super) fn rows_left_max(&self, element: &Element) -> usize {
        (self.bytes.len() - self.at) / element.row_bytes_min(self.encoding) + 1
    }

    /// Reads a row: plain numbers into `values` by column (0 in a list's place), lists with their
    /// column into `lists`. `None` where the data end or make no sense.
    pub(super) fn row(
        &mut self,
        element: &Element,
        values: &mut Vec<f64>,
        lists: &mut Vec<(usize, Vec<f64>)>,
    ) -> Option<()> {
        values.clear();
        lists.clear();
        for (column, property) in element.properties.iter().enumerate() {
            let Some(length) = property.length else {
                values.push(self.number(property.kind)?);
                continue;
            };
            let count = self.number(length)?;
            if !(0.0..=CORNERS_MAX as f64).contains(&count) {
                return None;
            }
            let mut list = Vec::with_capacity(count as usize);
            for _ in 0..count as usize {
                list.push(self.number(property.kind)?);
            }
            lists.push((column, list));
            values.push(0.0);
        }
        Some(())
    }

    fn number(&mut self, kind: Kind) -> Option<f64> {
        match self.encoding {
            Encoding::Ascii => self.word()?.parse().ok(),
            Encoding::Little | Encoding::Big => self.binary(kind),
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = &self.bytes[self.at..];
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let length = rest[start..].iter().position(u8::is_ascii_whitespace);
        let end = length.map_or(rest.len(), |length| start + length);
        self.at += end;
        std::str::from_utf8(&rest[start..end]).ok()
    }

    fn binary(&mut self, kind: Kind) -> Option<f64> {
        let size = kind.bytes();
        let taken = self.bytes.get(self.at..self.at + size)?;
        self.at += size;
        // Turned so that the lowest byte comes first.
        let mut low_first = [0; 8];
        low_first[..size].copy_from_slice(taken);
        if self.encoding == Encoding::Big {
            low_first[..size].reverse();
        }
        let [a, b, c, d, ..] = low_first;
        Some(match kind {
            Kind::I8 => f64::from(a.cast_signed()),
            Kind::U8 => f64::from(a),
            Kind::I16 => f64::from(i16::from_le_bytes([a, b])),
            Kind::U16 => f64::from(u16::from_le_bytes([a, b])),
            Kind::I32 => f64::from(i32::from_le_bytes([a, b, c, d])),
            Kind::U32 => f64::from(u32::from_le_bytes([a, b, c, d])),
            Kind::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Kind::F64 => f64::from_le_bytes(low_first),
        })
    }
}

pub(super) fn skip(body: &mut Body<'_>, element: &Element) -> Result<(), PlyError> {
    let (mut values, mut lists) = (Vec::new(), Vec::new());
    for row in 0..element.count {
        let damaged = PlyError::Damaged { element: "other", row };
        body.row(element, &mut values, &mut lists).ok_or(damaged)?;
    }
    Ok(())
}
