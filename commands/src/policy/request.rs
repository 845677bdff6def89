//! What is asked of the policy: who, what, why, and about whose record.

use domain::Stream;
use uuid::Uuid;

use super::Permission;
use crate::actor::Actor;
use crate::context::PurposeOfUse;

/// A question to the policy. It says nothing of who asks it: a command, a read, an export and the command line are
/// answered alike.
///
/// It is made with [`Request::new`], so that what later rules need to know can be added without a change to those who ask
/// nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub(super) actor: &'a Actor,
    pub(super) permission: Permission,
    pub(super) purpose: Option<PurposeOfUse>,
    pub(super) subject: Option<Subject>,
}

/// Whose record is asked about, by what the request names: a stream of the log, which is about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The stream's type: `patient`, `wound`.
    pub stream_type: &'static str,
    /// The stream's id.
    pub stream_id: Uuid,
}

impl Subject {
    /// Whomever this stream is about.
    pub fn of<A: Stream>(stream_id: Uuid) -> Subject {
        Subject { stream_type: A::TYPE, stream_id }
    }
}

impl<'a> Request<'a> {
    /// Whether the actor may do this.
    pub fn new(actor: &'a Actor, permission: Permission) -> Request<'a> {
        Request { actor, permission, purpose: None, subject: None }
    }

    /// The same, for a purpose of use. Without one the purpose is unknown.
    #[must_use]
    pub fn with_purpose(self, purpose: PurposeOfUse) -> Request<'a> {
        Request { purpose: Some(purpose), ..self }
    }

    /// The same, about a person's record. Without one it is about no person's record, or about no single one.
    #[must_use]
    pub fn about(self, subject: impl Into<Option<Subject>>) -> Request<'a> {
        Request { subject: subject.into(), ..self }
    }

    /// Who asks.
    pub fn actor(&self) -> &'a Actor {
        self.actor
    }

    /// What is to be done.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// Why.
    pub fn purpose(&self) -> Option<PurposeOfUse> {
        self.purpose
    }

    /// Whose record it is about.
    pub fn subject(&self) -> Option<Subject> {
        self.subject
    }
}
