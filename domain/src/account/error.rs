//! Why a command on an account is refused.

use crate::stream::{Refusal, RefusalKind};

/// Why a command on an account is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The stream already holds an account.
    #[error("an account is already registered under this id: use another id")]
    AlreadyRegistered,
    /// The stream holds no account.
    #[error("no account is registered under this id: register it first")]
    NotRegistered,
    /// The account is disabled.
    #[error("the account is disabled: nothing about it can be changed any more")]
    Disabled,
    /// A user without a password.
    #[error("a user needs a password to log in: give one")]
    PasswordRequired,
    /// A service with a password.
    #[error("a service has no password: leave it out")]
    PasswordNotAllowed,
    /// The role is held already.
    #[error("the account holds this role already: there is nothing to grant")]
    AlreadyGranted,
    /// The role is not held.
    #[error("the account does not hold this role: there is nothing to revoke")]
    NotGranted,
    /// A person's role for a service, or the other way round.
    #[error(
        "this role does not suit this kind of account: `service` is for services, and only for them"
    )]
    RoleUnsuitable,
}

impl Refusal for AccountError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotRegistered => RefusalKind::Missing("record"),
            Self::AlreadyRegistered | Self::Disabled | Self::AlreadyGranted | Self::NotGranted => {
                RefusalKind::Conflict
            }
            Self::PasswordRequired | Self::PasswordNotAllowed | Self::RoleUnsuitable => {
                RefusalKind::Invalid
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRegistered => "already-registered",
            Self::NotRegistered => "not-registered",
            Self::Disabled => "account-disabled",
            Self::PasswordRequired => "password-required",
            Self::PasswordNotAllowed => "password-not-allowed",
            Self::AlreadyGranted => "role-already-granted",
            Self::NotGranted => "role-not-granted",
            Self::RoleUnsuitable => "role-unsuitable",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyRegistered | Self::NotRegistered | Self::Disabled => None,
            Self::PasswordRequired | Self::PasswordNotAllowed => Some("password"),
            Self::AlreadyGranted | Self::NotGranted | Self::RoleUnsuitable => Some("role"),
        }
    }
}
