//! Captures: too large for the log, so they lie in object storage, each sealed with its patient's data
//! key, in a folder named by that key's id, and found under an id that the ledger derives. Neither says anything, and the
//! folder still tells which captures go when the key is gone.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use audit::seal::{MAX_BLOB, SealError, open_blob, seal_blob};
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::data_keys::SubjectKey;
use crate::random;

/// The youngest a capture may be for the sweep to take it: the command that names it may be under way.
pub const SWEEP_AGE_MIN: SignedDuration = SignedDuration::from_hours(1);

/// Why a capture was not stored or not read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The address is not a folder.
    #[error("`{address}` is not a folder for captures: give a path or a file:// URL")]
    Address {
        /// As configured.
        address: String,
    },
    /// The folder cannot be made.
    #[error("cannot make the folder {}", .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The capture is too large.
    #[error("the capture has {size} bytes, more than the {MAX_BLOB} allowed")]
    TooLarge {
        /// How many.
        size: u64,
    },
    /// There is no such capture.
    #[error("the capture {blob_id} is not in the store")]
    NotFound {
        /// Which.
        blob_id: Uuid,
    },
    /// The store failed.
    #[error("the object store failed")]
    Store(#[from] object_store::Error),
    /// It cannot be sealed or opened.
    #[error("the capture {blob_id} cannot be sealed or opened")]
    Seal {
        /// Which.
        blob_id: Uuid,
        /// Why not.
        #[source]
        source: SealError,
    },
    /// It opened, but is not what the statement names.
    #[error("the capture {blob_id} is not the one that was recorded")]
    Digest {
        /// Which.
        blob_id: Uuid,
    },
}

/// Where a capture lies, and what it is: the parts of a capture's reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its id.
    pub blob_id: Uuid,
    /// The SHA-256 of the capture as it was handed in.
    pub sha256: [u8; 32],
    /// Its size as it was handed in.
    pub size: u64,
}

/// What is not older than this is not swept.
pub(crate) fn youngest(now: Timestamp, age: SignedDuration) -> Timestamp {
    now.saturating_sub(age.max(SWEEP_AGE_MIN)).unwrap_or(Timestamp::MIN)
}

/// The store of captures.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
}

impl Blobs {
    /// A store in a folder, given as a path or as a `file://` URL. The folder is made if it is not there.
    /// What is put is on the disk when `put` returns.
    ///
    /// # Errors
    /// When the address names no folder or the folder cannot be made.
    pub fn new(address: &str) -> Result<Blobs, BlobError> {
        let path = match address.split_once("://") {
            None => address,
            Some(("file", path)) => path,
            Some(_) => return Err(BlobError::Address { address: address.to_owned() }),
        };
        if path.is_empty() {
            return Err(BlobError::Address { address: address.to_owned() });
        }
        let folder = |source| BlobError::Folder { path: PathBuf::from(path), source };
        std::fs::create_dir_all(path).map_err(folder)?;
        let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
        Ok(Blobs { store: Arc::new(store) })
    }

    /// Captures in the given object store.
    pub fn with_store(store: Arc<dyn ObjectStore>) -> Blobs {
        Blobs { store }
    }

    /// What the captures lie in, for what else lies there.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// Seals a capture and stores it under this id. Durable when it returns. One that is there already is replaced by the
    /// same, sealed again: an id stands for one capture of one subject.
    ///
    /// # Errors
    /// When it is too large or the store fails.
    pub async fn put(
        &self,
        key: &SubjectKey,
        blob_id: Uuid,
        bytes: &[u8],
    ) -> Result<StoredBlob, BlobError> {
        if bytes.len() > MAX_BLOB {
            return Err(BlobError::TooLarge { size: bytes.len() as u64 });
        }
        let sealed = seal_blob(&key.key, random::bytes(), blob_id, bytes)
            .map_err(|source| BlobError::Seal { blob_id, source })?;
        self.store.put(&location(key.id, blob_id), sealed.into()).await?;
        Ok(StoredBlob { blob_id, sha256: Sha256::digest(bytes).into(), size: bytes.len() as u64 })
    }

    /// Fetches a capture, opens it, and checks that it is the one recorded.
    ///
    /// # Errors
    /// When it is not there, does not open under this key, or has another digest or size.
    pub async fn get(
        &self,
        key: &SubjectKey,
        blob: &StoredBlob,
    ) -> Result<Zeroizing<Vec<u8>>, BlobError> {
        let blob_id = blob.blob_id;
        let found = self.store.get(&location(key.id, blob_id)).await;
        let found = found.map_err(|error| match error {
            object_store::Error::NotFound { .. } => BlobError::NotFound { blob_id },
            other => BlobError::Store(other),
        })?;
        if found.meta.size > MAX_BLOB as u64 + 64 {
            return Err(BlobError::TooLarge { size: found.meta.size });
        }
        let sealed = found.bytes().await?;
        let opened = open_blob(&key.key, blob_id, &sealed)
            .map_err(|source| BlobError::Seal { blob_id, source })?;
        let digest: [u8; 32] = Sha256::digest(opened.as_slice()).into();
        if opened.len() as u64 != blob.size || digest != blob.sha256 {
            return Err(BlobError::Digest { blob_id });
        }
        Ok(opened)
    }

    /// Removes everything sealed with one data key, whether a scan names it or not. Gives back how much that was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn purge(&self, key_id: Uuid) -> Result<u64, BlobError> {
        let found: Vec<_> = self.store.list(Some(&folder(key_id))).try_collect().await?;
        let mut removed = 0;
        for object in found {
            self.remove(&object.location).await?;
            removed += 1;
        }
        Ok(removed)
    }

    async fn remove(&self, location: &Path) -> Result<(), BlobError> {
        match self.store.delete(location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The captures that no event names and that are older than `age` (at least [`SWEEP_AGE_MIN`]): what a
    /// crash between store and log left behind.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn unreferenced(
        &self,
        named: &HashSet<Uuid>,
        now: Timestamp,
        age: SignedDuration,
    ) -> Result<Vec<Path>, BlobError> {
        let youngest = youngest(now, age).as_millisecond();
        let mut found: Vec<_> = self.store.list(None).try_collect().await?;
        found.retain(|object| {
            let id = object.location.filename().and_then(|name| Uuid::try_parse(name).ok());
            let is_old = object.last_modified.timestamp_millis() <= youngest;
            is_old && id.is_some_and(|blob_id| !named.contains(&blob_id))
        });
        Ok(found.into_iter().map(|object| object.location).collect())
    }

    /// Removes what [`Self::unnamed`] found, but for what was stored again since `youngest`: a capture has one id, and the
    /// command that names it may be under way. Gives back how much that was.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn sweep(
        &self,
        unnamed: &[Path],
        youngest: Timestamp,
    ) -> Result<u64, BlobError> {
        let mut removed = 0;
        for location in unnamed {
            match self.store.head(location).await {
                Ok(found) if found.last_modified.timestamp_millis() > youngest.as_millisecond() => {
                }
                Ok(_) => {
                    self.remove(location).await?;
                    removed += 1;
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(removed)
    }
}

/// Where everything lies that a data key seals.
fn folder(key_id: Uuid) -> Path {
    Path::from(key_id.to_string())
}

fn location(key_id: Uuid, blob_id: Uuid) -> Path {
    folder(key_id).join(blob_id.to_string())
}

#[cfg(test)]
mod tests {
    use audit::seal::DataKey;

    use super::*;

    fn key(n: u8) -> SubjectKey {
        SubjectKey {
            id: Uuid::from_u128(n.into()),
            kind: audit::seal::SubjectKind::Patient,
            key: DataKey::from_bytes([n; 32]),
        }
    }

    fn store() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs = Blobs::new(folder.path().to_str().expect("a UTF-8 path")).expect("a store");
        (folder, blobs)
    }

    #[tokio::test]
    async fn a_capture_reads_back_only_as_what_was_recorded() {
        let (_folder, blobs) = store();
        let key = key(1);
        let stored = blobs.put(&key, Uuid::now_v7(), b"depth and colour").await.expect("stored");
        let read = blobs.get(&key, &stored).await.expect("read");
        assert_eq!(read.as_slice(), b"depth and colour");

        let other = SubjectKey { key: DataKey::from_bytes([2; 32]), ..key.clone() };
        assert!(matches!(blobs.get(&other, &stored).await, Err(BlobError::Seal { .. })));
        let wrong = StoredBlob { size: 1, ..stored };
        assert!(matches!(blobs.get(&key, &wrong).await, Err(BlobError::Digest { .. })));
        let wrong = StoredBlob { sha256: [0; 32], ..stored };
        assert!(matches!(blobs.get(&key, &wrong).await, Err(BlobError::Digest { .. })));

        // The same again under its id is the same, sealed again.
        let again = blobs.put(&key, stored.blob_id, b"depth and colour").await.expect("stored");
        assert_eq!(again, stored);
        assert_eq!(blobs.get(&key, &stored).await.expect("read").as_slice(), b"depth and colour");
    }

    #[tokio::test]
    async fn nothing_in_the_store_is_in_the_clear() {
        let (folder, blobs) = store();
        let stored = blobs.put(&key(1), Uuid::now_v7(), b"Erika Mustermann").await.expect("stored");
        let path = folder.path().join(location(key(1).id, stored.blob_id).as_ref());
        let bytes = std::fs::read(path).expect("the file");
        assert!(!bytes.windows(5).any(|window| window == b"Erika"));
    }

    #[tokio::test]
    async fn the_sweep_takes_only_what_is_old_and_not_named() {
        let (_folder, blobs) = store();
        let key = key(1);
        let named = blobs.put(&key, Uuid::now_v7(), b"named").await.expect("stored");
        let orphan = blobs.put(&key, Uuid::now_v7(), b"orphan").await.expect("stored");
        let names = HashSet::from([named.blob_id]);
        let now = Timestamp::now();
        let age = SignedDuration::ZERO;
        assert_eq!(blobs.unreferenced(&names, now, age).await.expect("listed"), [], "too young");
        let later = now + SignedDuration::from_hours(2);
        let unnamed = blobs.unreferenced(&names, later, age).await.expect("listed");
        assert_eq!(unnamed, [location(key.id, orphan.blob_id)]);
        // Handed in again after it was listed: it is as good as new.
        let oldest = later.saturating_sub(SWEEP_AGE_MIN).expect("a time");
        let long_ago = now - SignedDuration::from_hours(2);
        assert_eq!(blobs.sweep(&unnamed, long_ago).await.expect("swept"), 0);
        blobs.get(&key, &orphan).await.expect("still there");
        assert_eq!(blobs.sweep(&unnamed, oldest).await.expect("swept"), 1);
        blobs.get(&key, &named).await.expect("still there");
        assert!(matches!(blobs.get(&key, &orphan).await, Err(BlobError::NotFound { .. })));
    }

    #[tokio::test]
    async fn a_purge_takes_all_of_one_key_and_nothing_of_another() {
        let (_folder, blobs) = store();
        let (gone, stays) = (key(1), key(2));
        let first = blobs.put(&gone, Uuid::now_v7(), b"first").await.expect("stored");
        blobs.put(&gone, Uuid::now_v7(), b"second").await.expect("stored");
        let other = blobs.put(&stays, Uuid::now_v7(), b"other").await.expect("stored");
        assert_eq!(blobs.purge(gone.id).await.expect("purged"), 2);
        assert_eq!(blobs.purge(gone.id).await.expect("purged"), 0, "there is nothing left");
        assert!(matches!(blobs.get(&gone, &first).await, Err(BlobError::NotFound { .. })));
        blobs.get(&stays, &other).await.expect("still there");
    }

    #[test]
    fn only_folders_are_addresses() {
        assert!(matches!(Blobs::new("s3://bucket"), Err(BlobError::Address { .. })));
        assert!(matches!(Blobs::new(""), Err(BlobError::Address { .. })));
    }
}
