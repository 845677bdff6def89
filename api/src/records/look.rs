//! Who looks, why, and what they have seen.

use std::marker::PhantomData;
use std::ops::Deref;

use commands::policy::{Permission, Request};
use commands::{Actor, Context, PurposeOfUse};
use uuid::Uuid;

/// Who asks for a look, why, and what they have seen.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub purpose: PurposeOfUse,
    /// What the look is part of.
    pub correlation_id: Uuid,
    /// The position that what is shown must include.
    pub min_position: Option<u64>,
}

impl Asking {
    /// The question whether it is allowed.
    pub(crate) fn asks(&self, permission: Permission) -> Request<'_> {
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

/// A look that needs the permission `P`: one of [`may`](commands::policy::may). Each way to look takes the one it needs,
/// so a face that asks for another does not compile.
#[derive(Debug, Clone)]
pub struct Look<P>(Asking, PhantomData<P>);

impl<P> Look<P> {
    /// The look that is asked for. Whether it is allowed is decided when it is taken.
    #[must_use]
    pub fn new(asking: Asking) -> Look<P> {
        Look(asking, PhantomData)
    }
}

impl<P> Deref for Look<P> {
    type Target = Asking;

    fn deref(&self) -> &Asking {
        &self.0
    }
}
