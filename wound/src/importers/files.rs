//! Files and folders, read within limits.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::error::CaptureError;
use crate::limits::CAPTURE_BYTES_MAX;

use super::error::ImportError;

/// The most entries of a folder that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let read_error = |source| ImportError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(read_error)?;
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    file.take(CAPTURE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() > CAPTURE_BYTES_MAX {
        return Err(ImportError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Reads a file that may be absent.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, ImportError> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

/// Unpacks a gzipped file, however large it pretends to be.
pub(super) fn gunzip(packed: &[u8]) -> Result<Vec<u8>, CaptureError> {
    let mut bytes = Vec::new();
    let mut unpacked = flate2::read::GzDecoder::new(packed).take(CAPTURE_BYTES_MAX as u64 + 1);
    unpacked.read_to_end(&mut bytes).map_err(CaptureError::Gzip)?;
    if bytes.len() > CAPTURE_BYTES_MAX {
        return Err(CaptureError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// The names in a folder; nothing where there is no such folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, ImportError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let read_error = |source| ImportError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read_error)?.take(ENTRIES_MAX) {
        // A name that is not UTF-8 is not one of ours.
        if let Ok(name) = entry.map_err(read_error)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The files of a folder that are named by a number, as in `frame_00009.json`: from number to file.
pub(super) fn numbered(
    folder: &Path,
    prefix: &str,
    endings: &[&str],
) -> Result<BTreeMap<u32, PathBuf>, ImportError> {
    let mut found = BTreeMap::new();
    for name in names(folder)? {
        let number = endings.iter().find_map(|ending| {
            name.strip_prefix(prefix)?.strip_suffix(ending)?.strip_suffix('.')?.parse().ok()
        });
        if let Some(number) = number {
            found.entry(number).or_insert_with(|| folder.join(&name));
        }
    }
    Ok(found)
}
