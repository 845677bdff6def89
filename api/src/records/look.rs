//! Who looks, why, and what they have seen.

use commands::policy::{Permission, Request};
use commands::{Actor, Context, PurposeOfUse};
use uuid::Uuid;

/// Who looks, why, and what they have seen.
#[derive(Debug, Clone)]
pub struct Look {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub purpose: PurposeOfUse,
    /// What the look is part of.
    pub correlation_id: Uuid,
    /// The position that what is shown must include.
    pub min_position: Option<u64>,
}

impl Look {
    /// The question whether it is allowed.
    pub(super) fn asks(&self, permission: Permission) -> Request<'_> {
        Request::new(&self.actor, permission).with_purpose(self.purpose)
    }

    /// The context of what is recorded about this look: a command of its own.
    pub(super) fn context(&self) -> Context {
        Context {
            actor: self.actor.clone(),
            purpose: self.purpose,
            command_id: Uuid::now_v7(),
            correlation_id: self.correlation_id,
            expected_version: None,
        }
    }
}
