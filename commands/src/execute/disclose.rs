//! Recording who looked at a record: many looks in one append, none of which is decided on again.

use std::pin::pin;

use cqrs_es::Aggregate as _;
use domain::disclosure::RecordDisclosure;
use domain::{Disclosure, DisclosureCommand, RefusalKind};
use tracing::Instrument as _;
use uuid::Uuid;

use super::append::Again;
use super::attempts::Attempt;
use super::command::counted;
use super::prepare::Prepared;
use super::receipt::Receipt;
use super::spans;
use crate::context::Context;
use crate::error::CommandError;
use crate::ledger::{Ledger, Loaded};
use crate::policy::{Grant, Permission};
use crate::random;

/// One look at a record, to be recorded before it is answered.
pub type DisclosureEntry = RecordDisclosure;

/// The most looks one append may record.
pub const DISCLOSURES_MAX: usize = 500;

impl Ledger {
    /// Records looks at records: one event for each entry, all in one append, under one command id.
    ///
    /// # Errors
    /// See [`CommandError`]; [`CommandError::NotFound`] if one of the patients is not in the ledger.
    pub async fn disclose(
        &self,
        entries: Vec<DisclosureEntry>,
        context: &Context,
    ) -> Result<Receipt, CommandError> {
        let span = spans::executing(Disclosure::TYPE, context);
        let outcome = async {
            // It is of no one record: a look is recorded whoever it was at, and whatever was decided about the look.
            let asked = context.asks(Permission::RecordDisclosure);
            let grant = self.inner.policy.decide(&asked).granted()?;
            if entries.is_empty() || entries.len() > DISCLOSURES_MAX {
                return Err(CommandError::Refused {
                    kind: RefusalKind::Invalid,
                    code: "disclosure-count",
                    field: None,
                    detail: format!("record 1 to {DISCLOSURES_MAX} looks at a time"),
                });
            }
            let mac = self.request_mac(context, Disclosure::TYPE, None, &entries);
            let decided = async {
                let commands = self.looks(entries).await?;
                let looks = Looks { ledger: self, context, commands, grant, mac };
                self.attempt(context, looks).await
            };
            self.once(context, Some(mac), pin!(decided)).await
        }
        .instrument(span.clone())
        .await;
        counted(Disclosure::TYPE, &span, outcome)
    }

    /// Each look as a command on a stream of its own.
    async fn looks(
        &self,
        entries: Vec<DisclosureEntry>,
    ) -> Result<Vec<(Uuid, DisclosureCommand)>, CommandError> {
        let subjects: Vec<Uuid> = entries.iter().map(|entry| entry.patient_id.as_uuid()).collect();
        self.inner.data_keys.prefetch(&subjects).await?;
        let now = self.inner.clock.now();
        let commands = entries
            .into_iter()
            .map(|entry| (random::uuid_v7(now), DisclosureCommand::Record(entry)));
        Ok(commands.collect())
    }
}

/// Looks that are recorded together.
struct Looks<'a> {
    ledger: &'a Ledger,
    context: &'a Context,
    commands: Vec<(Uuid, DisclosureCommand)>,
    grant: Grant,
    mac: [u8; 32],
}

impl Attempt for Looks<'_> {
    type Stream = Disclosure;

    async fn prepare(&mut self) -> Result<Option<Prepared<Disclosure>>, CommandError> {
        let Looks { ledger, context, commands, grant, mac } = self;
        let empty = Loaded { aggregate: Disclosure::default(), version: 0 };
        let prepared = ledger.prepare::<Disclosure>(commands, empty, context, grant, *mac).await;
        let mut prepared = prepared?;
        // A look is recorded once and never decided on again.
        prepared.state.clear();
        Ok(Some(prepared))
    }

    fn repeat(&mut self, _why: Again) -> Result<(), CommandError> {
        Ok(())
    }
}
