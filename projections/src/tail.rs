//! The end of the log, read and proved once for all projectors and workers of this process.
//!
//! All of them are woken by the same append and ask for the same events. The first to ask reads them; the others wait
//! for that, and are given the same. What is held was proved, and is sealed as it was signed: each reader opens what it
//! may. It is bounded, and a reader that begins, such as a rebuild, asks the database instead.

use std::collections::VecDeque;
use std::sync::Arc;

use audit::postgres::VerifiedEvent;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The most events that are held.
const EVENTS: usize = 2_048;

/// The most bytes of payloads that are held.
const BYTES: usize = 8 << 20;

/// The end of the log, as this process has read it. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Tail {
    events: Arc<Mutex<Held>>,
    head: Arc<Mutex<Option<(Instant, u64)>>>,
}

/// Events without a gap, in order.
#[derive(Default)]
struct Held {
    events: VecDeque<Arc<VerifiedEvent>>,
    bytes: usize,
}

impl Tail {
    /// The size of the log, which `ask` finds out unless another caller did since this was called.
    pub(crate) async fn head<E>(
        &self,
        ask: impl AsyncFnOnce() -> Result<u64, E>,
    ) -> Result<u64, E> {
        let came = Instant::now();
        let mut head = self.head.lock().await;
        if let Some((asked, size)) = *head
            && asked >= came
        {
            return Ok(size);
        }
        let asked = Instant::now();
        let size = ask().await?;
        if head.is_some_and(|(_, before)| size < before) {
            // The database was put back: what is held may be of another history.
            *self.events.lock().await = Held::default();
        }
        *head = Some((asked, size));
        Ok(size)
    }

    /// The next events from `from` on and before `to`, which `read` reads unless they are held.
    pub(crate) async fn page<E>(
        &self,
        from: u64,
        to: u64,
        read: impl AsyncFnOnce() -> Result<Vec<VerifiedEvent>, E>,
    ) -> Result<Vec<Arc<VerifiedEvent>>, E> {
        let mut held = self.events.lock().await;
        if let Some(found) = held.page(from, to) {
            metrics::counter!("log_pages_shared_total").increment(1);
            return Ok(found);
        }
        if held.events.front().is_some_and(|first| from < first.position()) {
            // A reader that is behind does not keep the others waiting.
            drop(held);
            return Ok(read().await?.into_iter().map(Arc::new).collect());
        }
        let page: Vec<Arc<VerifiedEvent>> = read().await?.into_iter().map(Arc::new).collect();
        metrics::counter!("log_pages_read_total").increment(1);
        held.keep(&page);
        Ok(page)
    }
}

impl Held {
    /// What is held of a range from its beginning on; `None` if its first event is not.
    fn page(&self, from: u64, to: u64) -> Option<Vec<Arc<VerifiedEvent>>> {
        let first = self.events.front()?.position();
        let skipped = usize::try_from(from.checked_sub(first)?).ok()?;
        let events = self.events.iter().skip(skipped).take_while(|event| event.position() < to);
        let found: Vec<_> = events.cloned().collect();
        (!found.is_empty()).then_some(found)
    }

    fn keep(&mut self, page: &[Arc<VerifiedEvent>]) {
        let next = self.events.back().map(|last| last.position() + 1);
        if page.first().map(|event| event.position()) != next {
            self.events.clear();
            self.bytes = 0;
        }
        for event in page {
            self.bytes += event.payload().len();
            self.events.push_back(event.clone());
        }
        while self.events.len() > EVENTS || self.bytes > BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.payload().len();
        }
    }
}
