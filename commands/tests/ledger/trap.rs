//! Why the framework's own snapshots are not used: it applies every event twice to what it keeps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{
    PersistedEventRepository, PersistedEventStore, PersistenceError, ReplayStream, SerializedEvent,
    SerializedSnapshot,
};
use cqrs_es::{Aggregate, CqrsFramework, DomainEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted;

impl DomainEvent for Counted {
    fn event_type(&self) -> String {
        "Counted".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

/// How many events were applied.
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    applied: u64,
}

impl Aggregate for Counter {
    const TYPE: &'static str = "counter";
    type Command = ();
    type Event = Counted;
    type Error = Never;
    type Services = ();

    async fn handle(
        &mut self,
        (): Self::Command,
        (): &Self::Services,
        sink: &EventSink<Self>,
    ) -> Result<(), Never> {
        sink.write(Counted, self).await;
        Ok(())
    }

    fn apply(&mut self, _: Counted) {
        self.applied += 1;
    }
}

/// The last state the framework asked to keep.
type Kept = Arc<Mutex<HashMap<String, Value>>>;

struct Memory(Kept);

impl PersistedEventRepository for Memory {
    async fn get_events<A: Aggregate>(
        &self,
        _: &str,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        Ok(Vec::new())
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        _: &str,
        _: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        Ok(Vec::new())
    }

    async fn get_snapshot<A: Aggregate>(
        &self,
        _: &str,
    ) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        Ok(None)
    }

    async fn persist<A: Aggregate>(
        &self,
        events: &[SerializedEvent],
        snapshot: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        assert_eq!(events.len(), 1, "one event happened");
        let (id, state, _) = snapshot.expect("a snapshot of every event was asked for");
        self.0.lock().expect("one thread").insert(id, state);
        Ok(())
    }

    async fn stream_events<A: Aggregate>(&self, _: &str) -> Result<ReplayStream, PersistenceError> {
        Ok(ReplayStream::new(1).1)
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        Ok(ReplayStream::new(1).1)
    }
}

/// Should this fail, the framework has mended it, and its stores may be thought about again.
#[tokio::test]
async fn the_framework_keeps_each_event_twice() {
    let kept = Kept::default();
    let snapshots = PersistedEventStore::<_, Counter>::new_snapshot_store(Memory(kept.clone()), 1);
    CqrsFramework::new(snapshots, Vec::new(), ()).execute("snapshot", ()).await.expect("counted");
    let aggregates = PersistedEventStore::<_, Counter>::new_aggregate_store(Memory(kept.clone()));
    CqrsFramework::new(aggregates, Vec::new(), ()).execute("aggregate", ()).await.expect("counted");
    let kept = kept.lock().expect("one thread");
    for store in ["snapshot", "aggregate"] {
        assert_eq!(kept[store]["applied"], 2, "{store}: one event, applied twice");
    }
}
