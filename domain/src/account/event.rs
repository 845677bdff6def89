//! What happened to an account.

use serde::{Deserialize, Serialize};

use super::{AccountKind, LoginName, PasswordHash, Role};
use crate::stream::domain_event;
use crate::value::Line;

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    /// The account was registered.
    AccountRegistered(AccountRegistered),
    /// A role was granted.
    RoleGranted(RoleGranted),
    /// A role was revoked.
    RoleRevoked(RoleRevoked),
    /// The account was disabled.
    AccountDisabled(AccountDisabled),
}

domain_event!(AccountEvent {
    AccountRegistered: "1",
    RoleGranted: "1",
    RoleRevoked: "1",
    AccountDisabled: "1",
});

/// The account was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRegistered {
    /// The name to log in with.
    pub login: LoginName,
    /// The name shown to people.
    pub display_name: Line<100>,
    /// The hash of the password; a service has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<PasswordHash>,
    /// A person or a service.
    pub kind: AccountKind,
}

/// A role was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleGranted {
    /// The role.
    pub role: Role,
}

/// A role was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRevoked {
    /// The role.
    pub role: Role,
    /// Why.
    pub reason: Line<200>,
}

/// The account was disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountDisabled {
    /// Why.
    pub reason: Line<200>,
}
