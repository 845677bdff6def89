//! Which public key counts at which position, from the log's own events.

use crate::jws::{Jwk, JwkSet, JwsError, PublicKey};
use crate::note::{NoteError, NoteVerifier};
use crate::statement::{Digest, ENCRYPTION_NONE, Statement};
use crate::system::{self, SystemError, SystemEvent};

/// The most keys one log may ever have had.
pub const MAX_KEYS: usize = 1024;

/// What can be wrong with the log's own events, or with the key of a signature.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Position 0 is not a genesis.
    #[error("position 0 is not the genesis of this log: {0}")]
    Genesis(&'static str),
    /// A later event claims to be the genesis, or an event of the log's own is out of place.
    #[error("an event of the log's own is out of place: {0}")]
    Misplaced(&'static str),
    /// Its payload.
    #[error("the payload of an event of the log's own is not valid")]
    Payload(#[from] SystemError),
    /// A key in it.
    #[error("a key in the log is not valid")]
    Key(#[from] JwsError),
    /// The origin cannot name a note's key.
    #[error("the origin cannot name a key")]
    Origin(#[from] NoteError),
    /// No such key.
    #[error("the key {kid} is not one of this log's")]
    Unknown {
        /// The thumbprint.
        kid: String,
    },
    /// Known, but not yet active there.
    #[error("the key {kid} is active only from position {from}")]
    NotYetActive {
        /// The thumbprint.
        kid: String,
        /// The first position it may sign.
        from: u64,
    },
    /// Known, but retired before.
    #[error("the key {kid} was retired at position {at}")]
    Retired {
        /// The thumbprint.
        kid: String,
        /// The last position it may sign.
        at: u64,
    },
    /// A key that was in the log before.
    #[error("the key {kid} was activated before")]
    Reused {
        /// The thumbprint.
        kid: String,
    },
    /// The last active key cannot be retired: no key could sign after that.
    #[error("the last active key cannot be retired")]
    LastKey,
    /// More than [`MAX_KEYS`].
    #[error("the log has more keys than this format allows")]
    TooMany,
}

/// One key and the positions it may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPeriod {
    /// The key.
    pub key: PublicKey,
    /// The first position it may sign.
    pub from: u64,
    /// The last position it may sign; `None` while it is active.
    pub until: Option<u64>,
}

/// The keys of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    origin: String,
    periods: Vec<KeyPeriod>,
}

impl Keyring {
    /// Begins with the genesis, position 0. The caller checks its signature with the key it names.
    pub fn genesis(statement: &Statement, payload: &[u8]) -> Result<Self, KeyringError> {
        if statement.stream_type != system::STREAM_TYPE || statement.sequence != 1 {
            return Err(KeyringError::Genesis("it is not the first event of the stream `ledger`"));
        }
        if statement.stream_id != system::stream_id(&statement.origin) {
            return Err(KeyringError::Genesis("the stream's id does not belong to the origin"));
        }
        let Some(SystemEvent::Genesis(genesis)) = parse(statement, payload)? else {
            return Err(KeyringError::Genesis("it is an event of another type"));
        };
        if genesis.origin != statement.origin {
            return Err(KeyringError::Genesis("payload and statement name different origins"));
        }
        if genesis.format != crate::FORMAT {
            return Err(KeyringError::Genesis("the log has a format that is not known"));
        }
        let key = PublicKey::from_jwk(&genesis.jwk)?;
        NoteVerifier::new(&genesis.origin, key.to_bytes())?;
        Ok(Self { origin: genesis.origin, periods: vec![KeyPeriod { key, from: 0, until: None }] })
    }

    /// Takes in a later event of the log's own, whose signature has been checked.
    pub fn apply(
        &mut self,
        position: u64,
        statement: &Statement,
        payload: &[u8],
    ) -> Result<(), KeyringError> {
        if statement.stream_type != system::STREAM_TYPE {
            return Ok(());
        }
        if statement.stream_id != system::stream_id(&self.origin) {
            return Err(KeyringError::Misplaced("the stream's id does not belong to the origin"));
        }
        match parse(statement, payload)? {
            None => Ok(()),
            Some(SystemEvent::Genesis(_)) => Err(KeyringError::Misplaced("a second genesis")),
            Some(SystemEvent::KeyActivated(activated)) => self.activate(position, &activated.jwk),
            Some(SystemEvent::KeyRetired(retired)) => self.retire(position, &retired.kid),
        }
    }

    fn activate(&mut self, position: u64, jwk: &Jwk) -> Result<(), KeyringError> {
        let key = PublicKey::from_jwk(jwk)?;
        if self.periods.iter().any(|period| period.key == key) {
            return Err(KeyringError::Reused { kid: key.thumbprint().to_owned() });
        }
        if self.periods.len() >= MAX_KEYS {
            return Err(KeyringError::TooMany);
        }
        self.periods.push(KeyPeriod { key, from: position + 1, until: None });
        Ok(())
    }

    fn retire(&mut self, position: u64, kid: &str) -> Result<(), KeyringError> {
        self.active(kid, position)?;
        if self.periods.iter().filter(|period| period.until.is_none()).count() < 2 {
            return Err(KeyringError::LastKey);
        }
        for period in &mut self.periods {
            if period.key.thumbprint() == kid {
                period.until = Some(position);
            }
        }
        Ok(())
    }

    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// All keys there ever were, in the order of their activation.
    #[must_use]
    pub fn periods(&self) -> &[KeyPeriod] {
        &self.periods
    }

    /// The key of this thumbprint, if it may sign this position.
    pub fn active(&self, kid: &str, position: u64) -> Result<&PublicKey, KeyringError> {
        self.active_index(kid, position).map(|index| &self.periods[index].key)
    }

    pub(crate) fn active_index(&self, kid: &str, position: u64) -> Result<usize, KeyringError> {
        let owned = || kid.to_owned();
        let index = self
            .periods
            .iter()
            .position(|period| period.key.thumbprint() == kid)
            .ok_or_else(|| KeyringError::Unknown { kid: owned() })?;
        let period = &self.periods[index];
        if position < period.from {
            return Err(KeyringError::NotYetActive { kid: owned(), from: period.from });
        }
        match period.until {
            Some(at) if position > at => Err(KeyringError::Retired { kid: owned(), at }),
            _ => Ok(index),
        }
    }

    /// The keys that may sign a checkpoint of `size` leaves: those active at its last position.
    #[must_use]
    pub fn verifiers(&self, size: u64) -> Vec<NoteVerifier> {
        let position = size.saturating_sub(1);
        self.periods
            .iter()
            .filter(|period| {
                period.from <= position && period.until.is_none_or(|until| position <= until)
            })
            .filter_map(|period| NoteVerifier::new(&self.origin, period.key.to_bytes()).ok())
            .collect()
    }

    /// The JWS headers of the keys that may sign the position.
    #[must_use]
    pub fn headers(&self, position: u64) -> Vec<Vec<u8>> {
        self.periods
            .iter()
            .filter(|period| {
                period.from <= position && period.until.is_none_or(|until| position <= until)
            })
            .map(|period| period.key.header())
            .collect()
    }

    /// All keys as a JWK Set.
    #[must_use]
    pub fn to_jwks(&self) -> JwkSet {
        JwkSet { keys: self.periods.iter().map(|period| period.key.to_jwk()).collect() }
    }
}

fn parse(statement: &Statement, payload: &[u8]) -> Result<Option<SystemEvent>, KeyringError> {
    if statement.payload.encryption != ENCRYPTION_NONE {
        return Err(KeyringError::Misplaced("its payload is not in the clear"));
    }
    if statement.payload.sha256 != Digest::of(payload) {
        return Err(KeyringError::Misplaced("its payload is not the one that was signed"));
    }
    Ok(SystemEvent::parse(&statement.event_type, &statement.event_version, payload)?)
}
