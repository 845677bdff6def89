//! Who has logged in from where: so that guessing at a name from elsewhere locks no user out at their own desk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a log-in is remembered.
const REMEMBERED: Duration = Duration::from_secs(14 * 24 * 3600);
/// Pairs of name and address remembered at most; beyond it the oldest go first.
const MAX_PAIRS: usize = 20_000;

/// Digests of names and the addresses they have logged in from.
#[derive(Clone, Default)]
pub struct KnownLogIns(Arc<Mutex<HashMap<[u8; 32], Instant>>>);

impl KnownLogIns {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this pair has logged in lately.
    #[must_use]
    pub fn contains(&self, pair: &[u8; 32], now: Instant) -> bool {
        let at = self.lock().get(pair).copied();
        at.is_some_and(|at| now.saturating_duration_since(at) <= REMEMBERED)
    }

    /// The pair has logged in.
    pub fn remember(&self, pair: [u8; 32], now: Instant) {
        let mut pairs = self.lock();
        if pairs.len() >= MAX_PAIRS && !pairs.contains_key(&pair) {
            let mut times: Vec<Instant> = pairs.values().copied().collect();
            times.sort_unstable();
            let cut = times[times.len() / 10];
            pairs.retain(|_, at| *at > cut);
        }
        pairs.insert(pair, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_is_remembered_for_two_weeks_and_the_table_is_bounded() {
        let known = KnownLogIns::default();
        let now = Instant::now();
        assert!(!known.contains(&[1; 32], now));
        known.remember([1; 32], now);
        assert!(known.contains(&[1; 32], now + REMEMBERED));
        assert!(!known.contains(&[1; 32], now + REMEMBERED + Duration::from_secs(1)));
        for number in 0..u32::try_from(MAX_PAIRS + 10).expect("fits") {
            let mut pair = [2; 32];
            pair[..4].copy_from_slice(&number.to_le_bytes());
            known.remember(pair, now + Duration::from_micros(number.into()));
        }
        assert!(known.lock().len() <= MAX_PAIRS);
    }
}
