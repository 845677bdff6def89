//! How far a projector is, and how much of that is stored: past events without an effect the checkpoint follows later, so
//! that a busy log does not cost the store a write for each append.

use std::time::Duration;

use tokio::time::Instant;

use crate::event::Reading;

/// The most events that a stored checkpoint may be behind.
const EVENTS: u64 = 1_000;

/// The longest that it may be.
const TIME: Duration = Duration::from_millis(200);

/// How far a projector is.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// The next position to be read.
    pub(super) position: u64,
    /// The checkpoint as it was last stored.
    pub(super) stored: u64,
    /// Whether something since then had an effect.
    effect: bool,
    /// Since when the stored one is behind.
    behind_since: Instant,
    /// How the log is read: with the others, once the projector has come to its end.
    pub(super) reading: Reading,
}

impl Progress {
    /// At a stored checkpoint.
    pub(super) fn at(position: u64) -> Progress {
        let (effect, behind_since) = (false, Instant::now());
        Progress { position, stored: position, effect, behind_since, reading: Reading::Stored }
    }

    /// Notes that everything before `position` was applied, and whether any of it may have had an effect.
    pub(super) fn advance(&mut self, position: u64, effect: bool) {
        if self.is_stored() {
            self.behind_since = Instant::now();
            self.effect = false;
        }
        self.position = position;
        self.effect |= effect;
    }

    /// Whether the stored checkpoint says how far the projector is.
    pub(super) fn is_stored(&self) -> bool {
        self.stored == self.position
    }

    /// Whether it must be stored now: a client may wait for the effect, or it has been behind for long enough.
    pub(super) fn is_due(&self) -> bool {
        let behind = self.position.saturating_sub(self.stored);
        behind > 0 && (self.effect || behind >= EVENTS || self.due_in().is_zero())
    }

    /// How long it may still be behind.
    pub(super) fn due_in(&self) -> Duration {
        TIME.saturating_sub(self.behind_since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_had_an_effect_is_stored_at_once_and_what_had_none_now_and_then() {
        let mut progress = Progress::at(7);
        assert!(progress.is_stored() && !progress.is_due());
        progress.advance(9, false);
        assert!(!progress.is_stored() && !progress.is_due());
        progress.advance(10, true);
        assert!(progress.is_due(), "an effect");
        progress.advance(11, false);
        assert!(progress.is_due(), "the effect is still not stored");

        progress.stored = progress.position;
        assert!(progress.is_stored() && !progress.is_due());
        progress.advance(11 + EVENTS - 1, false);
        assert!(!progress.is_due());
        progress.advance(11 + EVENTS, false);
        assert!(progress.is_due(), "so many events");

        progress.stored = progress.position;
        tokio::time::advance(TIME * 2).await;
        progress.advance(progress.position + 1, false);
        assert_eq!(progress.due_in(), TIME, "counted from the first that is not stored");
        tokio::time::advance(TIME - Duration::from_millis(1)).await;
        assert!(!progress.is_due());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(progress.is_due(), "so long");
    }
}
