//! Why there are no keys.

use std::io;
use std::path::PathBuf;

/// The most keys of one kind.
pub const KEYS_MAX: usize = 64;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key file cannot be read.
    #[error("cannot read the key file {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A key file cannot be written.
    #[error("cannot write the key file {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Not lines of 32 bytes in base64.
    #[error("{origin} does not hold 32 bytes in base64, one key a line")]
    Malformed {
        /// Which file or variable.
        origin: String,
    },
    /// More keys of one kind than anybody needs.
    #[error("{origin} holds {KEYS_MAX} keys: remove old ones that nothing names any more")]
    TooMany {
        /// Which file.
        origin: String,
    },
    /// Others may read a key file.
    #[error("{} may be read by others: chmod 600", .path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// An environment variable is missing.
    #[error("the environment variable {variable} is not set")]
    Unset {
        /// Which.
        variable: &'static str,
    },
    /// A key management service did not give them.
    #[error("the key management service failed")]
    Service(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The index key is another one than before.
    #[error("the index key has changed: claims and derived ids are made of it, so it never may")]
    IndexChanged,
}
