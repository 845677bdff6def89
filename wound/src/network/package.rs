//! A model as it is handed in: an uncompressed tar of its card and its weights.
//!
//! | entry | content |
//! | --- | --- |
//! | `card.json` | the card ([`ModelCard`]) |
//! | `weights.bpk` | the weights, as `ledger model import` and `ledger model train` write them |
//!
//! Nothing else may be in it. The digest of the weights is the model's name; that of the package means nothing.

use std::io::{Cursor, Read};

use domain::ModelCard;
use domain::value::describe;

const CARD: &str = "card.json";
const WEIGHTS: &str = "weights.bpk";
const CARD_BYTES_MAX: u64 = 256 << 10;

/// The media type of a package.
pub const PACKAGE_MEDIA_TYPE: &str = "application/vnd.coherency.model+tar";

/// The largest package.
pub const MAX_PACKAGE_BYTES: usize = 64 << 20;

/// Why a package was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It is too large.
    #[error("the package has {size} bytes, more than the {MAX_PACKAGE_BYTES} allowed")]
    TooLarge {
        /// How many.
        size: usize,
    },
    /// It is no archive.
    #[error("the package is not a readable tar archive")]
    Archive(#[source] std::io::Error),
    /// An entry that must not be there.
    #[error("entry {index} of the package is refused: {reason}")]
    Entry {
        /// Its number, from 0.
        index: usize,
        /// Why.
        reason: &'static str,
    },
    /// An entry that must be there.
    #[error("the package has no {entry}")]
    Missing {
        /// Which.
        entry: &'static str,
    },
    /// The card is not valid.
    #[error("card.json is not a model's card, at line {line} column {column}: {reason}")]
    Card {
        /// The line at which it stops being one.
        line: usize,
        /// The column.
        column: usize,
        /// What is wrong, without what stands there.
        reason: String,
    },
}

impl PackageError {
    /// A stable code, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "package-too-large",
            Self::Archive(_) | Self::Entry { .. } => "package-archive",
            Self::Missing { .. } => "package-incomplete",
            Self::Card { .. } => "package-card",
        }
    }

    /// The entry that is to blame.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Archive(_) | Self::Entry { .. } => "package",
            Self::Missing { entry } => entry,
            Self::Card { .. } => CARD,
        }
    }
}

/// A model: its card and its weights, not yet loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPackage {
    /// The card.
    pub card: ModelCard,
    /// The weights.
    pub weights: Vec<u8>,
}

impl ModelPackage {
    /// Reads a card alone, as [`Self::read`] reads the one in a package.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read_card(json: &[u8]) -> Result<ModelCard, PackageError> {
        serde_json::from_slice(json).map_err(|error| PackageError::Card {
            line: error.line(),
            column: error.column(),
            reason: describe(&error),
        })
    }

    /// Reads a package. Whether the weights are any is not looked at.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming the entry.
    pub fn read(bytes: &[u8]) -> Result<Self, PackageError> {
        if bytes.len() > MAX_PACKAGE_BYTES {
            return Err(PackageError::TooLarge { size: bytes.len() });
        }
        let (mut card, mut weights) = (None, None);
        let mut archive = tar::Archive::new(Cursor::new(bytes));
        // Raw: extension headers (long names, attributes) are entries too, and refused as such.
        let raw = archive.entries().map_err(PackageError::Archive)?.raw(true);
        for (index, entry) in raw.enumerate() {
            let mut entry = entry.map_err(PackageError::Archive)?;
            let refuse = |reason| Err(PackageError::Entry { index, reason });
            if entry.header().entry_type() != tar::EntryType::Regular {
                return refuse("it is not a plain file");
            }
            let name = entry.path_bytes().into_owned();
            let (slot, limit) = match std::str::from_utf8(&name) {
                Ok(CARD) => (&mut card, CARD_BYTES_MAX),
                Ok(WEIGHTS) => (&mut weights, MAX_PACKAGE_BYTES as u64),
                _ => return refuse("its name is neither card.json nor weights.bpk"),
            };
            let size = entry.size();
            if slot.is_some() {
                return refuse("it is there twice");
            }
            if size > limit || size > bytes.len() as u64 {
                return refuse("it is too large");
            }
            let mut content = Vec::with_capacity(size as usize);
            entry.read_to_end(&mut content).map_err(PackageError::Archive)?;
            if content.len() as u64 != size {
                return refuse("it ends early");
            }
            *slot = Some(content);
        }
        let card = card.ok_or(PackageError::Missing { entry: CARD })?;
        let weights = weights.ok_or(PackageError::Missing { entry: WEIGHTS })?;
        Ok(Self { card: Self::read_card(&card)?, weights })
    }

    /// Writes a package. The same model gives the same bytes.
    ///
    /// # Errors
    ///
    /// When it would be too large, or the archive cannot be written, which memory alone prevents.
    pub fn write(&self) -> Result<Vec<u8>, PackageError> {
        let card = serde_json::to_vec_pretty(&self.card)
            .map_err(|error| PackageError::Archive(error.into()))?;
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in [(CARD, card.as_slice()), (WEIGHTS, self.weights.as_slice())] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(0);
            archive.append_data(&mut header, name, content).map_err(PackageError::Archive)?;
        }
        let bytes = archive.into_inner().map_err(PackageError::Archive)?;
        if bytes.len() > MAX_PACKAGE_BYTES {
            return Err(PackageError::TooLarge { size: bytes.len() });
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::embedded_card;

    fn package() -> ModelPackage {
        ModelPackage { card: embedded_card().clone(), weights: b"numbers".to_vec() }
    }

    fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, name, *content).expect("an entry");
        }
        archive.into_inner().expect("an archive")
    }

    #[test]
    fn a_package_reads_back() {
        let bytes = package().write().expect("written");
        assert_eq!(bytes, package().write().expect("written again"));
        assert_eq!(ModelPackage::read(&bytes).expect("read"), package());
    }

    #[test]
    fn what_is_no_package_is_refused_by_its_entry() {
        let card = serde_json::to_vec(embedded_card()).expect("JSON");
        let (card, weights) = ((CARD, card.as_slice()), (WEIGHTS, b"numbers".as_slice()));
        let secret = br#"{"name": "Anna Probe", "secret": 1}"#.as_slice();
        let table = [
            ("nothing", Vec::new(), "package-incomplete", CARD),
            ("no archive", b"no archive, but long enough".repeat(40), "package-archive", "package"),
            ("no weights", tar_of(&[card]), "package-incomplete", WEIGHTS),
            ("no card", tar_of(&[weights]), "package-incomplete", CARD),
            ("two cards", tar_of(&[card, card, weights]), "package-archive", "package"),
            ("a third", tar_of(&[card, weights, ("README", b"")]), "package-archive", "package"),
            ("another card", tar_of(&[(CARD, secret), weights]), "package-card", CARD),
            (
                "a long card",
                tar_of(&[(CARD, &[b' '; 300_000]), weights]),
                "package-archive",
                "package",
            ),
        ];
        for (case, bytes, code, field) in table {
            let error = ModelPackage::read(&bytes).expect_err(case);
            assert_eq!((error.code(), error.field()), (code, field), "{case}: {error}");
            assert!(!error.to_string().contains("Probe"), "{case}: {error}");
        }
        let large = ModelPackage { weights: vec![0; MAX_PACKAGE_BYTES], ..package() };
        assert!(matches!(large.write(), Err(PackageError::TooLarge { .. })));
        let error = ModelPackage::read(&vec![0; MAX_PACKAGE_BYTES + 1]).expect_err("too large");
        assert_eq!(error.code(), "package-too-large");
    }
}
