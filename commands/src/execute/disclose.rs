//! Recording who looked at a record: many looks in one append, none of which is decided on again.

use cqrs_es::Aggregate as _;
use domain::account::Role;
use domain::disclosure::RecordDisclosure;
use domain::{Disclosure, DisclosureCommand};
use uuid::Uuid;

use super::append::Answer;
use super::attempts::{ATTEMPTS_MAX, Tries};
use super::command::counted;
use super::receipt::{self, Receipt};
use super::repeated::key_of;
use crate::context::Context;
use crate::error::CommandError;
use crate::ledger::{Ledger, Loaded};
use crate::policy::{Permission, authorise};
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
        let outcome = async {
            let role = authorise(&context.actor, Permission::RecordDisclosure)?;
            if entries.is_empty() || entries.len() > DISCLOSURES_MAX {
                return Err(CommandError::Refused {
                    code: "disclosure-count",
                    field: None,
                    detail: format!("record 1 to {DISCLOSURES_MAX} looks at a time"),
                });
            }
            let mac = self.request_mac(context, Disclosure::TYPE, None, &entries);
            if let Some(receipt) = self.admit(context, Some(mac)).await? {
                return Ok(receipt);
            }
            let decided = self.disclose_authorised(entries, context, role, mac).await;
            self.or_repeated(decided, context, mac).await
        }
        .await;
        counted(Disclosure::TYPE, outcome)
    }

    async fn disclose_authorised(
        &self,
        entries: Vec<DisclosureEntry>,
        context: &Context,
        role: Role,
        mac: [u8; 32],
    ) -> Result<Receipt, CommandError> {
        let subjects: Vec<Uuid> = entries.iter().map(|entry| entry.patient_id.as_uuid()).collect();
        self.inner.data_keys.prefetch(&subjects).await?;
        let now = self.inner.clock.now();
        let commands: Vec<_> = entries
            .into_iter()
            .map(|entry| (random::uuid_v7(now), DisclosureCommand::Record(entry)))
            .collect();
        let mut tries = Tries::default();
        for _ in 0..ATTEMPTS_MAX {
            let empty = Loaded { aggregate: Disclosure::default(), version: 0 };
            let mut prepared =
                self.prepare::<Disclosure>(&commands, empty, context, role, mac).await?;
            // A look is recorded once and never decided on again.
            prepared.state.clear();
            match self.append(prepared).await? {
                Answer::Done(appended) => return Ok(receipt::of(context.command_id, appended)),
                Answer::Repeated(recorded) => {
                    return self.replay(key_of(context), recorded).await;
                }
                Answer::Again(why) => tries.failed(why).await,
            }
        }
        Err(tries.given_up().into())
    }
}
