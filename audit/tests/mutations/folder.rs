//! The export on disk, changed for one mutation at a time, and what the library says of it.

use std::path::{Path, PathBuf};

use audit::export::verify_export;
use audit::verify::{Options, Seen, Trust};

use crate::kinds::{Change, Mutant};
use crate::layout::{self, Files};
use crate::log::Log;

/// What a verifier said of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Sound,
    Whole { what: String },
    Place { first: u64, last: Option<u64>, what: String },
}

impl Said {
    pub(crate) fn is_sound(&self) -> bool {
        *self == Said::Sound
    }

    /// What two verifiers must agree upon.
    pub(crate) fn place(&self) -> (bool, Option<(u64, Option<u64>)>) {
        match self {
            Said::Sound => (true, None),
            Said::Whole { .. } => (false, None),
            Said::Place { first, last, .. } => (false, Some((*first, *last))),
        }
    }
}

pub(crate) struct Folder {
    temporary: tempfile::TempDir,
    pub(crate) base: Files,
}

/// Puts back what a mutation changed, when it is dropped.
pub(crate) struct Applied<'a> {
    folder: &'a Folder,
    paths: Vec<String>,
}

impl Folder {
    pub(crate) fn new(log: &Log) -> Folder {
        let mut base = layout::files(
            log.entries.iter().map(|entry| (entry.jws.as_slice(), entry.payload.as_deref())),
        );
        base.insert("checkpoint".to_owned(), log.genuine(log.size()).into_bytes());
        base.insert("keys.json".to_owned(), keys_file(log, &[0, 1, 2]));
        let temporary = tempfile::tempdir().expect("a folder");
        layout::write(&temporary.path().join("export"), &base);
        Folder { temporary, base }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.temporary.path().join("export")
    }

    pub(crate) fn apply(&self, mutant: &Mutant) -> Applied<'_> {
        let folder = self.path();
        for (path, change) in &mutant.changes {
            let file = folder.join(path);
            remove(&file);
            std::fs::create_dir_all(file.parent().expect("below")).expect("a folder");
            match change {
                Change::Gone => remove_empty(&folder, file.parent()),
                Change::Bytes(bytes) => std::fs::write(file, bytes).expect("written"),
                Change::Folder => std::fs::create_dir_all(file).expect("made"),
                Change::Link => {
                    // To the very bytes that were there, or to nothing.
                    let outside = self.temporary.path().join("outside");
                    if let Some(bytes) = self.base.get(path) {
                        std::fs::write(&outside, bytes).expect("written");
                    }
                    std::os::unix::fs::symlink(outside, file).expect("made");
                }
            }
        }
        Applied { folder: self, paths: mutant.changes.keys().cloned().collect() }
    }

    pub(crate) fn verify(&self, mutant: &Mutant) -> Said {
        let trust = Trust::parse_all(mutant.keys.iter().map(String::as_str)).expect("keys");
        let seen =
            mutant.seen.iter().map(|seen| Seen::parse("seen", seen.as_bytes()).expect("it reads"));
        let options = Options { seen: seen.collect(), threads: 2, ..Options::default() };
        let report = verify_export(&self.path(), &trust, options, |_, _| ()).expect("readable");
        match report.first_damage() {
            None => Said::Sound,
            Some(first) if first.kind.is_of_the_whole() => Said::Whole { what: first.to_string() },
            Some(first) => {
                let what = report.findings.iter().take(4).map(ToString::to_string);
                let what = what.collect::<Vec<_>>().join("; ");
                Said::Place { first: first.position, last: first.last, what }
            }
        }
    }
}

impl Drop for Applied<'_> {
    fn drop(&mut self) {
        let folder = self.folder.path();
        for path in &self.paths {
            let file = folder.join(path);
            remove(&file);
            match self.folder.base.get(path) {
                None => remove_empty(&folder, file.parent()),
                Some(bytes) => {
                    std::fs::create_dir_all(file.parent().expect("below")).expect("a folder");
                    std::fs::write(file, bytes).expect("written");
                }
            }
        }
    }
}

fn remove(file: &Path) {
    let Ok(found) = file.symlink_metadata() else { return };
    if found.is_dir() {
        std::fs::remove_dir_all(file).expect("removed");
    } else {
        std::fs::remove_file(file).expect("removed");
    }
}

/// Removes the folders that hold nothing any more, up to the export's own.
fn remove_empty(export: &Path, folder: Option<&Path>) {
    let Some(folder) = folder.filter(|folder| *folder != export) else { return };
    if std::fs::remove_dir(folder).is_ok() {
        remove_empty(export, folder.parent());
    }
}

/// `keys.json` with some keys of a log.
pub(crate) fn keys_file(log: &Log, keys: &[usize]) -> Vec<u8> {
    let keys = keys.iter().map(|key| {
        let x = log.jwk_x(*key);
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
        let jwk = audit::jws::Jwk::parse(jwk.as_bytes()).expect("a JWK");
        audit::jws::PublicKey::from_jwk(&jwk).expect("a key").to_jwk()
    });
    let set = audit::jws::JwkSet { keys: keys.collect() };
    let mut bytes = serde_json::to_vec_pretty(&set).expect("JSON");
    bytes.push(b'\n');
    bytes
}
