//! Executing a command on a stream.

use domain::Stream;
use domain::account::Role;
use serde::Serialize;
use uuid::Uuid;

use super::append::{Again, Answer};
use super::attempts::{ATTEMPTS_MAX, Tries};
use super::receipt::{self, Receipt};
use super::repeated::key_of;
use crate::context::Context;
use crate::error::CommandError;
use crate::ledger::Ledger;
use crate::policy::{Authorised, authorise};

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
        let outcome = async {
            let role = authorise(&context.actor, command.permission())?;
            let mac = self.request_mac(context, A::TYPE, Some(id), &command);
            if let Some(receipt) = self.admit(context, Some(mac)).await? {
                return Ok(receipt);
            }
            let decided = self.execute_authorised::<A>(id, command, context, role, mac).await;
            self.or_repeated(decided, context, mac).await
        }
        .await;
        counted(A::TYPE, outcome)
    }

    async fn execute_authorised<A>(
        &self,
        id: Uuid,
        command: A::Command,
        context: &Context,
        role: Role,
        mac: [u8; 32],
    ) -> Result<Receipt, CommandError>
    where
        A: Stream + 'static,
        A::Command: Clone,
    {
        self.may_decide::<A>().await?;
        let mut fresh = false;
        let mut tries = Tries::default();
        for _ in 0..ATTEMPTS_MAX {
            let loaded = match if fresh { None } else { self.assumed::<A>(id, context) } {
                Some(loaded) => loaded,
                None => {
                    fresh = true;
                    self.load_from_log::<A>(id).await?
                }
            };
            if let Some(expected) = context.expected_version
                && expected != loaded.version
            {
                if fresh {
                    let actual = loaded.version;
                    return Err(CommandError::VersionConflict { expected, actual });
                }
                fresh = true;
                continue;
            }
            let prepared =
                match self.prepare::<A>(&[(id, command.clone())], loaded, context, role, mac).await
                {
                    Ok(prepared) => prepared,
                    // The cached state may be behind the log: look before saying no.
                    Err(_) if !fresh => {
                        fresh = true;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
            match self.append(prepared).await? {
                Answer::Done(appended) => return Ok(receipt::of(context.command_id, appended)),
                Answer::Repeated(recorded) => {
                    return self.replay(key_of(context), recorded).await;
                }
                Answer::Again(why) => {
                    self.inner.aggregates.remove(&(A::TYPE, id));
                    if let (Some(expected), Again::Version { actual }) =
                        (context.expected_version, why)
                        && expected != actual
                    {
                        return Err(CommandError::VersionConflict { expected, actual });
                    }
                    fresh = true;
                    tries.failed(why).await;
                }
            }
        }
        Err(tries.given_up().into())
    }
}

/// Counts what became of a command.
pub(super) fn counted(
    stream_type: &'static str,
    outcome: Result<Receipt, CommandError>,
) -> Result<Receipt, CommandError> {
    let code = match &outcome {
        Ok(receipt) if receipt.replayed => "replayed",
        Ok(_) => "done",
        Err(error) => error.code(),
    };
    metrics::counter!("ledger_commands_total", "stream" => stream_type, "outcome" => code)
        .increment(1);
    outcome
}
