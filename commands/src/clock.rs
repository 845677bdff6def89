//! Where the time comes from: the wall in production, a hand-held clock in tests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp, Unit};

/// Tells the time. Passed in, so that nothing else in the product asks the operating system.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    of_the_wall: bool,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock { read: Arc::new(Timestamp::now), of_the_wall: true }
    }

    /// A clock that stands still until it is moved. It tells another time than the world does, so it is not compared
    /// with the database's.
    pub fn manual(start: Timestamp) -> (Clock, ManualClock) {
        let hands = ManualClock(Arc::new(AtomicI64::new(start.as_microsecond())));
        let read = hands.clone();
        (Clock { read: Arc::new(move || read.now()), of_the_wall: false }, hands)
    }

    /// The machine's clock, set wrong by as much as is said.
    pub fn shifted() -> (Clock, ClockShift) {
        let shift = ClockShift(Arc::new(AtomicI64::new(0)));
        let read = shift.clone();
        (Clock { read: Arc::new(move || read.now()), of_the_wall: true }, shift)
    }

    /// The time, in whole microseconds: what a statement can hold and Postgres can store.
    pub fn now(&self) -> Timestamp {
        let now = (self.read)();
        now.round(Unit::Microsecond).unwrap_or(now)
    }

    /// Whether it says that it tells the time of the world.
    pub(crate) fn is_of_the_wall(&self) -> bool {
        self.of_the_wall
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The hands of [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Turns the clock to this time, forwards or backwards.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_microsecond(), Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// By how much a [`Clock::shifted`] is wrong.
#[derive(Clone, Debug)]
pub struct ClockShift(Arc<AtomicI64>);

impl ClockShift {
    /// Sets the clock ahead by this much; behind, if it is negative.
    pub fn set(&self, by: SignedDuration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(0);
        self.0.store(micros, Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        let shift = SignedDuration::from_micros(self.0.load(Ordering::SeqCst));
        let now = Timestamp::now();
        now.saturating_add(shift).unwrap_or(now)
    }
}
