//! The inference worker, with captures and a model that a test can foresee.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use commands::{CommandError, Ledger, Unavailable};
use domain::value::Digest;
use domain::wound::{Measurement, RejectionReason, WithdrawalReason};
use domain::{WoundEpisode, WoundId};
use projections::read_models::{ScanStatus, WoundDocument};
use projections::runtime::Projector as _;
use projections::worker::{
    CaptureRequest, CaptureSource, CommandSink, DerivedIds, FetchError, InferenceWorker,
    ScanAnalyzer, ScanRejection, SinkError, WithdrawalWorker, WorkerCommand,
};
use serde_json::json;
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clinic::{Clinic, PATIENCE, figures, id};

fn ids() -> DerivedIds {
    DerivedIds::new(audit::mac::MacKey::from_bytes([7; 32]))
}

/// A capture, or how the store fails on it.
type Shelved = Result<Vec<u8>, fn() -> FetchError>;

/// Captures in memory. The first `outages` questions are not answered.
#[derive(Default)]
struct Shelf {
    captures: Mutex<HashMap<Uuid, Shelved>>,
    outages: AtomicUsize,
}

impl Shelf {
    fn put(&self, scan: u128, bytes: &[u8]) {
        self.captures.lock().expect("no panic").insert(id(scan), Ok(bytes.to_vec()));
    }

    fn spoil(&self, scan: u128, failure: fn() -> FetchError) {
        self.captures.lock().expect("no panic").insert(id(scan), Err(failure));
    }
}

#[async_trait]
impl CaptureSource for Shelf {
    async fn fetch(&self, request: &CaptureRequest) -> Result<Bytes, FetchError> {
        assert_eq!(request.subject, id(1), "the patient's key opens the capture");
        let left = self.outages.load(Ordering::SeqCst);
        if left > 0 {
            self.outages.store(left - 1, Ordering::SeqCst);
            return Err(FetchError::Unavailable { source: "a test".into() });
        }
        match self.captures.lock().expect("no panic").get(&request.blob_id) {
            Some(Ok(bytes)) => Ok(Bytes::from(bytes.clone())),
            Some(Err(failure)) => Err(failure()),
            None => Err(FetchError::Missing),
        }
    }
}

/// Measures as many square millimetres as there are bytes.
struct Ruler {
    model: Digest,
    measured: AtomicUsize,
}

impl Ruler {
    fn new(model: u8) -> Arc<Ruler> {
        Arc::new(Ruler { model: Digest([model; 32]), measured: AtomicUsize::new(0) })
    }
}

impl ScanAnalyzer for Ruler {
    fn model_digest(&self) -> Digest {
        self.model
    }

    fn label(&self) -> String {
        "a test's".to_owned()
    }

    fn analyze(&self, bytes: &[u8], _media_type: &str) -> Result<Measurement, ScanRejection> {
        self.measured.fetch_add(1, Ordering::SeqCst);
        match bytes {
            b"empty" => Err(ScanRejection::new(RejectionReason::NoWoundFound, "nothing there")),
            b"panic" => panic!("a capture that the analyzer does not survive"),
            _ => {
                let area = u64::try_from(bytes.len()).expect("a short capture");
                Ok(serde_json::from_value(figures(area)).expect("valid figures"))
            }
        }
    }
}

/// Records through the ledger, as the product does.
struct Recorder {
    ledger: Ledger,
    refusals: AtomicUsize,
    occupied: AtomicUsize,
}

#[async_trait]
impl CommandSink for Recorder {
    async fn record(
        &self,
        command: WorkerCommand,
        command_id: Uuid,
        _correlation_id: Uuid,
    ) -> Result<(), SinkError> {
        let WorkerCommand::Wound(wound, command) = command else {
            panic!("no worker here commands anything but wounds");
        };
        let context = Clinic::context().with_command_id(command_id);
        let done = self.ledger.execute::<WoundEpisode>(wound.as_uuid(), command, &context).await;
        match done {
            Ok(_) => Ok(()),
            Err(CommandError::Refused { code, .. }) => {
                self.refusals.fetch_add(1, Ordering::SeqCst);
                Err(SinkError::Refused { code: code.to_string() })
            }
            Err(
                error @ (CommandError::CommandIdReused
                | CommandError::Unavailable(Unavailable::CommandDamaged)),
            ) => {
                self.occupied.fetch_add(1, Ordering::SeqCst);
                Err(SinkError::Foreign { code: error.code().to_owned() })
            }
            Err(other) => Err(SinkError::Unavailable { source: other.into() }),
        }
    }
}

struct Ward {
    clinic: Clinic,
    shelf: Arc<Shelf>,
    recorder: Arc<Recorder>,
}

impl Ward {
    async fn open(pool: PgPool) -> Ward {
        let clinic = Clinic::open(pool).await;
        clinic.register(1).await;
        clinic.open_wound(1).await;
        let recorder = Recorder {
            ledger: clinic.ledger.clone(),
            refusals: AtomicUsize::new(0),
            occupied: AtomicUsize::new(0),
        };
        Ward { clinic, shelf: Arc::default(), recorder: Arc::new(recorder) }
    }

    async fn scan(&self, scan: u128, bytes: &[u8]) {
        self.shelf.put(scan, bytes);
        self.clinic.scan(1, scan, "2026-01-04T10:00:00Z", bytes).await;
    }

    fn worker(&self, ruler: &Arc<Ruler>) -> Arc<InferenceWorker> {
        Arc::new(InferenceWorker::new(
            self.clinic.log.clone(),
            self.shelf.clone(),
            ruler.clone(),
            self.recorder.clone(),
            ids(),
        ))
    }

    /// What withdraws the measurements of these models.
    fn withdrawal(&self, models: &[u8]) -> Arc<WithdrawalWorker> {
        let models = models.iter().map(|model| Digest([*model; 32]));
        Arc::new(WithdrawalWorker::new(
            self.clinic.log.clone(),
            self.recorder.clone(),
            ids(),
            models,
        ))
    }

    async fn count(&self, kind: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM events WHERE event_type = $1")
            .bind(kind)
            .fetch_one(&self.clinic.pool)
            .await
            .expect("Postgres answers")
    }

    /// The wound as its read model shows it after the whole log.
    async fn wound(&self) -> WoundDocument {
        self.clinic.catch_up().await;
        let found = self.clinic.models.wound(WoundId::from_uuid(id(0x2001)), None).await;
        found.expect("an answer").expect("the wound")
    }

    async fn settle(&self, worker: &dyn projections::runtime::Projector) -> u64 {
        self.clinic.runtime.catch_up(worker).await.expect("the worker gets there")
    }

    async fn close(self) {
        let Ward { clinic, recorder, .. } = self;
        drop(recorder);
        clinic.close().await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_scan_is_answered_once_by_each_model(pool: PgPool) {
    let ward = Ward::open(pool).await;
    ward.scan(0x31, b"12345").await;
    ward.scan(0x32, b"empty").await;
    let ruler = Ruler::new(1);
    let worker = ward.worker(&ruler);
    let running = ward.clinic.start(worker.clone());
    // One scan arrives while the worker waits.
    ward.scan(0x33, b"1234567").await;
    let answered = async {
        while ruler.measured.load(Ordering::SeqCst) < 3
            || ward.wound().await.scans.iter().any(|scan| scan.status == ScanStatus::Pending)
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("every scan is answered");
    running.stop().await;

    let wound = ward.wound().await;
    let areas: Vec<u64> = wound.healing.iter().map(|point| point.area_um2 / 1_000_000).collect();
    assert_eq!(areas, [5, 7]);
    let rejected = wound.scans.iter().find(|scan| scan.status == ScanStatus::Rejected);
    let rejection = &rejected.expect("the empty one").rejections[0];
    assert_eq!(rejection.reason, RejectionReason::NoWoundFound);
    assert_eq!(rejection.model_digest, Some(Digest([1; 32])));

    // From zero again: nothing is measured again, nothing is recorded again.
    let head = ward.clinic.log.head().await.expect("the log answers");
    ward.clinic.runtime.rebuild(worker.as_ref()).await.expect("Mongo answers");
    assert_eq!(ward.settle(worker.as_ref()).await, head);
    assert_eq!(ruler.measured.load(Ordering::SeqCst), 3);
    assert_eq!(ward.recorder.refusals.load(Ordering::SeqCst), 0);

    // Another model answers beside it.
    let newer = Ruler::new(2);
    ward.settle(ward.worker(&newer).as_ref()).await;
    let wound = ward.wound().await;
    let counts: Vec<usize> = wound.scans.iter().map(|scan| scan.measurements.len()).collect();
    assert_eq!(counts, [2, 0, 2]);
    assert_eq!(wound.scans[1].rejections.len(), 2);
    ward.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_capture_that_cannot_be_measured_is_rejected_with_the_reason(pool: PgPool) {
    let ward = Ward::open(pool).await;
    let gone: fn() -> FetchError = || FetchError::Missing;
    let damaged: fn() -> FetchError = || FetchError::Damaged;
    let erased: fn() -> FetchError = || FetchError::Erased;
    for (scan, bytes) in [(0x31, b"first"), (0x32, b"other"), (0x33, b"third"), (0x35, b"panic")] {
        ward.scan(scan, bytes).await;
    }
    ward.scan(0x34, b"fourth").await;
    ward.scan(0x36, b"sixth").await;
    ward.scan(0x37, b"seventh").await;
    ward.shelf.spoil(0x31, gone);
    ward.shelf.put(0x32, b"swapped");
    ward.shelf.spoil(0x33, damaged);
    ward.shelf.spoil(0x34, erased);
    // A person was quicker.
    let by_hand = json!({ "reject-scan": { "scan_id": id(0x36), "reason": "wrong-wound" } });
    ward.clinic.execute::<WoundEpisode>(id(0x2001), by_hand).await;
    let ruler = Ruler::new(1);
    ward.settle(ward.worker(&ruler).as_ref()).await;
    let wound = ward.wound().await;
    let outcomes: Vec<(ScanStatus, Option<RejectionReason>)> = wound
        .scans
        .iter()
        .map(|scan| (scan.status, scan.rejections.first().map(|rejection| rejection.reason)))
        .collect();
    use ScanStatus::{Measured, Pending, Rejected};
    assert_eq!(
        outcomes,
        [
            (Rejected, Some(RejectionReason::CaptureMissing)),
            (Rejected, Some(RejectionReason::DigestMismatch)),
            (Rejected, Some(RejectionReason::DigestMismatch)),
            (Pending, None),
            (Rejected, Some(RejectionReason::Other)),
            (Rejected, Some(RejectionReason::WrongWound)),
            (Measured, None),
        ]
    );
    assert_eq!(ruler.measured.load(Ordering::SeqCst), 2, "the panic and the last one");
    ward.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_outage_or_a_crash_delays_and_repeats_nothing(pool: PgPool) {
    let ward = Ward::open(pool).await;
    for scan in 0..6_u128 {
        ward.scan(0x40 + scan, &vec![b'x'; usize::try_from(scan).expect("small") + 10]).await;
    }
    ward.shelf.outages.store(3, Ordering::SeqCst);
    let ruler = Ruler::new(1);
    for delay_ms in [30, 60, 90] {
        let running = ward.clinic.start(ward.worker(&ruler));
        sleep(Duration::from_millis(delay_ms)).await;
        running.kill().await;
    }
    let worker = ward.worker(&ruler);
    let running = ward.clinic.start(worker.clone());
    let answered = async {
        while ward.wound().await.healing.len() < 6 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("every scan is answered");
    running.stop().await;
    let wound = ward.wound().await;
    for scan in &wound.scans {
        assert_eq!((scan.measurements.len(), scan.rejections.len()), (1, 0));
    }
    let commands: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE event_type = 'MeasurementRecorded'")
            .fetch_one(&ward.clinic.pool)
            .await
            .expect("Postgres answers");
    assert_eq!(commands, 6);
    ward.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_a_withdrawn_model_measured_is_withdrawn_once_unless_it_is_confirmed(pool: PgPool) {
    let ward = Ward::open(pool).await;
    for scan in 0..6_u128 {
        ward.scan(0x40 + scan, &vec![b'x'; usize::try_from(scan).expect("small") + 10]).await;
    }
    ward.scan(0x46, b"empty").await;
    ward.settle(ward.worker(&Ruler::new(1)).as_ref()).await;
    ward.settle(ward.worker(&Ruler::new(2)).as_ref()).await;
    // A clinician vouches for one, and takes another back.
    let of = |wound: &WoundDocument, scan: usize| wound.scans[scan].measurements[1].id;
    let wound = ward.wound().await;
    let (confirmed, mistaken) = (of(&wound, 0), of(&wound, 1));
    let confirm = json!({ "confirm-measurement": { "measurement_id": confirmed } });
    ward.clinic.execute::<WoundEpisode>(id(0x2001), confirm).await;
    let withdraw = json!({ "withdraw-measurement": {
        "measurement_id": mistaken, "reason": "entered-in-error",
    }});
    ward.clinic.execute::<WoundEpisode>(id(0x2001), withdraw).await;

    // The worker dies and begins again, also from zero, and stays for what comes late.
    for delay_ms in [20, 40] {
        let running = ward.clinic.start(ward.withdrawal(&[2]));
        sleep(Duration::from_millis(delay_ms)).await;
        running.kill().await;
    }
    let withdrawal = ward.withdrawal(&[2]);
    ward.settle(withdrawal.as_ref()).await;
    assert_eq!(ward.count("MeasurementWithdrawn").await, 5, "four of the model, one by a person");
    ward.scan(0x47, b"a worker that had not heard").await;
    ward.settle(ward.worker(&Ruler::new(2)).as_ref()).await;
    ward.settle(withdrawal.as_ref()).await;
    ward.clinic.runtime.rebuild(withdrawal.as_ref()).await.expect("Mongo answers");
    ward.settle(withdrawal.as_ref()).await;
    assert_eq!(ward.count("MeasurementWithdrawn").await, 6);

    let wound = ward.wound().await;
    for scan in &wound.scans[..6] {
        assert!(scan.measurements[0].withdrawn_at.is_none(), "another model's stand");
        let of_model = &scan.measurements[1];
        assert_eq!(of_model.withdrawn_at.is_some(), of_model.id != confirmed);
        let expected = match of_model.id {
            id if id == confirmed => None,
            id if id == mistaken => Some(WithdrawalReason::EnteredInError),
            _ => Some(WithdrawalReason::ModelWithdrawn),
        };
        assert_eq!(of_model.withdrawal_reason, expected);
        assert_eq!(scan.status, ScanStatus::Measured);
    }
    assert_eq!(wound.scans[7].status, ScanStatus::Withdrawn, "nobody else has answered it yet");
    let shown: Vec<_> = wound.healing.iter().map(|point| point.measurement_id).collect();
    assert_eq!(shown.len(), 6);
    assert_eq!(shown[0], confirmed);
    assert!(
        wound.scans[1..6]
            .iter()
            .zip(&shown[1..])
            .all(|(it, shown)| it.measurements[0].id == *shown)
    );

    // Another set of models is another projector, whatever the order they are named in.
    assert_eq!(ward.withdrawal(&[2, 3]).id(), ward.withdrawal(&[3, 2]).id());
    assert_ne!(ward.withdrawal(&[2, 3]).id(), withdrawal.id());
    drop(withdrawal);
    ward.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_stops_between_two_scans_of_a_batch(pool: PgPool) {
    let ward = Ward::open(pool).await;
    for scan in 0..4_u128 {
        ward.scan(0x40 + scan, &vec![b'x'; usize::try_from(scan).expect("small") + 10]).await;
    }
    let ruler = Ruler::new(1);
    let stop = CancellationToken::new();
    let worker = InferenceWorker::new(
        ward.clinic.log.clone(),
        ward.shelf.clone(),
        ruler.clone(),
        ward.recorder.clone(),
        ids(),
    );
    let worker = worker.stopped_by(stop.clone());
    stop.cancel();
    let head = ward.clinic.log.head().await.expect("the log answers");
    let batch = ward.clinic.log.read(0..head, &["wound"]).await.expect("the log answers");
    let left = worker.apply(&batch).await.expect_err("it leaves the rest to the next");
    assert!(matches!(left, projections::runtime::ApplyError::Stopped), "{left}");
    assert_eq!(ruler.measured.load(Ordering::SeqCst), 0);
    // Nothing is lost by it: whoever comes next begins with that batch.
    drop(worker);
    ward.settle(ward.worker(&ruler).as_ref()).await;
    assert_eq!(ward.count("MeasurementRecorded").await, 4);
    ward.close().await;
}

/// Somebody has written rows under the ids of the worker's commands: it raises an alarm, and the work is done all the same.
#[sqlx::test(migrations = "../migrations")]
async fn foreign_rows_keep_no_work_from_being_done(pool: PgPool) {
    let ward = Ward::open(pool).await;
    ward.scan(0x40, b"123").await;
    ward.scan(0x41, b"empty").await;
    let actor = Clinic::context().actor.id.as_uuid();
    let occupy = async |command: Uuid| {
        let sql = "INSERT INTO commands (command_id, actor_id, request_mac, first_position, event_count, log_size, tag)
                   SELECT $1, $2, request_mac, first_position, 0, log_size, tag FROM commands ORDER BY first_position LIMIT 1";
        let done = sqlx::query(sql).bind(command).bind(actor).execute(&ward.clinic.owner).await;
        done.expect("the owner may");
    };
    let model = Digest([1; 32]);
    for scan in [0x40, 0x41] {
        let scan = id(scan);
        let words: [&[u8]; 2] = [scan.as_bytes(), model.as_bytes()];
        let own = ids();
        for command in own.commands("inference", &words).take(2) {
            occupy(command).await;
        }
    }
    ward.settle(ward.worker(&Ruler::new(1)).as_ref()).await;
    assert_eq!(ward.recorder.occupied.load(Ordering::SeqCst), 4);
    let wound = ward.wound().await;
    let outcomes: Vec<ScanStatus> = wound.scans.iter().map(|scan| scan.status).collect();
    assert_eq!(outcomes, [ScanStatus::Measured, ScanStatus::Rejected]);

    let measurement = wound.scans[0].measurements[0].id.as_uuid();
    let own = ids();
    occupy(own.commands("withdrawal", &[measurement.as_bytes()]).next().expect("one")).await;
    ward.settle(ward.withdrawal(&[1]).as_ref()).await;
    assert_eq!(ward.count("MeasurementWithdrawn").await, 1);
    assert_eq!(ward.recorder.occupied.load(Ordering::SeqCst), 5);
    assert_eq!(ward.recorder.refusals.load(Ordering::SeqCst), 0);

    // Where every id is occupied, the work is not done, and is not told as done.
    ward.scan(0x42, b"1234").await;
    let scan = id(0x42);
    let words: [&[u8]; 2] = [scan.as_bytes(), model.as_bytes()];
    for command in own.commands("inference", &words) {
        occupy(command).await;
    }
    let head = ward.clinic.log.head().await.expect("the log answers");
    let batch = ward.clinic.log.read(0..head, &["wound"]).await.expect("the log answers");
    let error = ward.worker(&Ruler::new(1)).apply(&batch).await.expect_err("nowhere to go");
    assert!(matches!(error, projections::runtime::ApplyError::Unavailable { .. }), "{error}");
    assert_eq!(ward.count("MeasurementRecorded").await, 1);
    ward.close().await;
}
