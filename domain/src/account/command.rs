//! What may be asked of an account.

use serde::{Deserialize, Serialize};

use super::{AccountKind, LoginName, PasswordHash, Role};
use crate::value::Line;

/// What may be asked of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountCommand {
    /// Registers an account.
    Register(RegisterAccount),
    /// Grants a role.
    GrantRole(GrantRole),
    /// Revokes a role.
    RevokeRole(RevokeRole),
    /// Disables the account.
    Disable(DisableAccount),
}

/// Registers an account. A user needs a password; a service must not have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterAccount {
    /// The name to log in with.
    pub login: LoginName,
    /// The name shown to people.
    pub display_name: Line<100>,
    /// The argon2 hash of the password, in PHC form.
    #[serde(default)]
    pub password_hash: Option<PasswordHash>,
    /// A person or a service.
    pub kind: AccountKind,
}

/// Grants a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GrantRole {
    /// The role.
    pub role: Role,
}

/// Revokes a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RevokeRole {
    /// The role.
    pub role: Role,
    /// Why.
    pub reason: Line<200>,
}

/// Disables the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DisableAccount {
    /// Why.
    pub reason: Line<200>,
}
