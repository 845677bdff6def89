//! Weights of registered models: in the object store of captures, under their digest. They are about no person,
//! so they are not sealed; the signed event names digest and size, and both are checked whenever they are read.

use std::sync::Arc;

use bytes::Bytes;
use domain::model::MAX_WEIGHTS_SIZE;
use domain::value::Digest;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sha2::{Digest as _, Sha256};

use crate::blobs::Blobs;

/// The folder of weights beside the folders of captures. It is no key's id, so no purge reaches it, and what lies in it
/// is named by no random id, so no sweep does.
const FOLDER: &str = "models";

/// Why weights were not stored or not read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// They are too large.
    #[error("the weights have {size} bytes, more than the {MAX_WEIGHTS_SIZE} allowed")]
    TooLarge {
        /// How many.
        size: u64,
    },
    /// There are no such weights.
    #[error("the weights {digest} are not in the store")]
    NotFound {
        /// Which.
        digest: Digest,
    },
    /// They are not what they are called.
    #[error("the weights {digest} are not the ones that were registered")]
    Digest {
        /// Which.
        digest: Digest,
    },
    /// The store failed.
    #[error("the object store failed")]
    Store(#[from] object_store::Error),
}

/// The store of weights. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Weights {
    store: Arc<dyn ObjectStore>,
}

impl Weights {
    /// The store beside the captures.
    #[must_use]
    pub fn in_store_of(blobs: &Blobs) -> Weights {
        Weights { store: blobs.store() }
    }

    /// Stores weights under their digest, and answers it. Durable when it returns. Weights that are there already and
    /// whole are left as they are; damaged ones are replaced.
    ///
    /// # Errors
    /// When they are too large or the store fails.
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, WeightsError> {
        let size = bytes.len() as u64;
        if size > MAX_WEIGHTS_SIZE {
            return Err(WeightsError::TooLarge { size });
        }
        let digest = digest_of(&bytes);
        let location = location(&digest);
        let create = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&location, bytes.clone().into(), create).await {
            Ok(_) => return Ok(digest),
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match self.get(&digest, size).await {
            Ok(_) => {}
            Err(WeightsError::Store(error)) => return Err(error.into()),
            Err(_) => {
                self.store.put(&location, bytes.into()).await?;
            }
        }
        Ok(digest)
    }

    /// Fetches weights, and checks that they are the ones registered.
    ///
    /// # Errors
    /// When they are not there, or are others.
    pub async fn get(&self, digest: &Digest, size: u64) -> Result<Bytes, WeightsError> {
        let found = self.store.get(&location(digest)).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => WeightsError::NotFound { digest: *digest },
            other => WeightsError::Store(other),
        })?;
        // Not read into memory before it is known to be of the size that was signed.
        if found.meta.size != size || size > MAX_WEIGHTS_SIZE {
            return Err(WeightsError::Digest { digest: *digest });
        }
        let bytes = found.bytes().await?;
        if digest_of(&bytes) != *digest {
            return Err(WeightsError::Digest { digest: *digest });
        }
        Ok(bytes)
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

fn location(digest: &Digest) -> Path {
    Path::from(FOLDER).join(format!("{digest}.bpk"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use audit::seal::DataKey;
    use jiff::{SignedDuration, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::data_keys::SubjectKey;

    fn stores() -> (tempfile::TempDir, Blobs, Weights) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs = Blobs::new(folder.path().to_str().expect("a UTF-8 path")).expect("a store");
        let weights = Weights::in_store_of(&blobs);
        (folder, blobs, weights)
    }

    fn file(folder: &tempfile::TempDir, digest: &Digest) -> std::path::PathBuf {
        folder.path().join("models").join(format!("{digest}.bpk"))
    }

    #[tokio::test]
    async fn weights_read_back_only_as_what_was_registered() {
        let (folder, _, weights) = stores();
        let bytes = Bytes::from_static(b"millions of numbers");
        let digest = weights.put(bytes.clone()).await.expect("stored");
        assert_eq!(digest, digest_of(&bytes));
        assert_eq!(weights.put(bytes.clone()).await.expect("stored twice"), digest);
        assert_eq!(weights.get(&digest, 19).await.expect("read"), bytes);
        assert!(matches!(weights.get(&digest, 18).await, Err(WeightsError::Digest { .. })));
        let other = Digest([7; 32]);
        assert!(matches!(weights.get(&other, 19).await, Err(WeightsError::NotFound { .. })));

        std::fs::write(file(&folder, &digest), b"other numbers here!").expect("damaged");
        assert!(matches!(weights.get(&digest, 19).await, Err(WeightsError::Digest { .. })));
        weights.put(bytes.clone()).await.expect("stored again");
        assert_eq!(weights.get(&digest, 19).await.expect("whole again"), bytes);
    }

    #[tokio::test]
    async fn too_large_weights_are_refused_and_nothing_is_left() {
        let (folder, _, weights) = stores();
        let size = usize::try_from(MAX_WEIGHTS_SIZE).expect("a size") + 1;
        let refused = weights.put(vec![0; size].into()).await;
        assert!(matches!(refused, Err(WeightsError::TooLarge { .. })));
        assert!(!folder.path().join("models").exists());
    }

    #[tokio::test]
    async fn neither_sweep_nor_purge_of_captures_reaches_the_weights() {
        let (_folder, blobs, weights) = stores();
        let digest = weights.put(Bytes::from_static(b"weights")).await.expect("stored");
        let key = SubjectKey {
            id: Uuid::from_u128(1),
            kind: audit::seal::SubjectKind::Patient,
            key: DataKey::from_bytes([1; 32]),
        };
        blobs.put(&key, Uuid::now_v7(), b"capture").await.expect("stored");
        let later = Timestamp::now() + SignedDuration::from_hours(48);
        let unnamed = blobs.unreferenced(&HashSet::new(), later, SignedDuration::ZERO).await;
        let swept = blobs.sweep(&unnamed.expect("listed"), Timestamp::MAX).await;
        assert_eq!(swept.expect("swept"), 1, "the capture alone");
        blobs.put(&key, Uuid::now_v7(), b"capture").await.expect("stored");
        assert_eq!(blobs.purge(key.id).await.expect("purged"), 1, "the capture alone");
        weights.get(&digest, 7).await.expect("still there");
    }
}
