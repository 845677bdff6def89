//! AES-256-GCM over event bodies and captures.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use uuid::Uuid;
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    EventIdentity, MAX_BLOB, MAX_PAYLOAD, MAX_SNAPSHOT, OVERHEAD, SealError, Sealed,
    SnapshotIdentity, commit,
};

const NONCE: usize = 12;
const TAG: usize = 16;
const BLINDING: usize = 32;

/// A patient's (or account's) data key. Wiped when dropped; has no `Debug` and no `Display`.
#[derive(Clone)]
pub struct DataKey([u8; 32]);

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl DataKey {
    /// A key from 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for wrapping.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn cipher(&self) -> Result<LessSafeKey, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, &self.0).map_err(|_| SealError::Refused)?;
        Ok(LessSafeKey::new(key))
    }
}

/// Encrypts what stands after the first 12 bytes of `buffer`, and writes the nonce there.
pub(super) fn encrypt(
    key: &DataKey,
    nonce: [u8; NONCE],
    aad: &[u8],
    mut buffer: Vec<u8>,
) -> Result<Vec<u8>, SealError> {
    buffer[..NONCE].copy_from_slice(&nonce);
    let tag = key
        .cipher()?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut buffer[NONCE..],
        )
        .map_err(|_| SealError::Refused)?;
    buffer.extend_from_slice(tag.as_ref());
    Ok(buffer)
}

/// Opens what [`encrypt`] made; the plaintext has no prefix.
pub(super) fn decrypt(
    key: &DataKey,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let Some((nonce, ciphertext)) = sealed.split_first_chunk::<NONCE>() else {
        return Err(SealError::Size(sealed.len()));
    };
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = key
        .cipher()?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| SealError::Refused)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn room(plaintext: usize, prefix: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(NONCE + prefix + plaintext + TAG);
    buffer.resize(NONCE, 0);
    buffer
}

/// Seals the body of an event. Nonce and blinding are fresh random bytes.
pub fn seal_payload(
    key: &DataKey,
    nonce: [u8; 12],
    blinding: [u8; 32],
    identity: &EventIdentity<'_>,
    plaintext: &[u8],
) -> Result<Sealed, SealError> {
    if plaintext.len() > MAX_PAYLOAD {
        return Err(SealError::Size(plaintext.len()));
    }
    let mut buffer = room(plaintext.len(), BLINDING);
    buffer.extend_from_slice(&blinding);
    buffer.extend_from_slice(plaintext);
    let bytes = encrypt(key, nonce, &identity.aad(), buffer)?;
    Ok(Sealed { bytes, commitment: commit(&blinding, plaintext) })
}

/// Opens the body of an event and checks it against the statement's commitment.
pub fn open_payload(
    key: &DataKey,
    identity: &EventIdentity<'_>,
    sealed: &[u8],
    commitment: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if sealed.len() < OVERHEAD || sealed.len() > MAX_PAYLOAD + OVERHEAD {
        return Err(SealError::Size(sealed.len()));
    }
    let mut opened = decrypt(key, &identity.aad(), sealed)?;
    let Some((blinding, plaintext)) = opened.split_first_chunk::<BLINDING>() else {
        return Err(SealError::Size(sealed.len()));
    };
    if commit(blinding, plaintext) != *commitment {
        return Err(SealError::Commitment);
    }
    let length = plaintext.len();
    opened.copy_within(BLINDING.., 0);
    opened[length..].zeroize();
    opened.truncate(length);
    Ok(opened)
}

fn blob_aad(blob_id: Uuid) -> Vec<u8> {
    format!("coherency/blob/v1\n{blob_id}\n").into_bytes()
}

/// Seals a capture: `nonce (12) || ciphertext || tag (16)`.
pub fn seal_blob(
    key: &DataKey,
    nonce: [u8; 12],
    blob_id: Uuid,
    bytes: &[u8],
) -> Result<Vec<u8>, SealError> {
    if bytes.len() > MAX_BLOB {
        return Err(SealError::Size(bytes.len()));
    }
    let mut buffer = room(bytes.len(), 0);
    buffer.extend_from_slice(bytes);
    encrypt(key, nonce, &blob_aad(blob_id), buffer)
}

/// Opens a capture. Its digest is checked by the caller, which knows the statement.
pub fn open_blob(
    key: &DataKey,
    blob_id: Uuid,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if sealed.len() < NONCE + TAG || sealed.len() > MAX_BLOB + NONCE + TAG {
        return Err(SealError::Size(sealed.len()));
    }
    decrypt(key, &blob_aad(blob_id), sealed)
}

/// Seals a state: `nonce (12) || ciphertext || tag (16)`.
pub fn seal_snapshot(
    key: &DataKey,
    nonce: [u8; 12],
    identity: &SnapshotIdentity<'_>,
    state: &[u8],
) -> Result<Vec<u8>, SealError> {
    if state.len() > MAX_SNAPSHOT {
        return Err(SealError::Size(state.len()));
    }
    let mut buffer = room(state.len(), 0);
    buffer.extend_from_slice(state);
    encrypt(key, nonce, &identity.aad(), buffer)
}

/// Opens a state.
pub fn open_snapshot(
    key: &DataKey,
    identity: &SnapshotIdentity<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if sealed.len() < NONCE + TAG || sealed.len() > MAX_SNAPSHOT + NONCE + TAG {
        return Err(SealError::Size(sealed.len()));
    }
    decrypt(key, &identity.aad(), sealed)
}
