//! Passwords: argon2id, off the async threads, with the same work for a log-in name that does not exist.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

/// Shortest password taken, in characters.
pub const MIN_CHARACTERS: usize = 12;
/// Longest password taken, in bytes: argon2's own work does not depend on it, our patience does.
pub const MAX_BYTES: usize = 256;

/// Why a password was not hashed or not checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short to be of use.
    #[error("a password has at least {MIN_CHARACTERS} characters")]
    TooShort,
    /// Longer than anybody types.
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// The hash function refused.
    #[error("the password could not be hashed")]
    Hash(#[source] argon2::password_hash::Error),
    /// The task that hashes was stopped.
    #[error("password checking is not available")]
    Stopped,
}

/// Hashes and checks passwords, a few at a time: each one takes 19 MiB of memory.
#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// A hash of nothing anybody knows, checked when there is no account, so that the time an
    /// answer takes does not tell whether the log-in exists.
    decoy: Arc<str>,
}

impl Passwords {
    /// Checks at most `parallel` passwords at once.
    ///
    /// # Errors
    ///
    /// When the system has no randomness or the hash function refuses.
    pub fn new(parallel: usize) -> Result<Self, PasswordError> {
        let mut unknown = [0_u8; 32];
        getrandom::fill(&mut unknown).map_err(|_| PasswordError::Stopped)?;
        let decoy =
            Argon2::default().hash_password(&unknown).map_err(PasswordError::Hash)?.to_string();
        Ok(Self { permits: Arc::new(Semaphore::new(parallel.max(1))), decoy: decoy.into() })
    }

    /// Refuses what cannot be a password here.
    ///
    /// # Errors
    ///
    /// `TooShort` or `TooLong`.
    pub fn check_policy(password: &SecretString) -> Result<(), PasswordError> {
        let text = password.expose_secret();
        if text.chars().count() < MIN_CHARACTERS {
            return Err(PasswordError::TooShort);
        }
        if text.len() > MAX_BYTES {
            return Err(PasswordError::TooLong);
        }
        Ok(())
    }

    /// The PHC string of `password` under `salt`.
    ///
    /// The salt is given, and not drawn here, so that a repeated command hashes to the same string
    /// and is recognised as a repetition. The caller derives it by a keyed hash of the command id.
    ///
    /// # Errors
    ///
    /// When the password breaks the policy or the hash function refuses.
    pub async fn hash(
        &self,
        password: SecretString,
        salt: [u8; 16],
    ) -> Result<String, PasswordError> {
        Self::check_policy(&password)?;
        self.blocking(move || {
            Argon2::default()
                .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
                .map(|hash: PasswordHash| hash.to_string())
                .map_err(PasswordError::Hash)
        })
        .await?
    }

    /// Whether `password` belongs to `stored`; without a stored hash the same work, and no.
    ///
    /// # Errors
    ///
    /// Only when the process is stopping.
    pub async fn verify(
        &self,
        stored: Option<String>,
        password: SecretString,
    ) -> Result<bool, PasswordError> {
        let decoy = Arc::clone(&self.decoy);
        self.blocking(move || {
            let known = stored.is_some();
            let text = stored.as_deref().unwrap_or(&decoy);
            let bytes = password.expose_secret().as_bytes();
            let bytes = &bytes[..bytes.len().min(MAX_BYTES + 1)];
            let matches = PasswordHash::new(text)
                .is_ok_and(|hash| Argon2::default().verify_password(bytes, &hash).is_ok());
            matches && known
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|_| PasswordError::Stopped)?;
        tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(permit);
            answer
        })
        .await
        .map_err(|_| PasswordError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(2).expect("passwords");
        let hash = passwords.hash(secret("correct horse battery"), [7; 16]).await.expect("hash");
        assert!(hash.starts_with("$argon2id$"), "the stored form says how it was made");
        let again = passwords.hash(secret("correct horse battery"), [7; 16]).await.expect("hash");
        assert_eq!(hash, again, "a repeated command must hash alike");
        let yes = passwords.verify(Some(hash.clone()), secret("correct horse battery")).await;
        assert!(yes.expect("verify"));
        let no = passwords.verify(Some(hash), secret("correct horse batterz")).await;
        assert!(!no.expect("verify"));
    }

    #[tokio::test]
    async fn no_account_and_a_damaged_hash_are_a_no() {
        let passwords = Passwords::new(2).expect("passwords");
        assert!(!passwords.verify(None, secret("correct horse battery")).await.expect("verify"));
        let damaged = Some("$argon2id$nonsense".to_owned());
        assert!(!passwords.verify(damaged, secret("correct horse")).await.expect("verify"));
    }

    #[tokio::test]
    async fn the_policy_has_two_ends() {
        let passwords = Passwords::new(1).expect("passwords");
        let short = passwords.hash(secret("short"), [0; 16]).await;
        assert!(matches!(short, Err(PasswordError::TooShort)));
        let long = passwords.hash(secret(&"x".repeat(MAX_BYTES + 1)), [0; 16]).await;
        assert!(matches!(long, Err(PasswordError::TooLong)));
    }
}
