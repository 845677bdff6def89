//! Looks alike within a short time, which one event stands for
//! ([ADR 55](../../docs/adr/0055-every-look-is-recorded.md)).
//!
//! The first is recorded as any other and says until when more of them may follow. Those are counted here, and recorded as
//! one event when that time is over. A process that is killed loses the count, never that there was a look, nor until when.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit::statement::Digest;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::context::Context;
use crate::random;

/// How many looks may be open at a time. Beyond that, looks are recorded one by one.
const OPEN_MAX: usize = 4_096;

/// How many counts may wait to be recorded, should the log not take them.
const WAITING_MAX: usize = 4_096;

/// The slot of looks alike: empty until the first of them is recorded.
pub(crate) type Slot<L> = Arc<tokio::sync::Mutex<Option<Window<L>>>>;

/// A look that is recorded, with those that followed.
#[derive(Debug)]
pub(crate) struct Window<L> {
    /// The stream of the event that stands for it.
    pub(crate) first: Uuid,
    pub(crate) look: L,
    since: Timestamp,
    until: Timestamp,
    followed: u32,
    last: Option<Context>,
}

impl<L> Window<L> {
    /// A look that was just recorded.
    pub(crate) fn new(first: Uuid, look: L, since: Timestamp, until: Timestamp) -> Window<L> {
        Window { first, look, since, until, followed: 0, last: None }
    }

    /// Whether a look alike is counted now. Not by a clock that was set back.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.since <= now && now < self.until && self.followed < u32::MAX
    }

    /// Counts a look that follows.
    pub(crate) fn count(&mut self, context: &Context) {
        self.followed += 1;
        self.last = Some(context.clone());
        metrics::counter!("ledger_looks_counted_total").increment(1);
    }

    /// How many followed, and in whose name their number is recorded; nothing, if none did.
    pub(crate) fn counted(&self) -> Option<(NonZeroU32, Context)> {
        let context = self.last.clone()?;
        let command_id = random::uuid_v7(self.until);
        Some((NonZeroU32::new(self.followed)?, context.with_command_id(command_id)))
    }
}

/// The looks of one kind that may be followed by others alike.
pub(crate) struct Windows<L> {
    within: SignedDuration,
    slots: Mutex<HashMap<Digest, Slot<L>>>,
    /// Whose time is over, and whose count is not recorded yet.
    waiting: Mutex<Vec<Window<L>>>,
    /// Held while counts are recorded: they are taken out of the fields above first, and a ledger that closes waits for them.
    pub(crate) recording: tokio::sync::Mutex<()>,
}

impl<L> Windows<L> {
    /// Looks that follow within this time are counted; none are, if it is zero.
    pub(crate) fn new(within: SignedDuration) -> Windows<L> {
        let recording = tokio::sync::Mutex::default();
        Windows { within, slots: Mutex::default(), waiting: Mutex::default(), recording }
    }

    /// Until when looks are counted that follow one of now.
    pub(crate) fn until(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.within).unwrap_or(now)
    }

    /// The slot of looks with this key; none, if each is recorded by itself.
    pub(crate) fn slot(&self, key: Digest) -> Option<Slot<L>> {
        if self.within.is_zero() {
            return None;
        }
        let mut slots = lock(&self.slots);
        if slots.len() >= OPEN_MAX && !slots.contains_key(&key) {
            return None;
        }
        Some(Arc::clone(slots.entry(key).or_default()))
    }

    /// Keeps a look whose time is over until its count is recorded.
    pub(crate) fn postpone(&self, expired: Window<L>) {
        if expired.followed == 0 {
            return;
        }
        let mut waiting = lock(&self.waiting);
        if waiting.len() < WAITING_MAX {
            waiting.push(expired);
        } else {
            tracing::error!(count = expired.followed, "looks that were counted are not recorded");
        }
    }

    /// Takes the looks whose time is over, all of them if the ledger is closing.
    pub(crate) fn take_expired(&self, now: Timestamp, closing: bool) -> Vec<Window<L>> {
        let mut expired = std::mem::take(&mut *lock(&self.waiting));
        lock(&self.slots).retain(|_, slot| {
            // Only here is a slot handed out, so one that nobody holds now stays unheld while it goes.
            let Ok(mut window) = slot.try_lock() else { return true };
            if window.as_ref().is_some_and(|window| !closing && window.is_open(now)) {
                return true;
            }
            expired.extend(window.take());
            drop(window);
            Arc::strong_count(slot) > 1
        });
        expired
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, PurposeOfUse};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    fn key(of: &str) -> Digest {
        Digest::of(of.as_bytes())
    }

    fn context() -> Context {
        Context::new(Actor::worker(), PurposeOfUse::Treat)
    }

    fn opened(windows: &Windows<&'static str>, of: &'static str, now: Timestamp) {
        let slot = windows.slot(key(of)).expect("a slot");
        let mut slot = slot.try_lock().expect("free");
        *slot = Some(Window::new(Uuid::nil(), of, now, windows.until(now)));
    }

    fn follow(windows: &Windows<&'static str>, of: &'static str, now: Timestamp) -> bool {
        let slot = windows.slot(key(of)).expect("a slot");
        let mut slot = slot.try_lock().expect("free");
        let Some(open) = slot.as_mut().filter(|open| open.is_open(now)) else { return false };
        open.count(&context());
        true
    }

    #[test]
    fn what_follows_is_counted_until_the_time_is_over() {
        let windows = Windows::new(SignedDuration::from_secs(10));
        opened(&windows, "a", at(100));
        opened(&windows, "b", at(105));
        for second in [100, 104, 109] {
            assert!(follow(&windows, "a", at(second)));
        }
        assert!(!follow(&windows, "a", at(110)), "the time is over");
        assert!(!follow(&windows, "a", at(99)), "the clock was set back");
        assert!(windows.take_expired(at(109), false).is_empty());
        let expired = windows.take_expired(at(110), false);
        let [expired] = &expired[..] else { panic!("one is expired: {expired:?}") };
        let (count, _) = expired.counted().expect("some followed");
        assert_eq!((expired.look, count.get()), ("a", 3));
        let rest = windows.take_expired(at(110), true);
        let [rest] = &rest[..] else { panic!("one is left: {rest:?}") };
        assert!(rest.look == "b" && rest.counted().is_none(), "nobody followed");
        assert!(lock(&windows.slots).is_empty());
    }

    #[test]
    fn a_slot_with_a_waiter_stays() {
        let windows = Windows::new(SignedDuration::from_secs(10));
        opened(&windows, "a", at(100));
        let held = windows.slot(key("a")).expect("a slot");
        assert_eq!(windows.take_expired(at(200), false).len(), 1, "its time is over");
        let slot = windows.slot(key("a")).expect("a slot");
        assert!(Arc::ptr_eq(&held, &slot), "whoever comes next waits at the same slot");
    }

    #[test]
    fn what_is_open_and_what_waits_is_bounded() {
        let windows = Windows::new(SignedDuration::from_secs(10));
        let names: Vec<String> = (0..OPEN_MAX).map(|n| n.to_string()).collect();
        for name in &names {
            let _: Slot<&'static str> = windows.slot(key(name)).expect("a slot");
        }
        assert!(windows.slot(key("one more")).is_none());
        assert!(windows.slot(key("0")).is_some());
        for _ in 0..WAITING_MAX + 1 {
            let mut expired = Window::new(Uuid::nil(), "a", at(0), at(10));
            expired.count(&context());
            windows.postpone(expired);
        }
        assert_eq!(windows.take_expired(at(0), false).len(), WAITING_MAX);
        assert!(Windows::<()>::new(SignedDuration::ZERO).slot(key("a")).is_none());
    }
}
