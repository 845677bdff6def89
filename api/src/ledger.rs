//! What the HTTP handlers may ask of the ledger: commands, proofs and its state. What a record of a patient says
//! only [`Records`](crate::records::Records) shows, so none can be loaded here:
//!
//! ```compile_fail
//! async fn around(state: &api::state::AppState, id: uuid::Uuid) {
//!     let _ = state.ledger.load::<domain::Patient>(id).await;
//! }
//! ```

use audit::postgres::{LogHealth, LogReader};
use commands::policy::{Authorised, Policy};
use commands::{Actor, CommandError, Context, Ledger, Loaded, Receipt};
use domain::account::{LOGIN_CLAIM, LoginName};
use domain::{Account, AccountId, ModelRegistry, Stream};
use serde::Serialize;
use uuid::Uuid;

/// The ledger, as handlers see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiLedger(Ledger);

impl ApiLedger {
    /// What handlers may ask of this ledger.
    #[must_use]
    pub fn new(ledger: Ledger) -> ApiLedger {
        ApiLedger(ledger)
    }

    /// As [`Ledger::execute`].
    ///
    /// # Errors
    /// As there.
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
        self.0.execute::<A>(id, command, context).await
    }

    /// As [`Ledger::check`].
    ///
    /// # Errors
    /// As there.
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
        self.0.check::<A>(id, command, context).await
    }

    /// An account, which is no patient's record.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn account(&self, id: AccountId) -> Result<Option<Loaded<Account>>, CommandError> {
        self.0.load::<Account>(id.as_uuid()).await
    }

    /// The account with a log-in name.
    ///
    /// # Errors
    /// When it cannot be told who has the name, or the log cannot be read.
    pub async fn account_named(
        &self,
        login: &LoginName,
    ) -> Result<Option<(AccountId, Account)>, CommandError> {
        let Some(id) = self.0.holder(LOGIN_CLAIM, login.as_str()).await? else {
            return Ok(None);
        };
        let loaded = self.0.load::<Account>(id).await?;
        Ok(loaded.map(|loaded| (AccountId::from_uuid(id), loaded.aggregate)))
    }

    /// The models that measure wounds, which are about no person.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn models(&self) -> Result<Loaded<ModelRegistry>, CommandError> {
        let loaded = self.0.load::<ModelRegistry>(ModelRegistry::ID).await?;
        Ok(loaded.unwrap_or_else(|| Loaded { aggregate: ModelRegistry::default(), version: 0 }))
    }

    /// As [`Ledger::receipt`].
    ///
    /// # Errors
    /// As there.
    pub async fn receipt(
        &self,
        command_id: Uuid,
        actor: &Actor,
    ) -> Result<Option<Receipt>, CommandError> {
        self.0.receipt(command_id, actor).await
    }

    /// As [`Ledger::receipt_of`].
    ///
    /// # Errors
    /// As there.
    pub async fn receipt_of(
        &self,
        command_id: Uuid,
        of: Uuid,
        actor: &Actor,
    ) -> Result<Option<Receipt>, CommandError> {
        self.0.receipt_of(command_id, of, actor).await
    }

    /// As [`Ledger::checkpoint`].
    ///
    /// # Errors
    /// As there.
    pub async fn checkpoint(&self) -> Result<String, CommandError> {
        self.0.checkpoint().await
    }

    /// Proofs and tiles of the log, whose payloads are sealed.
    #[must_use]
    pub fn reader(&self) -> &LogReader {
        self.0.watch().reader()
    }

    /// Who may do what.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.0.policy()
    }

    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.origin()
    }

    /// As [`Ledger::new_id`].
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        self.0.new_id()
    }

    /// As [`Ledger::derived_id`].
    #[must_use]
    pub fn derived_id(&self, kind: &str, source: &str) -> Uuid {
        self.0.derived_id(kind, source)
    }

    /// The size of the log when this process last appended to it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// Whether commands are still taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Whether the log is what was signed, as far as this process has read it.
    #[must_use]
    pub fn log_health(&self) -> LogHealth {
        self.0.log_health()
    }

    /// As [`Ledger::clock_fault`].
    #[must_use]
    pub fn clock_fault(&self) -> Option<&'static str> {
        self.0.clock_fault()
    }

    /// Whether the last event is ahead of the clock by more than clocks may differ.
    #[must_use]
    pub fn is_last_event_ahead(&self) -> bool {
        self.0.last_event_ahead().is_some()
    }
}
