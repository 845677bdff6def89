//! Accounts of people and services, and the roles they hold.

mod command;
mod error;
mod event;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::{AccountCommand, DisableAccount, GrantRole, RegisterAccount, RevokeRole};
pub use error::AccountError;
pub use event::{AccountDisabled, AccountEvent, AccountRegistered, RoleGranted, RoleRevoked};

use crate::clock::Now;
use crate::ids::typed_id;
use crate::stream::{Claim, ClaimChange, MediaRef, Stream, aggregate};
use crate::value::{Line, coded, serde_as_string};

typed_id! {
    /// A person or a service that acts.
    AccountId;
}

/// The kind of claim that makes a log-in name unique.
pub const LOGIN_CLAIM: &str = "login";

coded! {
    /// Whether a person or a program acts.
    AccountKind {
        /// A person.
        User = "user",
        /// A program.
        Service = "service",
    }
}

coded! {
    /// What an account may do, in one word; the policy says what it means.
    Role {
        /// Treats patients.
        Clinician = "clinician",
        /// Registers patients and books visits.
        FrontDesk = "front-desk",
        /// Verifies the log.
        Auditor = "auditor",
        /// Answers for privacy.
        Compliance = "compliance",
        /// Works with figures, not with persons.
        Analyst = "analyst",
        /// Manages accounts.
        Admin = "admin",
        /// A program of the clinic's own.
        Service = "service",
    }
}

/// Why a log-in name or a password hash was refused. It does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Not a log-in name.
    #[error(
        "this is not a log-in name: give 3 to 64 of the characters a-z, 0-9, `.`, `_`, `-`, `+`, `@`, beginning with a letter or a digit"
    )]
    Login,
    /// Not an argon2 hash.
    #[error("this is not a password hash: give an argon2id hash in PHC form")]
    PasswordHash,
}

/// The name a user logs in with, in lower case.
///
/// ASCII only: two names that look alike must not be two accounts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginName(String);

impl LoginName {
    /// Trims, lowers and checks a name.
    pub fn new(name: &str) -> Result<Self, CredentialError> {
        let name = name.trim().to_ascii_lowercase();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-+@".contains(&b);
        let fits = (3..=64).contains(&name.len())
            && name.bytes().all(allowed)
            && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if fits { Ok(Self(name)) } else { Err(CredentialError::Login) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LoginName {
    type Err = CredentialError;

    fn from_str(name: &str) -> Result<Self, CredentialError> {
        Self::new(name)
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shows no content: a log-in name names a person.
impl fmt::Debug for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginName(…)")
    }
}

/// An argon2id password hash in PHC form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Checks the form; the hash itself is checked where passwords are.
    pub fn new(hash: &str) -> Result<Self, CredentialError> {
        let fits = hash.starts_with("$argon2id$")
            && hash.len() <= 512
            && hash.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(hash.to_owned())) } else { Err(CredentialError::PasswordHash) }
    }

    /// The hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PasswordHash {
    type Err = CredentialError;

    fn from_str(hash: &str) -> Result<Self, CredentialError> {
        Self::new(hash)
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shows no content.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

serde_as_string!(LoginName, {
    "minLength": 3,
    "maxLength": 64,
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._+@-]*$",
    "examples": ["j.meyer"],
});
serde_as_string!(PasswordHash, { "maxLength": 512 });

/// An account as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    registration: Option<AccountRegistered>,
    roles: BTreeSet<Role>,
    disabled: bool,
}

aggregate!(Account, "account", AccountCommand, AccountEvent, AccountError);

impl Account {
    /// What the account was registered with; nothing before it is.
    pub fn registration(&self) -> Option<&AccountRegistered> {
        self.registration.as_ref()
    }

    /// The name to log in with.
    pub fn login(&self) -> Option<&LoginName> {
        self.registration().map(|registration| &registration.login)
    }

    /// The name shown to people.
    pub fn display_name(&self) -> Option<&Line<100>> {
        self.registration().map(|registration| &registration.display_name)
    }

    /// The hash of the password, if there is one.
    pub fn password_hash(&self) -> Option<&PasswordHash> {
        self.registration()?.password_hash.as_ref()
    }

    /// A person or a program.
    pub fn kind(&self) -> Option<AccountKind> {
        self.registration().map(|registration| registration.kind)
    }

    /// The roles it holds.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// Whether it is registered and not disabled.
    pub fn is_active(&self) -> bool {
        self.registration.is_some() && !self.disabled
    }

    fn fold(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::AccountRegistered(event) => self.registration = Some(event),
            AccountEvent::RoleGranted(event) => {
                self.roles.insert(event.role);
            }
            AccountEvent::RoleRevoked(event) => {
                self.roles.remove(&event.role);
            }
            AccountEvent::AccountDisabled(_) => self.disabled = true,
        }
    }

    fn require_active(&self) -> Result<&AccountRegistered, AccountError> {
        let registration = self.registration().ok_or(AccountError::NotRegistered)?;
        if self.disabled { Err(AccountError::Disabled) } else { Ok(registration) }
    }

    fn register(&self, command: RegisterAccount) -> Result<AccountEvent, AccountError> {
        if self.registration.is_some() {
            return Err(AccountError::AlreadyRegistered);
        }
        let RegisterAccount { login, display_name, password_hash, kind } = command;
        match (kind, &password_hash) {
            (AccountKind::User, None) => return Err(AccountError::PasswordRequired),
            (AccountKind::Service, Some(_)) => return Err(AccountError::PasswordNotAllowed),
            (AccountKind::User, Some(_)) | (AccountKind::Service, None) => {}
        }
        Ok(AccountEvent::AccountRegistered(AccountRegistered {
            login,
            display_name,
            password_hash,
            kind,
        }))
    }

    fn grant(&self, GrantRole { role }: GrantRole) -> Result<AccountEvent, AccountError> {
        let registration = self.require_active()?;
        if (registration.kind == AccountKind::Service) != (role == Role::Service) {
            return Err(AccountError::RoleUnsuitable);
        }
        if self.roles.contains(&role) {
            return Err(AccountError::AlreadyGranted);
        }
        Ok(AccountEvent::RoleGranted(RoleGranted { role }))
    }

    fn revoke(&self, command: RevokeRole) -> Result<AccountEvent, AccountError> {
        self.require_active()?;
        let RevokeRole { role, reason } = command;
        if !self.roles.contains(&role) {
            return Err(AccountError::NotGranted);
        }
        Ok(AccountEvent::RoleRevoked(RoleRevoked { role, reason }))
    }

    fn disable(&self, command: DisableAccount) -> Result<AccountEvent, AccountError> {
        self.require_active()?;
        Ok(AccountEvent::AccountDisabled(AccountDisabled { reason: command.reason }))
    }
}

impl Stream for Account {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = true;
    const KEEPS_SNAPSHOTS: bool = false;
    const BEGINS_SUBJECT: bool = true;
    const HAS_CLAIMS: bool = true;

    fn decide(
        &self,
        command: AccountCommand,
        _now: &Now,
    ) -> Result<Vec<AccountEvent>, AccountError> {
        let event = match command {
            AccountCommand::Register(command) => self.register(command),
            AccountCommand::GrantRole(command) => self.grant(command),
            AccountCommand::RevokeRole(command) => self.revoke(command),
            AccountCommand::Disable(command) => self.disable(command),
        }?;
        Ok(vec![event])
    }

    fn subject(&self, id: Uuid) -> Option<Uuid> {
        Some(id)
    }

    fn claims(_id: Uuid, event: &AccountEvent) -> Vec<ClaimChange> {
        match event {
            AccountEvent::AccountRegistered(event) => {
                let key = event.login.to_string();
                vec![ClaimChange::Take(Claim::Unique { kind: LOGIN_CLAIM, key })]
            }
            // The name of a disabled account stays taken: old records must not seem to name another.
            AccountEvent::RoleGranted(_)
            | AccountEvent::RoleRevoked(_)
            | AccountEvent::AccountDisabled(_) => Vec::new(),
        }
    }

    fn media(_event: &AccountEvent) -> Vec<MediaRef> {
        vec![]
    }
}
