//! A brake on guessing passwords: each failure makes the next try wait longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// After this long without a failure, all is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(900);
/// Keys held at most; beyond it the oldest go first.
const MAX_KEYS: usize = 20_000;

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    last: Instant,
}

impl Entry {
    /// The earliest moment of the next try, when the first `free` failures cost nothing.
    fn next_try(&self, free: u32) -> Instant {
        if self.failures < free {
            return self.last;
        }
        let doublings = (self.failures - free).min(16);
        self.last + FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
    }
}

/// Counts failed log-ins by key: a log-in name's digest, or an address.
#[derive(Clone)]
pub struct Throttle {
    free: u32,
    entries: Arc<Mutex<HashMap<[u8; 32], Entry>>>,
}

impl Throttle {
    /// A brake that lets `free` failures pass without a wait: people mistype.
    #[must_use]
    pub fn new(free: u32) -> Self {
        Self { free, entries: Arc::default() }
    }

    /// Counts this try as failed before the password is looked at, so that a crowd of simultaneous
    /// tries cannot all slip through; `succeeded` takes it back.
    ///
    /// # Errors
    ///
    /// How long to wait, when it is too early for another try. A refused try is not counted.
    pub fn attempt(&self, key: [u8; 32], now: Instant) -> Result<(), Duration> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_KEYS && !entries.contains_key(&key) {
            make_room(&mut entries, now);
        }
        let entry = entries.entry(key).or_insert(Entry { failures: 0, last: now });
        if now.saturating_duration_since(entry.last) > FORGET_AFTER {
            entry.failures = 0;
        }
        let wait = entry.next_try(self.free).saturating_duration_since(now);
        if !wait.is_zero() {
            return Err(wait);
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
        Ok(())
    }

    /// A try that was counted as failed and then not made.
    pub fn withdraw(&self, key: &[u8; 32]) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(key) {
            entry.failures = entry.failures.saturating_sub(1);
        }
    }

    /// The key got in: nothing is held against it.
    pub fn succeeded(&self, key: &[u8; 32]) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

fn make_room(entries: &mut HashMap<[u8; 32], Entry>, now: Instant) {
    entries.retain(|_, entry| now.saturating_duration_since(entry.last) <= FORGET_AFTER);
    if entries.len() >= MAX_KEYS {
        let mut times: Vec<Instant> = entries.values().map(|entry| entry.last).collect();
        times.sort_unstable();
        let cut = times[times.len() / 10];
        entries.retain(|_, entry| entry.last > cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: u32 = 5;

    #[test]
    fn waiting_grows_and_success_forgives() {
        let throttle = Throttle::new(FREE);
        let key = [1; 32];
        let mut now = Instant::now();
        for _ in 0..FREE {
            assert_eq!(throttle.attempt(key, now), Ok(()));
        }
        let mut waits = Vec::new();
        for _ in 0..4 {
            let wait = throttle.attempt(key, now).expect_err("too early");
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(throttle.attempt(key, now), Ok(()));
        }
        assert_eq!(waits, [1, 2, 4, 8]);
        throttle.succeeded(&key);
        assert_eq!(throttle.attempt(key, now), Ok(()));
    }

    #[test]
    fn a_try_that_was_not_made_is_not_held_against_anybody() {
        let throttle = Throttle::new(FREE);
        let now = Instant::now();
        for _ in 0..10 * FREE {
            assert_eq!(throttle.attempt([1; 32], now), Ok(()));
            throttle.withdraw(&[1; 32]);
        }
    }

    #[test]
    fn keys_are_apart_old_failures_fade_and_the_table_is_bounded() {
        let throttle = Throttle::new(FREE);
        let now = Instant::now();
        for _ in 0..FREE {
            assert_eq!(throttle.attempt([1; 32], now), Ok(()));
        }
        assert!(throttle.attempt([1; 32], now).is_err());
        assert_eq!(throttle.attempt([2; 32], now), Ok(()));
        let later = now + FORGET_AFTER + Duration::from_secs(1);
        assert_eq!(throttle.attempt([1; 32], later), Ok(()));

        for number in 0..u32::try_from(MAX_KEYS + 100).expect("fits") {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_le_bytes());
            let moment = later + Duration::from_micros(number.into());
            throttle.attempt(key, moment).expect("a first try");
        }
        assert!(throttle.entries.lock().expect("lock").len() <= MAX_KEYS);
    }
}
