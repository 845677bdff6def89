//! The last published checkpoint, kept outside the database: what tells a restored backup from the log.
//!
//! A folder of its own holds one file, the newest checkpoint that any process of this ledger has seen
//! become durable. The file never goes back to a smaller size. A task writes it while the ledger runs, at most
//! every [`INTERVAL`] and once more when the ledger closes, so no append waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::checkpoint::Checkpoint;
use audit::note::MAX_NOTE;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::log::Published;

/// The file with the checkpoint.
pub const FILE: &str = "checkpoint";

/// The shortest time between two writes. A crash of the machine within it loses the newest checkpoints of
/// the file, never events: the file then speaks of a log that is up to so much older.
pub const INTERVAL: Duration = Duration::from_millis(200);

/// Held while the file is read and replaced, so that several processes may share the folder.
const LOCK: &str = "lock";

/// Why the kept checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointsError {
    /// The folder or the file.
    #[error("cannot use the folder of published checkpoints {} (LEDGER_CHECKPOINTS)", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is in the file is no checkpoint.
    #[error("{} does not hold a checkpoint: put back the file from a backup of the folder", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// The file belongs to another log.
    #[error("{} holds a checkpoint of `{found}`: give each log a folder of its own", .path.display())]
    OtherLog {
        /// Which.
        path: PathBuf,
        /// Whose checkpoint it is.
        found: String,
    },
    /// The file has another root for the same size: two histories were signed.
    #[error("{} holds another root for size {size}: two logs were written under one name", .path.display())]
    Forked {
        /// Which.
        path: PathBuf,
        /// The size.
        size: u64,
    },
}

/// The folder.
#[derive(Clone, Debug)]
pub struct CheckpointFolder {
    folder: PathBuf,
    origin: String,
}

impl CheckpointFolder {
    /// The folder of a log; made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(folder: &Path, origin: &str) -> Result<Self, CheckpointsError> {
        let failed = |source| CheckpointsError::Io { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), origin: origin.to_owned() })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// The newest checkpoint ever published here, if any.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a checkpoint of this log.
    pub fn read(&self) -> Result<Option<Checkpoint>, CheckpointsError> {
        let path = self.path();
        let note = match read_small(&path) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointsError::Io { path, source }),
        };
        let Ok(checkpoint) = Checkpoint::peek(&note) else {
            return Err(CheckpointsError::Malformed { path });
        };
        if checkpoint.origin != self.origin {
            return Err(CheckpointsError::OtherLog { path, found: checkpoint.origin });
        }
        Ok(Some(checkpoint))
    }

    /// Keeps a published checkpoint, unless a newer one is kept already. Durable when it returns.
    ///
    /// # Errors
    /// When the folder cannot be written, or the file speaks of another history.
    pub fn publish(&self, note: &str) -> Result<(), CheckpointsError> {
        let path = self.path();
        let failed = |source| CheckpointsError::Io { path: self.path(), source };
        let Ok(new) = Checkpoint::peek(note) else {
            return Err(CheckpointsError::Malformed { path });
        };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(LOCK))
            .map_err(failed)?;
        // Released when the file is closed, also by a crash.
        lock.lock().map_err(failed)?;
        match self.read()? {
            Some(kept) if kept.size > new.size => Ok(()),
            Some(kept) if kept.size == new.size && kept.root == new.root => Ok(()),
            Some(kept) if kept.size == new.size => {
                Err(CheckpointsError::Forked { path, size: kept.size })
            }
            _ => write_durably(&path, note.as_bytes()).map_err(failed),
        }
    }
}

fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_NOTE as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Replaces a file as a whole: it holds the old bytes or the new ones, whatever happens, and the new ones for good
/// once this returns. Concurrent writers of the same file must hold a lock.
///
/// # Errors
/// When the disk or the folder refuses.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = folder.join(name);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // The rename itself is in the folder.
    File::open(folder)?.sync_all()
}

/// Keeps the newest checkpoint in the folder for as long as the sequencer runs, and its last one.
pub(crate) fn keep(
    folder: CheckpointFolder,
    mut published: watch::Receiver<Published>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let ended = published.changed().await.is_err();
            let note = published.borrow_and_update().checkpoint.clone();
            while !write(&folder, &note).await {
                // A newer one is as good. The last one is given up: closing must end.
                tokio::time::sleep(INTERVAL * 5).await;
                if ended || published.has_changed().unwrap_or(true) {
                    break;
                }
            }
            if ended {
                return;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    })
}

async fn write(folder: &CheckpointFolder, note: &str) -> bool {
    let (folder, note) = (folder.clone(), note.to_owned());
    let written = tokio::task::spawn_blocking(move || folder.publish(&note)).await;
    let error = match written {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", source.unwrap_or_default())
        }
        Err(error) => error.to_string(),
    };
    metrics::counter!("ledger_checkpoint_failures_total").increment(1);
    tracing::error!(error, "the newest checkpoint could not be kept outside the database");
    false
}

#[cfg(test)]
mod tests {
    use audit::merkle::Hash;
    use audit::note::NoteSigner;

    use super::*;

    const ORIGIN: &str = "ledger.example.org/test";

    fn note(origin: &str, size: u64, root: u8) -> String {
        let signer = NoteSigner::new(origin, &[1; 32]).expect("a name");
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, root: Hash([root; 32]) };
        checkpoint.to_note(&signer).expect("signed")
    }

    #[test]
    fn it_never_shrinks_and_holds_one_history() {
        let temporary = tempfile::tempdir().expect("a folder");
        let path = temporary.path().join("checkpoints");
        let folder = CheckpointFolder::new(&path, ORIGIN).expect("made");
        assert_eq!(folder.read().expect("readable"), None);
        for (size, kept) in [(5, 5), (9, 9), (7, 9), (9, 9)] {
            folder.publish(&note(ORIGIN, size, size as u8)).expect("kept");
            assert_eq!(folder.read().expect("readable").map(|kept| kept.size), Some(kept));
        }
        let fork = folder.publish(&note(ORIGIN, 9, 1)).expect_err("another root");
        assert!(matches!(fork, CheckpointsError::Forked { size: 9, .. }), "{fork}");
        assert_eq!(fs::read_to_string(path.join(FILE)).expect("a file"), note(ORIGIN, 9, 9));

        let other = CheckpointFolder::new(&path, "other.example").expect("made");
        assert!(matches!(other.read(), Err(CheckpointsError::OtherLog { .. })));
        fs::write(path.join(FILE), "nothing").expect("written");
        assert!(matches!(folder.read(), Err(CheckpointsError::Malformed { .. })));
        let refused = folder.publish(&note(ORIGIN, 10, 10));
        assert!(matches!(refused, Err(CheckpointsError::Malformed { .. })), "it is not hidden");
        let on_file = CheckpointFolder::new(&path.join(FILE), ORIGIN);
        assert!(matches!(on_file, Err(CheckpointsError::Io { .. })));
    }

    #[test]
    fn many_writers_leave_the_largest() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = CheckpointFolder::new(temporary.path(), ORIGIN).expect("made");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let folder = &folder;
                scope.spawn(move || {
                    for step in 0..20 {
                        let size = 1 + step * 8 + writer;
                        folder.publish(&note(ORIGIN, size, size as u8)).expect("kept");
                    }
                });
            }
        });
        assert_eq!(folder.read().expect("readable").map(|kept| kept.size), Some(160));
    }
}
