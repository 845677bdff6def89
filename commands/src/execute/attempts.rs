//! The one retry loop: a command is decided, sealed and appended, and all of it again where what it was decided on has moved.

use std::time::Duration;

use domain::Stream;
use tracing::Instrument as _;

use super::append::{AppendOutcome, RetryReason};
use super::prepare::Prepared;
use super::receipt::{self, Receipt};
use super::repeated::key_of;
use super::spans;
use crate::context::Context;
use crate::error::{CommandError, Unavailable};
use crate::ledger::Ledger;

/// How often a command is decided again when its stream changed under it.
const ATTEMPTS_MAX: u32 = 8;

/// The pause after an attempt whose event was too old: the watch reads what others append once a second.
const TIME_PAUSE: Duration = Duration::from_millis(250);

/// What is tried again and again, until it is appended or refused.
pub(super) trait Attempt {
    /// The kind of stream it changes.
    type Stream: Stream + 'static;

    /// Decides and seals; nothing, if it was decided on what is remembered and must be decided on what is stored.
    async fn prepare(&mut self) -> Result<Option<Prepared<Self::Stream>>, CommandError>;

    /// Hears why it has to be decided again, and may refuse to.
    fn repeat(&mut self, why: RetryReason) -> Result<(), CommandError>;
}

impl Ledger {
    /// Decides and appends a command, as often as it takes.
    pub(super) async fn attempt<T: Attempt>(
        &self,
        context: &Context,
        mut command: T,
    ) -> Result<Receipt, CommandError> {
        let mut last = None;
        for _ in 0..ATTEMPTS_MAX {
            let Some(prepared) = command.prepare().await? else { continue };
            let span = spans::appending(context, &prepared.append);
            let answer = self.append(prepared).instrument(span.clone()).await;
            spans::appended(&span, &answer);
            match answer? {
                AppendOutcome::Done(appended) => {
                    return Ok(receipt::of(context.command_id, appended));
                }
                AppendOutcome::Repeated(recorded) => {
                    return self.replay(key_of(context), recorded).await;
                }
                AppendOutcome::Retry(why) => {
                    command.repeat(why)?;
                    last = Some(why);
                    if why == RetryReason::Time {
                        tokio::time::sleep(TIME_PAUSE).await;
                    }
                }
            }
        }
        Err(given_up(last).into())
    }
}

/// What to say when there were too many attempts.
fn given_up(last: Option<RetryReason>) -> Unavailable {
    let attempts = ATTEMPTS_MAX;
    match last {
        Some(RetryReason::Time) => Unavailable::LogAhead { attempts },
        Some(RetryReason::Keys) => Unavailable::KeysMoving { attempts },
        Some(RetryReason::Version { .. } | RetryReason::Moved) | None => {
            Unavailable::Contention { attempts }
        }
    }
}
