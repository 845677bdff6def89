//! The header of a PLY file.

use crate::error::PlyError;
use crate::limits::PLY_ELEMENTS_MAX;

const HEADER_BYTES_MAX: usize = 64 << 10;
const ELEMENTS_MAX: usize = 16;
const PROPERTIES_MAX: usize = 64;

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Ascii,
    Little,
    Big,
}

/// A number's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Kind {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// One column, a number or a list of numbers.
#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The type of the length, if this is a list.
    pub(super) length: Option<Kind>,
}

/// One table of the file.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) count: usize,
    pub(super) properties: Vec<Property>,
}

impl Element {
    /// The column of a plain number.
    pub(super) fn scalar(&self, name: &str) -> Option<usize> {
        self.properties.iter().position(|it| it.name == name && it.length.is_none())
    }

    /// The column of a list.
    pub(super) fn list(&self, names: &[&str]) -> Option<usize> {
        let matches = |it: &Property| names.contains(&it.name.as_str()) && it.length.is_some();
        self.properties.iter().position(matches)
    }

    /// The fewest bytes a row can take.
    pub(super) fn row_bytes_min(&self, encoding: Encoding) -> usize {
        let one = |it: &Property| match (encoding, it.length) {
            (Encoding::Ascii, _) => 2,
            (_, Some(length)) => length.bytes(),
            (_, None) => it.kind.bytes(),
        };
        self.properties.iter().map(one).sum::<usize>().max(1)
    }
}

/// What the header says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) encoding: Encoding,
    pub(super) elements: Vec<Element>,
}

impl Header {
    /// Parses the header; also says where the body starts.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), PlyError> {
        let fail = |reason| PlyError::Header { reason };
        let mut encoding = None;
        let mut elements: Vec<Element> = Vec::new();
        let mut at = 0;
        let mut first = true;
        loop {
            let rest = bytes.get(at..bytes.len().min(HEADER_BYTES_MAX)).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'\n');
            let end = end.ok_or(fail("it does not end"))?;
            // Comments may hold any bytes; the lines that matter are ASCII.
            let line = String::from_utf8_lossy(&rest[..end]);
            let line = line.trim_end_matches('\r');
            at += end + 1;
            if first {
                if line != "ply" {
                    return Err(fail("the file does not begin with `ply`"));
                }
                first = false;
                continue;
            }
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["format", name, "1.0"] if encoding.is_none() => {
                    encoding = Some(match *name {
                        "ascii" => Encoding::Ascii,
                        "binary_little_endian" => Encoding::Little,
                        "binary_big_endian" => Encoding::Big,
                        _ => return Err(fail("the format is unknown")),
                    });
                }
                ["comment" | "obj_info", ..] | [] => {}
                ["element", name, count] => {
                    let count: usize =
                        count.parse().map_err(|_| fail("an element has no count"))?;
                    if count > PLY_ELEMENTS_MAX {
                        return Err(PlyError::TooMany);
                    }
                    if elements.len() >= ELEMENTS_MAX || elements.iter().any(|it| it.name == *name)
                    {
                        return Err(fail("too many elements, or one twice"));
                    }
                    elements.push(Element {
                        name: (*name).to_owned(),
                        count,
                        properties: Vec::new(),
                    });
                }
                ["property", rest @ ..] => {
                    let element =
                        elements.last_mut().ok_or(fail("a property before any element"))?;
                    let property = property(rest).ok_or(fail("a property is not understood"))?;
                    if element.properties.len() >= PROPERTIES_MAX
                        || element.properties.iter().any(|it| it.name == property.name)
                    {
                        return Err(fail("too many properties, or one twice"));
                    }
                    element.properties.push(property);
                }
                ["end_header"] => {
                    let encoding = encoding.ok_or(fail("the format is not given"))?;
                    return Ok((Self { encoding, elements }, at));
                }
                _ => return Err(fail("a line is not understood")),
            }
        }
    }
}

fn property(words: &[&str]) -> Option<Property> {
    match words {
        ["list", length, kind, name] => Some(Property {
            name: (*name).to_owned(),
            kind: Kind::parse(kind)?,
            length: Some(Kind::parse(length).filter(|kind| !kind.is_float())?),
        }),
        [kind, name] => {
            Some(Property { name: (*name).to_owned(), kind: Kind::parse(kind)?, length: None })
        }
        _ => None,
    }
}
