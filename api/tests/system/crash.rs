//! `kill -9` of server and worker, 20 times each, under load: what was acknowledged is there, nothing is there
//! twice, nothing is missing in between, and everything derived from the log agrees with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use audit::checkpoint::Checkpoint;
use audit::merkle::verify_consistency;
use audit::postgres::consistency;
use audit::proof::{Receipt, verify_receipt};
use commands::database::{self, Login};
use jiff::{Timestamp, ToSpan as _};
use projections::read_models::ReadModels;
use projections::runtime::{RunConfig, Runtime};
use serde_json::Value;
use sqlx::Row as _;
use uuid::Uuid;

use crate::support::clinic::{booking, patient};
use crate::support::{Client, Clinic, Process, Random, documents, drop_database, phantom, until};

const SEED: u64 = 20;
const ROUNDS: u64 = 20;
const CLIENTS: u64 = 10;
const SCANS: u64 = 3;
const ACKNOWLEDGED_A_ROUND: u64 = 8;

/// How long a new process may take until it works.
const START: Duration = Duration::from_secs(180);

/// How long after a look others alike are answered by the event that stands for it, with the time that an answer may take.
const COVERED: Duration = Duration::from_secs(10 + 5);

/// What one client saw.
#[derive(Default)]
struct Seen {
    /// What was acknowledged, with the receipt.
    receipts: Vec<Value>,
    /// What was refused for good.
    refused: Vec<Uuid>,
    /// Looks that were answered.
    /// Whose record was shown, and when the answer was there.
    looks: Vec<(String, Timestamp)>,
    /// Requests that had to be repeated.
    repeated: u64,
}

impl Seen {
    fn merge(&mut self, other: Seen) {
        self.receipts.extend(other.receipts);
        self.refused.extend(other.refused);
        self.looks.extend(other.looks);
        self.repeated += other.repeated;
    }
}

/// What the clients and the havoc tell each other.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
    stop: AtomicBool,
}

/// The practitioner of a client, or the one whom everybody wants.
fn practitioner(of: Option<u64>) -> Uuid {
    Uuid::from_u128(of.map_or(7, |number| 0x100 + u128::from(number)))
}

/// Registers, books and looks until told to stop; the last request is brought to its end.
async fn client(staff: Client, number: u64, progress: Arc<Progress>) -> Seen {
    let mut random = Random::new(SEED ^ (number << 32));
    let mut seen = Seen::default();
    let mut patients: Vec<String> = Vec::new();
    let first = jiff::civil::date(2031, 3, 3).at(0, 0, 0, 0);
    let mut slot = 0_i64;
    while !progress.stop.load(Ordering::Acquire) {
        let key = Uuid::now_v7();
        let choice = random.within(0..10);
        let reply = if patients.is_empty() || choice < 4 {
            let mrn = format!("K-{number}-{}", seen.receipts.len());
            let registration = patient("Crashproof", "Ignatius", "1949-01-30", &mrn);
            staff.post_as(key, "/v1/patients", &registration).await
        } else {
            let chosen = &patients[random.within(0..patients.len() as u64) as usize];
            if choice < 8 {
                // A practitioner of one's own, or now and then the one whom everybody wants.
                let practitioner = practitioner((choice != 7).then_some(number));
                slot += 1;
                let start = first.saturating_add((15 * slot).minutes()).to_string();
                let body = booking(chosen, practitioner, &start);
                staff.post_as(key, "/v1/appointments", &body).await
            } else {
                let reply = staff.get(&format!("/v1/patients/{chosen}")).await;
                seen.repeated += u64::from(reply.tries > 1);
                // The read model may not have seen the patient yet.
                if reply.status == 200 {
                    seen.looks.push((chosen.clone(), Timestamp::now()));
                }
                assert!([200, 404].contains(&reply.status), "{} {}", reply.status, reply.body);
                continue;
            }
        };
        seen.repeated += u64::from(reply.tries > 1);
        match reply.status {
            200 | 201 => {
                if reply.body["stream_type"] == "patient" {
                    patients.push(reply.stream());
                }
                seen.receipts.push(reply.body);
                progress.acknowledged.fetch_add(1, Ordering::Release);
            }
            409 => {
                assert_eq!(reply.body["code"], "claim-conflict", "{}", reply.body);
                seen.refused.push(key);
            }
            status => panic!("{status} {}", reply.body),
        }
    }
    seen
}

/// Hands in scans while everything dies around them.
async fn scanner(staff: Client, wound: String, captures: Vec<Vec<u8>>) -> Seen {
    let mut seen = Seen::default();
    for capture in captures {
        let reply = staff.capture(Uuid::now_v7(), &format!("{wound}/scans"), &capture).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        seen.repeated += u64::from(reply.tries > 1);
        seen.receipts.push(reply.body);
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    seen
}

/// Kills both, at moments of chance, together every third time, and starts them again.
async fn havoc(clinic: &mut Clinic, random: &mut Random, progress: &Progress) {
    let anonymous = Client::anonymous(clinic.port);
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let pause = |random: &mut Random, most| Duration::from_millis(random.within(0..most));
        // However slow the machine is, something was done between two kills, and something is under way.
        acknowledged += ACKNOWLEDGED_A_ROUND;
        until("commands are acknowledged", START, || async {
            progress.acknowledged.load(Ordering::Acquire) >= acknowledged
        })
        .await;
        tokio::time::sleep(pause(random, 500)).await;
        assert!(clinic.server.is_running() && clinic.worker.is_running(), "one ended by itself");
        match round % 3 {
            0 => {
                clinic.server.kill();
                clinic.worker.kill();
            }
            1 => {
                clinic.server.kill();
                tokio::time::sleep(pause(random, 300)).await;
                clinic.worker.kill();
            }
            _ => {
                clinic.worker.kill();
                tokio::time::sleep(pause(random, 300)).await;
                clinic.server.kill();
            }
        }
        clinic.worker = Process::worker(&clinic.instance);
        tokio::time::sleep(pause(random, 200)).await;
        clinic.server = Process::serve(&clinic.instance, clinic.port);
        until("the server is back", START, || anonymous.ready()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_is_done_twice() {
    let begin = Instant::now();
    let captures: Vec<Vec<u8>> = (0..SCANS).map(phantom).collect();
    let mut clinic = Clinic::start().await;
    let own = (0..CLIENTS).map(|number| practitioner(Some(number)));
    clinic.instance.list(own.chain([practitioner(None)])).await;
    let treated = clinic.register("Crashproof", "Jorunn", "K-treated").await;
    let wound = clinic.wound(&treated).await;

    let progress = Arc::new(Progress::default());
    let scans = tokio::spawn(scanner(clinic.staff.clone(), wound.clone(), captures));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(client(clinic.staff.clone(), number, progress.clone())))
        .collect();
    havoc(&mut clinic, &mut Random::new(SEED), &progress).await;
    progress.stop.store(true, Ordering::Release);
    let mut seen = Seen::default();
    for client in clients {
        seen.merge(client.await.expect("the client ends well"));
    }
    let scans = scans.await.expect("the scanner ends well");
    let (last, handed_in) = (scans.receipts.last().cloned(), scans.receipts.len() as u64);
    seen.merge(scans);
    let last = last.expect("a scan")["position"].as_u64().expect("a position");
    assert_eq!(handed_in, SCANS);
    assert!(seen.receipts.len() > 100, "too little load: {}", seen.receipts.len());
    assert!(seen.repeated > 20, "too few requests met a crash: {}", seen.repeated);
    assert!(!seen.refused.is_empty(), "nobody wanted the same slot");

    let document = clinic.answered(&wound, last, Duration::from_secs(300)).await;
    clinic.caught_up().await;
    assert_eq!(Clinic::answered_once(&document) as u64, SCANS);
    assert_eq!(clinic.answers().await as u64, SCANS);
    clinic.server.kill();
    clinic.worker.kill();

    everything_is_there_once(&clinic, &seen).await;
    receipts_hold(&clinic, &seen).await;
    let verified = clinic.instance.run(["--json", "audit", "verify"]).await.succeeded().json();
    assert_eq!(verified["findings"], serde_json::json!([]));
    read_models_equal_a_rebuild(&clinic).await;
    let told = format!(
        "crash: {ROUNDS} kills of each in {:.0} s; {} acknowledged, {} refused, {} looks, {} repeated",
        begin.elapsed().as_secs_f64(),
        seen.receipts.len(),
        seen.refused.len(),
        seen.looks.len(),
        seen.repeated,
    );
    let _gone = std::io::Write::write_all(&mut std::io::stderr(), format!("{told}\n").as_bytes());
}

/// Every acknowledged command is in the log once, as acknowledged; no refused one is; no position is missing.
async fn everything_is_there_once(clinic: &Clinic, seen: &Seen) {
    let instance = &clinic.instance;
    let rows = "SELECT position, command_id, event_id, event_type, aggregate_id
                  FROM events ORDER BY position";
    let rows = sqlx::query(rows).fetch_all(&instance.pool).await.expect("the events");
    let mut by_command: BTreeMap<Uuid, Vec<(u64, Uuid)>> = BTreeMap::new();
    let mut registered = BTreeSet::new();
    for (row, expected) in rows.iter().zip(0_i64..) {
        let position: i64 = row.get(0);
        assert_eq!(position, expected, "a gap");
        let event = (position as u64, row.get(2));
        by_command.entry(row.get(1)).or_default().push(event);
        if row.get::<String, _>(3) == "PatientRegistered" {
            assert!(registered.insert(row.get::<Uuid, _>(4)), "registered twice");
        }
    }
    let mut acknowledged = BTreeSet::new();
    for receipt in &seen.receipts {
        let receipt: Receipt = serde_json::from_value(receipt.clone()).expect("a receipt");
        assert!(acknowledged.insert(receipt.command_id), "one command, two acknowledgements");
        let events: Vec<(u64, Uuid)> =
            receipt.events.iter().map(|event| (event.position, event.event_id)).collect();
        assert_eq!(by_command.get(&receipt.command_id), Some(&events), "as acknowledged");
        if receipt.stream_type == "patient" {
            assert!(registered.contains(&receipt.stream_id));
        }
    }
    for refused in &seen.refused {
        assert!(!by_command.contains_key(refused), "refused and yet done");
    }
    // Nothing else was registered: the clients' patients, and the one whose wound was scanned.
    let of = |kind: &str| {
        seen.receipts.iter().filter(|receipt| receipt["stream_type"] == kind).count() as i64
    };
    assert_eq!(registered.len() as i64, of("patient") + 1);
    let count = |kind: &str| format!("SELECT count(*) FROM events WHERE event_type = '{kind}'");
    assert_eq!(instance.count(&count("AppointmentBooked")).await, of("appointment"));
    assert_eq!(instance.count(&count("ScanRecorded")).await, SCANS as i64);
    every_look_is_covered(clinic, seen).await;
    let commands = instance.count("SELECT count(*) FROM commands").await;
    assert_eq!(commands, by_command.len() as i64);
    // Every capture is named by an event, or is one that a crash left for the sweep.
    assert!(instance.captures().len() as u64 >= SCANS);
}

/// A look that was answered is on record, by an event of its own or by one of a moment before, which says so.
async fn every_look_is_covered(clinic: &Clinic, seen: &Seen) {
    let recorded = "SELECT subject::text, (extract(epoch FROM recorded_at) * 1000000)::bigint
                      FROM events WHERE event_type = 'RecordDisclosed'";
    let recorded: Vec<(String, i64)> =
        sqlx::query_as(recorded).fetch_all(&clinic.instance.pool).await.expect("the log");
    for (patient, answered) in &seen.looks {
        let is_covered = recorded.iter().any(|(subject, at)| {
            let since = answered.as_microsecond() - at;
            subject == patient && (0..COVERED.as_micros() as i64).contains(&since)
        });
        assert!(is_covered, "a look that was answered at {answered} is not on record");
    }
}

/// Receipts verify offline, and every checkpoint that was handed out is one of this log's past.
async fn receipts_hold(clinic: &Clinic, seen: &Seen) {
    let verifiers = clinic.instance.verifiers();
    let mut checkpoints = BTreeMap::new();
    for receipt in &seen.receipts {
        let receipt: Receipt = serde_json::from_value(receipt.clone()).expect("a receipt");
        let verified = verify_receipt(&receipt, &verifiers).expect("the receipt holds");
        checkpoints.insert(verified.checkpoint.size, verified.checkpoint);
    }
    let mut connection = clinic.instance.pool.acquire().await.expect("a connection");
    let head = audit::postgres::head(&mut connection).await.expect("it reads").expect("a head");
    let note = String::from_utf8(head.checkpoint).expect("a note is text");
    let end = Checkpoint::from_note(&note, &verifiers).expect("signed by the log");
    assert_eq!(end.size, head.size);
    for (size, seen) in checkpoints {
        let proof = consistency(&mut connection, size, end.size).await.expect("a proof");
        verify_consistency(size, end.size, &proof, &seen.root, &end.root).expect("no fork");
    }
}

/// Documents that survived 20 crashes are those that a quiet projector makes.
pub(crate) async fn read_models_equal_a_rebuild(clinic: &Clinic) {
    let instance = &clinic.instance;
    let survived = documents(&instance.mongodb_uri, instance.name()).await;
    let rebuilt = format!("{}_rebuilt", instance.name());
    let pool = database::connect(instance.login(Login::Serve)).await.expect("a pool");
    let log = instance.log();
    let (uri, tags) = (&instance.mongodb_uri, instance.tags());
    let models = ReadModels::connect(uri, &rebuilt, None, tags.clone(), log.clone()).await;
    let models = models.expect("a store");
    let runtime = Runtime::new(pool, log, models.database(), tags, RunConfig::default());
    for projector in models.projectors() {
        runtime.catch_up(projector.as_ref()).await.expect("the log is read to its end");
    }
    let made = documents(&instance.mongodb_uri, &rebuilt).await;
    drop_database(&instance.mongodb_uri, &rebuilt).await;
    let keys = |of: &BTreeMap<(String, String), Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&survived), keys(&made));
    assert!(survived == made, "documents differ");
}
