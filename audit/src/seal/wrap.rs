//! Data keys wrapped by a key-encryption key.

use uuid::Uuid;

use super::SealError;
use super::aead::{DataKey, decrypt, encrypt};
use crate::encoding::sha256;

/// A key-encryption key: a local one, or one kept by a key management service.
pub trait KeyWrap: Send + Sync {
    /// Which key wraps; stored beside what it wrapped.
    fn kek_id(&self) -> &str;
    /// Wraps a data key. The nonce is twelve fresh random bytes.
    fn wrap(&self, key_id: Uuid, nonce: [u8; 12], key: &DataKey) -> Result<Vec<u8>, SealError>;
    /// Unwraps a data key.
    fn unwrap(&self, key_id: Uuid, wrapped: &[u8]) -> Result<DataKey, SealError>;
}

/// A key-encryption key held by this process, as AES-256-GCM with the data key's id as associated
/// data, so that wrapped keys cannot be exchanged.
pub struct LocalKek {
    id: String,
    key: DataKey,
}

impl LocalKek {
    /// From 32 random bytes. The id is a digest of the key, so a wrong key is told by its name.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        let digest = sha256(&[b"coherency/kek-id/v1\n", &key]);
        Self { id: format!("local-{}", hex::encode(&digest[..8])), key: DataKey::from_bytes(key) }
    }
}

fn aad(key_id: Uuid) -> Vec<u8> {
    format!("coherency/data-key/v1\n{key_id}\n").into_bytes()
}

impl KeyWrap for LocalKek {
    fn kek_id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, key_id: Uuid, nonce: [u8; 12], key: &DataKey) -> Result<Vec<u8>, SealError> {
        let mut buffer = Vec::with_capacity(12 + 32 + 16);
        buffer.resize(12, 0);
        buffer.extend_from_slice(key.expose());
        encrypt(&self.key, nonce, &aad(key_id), buffer)
    }

    fn unwrap(&self, key_id: Uuid, wrapped: &[u8]) -> Result<DataKey, SealError> {
        let opened = decrypt(&self.key, &aad(key_id), wrapped)?;
        let bytes =
            <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| SealError::Size(wrapped.len()))?;
        Ok(DataKey::from_bytes(bytes))
    }
}
