//! Data keys wrapped by a key-encryption key.

use uuid::Uuid;

use super::SealError;
use super::aead::{DataKey, decrypt, encrypt};
use crate::encoding::sha256;

/// Key-encryption keys: local ones, or ones kept by a key management service.
pub trait KeyWrap: Send + Sync {
    /// Which key wraps new data keys.
    fn kek_id(&self) -> String;
    /// Wraps a data key. The nonce is twelve fresh random bytes.
    fn wrap(&self, key_id: Uuid, nonce: [u8; 12], key: &DataKey) -> Result<Wrapped, SealError>;
    /// Unwraps a data key that `kek_id` wrapped.
    fn unwrap(&self, kek_id: &str, key_id: Uuid, wrapped: &[u8]) -> Result<DataKey, SealError>;
}

/// A wrapped data key, and which key wrapped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The key-encryption key's id; stored beside what it wrapped.
    pub kek_id: String,
    /// `nonce (12) || ciphertext (32) || tag (16)`.
    pub bytes: Vec<u8>,
}

/// Key-encryption keys held by this process, as AES-256-GCM with the data key's id as associated
/// data, so that wrapped keys cannot be exchanged. The newest wraps, all of them unwrap.
pub struct LocalKeks {
    newest: LocalKek,
    older: Vec<LocalKek>,
}

struct LocalKek {
    id: String,
    key: DataKey,
}

impl LocalKek {
    /// The id is a digest of the key, so a wrong key is told by its name.
    fn new(key: [u8; 32]) -> Self {
        let digest = sha256(&[b"coherency/kek-id/v1\n", &key]);
        Self { id: format!("local-{}", hex::encode(&digest[..8])), key: DataKey::from_bytes(key) }
    }
}

impl LocalKeks {
    /// From 32 random bytes each.
    #[must_use]
    pub fn new(newest: [u8; 32], older: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let older = older.into_iter().map(LocalKek::new).collect();
        Self { newest: LocalKek::new(newest), older }
    }
}

fn aad(key_id: Uuid) -> Vec<u8> {
    format!("coherency/data-key/v1\n{key_id}\n").into_bytes()
}

impl KeyWrap for LocalKeks {
    fn kek_id(&self) -> String {
        self.newest.id.clone()
    }

    fn wrap(&self, key_id: Uuid, nonce: [u8; 12], key: &DataKey) -> Result<Wrapped, SealError> {
        let mut buffer = Vec::with_capacity(12 + 32 + 16);
        buffer.resize(12, 0);
        buffer.extend_from_slice(key.expose());
        let bytes = encrypt(&self.newest.key, nonce, &aad(key_id), buffer)?;
        Ok(Wrapped { kek_id: self.newest.id.clone(), bytes })
    }

    fn unwrap(&self, kek_id: &str, key_id: Uuid, wrapped: &[u8]) -> Result<DataKey, SealError> {
        let kek = std::iter::once(&self.newest)
            .chain(&self.older)
            .find(|kek| kek.id == kek_id)
            .ok_or_else(|| SealError::UnknownKek { kek_id: kek_id.to_owned() })?;
        let opened = decrypt(&kek.key, &aad(key_id), wrapped)?;
        let bytes =
            <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| SealError::Size(wrapped.len()))?;
        Ok(DataKey::from_bytes(bytes))
    }
}
