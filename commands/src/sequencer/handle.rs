//! The way to the sequencer.

use std::sync::Arc;

use audit::postgres::StoredKeyring;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::state::{Known, Sequencer};
use crate::config::Limits;
use crate::log::{Append, Appended, Published, Queued, Rejection};
use crate::signing::Signing;

/// The way to the sequencer.
#[derive(Debug)]
pub(crate) struct Handle {
    queue: mpsc::Sender<Queued>,
    published: watch::Receiver<Published>,
    closing: CancellationToken,
}

/// The queue did not take the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotQueued {
    Full,
    Closed,
}

impl Handle {
    /// Puts a command into the queue, if there is room.
    pub(crate) fn send(
        &self,
        append: Append,
    ) -> Result<oneshot::Receiver<Result<Appended, Rejection>>, NotQueued> {
        if self.closing.is_cancelled() {
            return Err(NotQueued::Closed);
        }
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Queued { append, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotQueued::Full,
            mpsc::error::TrySendError::Closed(_) => NotQueued::Closed,
        })?;
        Ok(answer)
    }

    /// The last checkpoint.
    pub(crate) fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    /// The checkpoints to come. Ends when the sequencer has ended.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// Whether the sequencer still takes commands.
    pub(crate) fn is_open(&self) -> bool {
        !self.closing.is_cancelled() && !self.queue.is_closed()
    }

    /// Takes no more commands. Those in the queue are still appended.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }
}

/// Starts the sequencer; it ends once it is closed, or every handle is gone, and the queue is empty.
pub(crate) fn start(
    pool: PgPool,
    signing: Arc<Signing>,
    keyring: StoredKeyring,
    published: Published,
    limits: Limits,
    known: Known,
) -> (Handle, JoinHandle<()>) {
    let (queue, waiting) = mpsc::channel(limits.queue_commands);
    let (publish, seen) = watch::channel(published);
    let closing = CancellationToken::new();
    let sequencer = Sequencer::new(waiting, pool, signing, keyring, limits, known, publish);
    let task = tokio::spawn(sequencer.run(closing.clone()));
    (Handle { queue, published: seen, closing }, task)
}
