//! Published data that is not part of the repository, for tests.

use std::path::PathBuf;

/// A folder of it, if it is there: below `LEDGER_DATA`, or beside the repository.
#[expect(clippy::print_stderr, reason = "the line says what a test left out")]
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LEDGER_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let path = root.join(name);
    if !path.is_dir() {
        eprintln!("left out: {name} is not here (LEDGER_DATA)");
        return None;
    }
    Some(path)
}
