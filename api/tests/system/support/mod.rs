//! What these tests share: a ledger of one's own, the binary, a client, the real data.

mod client;
pub(crate) mod clinic;
pub(crate) mod instance;
mod process;
mod random;
mod stores;
pub(crate) mod traces;

use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

pub(crate) use client::{Client, Content};
pub(crate) use clinic::{Clinic, phantom};
pub(crate) use instance::{Instance, below, list};
pub(crate) use process::{Process, free_port, until};
pub(crate) use random::Random;
pub(crate) use stores::{
    cached, documents, drop_database, every_document, everything_cached, flush,
};

/// The folder of real data, or nothing, said in one line, where it is absent.
pub(crate) fn data(what: &str) -> Option<PathBuf> {
    let given = std::env::var_os("LEDGER_DATA").map(PathBuf::from);
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = given.unwrap_or_else(usual).join(what);
    if folder.is_dir() {
        return Some(folder);
    }
    // Straight to standard error, where the test harness does not swallow it.
    let _gone = writeln!(std::io::stderr(), "left out: {} is not there", folder.display());
    None
}

/// A file's text, decompressed where its name says so.
pub(crate) fn text(path: &Path) -> String {
    let file = BufReader::new(std::fs::File::open(path).expect("the file opens"));
    let mut reader: Box<dyn Read> = match path.extension().is_some_and(|end| end == "gz") {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("the file is text");
    text
}
