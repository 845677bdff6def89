//! Where the secrets come from. What every source gives is text: keys of 32 random bytes in base64,
//! one a line, the newest first.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::{KEYS_MAX, KeysError};
use crate::random;

/// A key.
pub type Seed = Zeroizing<[u8; 32]>;

/// The kinds of secret a ledger has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretName {
    /// Signs events and checkpoints.
    EventSigning,
    /// Signs access tokens.
    TokenSigning,
    /// Wraps the data keys.
    KeyEncryption,
    /// Makes hashes of identifying keys that cannot be reversed by guessing.
    Index,
}

impl SecretName {
    /// All of them.
    pub const ALL: [SecretName; 4] = [
        SecretName::EventSigning,
        SecretName::TokenSigning,
        SecretName::KeyEncryption,
        SecretName::Index,
    ];

    /// Its file in a folder of keys.
    pub fn file(self) -> &'static str {
        match self {
            SecretName::EventSigning => "event-signing.key",
            SecretName::TokenSigning => "token-signing.key",
            SecretName::KeyEncryption => "key-encryption.key",
            SecretName::Index => "index.key",
        }
    }

    /// Its environment variable.
    pub fn variable(self) -> &'static str {
        match self {
            SecretName::EventSigning => "LEDGER_EVENT_SIGNING_KEY",
            SecretName::TokenSigning => "LEDGER_TOKEN_SIGNING_KEY",
            SecretName::KeyEncryption => "LEDGER_KEY_ENCRYPTION_KEY",
            SecretName::Index => "LEDGER_INDEX_KEY",
        }
    }
}

/// Where the secrets come from: a folder, the environment, or a key management service, which decrypts
/// them for this process. They are read when the ledger starts, and again when the log or the keyring
/// names a key that is not available.
pub trait KeySource: Send + Sync + fmt::Debug {
    /// The keys of one kind, as text: base64, one a line, the newest first.
    ///
    /// # Errors
    /// When they cannot be had.
    fn read(&self, name: SecretName) -> Result<Zeroizing<String>, KeysError>;
}

/// A folder of four files that only their owner may read.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    path: PathBuf,
}

impl KeyFolder {
    /// This folder.
    pub fn new(path: impl Into<PathBuf>) -> KeyFolder {
        KeyFolder { path: path.into() }
    }

    /// Puts a new key of every kind into the folder, which is made. An existing key is never
    /// overwritten: without it the log could not be read or continued.
    ///
    /// # Errors
    /// When a key is there already, or the folder cannot be written.
    pub fn generate(&self) -> Result<(), KeysError> {
        fs::create_dir_all(&self.path)
            .map_err(|source| KeysError::Write { path: self.path.clone(), source })?;
        for name in SecretName::ALL {
            let path = self.path.join(name.file());
            if path.exists() {
                let source = io::Error::from(io::ErrorKind::AlreadyExists);
                return Err(KeysError::Write { path, source });
            }
        }
        SecretName::ALL.into_iter().try_for_each(|name| self.write(name, ""))
    }

    /// Puts a new key of one kind in front of the others.
    ///
    /// # Errors
    /// When the present ones cannot be read, or the file cannot be written.
    pub fn add(&self, name: SecretName) -> Result<(), KeysError> {
        let present = self.read(name)?;
        let path = self.path.join(name.file());
        if parse(&present).ok_or(KeysError::Malformed { origin: display_path(&path) })?.len()
            >= KEYS_MAX
        {
            return Err(KeysError::TooMany { origin: display_path(&path) });
        }
        self.write(name, present.trim_end())
    }

    /// Writes a new key before those present, so that a crash leaves the old file or the new one.
    fn write(&self, name: SecretName, present: &str) -> Result<(), KeysError> {
        let path = self.path.join(name.file());
        let seed = Zeroizing::new(random::bytes::<32>());
        let mut text = Zeroizing::new(encode(seed.as_slice()));
        text.push('\n');
        if !present.is_empty() {
            text.push_str(present);
            text.push('\n');
        }
        replace(&path, &text).map_err(|source| KeysError::Write { path, source })
    }
}

impl KeySource for KeyFolder {
    fn read(&self, name: SecretName) -> Result<Zeroizing<String>, KeysError> {
        let path = self.path.join(name.file());
        let failed = |source| KeysError::Read { path: path.clone(), source };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
                return Err(KeysError::Exposed { path });
            }
        }
        Ok(Zeroizing::new(fs::read_to_string(&path).map_err(failed)?))
    }
}

/// Four environment variables, for platforms that hand secrets to a process that way.
#[derive(Clone, Copy, Debug)]
pub struct KeyEnvironment;

impl KeyEnvironment {
    /// Whether any of the variables is set.
    pub fn is_set() -> bool {
        SecretName::ALL.iter().any(|name| std::env::var_os(name.variable()).is_some())
    }
}

impl KeySource for KeyEnvironment {
    fn read(&self, name: SecretName) -> Result<Zeroizing<String>, KeysError> {
        let variable = name.variable();
        std::env::var(variable).map(Zeroizing::new).map_err(|_| KeysError::Unset { variable })
    }
}

/// Keys of this process alone.
pub(super) struct Ephemeral([Seed; 4]);

impl Ephemeral {
    pub(super) fn new() -> Ephemeral {
        Ephemeral(std::array::from_fn(|_| Zeroizing::new(random::bytes())))
    }
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ephemeral")
    }
}

impl KeySource for Ephemeral {
    fn read(&self, name: SecretName) -> Result<Zeroizing<String>, KeysError> {
        let [event, token, encryption, index] = &self.0;
        let seed = match name {
            SecretName::EventSigning => event,
            SecretName::TokenSigning => token,
            SecretName::KeyEncryption => encryption,
            SecretName::Index => index,
        };
        Ok(Zeroizing::new(encode(seed.as_slice())))
    }
}

/// The keys in a text, the newest first; none if a line is malformed or there is no line.
pub(super) fn parse(text: &str) -> Option<Vec<Seed>> {
    use base64::Engine;
    let keys = text.split_whitespace().map(|line| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(line).map(Zeroizing::new);
        <[u8; 32]>::try_from(bytes.ok()?.as_slice()).ok().map(Zeroizing::new)
    });
    keys.collect::<Option<Vec<Seed>>>().filter(|keys| !keys.is_empty() && keys.len() <= KEYS_MAX)
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn display_path(path: &Path) -> String {
    path.display().to_string()
}

/// Writes a file that only its owner may read, whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
