//! Loading aggregates: from the log through cqrs-es, or from memory where the sequencer will check.

use std::collections::HashSet;
use std::time::Duration;

use audit::postgres::LogHealth;
use cqrs_es::EventStore;
use cqrs_es::persist::PersistedEventStore;
use domain::{ERASURE, Stream};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{CommandError, Unavailable};
use crate::failpoints::failpoint;
use crate::ledger::{Inner, Ledger, Loaded};
use crate::memory::Cached;
use crate::repository::{LedgerEventRepository, RepositoryError, load_error};

/// How long a decision waits for the first look at the whole log.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(20);

impl Ledger {
    /// Loads an aggregate from the log; none if nothing happened under this id.
    ///
    /// # Errors
    /// When the database fails, the record was erased, or what is stored is not what was signed.
    pub async fn load<A>(&self, id: Uuid) -> Result<Option<Loaded<A>>, CommandError>
    where
        A: Stream + 'static,
    {
        self.may_decide::<A>().await?;
        let loaded = self.load_from_log::<A>(id).await?;
        Ok((loaded.version > 0).then_some(loaded))
    }

    pub(crate) async fn load_from_log<A>(&self, id: Uuid) -> Result<Loaded<A>, CommandError>
    where
        A: Stream + 'static,
    {
        failpoint!("load.before");
        // Asked before anything is read: the stream may grow meanwhile, and never shrinks.
        let held = self.inner.aggregates.get(&(A::TYPE, id)).map_or(0, |held| held.version);
        let mut repository = self.repository();
        let mut begin = 0;
        if A::KEEPS_SNAPSHOTS {
            let snapshots = &self.inner.snapshots;
            let first = repository.read_end::<A>(id, snapshots.every()).await;
            let first =
                first.map_err(CommandError::from).inspect_err(|error| self.suspect(error))?;
            if first > 1 {
                let snapshot = snapshots.newest::<A>(id).await;
                begin = snapshot.as_ref().map_or(0, |snapshot| snapshot.version as u64);
                repository = repository.after(snapshot);
            }
        }
        // Only ever loaded from: what the framework would commit as a snapshot has each new event twice,
        // and the size given here is of no effect.
        let store = PersistedEventStore::<_, A>::new_snapshot_store(repository, usize::MAX)
            .with_upcasters(domain::upcasters());
        let loaded = store.load_aggregate(&id.to_string()).await.map_err(load_error);
        failpoint!("load.after");
        let loaded = loaded.and_then(|context| {
            let (aggregate, version) = (context.aggregate, context.current_sequence as u64);
            if version < held {
                let shorter = RepositoryError::Shorter { found: version, seen: held };
                return Err(CommandError::Damaged(Box::new(shorter)));
            }
            Ok(Loaded { aggregate, version })
        });
        let loaded = loaded.inspect_err(|error| self.suspect(error))?;
        self.snapshot_if_due(id, begin, &loaded);
        if loaded.version > 0 {
            self.remember(id, loaded.clone());
        }
        Ok(loaded)
    }

    pub(crate) fn repository(&self) -> LedgerEventRepository {
        let Inner { pool, watch, data_keys, .. } = &*self.inner;
        LedgerEventRepository::new(pool.clone(), watch.reader().clone(), data_keys.clone())
    }

    /// The state to decide on without reading: the one in memory or, for a stream not seen here, an
    /// empty one. Most commands on such a stream begin it. The sequencer compares the version under
    /// its lock, and a refusal is looked into again, so an assumption that is wrong costs a second try.
    pub(crate) fn assumed<A: Stream + 'static>(
        &self,
        id: Uuid,
        context: &Context,
    ) -> Option<Loaded<A>> {
        self.cached(id).or_else(|| {
            let may_begin = context.expected_version.is_none_or(|expected| expected == 0);
            may_begin.then(|| Loaded { aggregate: A::default(), version: 0 })
        })
    }

    pub(super) fn cached<A: Stream + 'static>(&self, id: Uuid) -> Option<Loaded<A>> {
        let cached = self.inner.aggregates.get(&(A::TYPE, id))?;
        let aggregate = cached.aggregate::<A>()?.clone();
        Some(Loaded { aggregate, version: cached.version })
    }

    pub(crate) fn remember<A: Stream + 'static>(&self, id: Uuid, loaded: Loaded<A>) {
        let subject = loaded.aggregate.subject(id);
        let cached = Cached::new(loaded.version, subject, loaded.aggregate);
        self.inner.memory.remember((A::TYPE, id), cached);
    }

    /// Whether there is a stream of this type and id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn exists<A: Stream>(&self, id: Uuid) -> Result<bool, CommandError> {
        self.is_there(A::TYPE, id).await
    }

    pub(crate) async fn is_there(&self, stream: &str, id: Uuid) -> Result<bool, CommandError> {
        if self.inner.watch.stream_seen(stream, id).is_some() {
            return Ok(true);
        }
        let mut connection = self.inner.pool.acquire().await?;
        let reader = self.inner.watch.reader();
        let first = reader.stream(&mut connection, (stream, id), 0, 1).await;
        let first = first.map_err(CommandError::from).inspect_err(|error| self.suspect(error))?;
        Ok(!first.is_empty())
    }

    /// Whether something may be decided on such a stream: not on a damaged log, and where access or an erasure is
    /// decided, not before the log has been read to its end once. Until then a stream whose end was removed looks
    /// as if it ended there.
    pub(crate) async fn may_decide<A: Stream>(&self) -> Result<(), CommandError> {
        self.log_is_sound()?;
        if A::KEEPS_SNAPSHOTS { Ok(()) } else { self.log_is_read().await }
    }

    pub(crate) fn log_is_sound(&self) -> Result<(), CommandError> {
        match self.inner.watch.damage() {
            Some(damage) => Err(Unavailable::LogDamaged(damage).into()),
            None => Ok(()),
        }
    }

    /// Waits until the log has been read to its end once.
    pub(crate) async fn log_is_read(&self) -> Result<(), CommandError> {
        let watch = &self.inner.watch;
        if !watch.has_read_all() {
            let _waiter = self.inner.waiters.join();
            let mut health = watch.subscribe();
            let read = health.wait_for(|health| !matches!(health, LogHealth::Reading { .. }));
            // Whatever ended the wait, the answer is below.
            let _ = tokio::time::timeout(FIRST_LOOK_MAX, read).await;
        }
        self.log_is_sound()?;
        match watch.health() {
            LogHealth::Reading { up_to } => Err(Unavailable::LogUnread { up_to }.into()),
            _ => Ok(()),
        }
    }

    /// Reads the log to the end that it has now. What this process and others have appended since the watch looked
    /// last is known afterwards: for decisions on what is *not* there.
    pub(crate) async fn log_is_read_to_its_end(&self) -> Result<(), CommandError> {
        let mut connection = self.inner.pool.acquire().await?;
        while self.inner.watch.follow(&mut connection).await? {}
        self.log_is_sound()
    }

    /// Has the whole log looked at if this is damage.
    pub(crate) fn suspect(&self, error: &CommandError) {
        if matches!(error, CommandError::Damaged(_)) {
            self.inner.suspicion.notify_one();
        }
    }

    /// Keeps the state of a stream that has grown long since it was kept last.
    pub(crate) fn snapshot_if_due<A>(&self, id: Uuid, before: u64, loaded: &Loaded<A>)
    where
        A: Stream + 'static,
    {
        if A::KEEPS_SNAPSHOTS && self.inner.snapshots.is_due(before, loaded.version) {
            self.inner.snapshots.write(id, loaded.version, loaded.aggregate.clone());
        }
    }

    /// Which of these subjects the log erases.
    ///
    /// # Errors
    /// When the database fails, or what says so is not what was signed.
    pub async fn erased_among(&self, subjects: &[Uuid]) -> Result<HashSet<Uuid>, CommandError> {
        let watch = &self.inner.watch;
        let (erased, unknown): (Vec<Uuid>, Vec<Uuid>) =
            subjects.iter().copied().partition(|subject| watch.is_known_erased(*subject));
        let mut erased: HashSet<Uuid> = erased.into_iter().collect();
        let mut connection = self.inner.pool.acquire().await?;
        // Another process may have erased the subject just now. A row only says whom to ask about.
        let (stream_type, event_type) = ERASURE;
        let sql = format!(
            "SELECT aggregate_id FROM events WHERE aggregate_type = '{stream_type}'
                AND event_type = '{event_type}' AND aggregate_id = ANY($1)"
        );
        let said: Vec<Uuid> =
            sqlx::query_scalar(&sql).bind(unknown).fetch_all(&mut *connection).await?;
        for subject in said {
            if watch.is_erased(&mut connection, subject).await? {
                erased.insert(subject);
            }
        }
        Ok(erased)
    }

    /// Forgets for good everything about an erased subject that is held in memory.
    pub fn forget(&self, subject: Uuid) {
        self.inner.memory.forget(&[subject]);
    }
}
