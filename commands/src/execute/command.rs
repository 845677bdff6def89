//! Executing a command on a stream.

use std::pin::pin;

use domain::Stream;
use serde::Serialize;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::append::RetryReason;
use super::attempts::Attempt;
use super::prepare::Prepared;
use super::receipt::Receipt;
use super::spans;
use crate::context::Context;
use crate::error::CommandError;
use crate::ledger::Ledger;
use crate::policy::{Authorised, Grant, Subject};

impl Ledger {
    /// Executes a command on a stream.
    ///
    /// # Errors
    /// See [`CommandError`]. Nothing of a refused command is left behind, and its id is not used up.
    pub async fn execute<A>(
        &self,
        id: Uuid,
        command: A::Command,
        context: &Context,
    ) -> Result<Receipt, CommandError>
    where
        A: Stream + 'static,
        A::Command: Authorised + Serialize + Clone,
    {
        let span = spans::executing(A::TYPE, context);
        let outcome = async {
            let command = self.authorised::<A>(id, command, context)?;
            let mac = command.mac;
            let decided = async {
                self.may_decide::<A>().await?;
                self.attempt(context, command).await
            };
            self.once(context, Some(mac), pin!(decided)).await
        }
        .instrument(span.clone())
        .await;
        counted(A::TYPE, &span, outcome)
    }

    /// Whether a command would be done as things stand, for what must be ready before it is. Gives back the receipt if it
    /// was done before. Nothing is appended.
    ///
    /// # Errors
    /// As [`Ledger::execute`].
    pub async fn check<A>(
        &self,
        id: Uuid,
        command: A::Command,
        context: &Context,
    ) -> Result<Option<Receipt>, CommandError>
    where
        A: Stream + 'static,
        A::Command: Authorised + Serialize + Clone,
    {
        let mut command = self.authorised::<A>(id, command, context)?;
        if let Some(receipt) = self.done_before(context, command.mac).await? {
            return Ok(Some(receipt));
        }
        self.may_decide::<A>().await?;
        // At most twice: on what is remembered of the stream, and then on what is stored.
        while command.prepare().await?.is_none() {}
        Ok(None)
    }

    /// The command, if the actor may give it.
    fn authorised<'a, A>(
        &'a self,
        id: Uuid,
        command: A::Command,
        context: &'a Context,
    ) -> Result<OnStream<'a, A>, CommandError>
    where
        A: Stream,
        A::Command: Authorised + Serialize,
    {
        let asked = context.asks(command.permission()).about(Subject::of::<A>(id));
        let grant = self.inner.policy.decide(&asked).granted()?;
        let mac = self.request_mac(context, A::TYPE, Some(id), &command);
        Ok(OnStream { ledger: self, context, id, command, grant, mac, is_read: false })
    }
}

/// A command on one stream.
struct OnStream<'a, A: Stream> {
    ledger: &'a Ledger,
    context: &'a Context,
    id: Uuid,
    command: A::Command,
    grant: Grant,
    mac: [u8; 32],
    /// Whether it is decided on what is stored, and not on what is remembered of the stream.
    is_read: bool,
}

impl<A> Attempt for OnStream<'_, A>
where
    A: Stream + 'static,
    A::Command: Clone,
{
    type Stream = A;

    async fn prepare(&mut self) -> Result<Option<Prepared<A>>, CommandError> {
        let OnStream { ledger, context, id, mac, .. } = *self;
        let loaded = match if self.is_read { None } else { ledger.assumed::<A>(id, context) } {
            Some(loaded) => loaded,
            None => {
                self.is_read = true;
                ledger.load_from_log::<A>(id).await?
            }
        };
        if let Some(expected) = context.expected_version
            && expected != loaded.version
        {
            if self.is_read {
                let actual = loaded.version;
                return Err(CommandError::VersionConflict { expected, actual });
            }
            self.is_read = true;
            return Ok(None);
        }
        let commands = [(id, self.command.clone())];
        match ledger.prepare::<A>(&commands, loaded, context, &self.grant, mac).await {
            Ok(prepared) => Ok(Some(prepared)),
            // The cached state may be behind the log: look before saying no.
            Err(_) if !self.is_read => {
                self.is_read = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn repeat(&mut self, why: RetryReason) -> Result<(), CommandError> {
        self.ledger.inner.aggregates.remove(&(A::TYPE, self.id));
        if let (Some(expected), RetryReason::Version { actual }) =
            (self.context.expected_version, why)
            && expected != actual
        {
            return Err(CommandError::VersionConflict { expected, actual });
        }
        self.is_read = true;
        Ok(())
    }
}

/// Counts what became of a command, and says it in its span.
pub(super) fn counted(
    stream_type: &'static str,
    span: &Span,
    outcome: Result<Receipt, CommandError>,
) -> Result<Receipt, CommandError> {
    spans::executed(span, &outcome);
    let code = spans::code(&outcome);
    metrics::counter!("ledger_commands_total", "stream" => stream_type, "outcome" => code)
        .increment(1);
    outcome
}
