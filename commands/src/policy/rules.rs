//! The rules, in the order in which they are asked, and the policy that asks them.
//!
//! A rule allows, refuses, or says nothing; the first one that says something decides, and where none does, the answer is
//! no. So a rule that withholds what roles allow (a consent, a care team) stands before the roles, and one that gives more
//! than they do in an emergency before that. What such a rule has to know beside the request it keeps in memory itself, as
//! the watch of the log keeps who is erased: a decision waits for nothing.

use std::sync::Arc;

use audit::statement::Digest;

use super::decision::{Decision, Denial, Grant, RuleId};
use super::permission::Permission;
use super::request::Request;
use crate::actor::ActorKind;

/// What the ledger itself may do: name its keys, the first one too, and take the model that comes with the program into use.
const SYSTEM: &[Permission] = &[Permission::ManageKeys, Permission::ManageModels];

/// What everybody may who has an account, whatever its roles: to be recorded as having asked.
const EVERYBODY: &[Permission] = &[Permission::RecordDisclosure];

/// The role of those who have none, in statements.
const NO_ROLE: &str = "none";

/// The role of the ledger itself, in statements.
const SYSTEM_ROLE: &str = "system";

/// The first line of a policy's text.
const HEADING: &str = "coherency-policy/v1";

/// One rule, or one table of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// What the ledger itself may do.
    System,
    /// What the roles of an account allow: the matrix of [`Permission::roles`].
    Roles,
    /// What everybody may who has an account.
    Everybody,
}

/// What a rule says of a request, if it says anything.
enum Verdict {
    Allow { because: RuleId, role: &'static str },
    Deny { because: RuleId },
}

impl Rule {
    fn judge(self, request: &Request<'_>) -> Option<Verdict> {
        let Request { actor, permission, .. } = *request;
        match self {
            Rule::System => {
                (actor.kind == ActorKind::System && SYSTEM.contains(&permission)).then_some(
                    Verdict::Allow { because: RuleId::System(permission), role: SYSTEM_ROLE },
                )
            }
            Rule::Roles => {
                let mut roles = permission.roles().iter();
                let role = roles.find(|role| actor.roles.contains(role))?;
                let because = RuleId::Role(*role, permission);
                Some(Verdict::Allow { because, role: role.as_str() })
            }
            Rule::Everybody => EVERYBODY.contains(&permission).then_some(Verdict::Allow {
                because: RuleId::Everybody(permission),
                role: NO_ROLE,
            }),
        }
    }

    /// Every id that it allows by, in a fixed order.
    fn allows(self) -> Vec<RuleId> {
        match self {
            Rule::System => SYSTEM.iter().map(|permission| RuleId::System(*permission)).collect(),
            Rule::Roles => {
                let of = |permission: &Permission| {
                    let roles = permission.roles().iter();
                    let permission = *permission;
                    roles.map(move |role| RuleId::Role(*role, permission))
                };
                Permission::ALL.iter().flat_map(of).collect()
            }
            Rule::Everybody => {
                EVERYBODY.iter().map(|permission| RuleId::Everybody(*permission)).collect()
            }
        }
    }
}

/// Who may do what: the one place that decides, for commands, reads, exports and the command line. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Arc<[Rule]>,
    text: Arc<str>,
    digest: Digest,
}

impl Default for Policy {
    /// The policy of this version of the program.
    fn default() -> Policy {
        Policy::of(&[Rule::System, Rule::Roles, Rule::Everybody])
    }
}

impl Policy {
    pub(super) fn of(rules: &[Rule]) -> Policy {
        let allowed = rules.iter().flat_map(|rule| rule.allows());
        let allowed: String = allowed.map(|because| format!("allow {because}\n")).collect();
        let text = format!("{HEADING}\n{allowed}deny {}\n", RuleId::Default);
        Policy { rules: rules.into(), digest: Digest::of(text.as_bytes()), text: text.into() }
    }

    /// Decides. What no rule allows is denied.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let verdict = self.rules.iter().find_map(|rule| rule.judge(request));
        match verdict.unwrap_or(Verdict::Deny { because: RuleId::Default }) {
            Verdict::Allow { because, role } => {
                Decision::Allowed(Grant { because, role, policy: self.digest })
            }
            Verdict::Deny { because } => {
                Decision::Denied(Denial { because, permission: request.permission })
            }
        }
    }

    /// Its rules in the order in which they are asked, one a line, by id.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of its text: what a statement names it by.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
