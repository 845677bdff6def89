//! What the policy answers: yes or no, and by which rule.

use std::fmt;

use audit::statement::{Digest, Grounds};
use domain::account::Role;

use super::Permission;
use crate::error::CommandError;

/// The id of a rule, as statements and logs name it. An id means the same for ever: a rule that decides otherwise gets
/// another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleId {
    /// `system:PERMISSION`: the ledger itself may.
    System(Permission),
    /// `role:ROLE/PERMISSION`: this role may.
    Role(Role, Permission),
    /// `everybody:PERMISSION`: every account may, whatever its roles.
    Everybody(Permission),
    /// `default`: no rule says anything, so the answer is no.
    Default,
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleId::System(permission) => write!(f, "system:{}", permission.as_str()),
            RuleId::Role(role, permission) => {
                write!(f, "role:{}/{}", role.as_str(), permission.as_str())
            }
            RuleId::Everybody(permission) => write!(f, "everybody:{}", permission.as_str()),
            RuleId::Default => f.write_str("default"),
        }
    }
}

/// A decision of the policy. Each names the rule that made it, a refusal too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may be done.
    Allowed(Grant),
    /// It may not.
    Denied(Denial),
}

/// That something may be done, and why. Only a policy makes one, and nothing is sealed without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(super) because: RuleId,
    pub(super) role: &'static str,
    pub(super) policy: Digest,
}

/// That something may not be done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub(super) because: RuleId,
    pub(super) permission: Permission,
}

impl Decision {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed(_))
    }

    /// The rule that decided.
    pub fn because(&self) -> RuleId {
        match self {
            Decision::Allowed(grant) => grant.because,
            Decision::Denied(denial) => denial.because,
        }
    }

    /// What allows it.
    ///
    /// # Errors
    /// [`CommandError::Denied`], naming what would have been needed.
    pub fn granted(self) -> Result<Grant, CommandError> {
        match self {
            Decision::Allowed(grant) => Ok(grant),
            Decision::Denied(Denial { permission, .. }) => Err(CommandError::Denied { permission }),
        }
    }
}

impl Grant {
    /// The rule that allows it.
    pub fn because(&self) -> RuleId {
        self.because
    }

    /// In which role the actor acts, as a statement names it.
    pub fn role(&self) -> &'static str {
        self.role
    }

    /// What a statement says of it. Which client and which session asked is not known to the ledger yet.
    pub(crate) fn grounds(&self) -> Grounds {
        let because = self.because.to_string();
        Grounds { because, policy: self.policy, client: None, session: None }
    }
}
