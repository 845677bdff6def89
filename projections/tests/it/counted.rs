//! What a test counted: a recorder for the thread of one test.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, LocalRecorderGuard, Metadata, Recorder, SharedString,
    Unit,
};

/// Counters by name; labels are added up.
#[derive(Default)]
pub(crate) struct Counted(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Counted {
    /// A recorder for as long as the test runs. (A test has a thread of its own, and its tasks run on it.)
    pub(crate) fn install() -> (&'static Counted, LocalRecorderGuard<'static>) {
        let counted: &'static Counted = Box::leak(Box::default());
        (counted, metrics::set_default_local_recorder(counted))
    }

    /// What was counted under a name.
    pub(crate) fn of(&self, name: &str) -> u64 {
        let counters = self.0.lock().expect("no panic");
        counters.get(name).map_or(0, |counter| counter.load(Ordering::SeqCst))
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.0.lock().expect("no panic");
        Counter::from_arc(Arc::clone(counters.entry(key.name().to_owned()).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
