//! The two halves of a command, apart: for the benchmark, which asks what each of them costs.

use domain::Stream;
use serde::Serialize;
use uuid::Uuid;

use super::append::AppendOutcome;
use super::prepare::Prepared;
use super::receipt::{self, Receipt};
use crate::context::Context;
use crate::error::{CommandError, Unavailable};
use crate::ledger::{Ledger, Loaded};
use crate::policy::{Authorised, Subject};

/// A command that is decided, encrypted and signed, and not appended yet.
pub struct Sealed<A> {
    prepared: Prepared<A>,
    command_id: Uuid,
    /// The state once it is appended.
    pub then: Loaded<A>,
}

impl Ledger {
    /// Decides and seals a command on a state the caller holds. Appends nothing.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn seal<A>(
        &self,
        id: Uuid,
        command: A::Command,
        loaded: Loaded<A>,
        context: &Context,
    ) -> Result<Sealed<A>, CommandError>
    where
        A: Stream + 'static,
        A::Command: Authorised + Serialize + Clone,
    {
        let asked = context.asks(command.permission()).about(Subject::of::<A>(id));
        let grant = self.inner.policy.decide(&asked).granted()?;
        let mac = self.request_mac(context, A::TYPE, Some(id), &command);
        let prepared = self.prepare::<A>(&[(id, command)], loaded, context, &grant, mac).await?;
        let then = prepared.state.first().map(|(_, loaded)| loaded.clone());
        let then = then.ok_or(CommandError::NotFound { what: A::TYPE })?;
        Ok(Sealed { prepared, command_id: context.command_id, then })
    }

    /// Appends a sealed command.
    ///
    /// # Errors
    /// See [`CommandError`]; also when it would have to be decided again.
    pub async fn append_sealed<A>(&self, sealed: Sealed<A>) -> Result<Receipt, CommandError>
    where
        A: Stream + 'static,
    {
        match self.append(sealed.prepared).await? {
            AppendOutcome::Done(appended) => Ok(receipt::of(sealed.command_id, appended)),
            AppendOutcome::Repeated(_) | AppendOutcome::Retry(_) => {
                Err(Unavailable::Contention { attempts: 1 }.into())
            }
        }
    }
}
