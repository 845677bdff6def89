//! The whole log as a folder of C2SP tlog-tiles.
//!
//! ```text
//! checkpoint                          the signed checkpoint
//! tile/<L>/<N>[.p/<W>]                hashes
//! tile/entries/<N>[.p/<W>]            entries: 16-bit length, compact JWS
//! payloads/<N>[.p/<W>]                stored payloads: 32-bit length, bytes
//! keys.json                           all keys of the log, a JWK Set
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::jws;
use crate::keyring::{Keyring, KeyringError};
use crate::merkle::Hash;
use crate::statement::{Statement, StatementError};
use crate::system;
use crate::tiles::{TILE_WIDTH, TileBuilder, hashes_to_bytes, tile_path};
use crate::verify::LogEntry;

mod reader;

pub use reader::verify_export;

/// The file of the signed checkpoint.
pub const CHECKPOINT: &str = "checkpoint";

/// The file of the log's keys.
pub const KEYS: &str = "keys.json";

/// The length that says: this payload is not in the export.
pub const ABSENT: u32 = u32::MAX;

/// What can go wrong with an export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A file.
    #[error("{path} could not be read or written")]
    Io {
        /// Which file, below the export's folder.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder to write to has something in it.
    #[error("the folder is not empty")]
    NotEmpty,
    /// Entries must be pushed in order, from 0.
    #[error("position {found} came where {expected} was due")]
    Order {
        /// The position due.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// An entry that does not fit an entry bundle.
    #[error("the entry of position {position} has {size} bytes, more than a bundle can hold")]
    TooLong {
        /// Its position.
        position: u64,
        /// Its bytes.
        size: usize,
    },
    /// The log's own events.
    #[error("the log's keys cannot be told")]
    Keyring(#[from] KeyringError),
    /// A statement of the log's own.
    #[error("a statement of the log's own cannot be read")]
    Statement(#[from] StatementError),
    /// The final checkpoint.
    #[error("the checkpoint cannot be read")]
    Checkpoint(#[from] CheckpointError),
    /// It is not that of the entries pushed.
    #[error("the checkpoint is not that of the entries exported")]
    OtherTree,
    /// The keys could not be written as JSON.
    #[error("the keys cannot be written")]
    Json(#[source] serde_json::Error),
    /// There was no genesis.
    #[error("the log has no genesis")]
    NoGenesis,
}

/// The bytes of the file of keys: there is one spelling, so that any change shows.
fn keys_file(keyring: &Keyring) -> Result<Vec<u8>, ExportError> {
    let mut keys = serde_json::to_vec_pretty(&keyring.to_jwks()).map_err(ExportError::Json)?;
    keys.push(b'\n');
    Ok(keys)
}

/// Writes an export, entry by entry.
pub struct ExportWriter {
    folder: PathBuf,
    tiles: TileBuilder,
    keyring: Option<Keyring>,
    entries: Vec<u8>,
    payloads: Vec<u8>,
}

impl ExportWriter {
    /// Begins in a folder that is new or empty.
    pub fn create(folder: &Path) -> Result<Self, ExportError> {
        let failed = |source| ExportError::Io { path: ".".to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        if fs::read_dir(folder).map_err(failed)?.next().is_some() {
            return Err(ExportError::NotEmpty);
        }
        Ok(Self {
            folder: folder.to_owned(),
            tiles: TileBuilder::new(),
            keyring: None,
            entries: Vec::new(),
            payloads: Vec::new(),
        })
    }

    /// Writes the next entry. It is not verified: an export shows a log as it is.
    pub fn push(&mut self, entry: &LogEntry) -> Result<(), ExportError> {
        let expected = self.tiles.size();
        if entry.position != expected {
            return Err(ExportError::Order { expected, found: entry.position });
        }
        self.take_keys(entry)?;
        let jws = jws::compact(&entry.header, &entry.statement, &entry.signature);
        let too_long = ExportError::TooLong { position: expected, size: jws.len() };
        let length = u16::try_from(jws.len()).map_err(|_| too_long)?;
        self.entries.extend_from_slice(&length.to_be_bytes());
        self.entries.extend_from_slice(jws.as_bytes());
        match &entry.payload {
            None => self.payloads.extend_from_slice(&ABSENT.to_be_bytes()),
            Some(payload) => {
                let too_long = ExportError::TooLong { position: expected, size: payload.len() };
                let length = u32::try_from(payload.len())
                    .ok()
                    .filter(|length| *length != ABSENT)
                    .ok_or(too_long)?;
                self.payloads.extend_from_slice(&length.to_be_bytes());
                self.payloads.extend_from_slice(payload);
            }
        }
        let leaf = crate::merkle::leaf_hash(jws.as_bytes());
        for tile in self.tiles.push(leaf) {
            if tile.level == 0 {
                self.write_bundles(tile.index, TILE_WIDTH)?;
            }
            self.write_tile(tile.level, tile.index, &tile.hashes)?;
        }
        Ok(())
    }

    fn take_keys(&mut self, entry: &LogEntry) -> Result<(), ExportError> {
        // Cheap for all but the log's own events: most statements never name that stream.
        let mark = format!(r#""stream_type":"{}""#, system::STREAM_TYPE);
        let own = entry.statement.windows(mark.len()).any(|window| window == mark.as_bytes());
        if !own && entry.position != 0 {
            return Ok(());
        }
        let statement = Statement::parse(&entry.statement)?;
        let payload = entry.payload.as_deref().unwrap_or_default();
        match &mut self.keyring {
            None => self.keyring = Some(Keyring::genesis(&statement, payload)?),
            Some(keyring) => keyring.apply(entry.position, &statement, payload)?,
        }
        Ok(())
    }

    /// Writes what is incomplete, the keys and the checkpoint, which must be that of the entries.
    pub fn finish(mut self, note: &str) -> Result<(), ExportError> {
        let checkpoint = Checkpoint::peek(note)?;
        let root = self.tiles.compact_range().map(|range| range.root());
        if checkpoint.size != self.tiles.size() || Some(checkpoint.root) != root {
            return Err(ExportError::OtherTree);
        }
        let size = self.tiles.size();
        for (level, hashes) in (0u8..).zip(self.tiles.partial().to_vec()) {
            if hashes.is_empty() {
                continue;
            }
            let index = size >> (8 * (u32::from(level) + 1));
            if level == 0 {
                self.write_bundles(index, hashes.len())?;
            }
            self.write_tile(level, index, &hashes)?;
        }
        let keyring = self.keyring.take().ok_or(ExportError::NoGenesis)?;
        let keys = keys_file(&keyring)?;
        self.write(KEYS, &keys)?;
        self.write(CHECKPOINT, note.as_bytes())
    }

    fn write_bundles(&mut self, index: u64, width: usize) -> Result<(), ExportError> {
        let (entries, payloads) =
            (std::mem::take(&mut self.entries), std::mem::take(&mut self.payloads));
        self.write(&tile_path("tile/entries", index, width), &entries)?;
        self.write(&tile_path("payloads", index, width), &payloads)
    }

    fn write_tile(&self, level: u8, index: u64, hashes: &[Hash]) -> Result<(), ExportError> {
        let path = tile_path(&format!("tile/{level}"), index, hashes.len());
        self.write(&path, &hashes_to_bytes(hashes))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let failed = |source| ExportError::Io { path: path.to_owned(), source };
        let file = self.folder.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(file, bytes).map_err(failed)
    }
}
