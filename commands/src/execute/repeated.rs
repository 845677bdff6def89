//! What was done before: asked before anything is decided, and when something is refused. The log decides; the table
//! only tells where to look, and is believed only under its tags.

use domain::RefusalKind;
use std::future::Future;

use serde::Serialize;
use uuid::Uuid;

use super::receipt::{self, Receipt};
use crate::context::Context;
use crate::error::{CommandError, Unavailable};
use crate::ledger::{Inner, Ledger};
use crate::log::{CommandKey, Recorded};
use crate::recorded::{Found, damaged, find};

/// What is on record of a command.
pub(super) enum OnRecord {
    Nothing,
    /// A row that is believed.
    Row(Recorded),
    /// The log holds its events, from here on; the row is missing or is not believed.
    Log {
        first: u64,
    },
    /// There is a row that is not believed, and the log is not known to hold such a command.
    Damaged,
}

/// A command's key: whose it is, and its id.
pub(super) fn key_of(context: &Context) -> CommandKey {
    CommandKey { actor: context.actor.id.as_uuid(), id: context.command_id }
}

impl Ledger {
    /// Executes a command once: where it was done before, the answer is its receipt. That is asked before anything is
    /// decided, and again when it is refused, because a refusal may only mean that it was done meanwhile.
    ///
    /// Without a MAC there is no request to compare with: whatever was done under the id counts.
    pub(super) async fn once(
        &self,
        context: &Context,
        mac: Option<[u8; 32]>,
        decided: impl Future<Output = Result<Receipt, CommandError>>,
    ) -> Result<Receipt, CommandError> {
        if let Some(receipt) = self.admit(context, mac).await? {
            return Ok(receipt);
        }
        let error = match decided.await {
            Err(
                error @ (CommandError::Refused { .. }
                | CommandError::VersionConflict { .. }
                | CommandError::ClaimConflict { .. }
                | CommandError::NotFound { .. }
                | CommandError::Erased),
            ) => error,
            other => return other,
        };
        self.repeated(key_of(context), mac).await?.ok_or(error)
    }

    /// The receipt of a command, if it was done before.
    pub(super) async fn done_before(
        &self,
        context: &Context,
        mac: [u8; 32],
    ) -> Result<Option<Receipt>, CommandError> {
        match self.admit(context, Some(mac)).await? {
            Some(receipt) => Ok(Some(receipt)),
            None => self.repeated(key_of(context), Some(mac)).await,
        }
    }

    /// What is asked of every command before anything is decided: an id that is not kept for others, and a clock that
    /// is right. Gives back the receipt if the log is known to hold the command already, whatever became of its row.
    async fn admit(
        &self,
        context: &Context,
        mac: Option<[u8; 32]>,
    ) -> Result<Option<Receipt>, CommandError> {
        if self.is_reserved(context.command_id) {
            return Err(reserved("Idempotency-Key"));
        }
        self.inner.time.admit(&self.inner.pool).await?;
        let key = key_of(context);
        if self.inner.watch.command_seen(key.actor, key.id).is_none() {
            return Ok(None);
        }
        self.repeated(key, mac).await
    }

    /// Whether nothing may be called so: nil, max, the system's own ids, and that of the log's own stream.
    pub(super) fn is_reserved(&self, id: Uuid) -> bool {
        domain::ids::is_reserved(id) || id == self.inner.own_stream
    }

    /// The receipt of a command that is on record; none if there is no such command. What tells the request from
    /// another is the row alone: where that is not believed, it cannot be said whether this is the command that was done.
    async fn repeated(
        &self,
        key: CommandKey,
        mac: Option<[u8; 32]>,
    ) -> Result<Option<Receipt>, CommandError> {
        match self.on_record(key).await? {
            OnRecord::Nothing => Ok(None),
            OnRecord::Row(recorded) if mac.is_none_or(|mac| mac == recorded.request_mac) => {
                self.replay(key, recorded).await.map(Some)
            }
            OnRecord::Row(_) => Err(CommandError::CommandIdReused),
            OnRecord::Log { .. } | OnRecord::Damaged => Err(Unavailable::CommandDamaged.into()),
        }
    }

    pub(super) async fn on_record(&self, key: CommandKey) -> Result<OnRecord, CommandError> {
        let Inner { pool, watch, commands, .. } = &*self.inner;
        let found = find(pool, commands, key).await?;
        if let Found::Row(recorded) = found {
            return Ok(OnRecord::Row(recorded));
        }
        Ok(match (watch.command_seen(key.actor, key.id), found) {
            (Some(first), _) => {
                damaged(key, if found == Found::Nothing { "missing" } else { "row" });
                OnRecord::Log { first }
            }
            (None, Found::Damaged) => {
                damaged(key, "row");
                OnRecord::Damaged
            }
            (None, _) => OnRecord::Nothing,
        })
    }

    pub(super) async fn replay(
        &self,
        key: CommandKey,
        recorded: Recorded,
    ) -> Result<Receipt, CommandError> {
        let Inner { pool, watch, .. } = &*self.inner;
        let receipt = receipt::replay(pool, watch.reader(), key, recorded).await;
        receipt.inspect_err(|error| self.suspect(error))
    }

    /// What tells the same command from another under the same id. Keyed, because a plain hash of a
    /// short command could be guessed.
    pub(super) fn request_mac(
        &self,
        context: &Context,
        stream_type: &str,
        id: Option<Uuid>,
        command: &impl Serialize,
    ) -> [u8; 32] {
        // A command that does not serialise cannot be sealed either, and is refused there.
        let json = serde_json::to_vec(command).unwrap_or_default();
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        self.inner.keys.index(&[
            b"request",
            context.actor.id.as_uuid().as_bytes(),
            stream_type.as_bytes(),
            id.as_bytes(),
            &json,
        ])
    }
}

/// The refusal of an id that nothing may be called by.
pub(super) fn reserved(field: &'static str) -> CommandError {
    CommandError::Refused {
        kind: RefusalKind::Invalid,
        code: "reserved-id",
        field: Some(field),
        detail: "this id is kept for the system, or means none or all: take another".to_owned(),
    }
}
