//! The ledger's secrets: a folder of four files, each 32 random bytes in base64, readable by their owner only.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::seal::LocalKek;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::random;

type Seed = Zeroizing<[u8; 32]>;

/// Signs events and checkpoints.
pub const EVENT_SIGNING: &str = "event-signing.key";
/// Signs access tokens.
pub const TOKEN_SIGNING: &str = "token-signing.key";
/// Wraps the data keys.
pub const KEY_ENCRYPTION: &str = "key-encryption.key";
/// Makes hashes of identifying keys that nobody can guess backwards.
pub const INDEX: &str = "index.key";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key file cannot be read.
    #[error("cannot read the key file {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A key file cannot be written.
    #[error("cannot write the key file {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A key file does not hold 32 bytes in base64.
    #[error("{} does not hold 32 bytes in base64", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// Others may read a key file.
    #[error("{} may be read by others: chmod 600", .path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
    },
}

/// The ledger's secrets. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct Keys(Arc<Secrets>);

struct Secrets {
    event_signing: Seed,
    token_signing: Seed,
    key_encryption: Seed,
    index: Seed,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Reads the four keys of a folder.
    ///
    /// # Errors
    /// When one is missing, malformed, or readable by others.
    pub fn load(folder: impl AsRef<Path>) -> Result<Keys, KeysError> {
        let folder = folder.as_ref();
        Ok(Keys(Arc::new(Secrets {
            event_signing: read(&folder.join(EVENT_SIGNING))?,
            token_signing: read(&folder.join(TOKEN_SIGNING))?,
            key_encryption: read(&folder.join(KEY_ENCRYPTION))?,
            index: read(&folder.join(INDEX))?,
        })))
    }

    /// Makes a folder of new keys. An existing key is never overwritten: without it the log could not be
    /// read or continued.
    ///
    /// # Errors
    /// When a key is there already, or the folder cannot be written.
    pub fn generate(folder: impl AsRef<Path>) -> Result<Keys, KeysError> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder)
            .map_err(|source| KeysError::Write { path: folder.to_owned(), source })?;
        for name in [EVENT_SIGNING, TOKEN_SIGNING, KEY_ENCRYPTION, INDEX] {
            let path = folder.join(name);
            if path.exists() {
                let source = io::Error::from(io::ErrorKind::AlreadyExists);
                return Err(KeysError::Write { path, source });
            }
        }
        for name in [EVENT_SIGNING, TOKEN_SIGNING, KEY_ENCRYPTION, INDEX] {
            let path = folder.join(name);
            write(&path).map_err(|source| KeysError::Write { path, source })?;
        }
        sync_folder(folder)
            .map_err(|source| KeysError::Write { path: folder.to_owned(), source })?;
        Keys::load(folder)
    }

    /// Fresh keys that live as long as the process, for tests and demonstrations.
    pub fn ephemeral() -> Keys {
        let fresh = || Zeroizing::new(random::bytes::<32>());
        Keys(Arc::new(Secrets {
            event_signing: fresh(),
            token_signing: fresh(),
            key_encryption: fresh(),
            index: fresh(),
        }))
    }

    /// The seed of the key that signs access tokens.
    pub fn token_signing_seed(&self) -> &[u8; 32] {
        &self.0.token_signing
    }

    /// The seed of the key that signs events and checkpoints.
    pub fn event_signing_seed(&self) -> &[u8; 32] {
        &self.0.event_signing
    }

    /// What wraps the data keys.
    pub fn key_wrap(&self) -> Arc<LocalKek> {
        Arc::new(LocalKek::new(*self.0.key_encryption))
    }

    /// A keyed hash of some parts, each framed by its length so that no two lists of parts collide.
    pub(crate) fn index(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.index.as_slice())
            .expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
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

fn read(path: &Path) -> Result<Seed, KeysError> {
    let failed = |source| KeysError::Read { path: path.to_owned(), source };
    let malformed = || KeysError::Malformed { path: path.to_owned() };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(KeysError::Exposed { path: path.to_owned() });
        }
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    let bytes = Zeroizing::new(decode(text.trim()).ok_or_else(malformed)?);
    let seed = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| malformed())?;
    Ok(Zeroizing::new(seed))
}

fn write(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let seed = Zeroizing::new(random::bytes::<32>());
    let text = Zeroizing::new(encode(seed.as_slice()));
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_keys_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Keys::generate(folder.path()).expect("new keys");
        let read = Keys::load(folder.path()).expect("the same keys");
        assert_eq!(made.token_signing_seed(), read.token_signing_seed());
        assert_ne!(made.token_signing_seed(), made.event_signing_seed());
        assert!(matches!(Keys::generate(folder.path()), Err(KeysError::Write { .. })));
    }

    #[test]
    #[cfg(unix)]
    fn a_key_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        Keys::generate(folder.path()).expect("new keys");
        let path = folder.path().join(INDEX);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(matches!(Keys::load(folder.path()), Err(KeysError::Exposed { .. })));
    }

    #[test]
    fn a_malformed_key_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Keys::generate(folder.path()).expect("new keys");
        fs::write(folder.path().join(INDEX), "c2hvcnQ=").expect("write");
        assert!(matches!(Keys::load(folder.path()), Err(KeysError::Malformed { .. })));
    }

    #[test]
    fn a_derived_id_is_repeatable_and_depends_on_the_key() {
        let keys = Keys::ephemeral();
        assert_eq!(keys.derived_id("patient", "1"), keys.derived_id("patient", "1"));
        assert_ne!(keys.derived_id("patient", "1"), keys.derived_id("account", "1"));
        assert_ne!(keys.derived_id("patient", "1"), Keys::ephemeral().derived_id("patient", "1"));
    }
}
