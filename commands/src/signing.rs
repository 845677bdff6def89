//! Which of the available keys signs: the newest one that the log names as active.

use std::sync::{Arc, PoisonError, RwLock};

use audit::jws::EventSigner;
use audit::keyring::Keyring;
use audit::note::NoteSigner;

use crate::keys::{Keys, KeysError, Seed};

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// None of the available keys may sign.
    #[error(
        "none of the signing keys at hand is active in the log: hand over the key {active}, or \
         activate a new one with `ledger keys activate` while an active one is still at hand"
    )]
    NoActiveKey {
        /// The thumbprints of the keys that may.
        active: String,
    },
    /// The keys cannot be read.
    #[error("the signing keys cannot be read")]
    Keys(#[from] KeysError),
    /// The origin cannot name a key.
    #[error("the origin cannot name a key")]
    Origin(#[from] audit::note::NoteError),
    /// A seed makes no key.
    #[error("a signing key is not usable")]
    Key(#[from] audit::jws::JwsError),
}

/// One key, for events and for checkpoints.
pub(crate) struct SigningKey {
    pub(crate) event: EventSigner,
    pub(crate) note: NoteSigner,
}

impl SigningKey {
    pub(crate) fn new(origin: &str, seed: &Seed) -> Result<SigningKey, SigningError> {
        Ok(SigningKey { event: EventSigner::new(seed)?, note: NoteSigner::new(origin, seed)? })
    }

    pub(crate) fn kid(&self) -> &str {
        self.event.public().thumbprint()
    }
}

/// The key that signs now, shared by the requests and the sequencer.
pub(crate) struct Signing {
    origin: String,
    keys: Keys,
    current: RwLock<Arc<SigningKey>>,
}

impl Signing {
    /// The newest available key, before there is a log to ask.
    pub(crate) fn newest(origin: &str, keys: &Keys) -> Result<SigningKey, SigningError> {
        let seeds = keys.event_signing_seeds();
        let newest = seeds.first().ok_or_else(|| no_active_key(None, 0))?;
        SigningKey::new(origin, newest)
    }

    /// The newest available key that is active in a log of this size.
    pub(crate) fn of_log(
        origin: &str,
        keys: &Keys,
        keyring: &Keyring,
        size: u64,
    ) -> Result<Signing, SigningError> {
        let current = RwLock::new(Arc::new(choose(origin, keys, keyring, size)?));
        Ok(Signing { origin: origin.to_owned(), keys: keys.clone(), current })
    }

    pub(crate) fn current(&self) -> Arc<SigningKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows a change of the log's keys. The source is read again, because a key that was just
    /// activated was just made.
    pub(crate) fn follow(&self, keyring: &Keyring, size: u64) -> Result<(), SigningError> {
        if let Err(error) = self.keys.refresh() {
            tracing::warn!(%error, "the keys could not be read again: going on with those at hand");
        }
        let chosen = choose(&self.origin, &self.keys, keyring, size)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.kid() != chosen.kid() {
            tracing::info!(kid = chosen.kid(), "another key signs from now on");
            *current = Arc::new(chosen);
        }
        Ok(())
    }
}

fn choose(
    origin: &str,
    keys: &Keys,
    keyring: &Keyring,
    size: u64,
) -> Result<SigningKey, SigningError> {
    for seed in keys.event_signing_seeds() {
        let key = SigningKey::new(origin, &seed)?;
        if keyring.active(key.kid(), size).is_ok() {
            return Ok(key);
        }
    }
    Err(no_active_key(Some(keyring), size))
}

fn no_active_key(keyring: Option<&Keyring>, size: u64) -> SigningError {
    let periods = keyring.map(Keyring::periods).unwrap_or_default();
    let active = periods.iter().map(|period| period.key.thumbprint());
    let active =
        active.filter(|kid| keyring.is_some_and(|keyring| keyring.active(kid, size).is_ok()));
    SigningError::NoActiveKey { active: active.collect::<Vec<_>>().join(" or ") }
}
