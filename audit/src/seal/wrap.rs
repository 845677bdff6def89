//! Data keys wrapped by a key-encryption key.

use uuid::Uuid;

use super::SealError;
use super::aead::{DataKey, decrypt, encrypt};
use crate::primitives::sha256;

/// What kind of subject a data key belongs to. It follows from the stream that makes the subject's first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// A person whose record is kept.
    Patient,
    /// An account.
    Account,
    /// Somebody who treats patients.
    Practitioner,
}

impl SubjectKind {
    /// The word that is bound and stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SubjectKind::Patient => "patient",
            SubjectKind::Account => "account",
            SubjectKind::Practitioner => "practitioner",
        }
    }

    /// From the stored word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<SubjectKind> {
        [SubjectKind::Patient, SubjectKind::Account, SubjectKind::Practitioner]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }

    /// Whom the sealed events of a type of streams are about: a kind of subject has a type of streams of its own, by the
    /// same word, and whatever else is sealed is of a record.
    #[must_use]
    pub fn of_stream(stream_type: &str) -> SubjectKind {
        SubjectKind::parse(stream_type).unwrap_or(SubjectKind::Patient)
    }
}

/// A data key with its id.
#[derive(Clone)]
pub struct SubjectKey {
    /// As a statement names it.
    pub id: Uuid,
    /// What kind of subject it belongs to.
    pub kind: SubjectKind,
    /// The key itself.
    pub key: DataKey,
}

/// Which wraps are made: those that bind a whole [`Binding`]. Those of version 1 bound the id of the key alone.
pub const WRAP_VERSION: i16 = 2;

/// What a wrapped data key is bound to, all of it: under any other it does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The log.
    pub origin: &'a str,
    /// What kind of subject.
    pub kind: SubjectKind,
    /// Whose key it is.
    pub subject: Uuid,
    /// The id by which statements name it.
    pub key_id: Uuid,
}

impl Binding<'_> {
    /// The associated data of the wrap.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        let Binding { origin, kind, subject, key_id } = self;
        let kind = kind.as_str();
        format!("coherency/data-key/v2\n{origin}\n{kind}\n{subject}\n{key_id}\n").into_bytes()
    }
}

/// Key-encryption keys: local ones, or ones kept by a key management service.
pub trait KeyWrap: Send + Sync {
    /// Which key wraps new data keys.
    fn kek_id(&self) -> String;
    /// Wraps a data key for its place. The nonce is twelve fresh random bytes.
    fn wrap(
        &self,
        binding: &Binding<'_>,
        nonce: [u8; 12],
        key: &DataKey,
    ) -> Result<Wrapped, SealError>;
    /// Unwraps a data key that `kek_id` wrapped for this place.
    fn unwrap(
        &self,
        kek_id: &str,
        binding: &Binding<'_>,
        wrapped: &[u8],
    ) -> Result<DataKey, SealError>;
    /// Unwraps a data key of version 1, which says nothing of its subject: the caller has another proof of that.
    fn unwrap_v1(&self, kek_id: &str, key_id: Uuid, wrapped: &[u8]) -> Result<DataKey, SealError>;
}

/// A wrapped data key, and which key wrapped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The key-encryption key's id; stored beside what it wrapped.
    pub kek_id: String,
    /// `nonce (12) || ciphertext (32) || tag (16)`.
    pub bytes: Vec<u8>,
}

/// Key-encryption keys held by this process, as AES-256-GCM with the [`Binding`] as associated data, so that wrapped
/// keys cannot be exchanged. The newest wraps, all of them unwrap.
pub struct LocalKeks {
    newest: LocalKek,
    older: Vec<LocalKek>,
}

struct LocalKek {
    id: String,
    key: DataKey,
}

impl LocalKek {
    /// The id is a digest of the key, so a wrong key is recognised by its id.
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

fn aad_v1(key_id: Uuid) -> Vec<u8> {
    format!("coherency/data-key/v1\n{key_id}\n").into_bytes()
}

impl LocalKeks {
    fn open(&self, kek_id: &str, aad: &[u8], wrapped: &[u8]) -> Result<DataKey, SealError> {
        let kek = std::iter::once(&self.newest)
            .chain(&self.older)
            .find(|kek| kek.id == kek_id)
            .ok_or_else(|| SealError::UnknownKek { kek_id: kek_id.to_owned() })?;
        let opened = decrypt(&kek.key, aad, wrapped)?;
        let bytes =
            <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| SealError::Size(wrapped.len()))?;
        Ok(DataKey::from_bytes(bytes))
    }
}

impl KeyWrap for LocalKeks {
    fn kek_id(&self) -> String {
        self.newest.id.clone()
    }

    fn wrap(
        &self,
        binding: &Binding<'_>,
        nonce: [u8; 12],
        key: &DataKey,
    ) -> Result<Wrapped, SealError> {
        let mut buffer = Vec::with_capacity(12 + 32 + 16);
        buffer.resize(12, 0);
        buffer.extend_from_slice(key.expose());
        let bytes = encrypt(&self.newest.key, nonce, &binding.aad(), buffer)?;
        Ok(Wrapped { kek_id: self.newest.id.clone(), bytes })
    }

    fn unwrap(
        &self,
        kek_id: &str,
        binding: &Binding<'_>,
        wrapped: &[u8],
    ) -> Result<DataKey, SealError> {
        self.open(kek_id, &binding.aad(), wrapped)
    }

    fn unwrap_v1(&self, kek_id: &str, key_id: Uuid, wrapped: &[u8]) -> Result<DataKey, SealError> {
        self.open(kek_id, &aad_v1(key_id), wrapped)
    }
}
