//! Opening a file that may be compressed, with a bound on what comes out of it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// The most bytes read from one file, after decompression.
pub(super) const MAX_FILE_BYTES: u64 = 8 << 30;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be opened or read.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Its format is not one that this import reads.
    #[error("{}: {reason}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
}

/// Opens a file; one that begins as gzip does is decompressed.
pub fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, SourceError> {
    let failed = |cause| SourceError::Io { path: path.to_owned(), cause };
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let gzip = reader.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip {
        Box::new(BufReader::with_capacity(
            1 << 16,
            MultiGzDecoder::new(reader).take(MAX_FILE_BYTES),
        ))
    } else {
        Box::new(reader.take(MAX_FILE_BYTES))
    })
}
