//! Recording who looked at what, before it is shown: many looks in one append, none of which is decided on again.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Weak;
use std::time::Duration;

use audit::statement::Digest;
use cqrs_es::Aggregate;
use domain::access::RecordAccess;
use domain::disclosure::{ONE, RecordDisclosure, Repeats};
use domain::{
    Access, AccessCommand, Disclosure, DisclosureCommand, DisclosureError, RefusalKind, Stream,
};
use futures::StreamExt as _;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::append::RetryReason;
use super::attempts::Attempt;
use super::command::counted;
use super::prepare::Prepared;
use super::receipt::Receipt;
use super::spans;
use crate::context::Context;
use crate::error::{CommandError, Unavailable};
use crate::ledger::{Inner, Ledger, Loaded};
use crate::policy::{Grant, Permission};
use crate::random;
use crate::repeats::{Window, Windows};

/// One look at a record, to be recorded before it is answered.
pub type DisclosureEntry = RecordDisclosure;

/// One look at what is no patient's record.
pub type AccessEntry = RecordAccess;

/// The most looks one append may record.
pub const DISCLOSURES_MAX: usize = 500;

/// How often it is asked which counts are to be recorded.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// How many counts are recorded at the same time.
const COUNTS_AT_ONCE: usize = 32;

/// A kind of look: at a record, or at something else.
pub(crate) trait Look: Serialize + Clone + Send + Sync + 'static {
    /// The streams that such looks are recorded in.
    type Stream: Stream<Command: Clone + Send + Sync, Error = DisclosureError> + 'static;

    /// Whose record it is at.
    fn subject(&self) -> Option<Uuid>;

    /// The same look, as one that stands for several.
    fn standing_for(self, count: NonZeroU32, repeats: Repeats) -> Self;

    /// What records it.
    fn command(self) -> <Self::Stream as Aggregate>::Command;

    /// Where looks of this kind are counted that follow one alike.
    fn windows(inner: &Inner) -> &Windows<Self>;
}

impl Look for RecordDisclosure {
    type Stream = Disclosure;

    fn subject(&self) -> Option<Uuid> {
        Some(self.patient_id.as_uuid())
    }

    fn standing_for(self, count: NonZeroU32, repeats: Repeats) -> Self {
        Self { count, repeats: Some(repeats), ..self }
    }

    fn command(self) -> DisclosureCommand {
        DisclosureCommand::Record(self)
    }

    fn windows(inner: &Inner) -> &Windows<Self> {
        &inner.disclosures
    }
}

impl Look for RecordAccess {
    type Stream = Access;

    fn subject(&self) -> Option<Uuid> {
        None
    }

    fn standing_for(self, count: NonZeroU32, repeats: Repeats) -> Self {
        Self { count, repeats: Some(repeats), ..self }
    }

    fn command(self) -> AccessCommand {
        AccessCommand::Record(self)
    }

    fn windows(inner: &Inner) -> &Windows<Self> {
        &inner.accesses
    }
}

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
        let grant = self.may_record(context)?;
        self.append_looks(self.with_ids(entries), context, grant).await
    }

    /// Records looks at records before what was looked at is shown. A look for which an event already stands, because the
    /// same account was shown the same for the same purpose a moment ago, is counted, and the count recorded when that
    /// time is over.
    ///
    /// # Errors
    /// As [`Ledger::disclose`]; [`CommandError::Erased`] if one of the records was erased meanwhile.
    pub async fn record_disclosures(
        &self,
        entries: Vec<DisclosureEntry>,
        context: &Context,
    ) -> Result<(), CommandError> {
        self.record_looks(entries, context).await
    }

    /// Records a look at what is no patient's record, as [`Ledger::record_disclosures`] does.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn record_access(
        &self,
        entry: AccessEntry,
        context: &Context,
    ) -> Result<(), CommandError> {
        self.record_looks(vec![entry], context).await
    }

    /// Records the looks that were counted and whose time is over; all that were counted, if the ledger is about to close.
    pub(crate) async fn record_counted(&self, closing: bool) {
        self.record_counted_of::<RecordDisclosure>(closing).await;
        self.record_counted_of::<RecordAccess>(closing).await;
    }

    /// It is of no one record: a look is recorded whoever it was at, and whatever was decided about the look.
    fn may_record(&self, context: &Context) -> Result<Grant, CommandError> {
        self.inner.policy.decide(&context.asks(Permission::RecordDisclosure)).granted()
    }

    fn with_ids<L>(&self, looks: Vec<L>) -> Vec<(Uuid, L)> {
        let now = self.inner.clock.now();
        looks.into_iter().map(|look| (random::uuid_v7(now), look)).collect()
    }

    async fn record_looks<L: Look>(
        &self,
        looks: Vec<L>,
        context: &Context,
    ) -> Result<(), CommandError> {
        let grant = self.may_record(context)?;
        // In the order of their keys, so that two requests never wait for one another; and each once.
        let mut by_key = BTreeMap::new();
        for look in looks {
            by_key.insert(likeness(context, &grant, &look)?, look);
        }
        let windows = L::windows(&self.inner);
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for (key, look) in by_key {
            // Whoever comes while the first is being recorded waits here.
            let slot = match windows.slot(key) {
                Some(slot) => Some(slot.lock_owned().await),
                None => None,
            };
            let now = self.inner.clock.now();
            match slot {
                Some(slot) if slot.as_ref().is_some_and(|open| open.is_open(now)) => {
                    again.push((slot, look));
                }
                slot => first.push((slot, look)),
            }
        }
        if !again.is_empty() {
            self.may_be_counted(again.iter().filter_map(|(_, look)| look.subject())).await?;
        }

        let until = windows.until(self.inner.clock.now());
        let recorded = self.with_ids(first.iter().map(|(_, look)| look.clone()).collect());
        if !recorded.is_empty() {
            let singly = recorded.iter().zip(&first).map(|((id, look), (slot, _))| {
                let look = look.clone();
                let repeats = Repeats::Until(until);
                (*id, if slot.is_some() { look.standing_for(ONE, repeats) } else { look })
            });
            self.append_looks(singly.collect(), context, grant).await?;
        }
        for ((id, _), (slot, look)) in recorded.into_iter().zip(first) {
            let Some(mut slot) = slot else { continue };
            if let Some(expired) =
                slot.replace(Window::new(id, look, self.inner.clock.now(), until))
            {
                windows.postpone(expired);
            }
        }
        for (mut slot, _) in again {
            if let Some(open) = slot.as_mut() {
                open.count(context);
            }
        }
        Ok(())
    }

    /// Whether looks may be counted rather than recorded at once: what an append would check is checked here.
    async fn may_be_counted(
        &self,
        subjects: impl Iterator<Item = Uuid>,
    ) -> Result<(), CommandError> {
        let subjects: Vec<Uuid> = subjects.collect();
        self.log_is_sound()?;
        if !self.is_open() {
            return Err(Unavailable::Closed.into());
        }
        self.inner.time.admit(&self.inner.pool).await?;
        if subjects.is_empty() {
            return Ok(());
        }
        match self.erased_among(&subjects).await?.is_empty() {
            true => Ok(()),
            false => Err(CommandError::Erased),
        }
    }

    async fn append_looks<L: Look>(
        &self,
        looks: Vec<(Uuid, L)>,
        context: &Context,
        grant: Grant,
    ) -> Result<Receipt, CommandError> {
        let span = spans::executing(L::Stream::TYPE, context);
        let outcome = async {
            if looks.is_empty() || looks.len() > DISCLOSURES_MAX {
                return Err(CommandError::Refused {
                    kind: RefusalKind::Invalid,
                    code: "disclosure-count",
                    field: None,
                    detail: format!("record 1 to {DISCLOSURES_MAX} looks at a time"),
                });
            }
            let entries: Vec<&L> = looks.iter().map(|(_, look)| look).collect();
            let mac = self.request_mac(context, L::Stream::TYPE, None, &entries);
            let subjects: Vec<Uuid> = entries.iter().filter_map(|look| look.subject()).collect();
            let decided = async {
                self.inner.data_keys.prefetch(&subjects).await?;
                let commands = looks.into_iter().map(|(id, look)| (id, look.command())).collect();
                let looks = Looks::<L> { ledger: self, context, commands, grant, mac };
                self.attempt(context, looks).await
            };
            self.once(context, Some(mac), pin!(decided)).await
        }
        .instrument(span.clone())
        .await;
        counted(L::Stream::TYPE, &span, outcome)
    }

    async fn record_counted_of<L: Look>(&self, closing: bool) {
        let windows = L::windows(&self.inner);
        let _recording = windows.recording.lock().await;
        let expired = windows.take_expired(self.inner.clock.now(), closing);
        let each = expired
            .into_iter()
            .filter_map(|expired| expired.counted().map(|counted| (expired, counted)));
        let record = |(expired, (count, context)): (Window<L>, (NonZeroU32, Context))| async move {
            let look = expired.look.clone().standing_for(count, Repeats::Of(expired.first));
            let recorded = async {
                let grant = self.may_record(&context)?;
                self.append_looks(self.with_ids(vec![look]), &context, grant).await
            };
            match recorded.await {
                // With the record went the key that sealed who looked at it.
                Ok(_) | Err(CommandError::Erased) => {}
                Err(CommandError::Unavailable(_) | CommandError::Overloaded) if !closing => {
                    windows.postpone(expired);
                }
                Err(error) => {
                    let error = audit::chain(&error);
                    tracing::error!(error, count, "looks that were counted are not recorded");
                }
            }
        };
        futures::stream::iter(each).for_each_concurrent(COUNTS_AT_ONCE, record).await;
    }
}

/// Records the looks that were counted, each when its time is over.
pub(crate) fn count_looks(ledger: Weak<Inner>, closing: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                () = tokio::time::sleep(COUNT_EVERY) => {}
            }
            let Some(inner) = ledger.upgrade() else { break };
            Ledger { inner }.record_counted(false).await;
        }
    })
}

/// What tells a look from one that is not alike: who, why, by which rule, and at what.
fn likeness(
    context: &Context,
    grant: &Grant,
    look: &impl Serialize,
) -> Result<Digest, CommandError> {
    let actor = context.actor.id;
    let because = grant.because().to_string();
    let alike = serde_json::to_vec(&(actor, context.purpose, because, look));
    let alike = alike.map_err(|error| Unavailable::Seal(Box::new(error)))?;
    Ok(Digest::of(&alike))
}

/// Looks that are recorded together.
struct Looks<'a, L: Look> {
    ledger: &'a Ledger,
    context: &'a Context,
    commands: Vec<(Uuid, <L::Stream as Aggregate>::Command)>,
    grant: Grant,
    mac: [u8; 32],
}

impl<L: Look> Attempt for Looks<'_, L> {
    type Stream = L::Stream;

    async fn prepare(&mut self) -> Result<Option<Prepared<L::Stream>>, CommandError> {
        let Looks { ledger, context, commands, grant, mac } = self;
        let empty = Loaded { aggregate: L::Stream::default(), version: 0 };
        let prepared = ledger.prepare::<L::Stream>(commands, empty, context, grant, *mac).await;
        let mut prepared = prepared?;
        // A look is recorded once and never decided on again.
        prepared.state.clear();
        Ok(Some(prepared))
    }

    fn repeat(&mut self, _why: RetryReason) -> Result<(), CommandError> {
        Ok(())
    }
}
