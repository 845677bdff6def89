//! The receipts of commands that were done, for those who may ask for them.

use domain::RefusalKind;
use uuid::Uuid;

use super::receipt::{self, Receipt};
use super::repeated::OnRecord;
use crate::actor::Actor;
use crate::error::{CommandError, Unavailable};
use crate::ledger::{Inner, Ledger};
use crate::log::CommandKey;
use crate::policy::{Permission, Request};
use crate::recorded::find_all;

impl Ledger {
    /// The receipt of a command that was done: one's own, or, for those who may read the log, that of the actor who gave a
    /// command this id. Several may have.
    ///
    /// # Errors
    /// When the database fails, or the id alone does not say whose command is meant: then `receipt_of` does.
    pub async fn receipt(
        &self,
        command_id: Uuid,
        actor: &Actor,
    ) -> Result<Option<Receipt>, CommandError> {
        let own = CommandKey { actor: actor.id.as_uuid(), id: command_id };
        if let Some(receipt) = self.proof(own).await? {
            return Ok(Some(receipt));
        }
        // An actor who may not see it may not learn that it exists either.
        if !self.may_read_log(actor) {
            return Ok(None);
        }
        let found = find_all(&self.inner.pool, &self.inner.commands, command_id).await?;
        let mut receipts = Vec::new();
        for (key, _) in found {
            receipts.extend(self.proof(key).await?);
        }
        if receipts.len() > 1 {
            return Err(CommandError::Refused {
                kind: RefusalKind::Conflict,
                code: "ambiguous-command-id",
                field: None,
                detail:
                    "several actors gave a command this id: say whose with the parameter `actor`"
                        .to_owned(),
            });
        }
        Ok(receipts.pop())
    }

    /// The receipt of this actor's command, for the actor and those who may read the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn receipt_of(
        &self,
        command_id: Uuid,
        of: Uuid,
        actor: &Actor,
    ) -> Result<Option<Receipt>, CommandError> {
        if actor.id.as_uuid() != of && !self.may_read_log(actor) {
            return Ok(None);
        }
        self.proof(CommandKey { actor: of, id: command_id }).await
    }

    /// Whether the actor may see what others did.
    fn may_read_log(&self, actor: &Actor) -> bool {
        self.inner.policy.decide(&Request::new(actor, Permission::ReadLog)).is_allowed()
    }

    /// The receipt of a command, from its row or, where that is missing or not believed, from the log.
    async fn proof(&self, key: CommandKey) -> Result<Option<Receipt>, CommandError> {
        match self.on_record(key).await? {
            OnRecord::Nothing => Ok(None),
            OnRecord::Row(recorded) => self.replay(key, recorded).await.map(Some),
            OnRecord::Log { first } => {
                let Inner { pool, watch, .. } = &*self.inner;
                let receipt = receipt::from_the_log(pool, watch.reader(), key, first).await;
                receipt.inspect_err(|error| self.suspect(error)).map(Some)
            }
            // The log was read to its end, and holds no such command: the row was forged.
            OnRecord::Damaged if self.inner.watch.has_read_all() => Ok(None),
            OnRecord::Damaged => Err(Unavailable::CommandDamaged.into()),
        }
    }
}
