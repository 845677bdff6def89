//! The wait for the sequencer, and what its answer means for the command.

use domain::Stream;

use super::prepare::Prepared;
use crate::error::{CommandError, Unavailable};
use crate::failpoints::failpoint;
use crate::ledger::Ledger;
use crate::log::{Appended, Recorded, Rejection};
use crate::sequencer::NotQueued;

/// Result of an append, as the command's loop of attempts reads it.
pub(super) enum AppendOutcome {
    Done(Appended),
    Repeated(Recorded),
    Retry(RetryReason),
}

/// Why a command has to be decided or sealed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryReason {
    /// The stream has another version.
    Version { actual: u64 },
    /// A stream that it relies on has another version.
    Moved,
    /// Another key signs, or seals.
    Keys,
    /// It is older than the last event of the log by more than is borne.
    Time,
}

impl Ledger {
    /// Waits until the sequencer has answered; remembers what became true.
    pub(super) async fn append<A>(
        &self,
        prepared: Prepared<A>,
    ) -> Result<AppendOutcome, CommandError>
    where
        A: Stream + 'static,
    {
        let Prepared { append, state, keys } = prepared;
        let own = append.events.first().map(|event| event.event_id);
        self.log_is_sound()?;
        failpoint!("queue.before");
        let answer = self.inner.sequencer.send(append).map_err(|refused| match refused {
            NotQueued::Full => CommandError::Overloaded,
            NotQueued::Closed => Unavailable::Closed.into(),
        })?;
        failpoint!("queue.after");
        let answer = answer.await.map_err(|_| Unavailable::Closed)?;
        failpoint!("answer.received");
        match answer {
            Ok(appended) => {
                // Another request may have brought the same command and been first: then it is its events
                // that are durable, sealed with its key, and the key made here exists nowhere else.
                if appended.append.events.first().map(|event| event.event_id) != own {
                    return Ok(AppendOutcome::Done(appended));
                }
                for (subject, key) in keys {
                    self.inner.data_keys.remember(subject, key);
                }
                for (id, loaded) in state {
                    let events = appended.append.events.iter();
                    let added = events.filter(|event| event.stream_id == id).count() as u64;
                    self.snapshot_if_due(id, loaded.version.saturating_sub(added), &loaded);
                    self.remember(id, loaded);
                }
                Ok(AppendOutcome::Done(appended))
            }
            Err(Rejection::Repeated(recorded)) => Ok(AppendOutcome::Repeated(recorded)),
            Err(Rejection::Version { actual }) => {
                Ok(AppendOutcome::Retry(RetryReason::Version { actual }))
            }
            Err(Rejection::Moved { stream_type, stream_id }) => {
                self.inner.aggregates.remove(&(stream_type, stream_id));
                Ok(AppendOutcome::Retry(RetryReason::Moved))
            }
            Err(Rejection::KeyExists) => {
                for (subject, key) in keys {
                    self.inner.data_keys.get(subject, key.kind).await?;
                }
                Ok(AppendOutcome::Retry(RetryReason::Keys))
            }
            Err(Rejection::KeyNotActive) => Ok(AppendOutcome::Retry(RetryReason::Keys)),
            Err(Rejection::WrapNotCurrent) => {
                self.inner.key_encryption.learn().await?;
                Ok(AppendOutcome::Retry(RetryReason::Keys))
            }
            Err(Rejection::Stale) => Ok(AppendOutcome::Retry(RetryReason::Time)),
            Err(Rejection::Ahead) => {
                self.inner.time.measure(&self.inner.pool).await?;
                let by = self.inner.time.skew().unwrap_or_default();
                Err(Unavailable::ClockAhead { by }.into())
            }
            Err(Rejection::Erased) => Err(CommandError::Erased),
            Err(Rejection::Reused) => Err(CommandError::CommandIdReused),
            Err(Rejection::CommandDamaged) => Err(Unavailable::CommandDamaged.into()),
            Err(Rejection::IdTaken) => Err(CommandError::id_taken()),
            Err(Rejection::Claims(conflicts)) => Err(CommandError::ClaimConflict { conflicts }),
            Err(Rejection::ClaimsDamaged) => Err(Unavailable::ClaimsDamaged.into()),
            Err(Rejection::Failed(reason)) => Err(Unavailable::Append(reason).into()),
        }
    }
}
