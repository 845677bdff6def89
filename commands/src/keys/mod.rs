//! The ledger's secrets: which there are, and how they change while the ledger runs.
//!
//! Of each kind there may be several keys, the newest first: the newest is used, the older ones still
//! open what they closed. Only the index key is one for all time, because claims and derived ids are made of it.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use audit::mac::MacKey;
use audit::note::{NoteError, NoteSigner, NoteVerifier};
use audit::seal::{Binding, DataKey, KeyWrap, LocalKeks, SealError, Wrapped};
use uuid::Uuid;

mod error;
mod source;

pub use error::{KEYS_MAX, KeysError};
pub use source::{KeyEnvironment, KeyFolder, KeySource, SecretName, Seed};

use source::{Ephemeral, parse};

/// The ledger's secrets. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    source: Box<dyn KeySource>,
    held: RwLock<Arc<Secrets>>,
    /// Which key-encryption key wraps, as the database says; before it has said so, the newest.
    wraps: RwLock<Option<String>>,
}

struct Secrets {
    event_signing: Vec<Seed>,
    token_signing: Vec<Seed>,
    /// Each by itself, the newest first; at least one.
    key_encryption: Arc<[LocalKeks]>,
    index: Seed,
    /// Made of the index key, for keyed hashes.
    index_mac: MacKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.0.source).finish()
    }
}

impl Secrets {
    fn read(source: &dyn KeySource) -> Result<Secrets, KeysError> {
        let keys = |name: SecretName| {
            let malformed = || KeysError::Malformed {
                origin: format!("{} ({})", name.file(), name.variable()),
            };
            parse(&source.read(name)?).ok_or_else(malformed)
        };
        let Ok([index]) = <[Seed; 1]>::try_from(keys(SecretName::Index)?) else {
            return Err(KeysError::IndexChanged);
        };
        Ok(Secrets {
            event_signing: keys(SecretName::EventSigning)?,
            token_signing: keys(SecretName::TokenSigning)?,
            key_encryption: Secrets::key_encryption(&keys(SecretName::KeyEncryption)?),
            index_mac: MacKey::from_bytes(*index),
            index,
        })
    }

    fn key_encryption(seeds: &[Seed]) -> Arc<[LocalKeks]> {
        seeds.iter().map(|seed| LocalKeks::new(**seed, [])).collect()
    }

    fn kek(&self, kek_id: &str) -> Result<&LocalKeks, SealError> {
        let found = self.key_encryption.iter().find(|kek| kek.kek_id() == kek_id);
        found.ok_or_else(|| SealError::UnknownKek { kek_id: kek_id.to_owned() })
    }
}

impl Keys {
    /// Reads the keys of a source.
    ///
    /// # Errors
    /// When one is missing or malformed.
    pub fn from_source(source: impl KeySource + 'static) -> Result<Keys, KeysError> {
        let held = RwLock::new(Arc::new(Secrets::read(&source)?));
        Ok(Keys(Arc::new(Inner { source: Box::new(source), held, wraps: RwLock::default() })))
    }

    /// Reads the keys of a folder.
    ///
    /// # Errors
    /// When one is missing, malformed, or readable by others.
    pub fn load(folder: impl AsRef<Path>) -> Result<Keys, KeysError> {
        Keys::from_source(KeyFolder::new(folder.as_ref()))
    }

    /// Makes a folder of new keys. An existing key is never overwritten.
    ///
    /// # Errors
    /// When a key is there already, or the folder cannot be written.
    pub fn generate(folder: impl AsRef<Path>) -> Result<Keys, KeysError> {
        KeyFolder::new(folder.as_ref()).generate()?;
        Keys::load(folder)
    }

    /// Fresh keys that live as long as the process, for tests and demonstrations.
    pub fn ephemeral() -> Keys {
        Keys::from_source(Ephemeral::new()).expect("fresh keys are well formed")
    }

    /// Reads the source again: keys may have been added to it.
    ///
    /// # Errors
    /// When it cannot be read, or the index key is another one; then the keys stay as they were.
    pub fn refresh(&self) -> Result<(), KeysError> {
        let fresh = Secrets::read(self.0.source.as_ref())?;
        if fresh.index != self.held().index {
            return Err(KeysError::IndexChanged);
        }
        *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// Reads the key-encryption keys again, and nothing else: a key of another kind is used when the operator says so.
    ///
    /// # Errors
    /// When they cannot be read; then the keys stay as they were.
    pub fn refresh_key_encryption(&self) -> Result<(), KeysError> {
        let name = SecretName::KeyEncryption;
        let malformed =
            || KeysError::Malformed { origin: format!("{} ({})", name.file(), name.variable()) };
        let seeds = parse(&self.0.source.read(name)?).ok_or_else(malformed)?;
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = Secrets {
            event_signing: held.event_signing.clone(),
            token_signing: held.token_signing.clone(),
            key_encryption: Secrets::key_encryption(&seeds),
            index: held.index.clone(),
            index_mac: held.index_mac.clone(),
        };
        *held = Arc::new(fresh);
        Ok(())
    }

    /// The ids of the available key-encryption keys, the newest first.
    pub fn kek_ids(&self) -> Vec<String> {
        self.held().key_encryption.iter().map(KeyWrap::kek_id).collect()
    }

    /// The id of the newest available key-encryption key.
    pub fn newest_kek_id(&self) -> String {
        self.held().key_encryption[0].kek_id()
    }

    /// Whether a key-encryption key is available.
    pub fn holds(&self, kek_id: &str) -> bool {
        self.held().kek(kek_id).is_ok()
    }

    /// The secrets; if this key-encryption key is not among them, as the source has them now: it may have been added since.
    fn with_kek(&self, kek_id: &str) -> Arc<Secrets> {
        if !self.holds(kek_id)
            && let Err(error) = self.refresh_key_encryption()
        {
            tracing::warn!(%error, "the key-encryption keys cannot be read again");
        }
        self.held()
    }

    /// From now on this key wraps, and none if it is not available.
    pub(crate) fn wrap_with(&self, kek_id: &str) {
        let mut wraps = self.0.wraps.write().unwrap_or_else(PoisonError::into_inner);
        if wraps.as_deref() != Some(kek_id) {
            *wraps = Some(kek_id.to_owned());
        }
    }

    fn held(&self) -> Arc<Secrets> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The seed of the key that signs access tokens.
    pub fn token_signing_seed(&self) -> Seed {
        self.held().token_signing[0].clone()
    }

    /// The seeds of the keys that sign events and checkpoints, the newest first; at least one.
    pub fn event_signing_seeds(&self) -> Vec<Seed> {
        self.held().event_signing.clone()
    }

    /// The public halves of the signing keys, as checkpoint verifier keys; the newest first.
    ///
    /// # Errors
    /// When the origin cannot name a log.
    pub fn verifiers(&self, origin: &str) -> Result<Vec<NoteVerifier>, NoteError> {
        let seeds = self.event_signing_seeds();
        seeds.iter().map(|seed| Ok(NoteSigner::new(origin, seed)?.verifier().clone())).collect()
    }

    /// What wraps the data keys.
    pub fn key_wrap(&self) -> Arc<dyn KeyWrap> {
        Arc::new(self.clone())
    }

    /// A keyed hash of some parts, each framed by its length so that no two lists of parts collide.
    pub(crate) fn index(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.held().index_mac.tag(parts)
    }

    /// The key that authenticates what one part of the ledger derives and keeps in a store. It follows from the
    /// index key, which is one for all time, so whatever was authenticated once stays so.
    pub fn mac_key(&self, purpose: &str) -> MacKey {
        self.held().index_mac.derive(purpose)
    }

    /// The id that stands for something of another system: always the same for the same source, and
    /// telling nothing about it (`UUIDv8` of a keyed hash).
    pub fn derived_id(&self, kind: &str, source: &str) -> Uuid {
        let mac = self.index(&[b"derived-id", kind.as_bytes(), source.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&mac[..16]);
        Uuid::new_v8(bytes)
    }
}

impl KeyWrap for Keys {
    fn kek_id(&self) -> String {
        let wraps = self.0.wraps.read().unwrap_or_else(PoisonError::into_inner).clone();
        wraps.unwrap_or_else(|| self.newest_kek_id())
    }

    fn wrap(
        &self,
        binding: &Binding<'_>,
        nonce: [u8; 12],
        key: &DataKey,
    ) -> Result<Wrapped, SealError> {
        let kek_id = self.kek_id();
        self.with_kek(&kek_id).kek(&kek_id)?.wrap(binding, nonce, key)
    }

    fn unwrap(
        &self,
        kek_id: &str,
        binding: &Binding<'_>,
        wrapped: &[u8],
    ) -> Result<DataKey, SealError> {
        self.with_kek(kek_id).kek(kek_id)?.unwrap(kek_id, binding, wrapped)
    }

    fn unwrap_v1(&self, kek_id: &str, key_id: Uuid, wrapped: &[u8]) -> Result<DataKey, SealError> {
        self.with_kek(kek_id).kek(kek_id)?.unwrap_v1(kek_id, key_id, wrapped)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_of_keys_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Keys::generate(folder.path()).expect("new keys");
        let read = Keys::load(folder.path()).expect("the same keys");
        assert_eq!(made.token_signing_seed(), read.token_signing_seed());
        assert_ne!(made.token_signing_seed(), made.event_signing_seeds()[0]);
        assert!(matches!(Keys::generate(folder.path()), Err(KeysError::Write { .. })));
    }

    #[test]
    #[cfg(unix)]
    fn a_key_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        Keys::generate(folder.path()).expect("new keys");
        let path = folder.path().join(SecretName::Index.file());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(matches!(Keys::load(folder.path()), Err(KeysError::Exposed { .. })));
    }

    #[test]
    fn a_malformed_key_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Keys::generate(folder.path()).expect("new keys");
        fs::write(folder.path().join(SecretName::Index.file()), "c2hvcnQ=").expect("write");
        assert!(matches!(Keys::load(folder.path()), Err(KeysError::Malformed { .. })));
    }

    #[test]
    fn a_derived_id_is_repeatable_and_depends_on_the_key() {
        let keys = Keys::ephemeral();
        assert_eq!(keys.derived_id("patient", "1"), keys.derived_id("patient", "1"));
        assert_ne!(keys.derived_id("patient", "1"), keys.derived_id("account", "1"));
        assert_ne!(keys.derived_id("patient", "1"), Keys::ephemeral().derived_id("patient", "1"));
    }

    #[test]
    fn an_added_key_is_the_newest_and_the_older_ones_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = Keys::generate(folder.path()).expect("new keys");
        let data_key = DataKey::from_bytes([7; 32]);
        let (origin, kind) = ("ledger.example.org/test", audit::seal::SubjectKind::Patient);
        let binding = Binding { origin, kind, subject: Uuid::nil(), key_id: Uuid::nil() };
        let before = keys.wrap(&binding, [1; 12], &data_key).expect("wraps");
        for name in [SecretName::EventSigning, SecretName::KeyEncryption] {
            KeyFolder::new(folder.path()).add(name).expect("added");
        }
        let signing = keys.event_signing_seeds();
        let other = Keys::load(folder.path()).expect("the keys");
        assert_eq!(other.event_signing_seeds()[1], signing[0]);
        let after = other.wrap(&binding, [2; 12], &data_key).expect("wraps");
        assert_ne!(before.kek_id, after.kek_id);
        // The first one was loaded before the key was added, and reads the folder again.
        for wrapped in [&before, &after] {
            for keys in [&keys, &other] {
                let opened = keys.unwrap(&wrapped.kek_id, &binding, &wrapped.bytes);
                assert_eq!(opened.expect("opens").expose(), data_key.expose());
            }
        }
        keys.refresh().expect("read again");
        assert_eq!(keys.event_signing_seeds().len(), 2);
        let unknown = keys.unwrap("local-0", &binding, &before.bytes);
        assert!(matches!(unknown, Err(SealError::UnknownKek { .. })));
    }

    #[test]
    fn the_index_key_never_changes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = Keys::generate(folder.path()).expect("new keys");
        KeyFolder::new(folder.path()).add(SecretName::Index).expect("added");
        assert!(matches!(keys.refresh(), Err(KeysError::IndexChanged)));
        assert!(matches!(Keys::load(folder.path()), Err(KeysError::IndexChanged)));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let keys = Keys::ephemeral();
        assert_eq!(format!("{keys:?}"), "Keys(Ephemeral)");
    }
}
