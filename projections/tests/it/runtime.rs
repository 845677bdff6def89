//! Crashes, repetitions, rebuilds: whatever happens, the documents are those of one clean run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, doc};
use projections::event::{EventError, RecordedEvent};
use projections::read_models::ReadModel;
use projections::runtime::{ApplyError, Projector, RunError};
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clinic::{Clinic, PATIENCE, id, of_patients};
use crate::counted::Counted;

/// A projector that takes few events at a time, and waits a little, so that a test can interrupt it.
struct Slow {
    inner: Arc<dyn Projector>,
    batch: usize,
}

#[async_trait]
impl Projector for Slow {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn version(&self) -> u32 {
        self.inner.version()
    }
    fn streams(&self) -> &[&'static str] {
        self.inner.streams()
    }
    fn batch_limit(&self) -> usize {
        self.batch
    }
    async fn begin(&self) -> Result<(), ApplyError> {
        self.inner.begin().await
    }
    async fn apply(&self, batch: &[RecordedEvent]) -> Result<(), ApplyError> {
        sleep(Duration::from_millis(3)).await;
        self.inner.apply(batch).await?;
        sleep(Duration::from_millis(3)).await;
        Ok(())
    }
    async fn reset(&self) -> Result<(), ApplyError> {
        self.inner.reset().await
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn killed_anywhere_it_ends_with_the_same_documents(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..12).await;
    clinic.catch_up().await;
    let expected = clinic.documents().await;
    assert!(of_patients(&expected).iter().all(|(_, documents)| documents.len() == 12));

    clinic.models.database().drop().await.expect("Mongo answers");
    for delay_ms in [5, 9, 14, 20, 27, 35, 44, 54] {
        let running: Vec<_> = clinic
            .models
            .projectors()
            .into_iter()
            .map(|inner| clinic.start(Arc::new(Slow { inner, batch: 5 })))
            .collect();
        sleep(Duration::from_millis(delay_ms * 4)).await;
        for projector in running {
            projector.kill().await;
        }
    }
    let running: Vec<_> =
        clinic.models.projectors().into_iter().map(|inner| clinic.start(inner)).collect();
    clinic.settle().await;
    assert_eq!(clinic.documents().await, expected);
    for projector in running {
        projector.stop().await;
    }
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_applied_again_changes_nothing(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..4).await;
    let head = clinic.catch_up().await;
    let expected = clinic.documents().await;
    for projector in clinic.models.projectors() {
        let events = clinic.log.read(0..head, projector.streams()).await.expect("the log answers");
        // The whole log again, pieces of it again, and the last pieces before the first ones.
        projector.apply(&events).await.expect("a repetition is taken");
        for piece in events.chunks(7).rev() {
            projector.apply(piece).await.expect("a repetition is taken");
            projector.apply(piece).await.expect("a repetition is taken");
        }
    }
    assert_eq!(clinic.documents().await, expected);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_late_writer_does_not_undo_a_newer_document(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    let head = clinic.catch_up().await;
    let stale = clinic.documents().await[0].1[0].clone();
    clinic.rename(1, "Neumann").await;
    clinic.catch_up().await;
    let expected = clinic.documents().await;

    // A process that lost its lock still holds the old document, and what it read from the log before.
    let patients = clinic.models.projector(ReadModel::PATIENTS);
    let old = clinic.log.read(0..head, patients.streams()).await.expect("the log answers");
    patients.apply(&old).await.expect("it is not an error");
    assert_eq!(clinic.documents().await, expected);

    // Its guarded write finds nothing older to replace.
    let collection = clinic.models.database().collection::<Document>("patients_v2");
    let position = stale.get_i64("position").expect("a position");
    let filter =
        doc! { "_id": stale.get_str("_id").expect("an id"), "position": { "$lt": position } };
    let replaced = collection.replace_one(filter, stale).await.expect("Mongo answers");
    assert_eq!(replaced.matched_count, 0);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_dropped_database_comes_back_while_projectors_run(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    let running: Vec<_> =
        clinic.models.projectors().into_iter().map(|inner| clinic.start(inner)).collect();
    clinic.history(0..5).await;
    clinic.settle().await;
    let live = clinic.documents().await;

    clinic.models.database().drop().await.expect("Mongo answers");
    clinic.settle().await;
    assert_eq!(clinic.documents().await, live, "a rebuild equals the live documents");

    // One collection alone, while its checkpoint stays: the next edit finds nothing to continue.
    let patients = clinic.models.database().collection::<Document>("patients_v2");
    patients.drop().await.expect("Mongo answers");
    clinic.rename(1, "Winter").await;
    let whole = async {
        while patients.count_documents(doc! {}).await.expect("Mongo answers") < 5 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, whole).await.expect("the read model is rebuilt");
    clinic.settle().await;
    let healed = clinic.documents().await;
    clinic
        .runtime
        .rebuild(clinic.models.projector(ReadModel::PATIENTS).as_ref())
        .await
        .expect("reset");
    clinic.settle().await;
    assert_eq!(clinic.documents().await, healed);
    for projector in running {
        projector.stop().await;
    }
    clinic.close().await;
}

/// Counts who is inside.
#[derive(Default)]
struct Alone {
    inside: AtomicUsize,
    most: AtomicUsize,
    begun: AtomicUsize,
}

#[async_trait]
impl Projector for Alone {
    fn name(&self) -> &str {
        "alone"
    }
    fn version(&self) -> u32 {
        1
    }
    fn streams(&self) -> &[&'static str] {
        &[]
    }
    fn batch_limit(&self) -> usize {
        1
    }
    async fn begin(&self) -> Result<(), ApplyError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn apply(&self, _batch: &[RecordedEvent]) -> Result<(), ApplyError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        sleep(Duration::from_millis(10)).await;
        self.inside.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
    async fn reset(&self) -> Result<(), ApplyError> {
        Ok(())
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn one_process_holds_a_projector_and_the_next_takes_over(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..3).await;
    let alone = Arc::new(Alone::default());
    let first = clinic.start(alone.clone());
    let second = clinic.start(alone.clone());
    let reached = |head: u64| {
        let checkpoints = clinic.runtime.checkpoints().clone();
        async move {
            let stood = checkpoints.wait_for("alone:1", head - 1, PATIENCE).await;
            assert_eq!(stood.expect("Mongo answers"), head);
        }
    };
    reached(clinic.log.head().await.expect("the log answers")).await;
    assert_eq!(alone.begun.load(Ordering::SeqCst), 1);
    first.kill().await;
    clinic.register(77).await;
    reached(clinic.log.head().await.expect("the log answers")).await;

    // Its connection is cut: it loses the lock, and takes it again.
    let begun = alone.begun.load(Ordering::SeqCst);
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name LIKE 'ledger projector alone%' AND datname = current_database()",
    )
    .execute(&clinic.owner)
    .await
    .expect("Postgres answers");
    clinic.register(78).await;
    reached(clinic.log.head().await.expect("the log answers")).await;
    assert!(alone.begun.load(Ordering::SeqCst) > begun);
    assert_eq!(alone.most.load(Ordering::SeqCst), 1, "never two at once");
    second.stop().await;
    clinic.close().await;
}

/// Fails as told.
struct Failing {
    failures: AtomicUsize,
    poison: Option<u64>,
}

#[async_trait]
impl Projector for Failing {
    fn name(&self) -> &str {
        "failing"
    }
    fn version(&self) -> u32 {
        1
    }
    fn streams(&self) -> &[&'static str] {
        &[]
    }
    fn batch_limit(&self) -> usize {
        2
    }
    async fn apply(&self, batch: &[RecordedEvent]) -> Result<(), ApplyError> {
        if let Some(event) = batch.iter().find(|event| Some(event.position) == self.poison) {
            let reason = "it is poison".to_owned();
            return Err(ApplyError::Poison { position: event.position, reason });
        }
        let left = self.failures.load(Ordering::SeqCst);
        if left > 0 {
            self.failures.store(left - 1, Ordering::SeqCst);
            return Err(ApplyError::unavailable("answer a test")("a store is away"));
        }
        Ok(())
    }
    async fn reset(&self) -> Result<(), ApplyError> {
        Ok(())
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_store_that_fails_is_tried_again_and_poison_stops(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..1).await;
    let head = clinic.log.head().await.expect("the log answers");
    let failing = Arc::new(Failing { failures: AtomicUsize::new(3), poison: None });
    let running = clinic.start(failing.clone());
    let stood = clinic.runtime.checkpoints().wait_for("failing:1", head - 1, PATIENCE).await;
    assert_eq!(stood.expect("Mongo answers"), head);
    assert_eq!(failing.failures.load(Ordering::SeqCst), 0);
    running.stop().await;

    clinic.runtime.checkpoints().remove("failing:1").await.expect("Mongo answers");
    let poison = Failing { failures: AtomicUsize::new(0), poison: Some(4) };
    let outcome = clinic.start(Arc::new(poison)).outcome().await;
    let Err(RunError::Apply { source: ApplyError::Poison { position: 4, .. }, .. }) = outcome
    else {
        panic!("poison must stop the projector: {outcome:?}");
    };
    let stood = clinic.runtime.checkpoints().load("failing:1").await.expect("Mongo answers");
    assert_eq!(stood, Some(4), "what came before it is done, and it is not skipped");
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_changed_payload_stops_the_projector(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.register(1).await;
    let receipt = clinic.rename(1, "Weber").await;
    let position = receipt.position.expect("an event was recorded");
    // Somebody with every right on the database.
    sqlx::raw_sql(&format!(
        "ALTER TABLE events DISABLE TRIGGER ALL; \
         UPDATE events SET payload = set_byte(payload, 20, 255 - get_byte(payload, 20)) \
         WHERE position = {position}"
    ))
    .execute(&clinic.owner)
    .await
    .expect("Postgres answers");
    let patients = clinic.models.projector(ReadModel::PATIENTS);
    let outcome = clinic.start(patients).outcome().await;
    assert!(matches!(outcome, Err(RunError::Log(_))), "{outcome:?}");
    let stood = clinic.models.position(ReadModel::PATIENTS).await.expect("Mongo answers");
    assert_eq!(stood, position, "everything before it is there");
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_that_is_gone_without_an_erasure_makes_no_tombstone(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..2).await;
    let wrapped: Vec<u8> =
        sqlx::query_scalar("SELECT wrapped FROM keyring.data_keys WHERE subject = $1")
            .bind(id(1))
            .fetch_one(&clinic.owner)
            .await
            .expect("Postgres answers");
    sqlx::raw_sql("ALTER TABLE keyring.data_keys DISABLE TRIGGER ALL")
        .execute(&clinic.owner)
        .await
        .expect("Postgres answers");
    let set = |wrapped: Option<Vec<u8>>| {
        let destroyed = wrapped.is_none();
        let query = "UPDATE keyring.data_keys SET wrapped = $2, \
                     destroyed_at = CASE WHEN $3 THEN now() END WHERE subject = $1";
        let set = sqlx::query(query).bind(id(1)).bind(wrapped).bind(destroyed);
        set.execute(&clinic.owner)
    };
    set(None).await.expect("Postgres answers");
    let patients = clinic.models.projector(ReadModel::PATIENTS);
    let refused = clinic.runtime.catch_up(patients.as_ref()).await.expect_err("it does not open");
    assert!(matches!(refused, RunError::Log(EventError::KeyMissing { .. })), "{refused:?}");
    assert!(refused.is_transient(), "it waits for the key");
    let documents = clinic.documents().await;
    assert!(documents[0].1.iter().all(|one| !one.contains_key("erased")), "nobody was erased");

    set(Some(wrapped)).await.expect("Postgres answers");
    clinic.catch_up().await;
    let all = clinic.documents().await;
    assert!(of_patients(&all).iter().all(|(_, documents)| documents.len() == 2));
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_busy_log_does_not_cost_a_projector_a_write_for_each_event(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.history(0..1).await;
    let patients = ReadModel::PATIENTS;
    let running = clinic.start(clinic.models.projector(patients));
    let head = clinic.log.head().await.expect("the log answers");
    clinic.models.wait_for(patients, head - 1, PATIENCE).await.expect("it gets there");

    // Every version of the checkpoint that the store ever had, as far as one who looks all the time can see.
    let seen = Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let (models, notes, stop) = (clinic.models.clone(), seen.clone(), CancellationToken::new());
    let watching = tokio::spawn({
        let stop = stop.clone();
        async move {
            while !stop.is_cancelled() {
                let stood = models.position(patients).await.expect("Mongo answers");
                notes.lock().expect("no panic").insert(stood);
            }
        }
    });
    // What concerns wounds has no effect on patients.
    let events = 60_u64;
    let began = std::time::Instant::now();
    for scan in 0..events {
        clinic
            .scan(0, 0x9000 + u128::from(scan), "2026-01-04T10:00:00Z", &scan.to_be_bytes())
            .await;
    }
    let took = began.elapsed();
    let last = head + events - 1;
    clinic.models.wait_for(patients, last, PATIENCE).await.expect("all the same it gets there");
    stop.cancel();
    watching.await.expect("no panic");
    let stored = u128::try_from(seen.lock().expect("no panic").len()).expect("few");
    let most = took.as_millis() / 200 + 3;
    assert!(stored <= most, "{stored} checkpoints in {took:?}, and {most} are the most");

    // What concerns it is stored with it, and what was pending too when it is stopped.
    let position = clinic.rename(0, "Sofort").await.position.expect("an event");
    let at_once = Duration::from_secs(2);
    clinic.models.wait_for(patients, position, at_once).await.expect("at once");
    let receipt = clinic.scan(0, 0xA000, "2026-01-04T10:00:00Z", b"last").await;
    running.stop().await;
    let stood = clinic.models.position(patients).await.expect("Mongo answers");
    let last = receipt.position.expect("an event");
    assert!(
        stood == last || stood == last + 1,
        "{stood} after {last}: nothing is behind but what was not read"
    );
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_appended_is_read_and_proved_once_for_all_projectors(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let clinic = Clinic::open(pool).await;
    clinic.history(0..2).await;
    let running: Vec<_> =
        clinic.models.projectors().into_iter().map(|projector| clinic.start(projector)).collect();
    clinic.settle().await;
    // One append at a time, so that whoever shares does so for each of them.
    let appends = 25_u64;
    let (read, shared) = (counted.of("log_pages_read_total"), counted.of("log_pages_shared_total"));
    for n in 0..appends {
        clinic.rename(0, &format!("Weber-{n}")).await;
        clinic.settle().await;
    }
    let read = counted.of("log_pages_read_total") - read;
    let shared = counted.of("log_pages_shared_total") - shared;
    assert!(read <= appends, "{read} pages read for {appends} appends");
    assert!(shared >= read, "{shared} shared of {read} read, by three projectors");
    for running in running {
        running.stop().await;
    }

    // Who begins again reads what is stored, not what is remembered.
    let position = clinic.rename(1, "Fort").await.position.expect("an event");
    clinic.catch_up().await;
    sqlx::raw_sql(&format!(
        "ALTER TABLE events DISABLE TRIGGER ALL; \
         UPDATE events SET payload = set_byte(payload, 20, 255 - get_byte(payload, 20)) \
         WHERE position = {position}"
    ))
    .execute(&clinic.owner)
    .await
    .expect("Postgres answers");
    let patients = clinic.models.projector(ReadModel::PATIENTS);
    clinic.runtime.rebuild(patients.as_ref()).await.expect("the stores answer");
    let outcome = clinic.start(patients).outcome().await;
    assert!(matches!(outcome, Err(RunError::Log(_))), "{outcome:?}");
    clinic.close().await;
}
