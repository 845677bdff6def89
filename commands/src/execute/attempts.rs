//! How often a command is decided again, and what is said when that was too often.

use std::time::Duration;

use super::append::Again;
use crate::error::Unavailable;

/// How often a command is decided again when its stream changed under it.
pub(super) const ATTEMPTS_MAX: u32 = 8;

/// The pause after an attempt whose event was too old: the watch reads what others append once a second.
const TIME_PAUSE: Duration = Duration::from_millis(250);

/// Why a command was decided again and again.
#[derive(Default)]
pub(super) struct Tries {
    last: Option<Again>,
}

impl Tries {
    /// Takes note of an attempt that has to be repeated, and waits where that helps.
    pub(super) async fn failed(&mut self, why: Again) {
        self.last = Some(why);
        if matches!(why, Again::Time) {
            tokio::time::sleep(TIME_PAUSE).await;
        }
    }

    /// What to say when there were too many.
    pub(super) fn given_up(self) -> Unavailable {
        let attempts = ATTEMPTS_MAX;
        match self.last {
            Some(Again::Time) => Unavailable::LogAhead { attempts },
            Some(Again::Keys) => Unavailable::KeysMoving { attempts },
            Some(Again::Version { .. }) | None => Unavailable::Contention { attempts },
        }
    }
}
